/** `llmproxy models get URL`: fetches a model's file into the folder that the addon local-model looks in. */
import { mkdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { type CommandContext, UsageError } from "llmproxy"
import { DownloadError, download } from "./download.ts"

/** A name that is one, in every system, and no path. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,190}\.gguf$/i
const MB = 1_000_000
/** Of the bar, and how much of the file each of them stands for. */
const MARKS = 20

export interface GetFlags {
  readonly folder: string
  readonly name: string | undefined
  readonly sha256: string | undefined
}

/** Resolves to the exit status. Throws a UsageError for an address or a name that cannot be taken. */
export async function getModel(
  address: string,
  { folder, name: given, sha256 }: GetFlags,
  { note, print, clock, signal }: Pick<CommandContext, "note" | "print" | "clock" | "signal">,
): Promise<number> {
  const url = urlIn(address)
  const name = given ?? nameIn(url)
  if (!NAME.test(name))
    throw new UsageError(
      `${JSON.stringify(name)} is no name of a model's file: give one with --name, as in --name qwen3-4b.gguf`,
    )
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256))
    throw new UsageError("--sha256: must be 64 digits of hexadecimal")
  const place = join(folder, name)
  if (await stat(place).catch(() => undefined)) {
    note(`${place} is there already; take it away to fetch it again\n`)
    return 1
  }
  await mkdir(folder, { recursive: true })
  const shown = new Progress(note, name)
  try {
    const progress = (have: number, total: number | undefined) => shown.at(have, total)
    const bytes = await download({ url: url.href, place, sha256, clock, signal, progress })
    print(`${place}: ${sizeText(bytes)}\n`)
    return 0
  } catch (thrown) {
    if (!(thrown instanceof DownloadError)) throw thrown
    note(`${url.host}: ${name}: ${thrown.message}\n`)
    return 1
  }
}

/** A line for each step: a command has no way to write over what it has said. */
class Progress {
  readonly #note: (text: string) => void
  readonly #name: string
  #step = -1

  constructor(note: (text: string) => void, name: string) {
    this.#note = note
    this.#name = name
  }

  at(have: number, total: number | undefined): void {
    // Of a file whose size nobody knows, each 100 MB.
    const step = total === undefined ? Math.floor(have / (100 * MB)) : Math.floor((have / Math.max(total, 1)) * MARKS)
    if (step <= this.#step) return
    this.#step = step
    const bar = total === undefined ? "" : `[${"#".repeat(step)}${".".repeat(Math.max(0, MARKS - step))}] `
    const of = total === undefined ? "" : ` of ${sizeText(total)}, ${Math.floor((have / Math.max(total, 1)) * 100)} %`
    this.#note(`${this.#name} ${bar}${sizeText(have)}${of}\n`)
  }
}

function urlIn(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new UsageError(`models get: ${address} is no address; write one that begins with https://`)
  if (url.username !== "" || url.password !== "")
    throw new UsageError("models get: an address with a password in it is not asked")
  return url
}

function nameIn({ pathname }: URL): string {
  const last = pathname.slice(pathname.lastIndexOf("/") + 1)
  try {
    return decodeURIComponent(last)
  } catch {
    return last
  }
}

function sizeText(bytes: number): string {
  return bytes < MB ? `${Math.ceil(bytes / 1_000)} kB` : `${(bytes / MB).toFixed(1)} MB`
}
