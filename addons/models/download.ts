/**
 * Fetches one file by HTTP into a place: to PLACE.part first, going on where an earlier try has ended if the server still has the
 * same file (RFC 9110 sections 13.1.5 and 14.2), and renamed when its size and its SHA-256 are right. What is half there stays for the
 * next try; what turned out wrong is taken away.
 */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { type Clock, isObject } from "llmproxy"

/** Redirects that are followed, as fetch does. */
const REDIRECTS_MAX = 20
/** Tries one after the other, each of which has to bring something. */
const TRIES_MAX = 20
/** Milliseconds in which at least something has to come. */
const STALL_MS = 60_000
/** What every GGUF file begins with. */
const MAGIC = Buffer.from("GGUF")

/** It cannot be had; what to do is said. */
export class DownloadError extends Error {}

export interface Download {
  readonly url: string
  readonly place: string
  /** In hexadecimal; undefined: what the server says of it, if it does. */
  readonly sha256: string | undefined
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Bytes that are there, and all of them where the server has said. */
  progress(have: number, total: number | undefined): void
}

/** What is known of the file that PLACE.part is a part of. */
interface Known {
  readonly url: string
  /** A strong ETag, else Last-Modified; what neither has is fetched from its beginning. */
  readonly tag: string | undefined
  readonly total: number | undefined
  readonly sha256: string | undefined
}

interface Reply {
  readonly response: Response
  /** Of the file, as Hugging Face says it where it redirects. */
  readonly sha256: string | undefined
}

/** Resolves to its bytes. Rejects with a DownloadError, or the signal's reason. */
export async function download(options: Download): Promise<number> {
  const part = `${options.place}.part`
  let last = -1
  for (let round = 0; round < TRIES_MAX; round++) {
    const known = await take(options, part)
    if (known === undefined) continue
    const have = await sizeOf(part)
    if (known.total === undefined || have === known.total) return finish(options, part, { ...known, total: have })
    if (have > known.total) return wrong(part, `it has ${have} bytes, and should have ${known.total}`)
    if (have === last) break
    last = have
  }
  throw new DownloadError(`it broke off at byte ${await sizeOf(part)}; the same command goes on from there`)
}

/** One request, and what it brings; undefined: it is to be begun anew. A stream that breaks off is no error here. */
async function take(options: Download, part: string): Promise<Known | undefined> {
  const before = await readKnown(part, options.url)
  const have = before === undefined ? 0 : await sizeOf(part)
  const watch = new Watch(options)
  try {
    const headers = have > 0 && before?.tag !== undefined ? { Range: `bytes=${have}-`, "If-Range": before.tag } : {}
    const { response, sha256 } = await ask(options.url, headers, watch.signal)
    if (response.status === 416) {
      await response.body?.cancel()
      // It may be whole already; else it is not what it was.
      if (before?.total === have) return before
      await Promise.all([rm(part, { force: true }), rm(knownFile(part), { force: true })])
      return undefined
    }
    const from = response.status === 206 ? startOf(response) : 0
    if (!response.ok || (from !== 0 && from !== have)) {
      await response.body?.cancel()
      throw new DownloadError(`the server answers ${response.status} ${response.statusText}`.trim())
    }
    const known = knownFrom(options.url, response, sha256 ?? (from > 0 ? before?.sha256 : undefined))
    await writeFile(knownFile(part), JSON.stringify(known))
    const file = await open(part, from === 0 ? "w" : "a", 0o644)
    try {
      await write(file, response, { from, known, watch, options })
    } finally {
      await file.close()
    }
    return known
  } finally {
    watch.end()
  }
}

async function write(
  file: FileHandle,
  response: Response,
  { from, known, watch, options }: { from: number; known: Known; watch: Watch; options: Pick<Download, "progress"> },
): Promise<void> {
  let have = from
  const pieces = response.body?.getReader()
  for (;;) {
    const piece = await pieces?.read().catch((error: unknown) => {
      watch.signal.throwIfAborted()
      // Without a size nobody would know that the end is missing.
      if (known.total === undefined) throw new DownloadError(`it broke off: ${String(error)}`)
    })
    if (piece?.value === undefined) return
    watch.heard()
    if (have === 0 && piece.value.length >= MAGIC.length && !MAGIC.equals(piece.value.subarray(0, MAGIC.length))) {
      await pieces?.cancel()
      throw new DownloadError(
        "what is there is no GGUF file; is it the page about it? Take the address of the file itself",
      )
    }
    await file.writeFile(piece.value)
    have += piece.value.length
    options.progress(have, known.total)
  }
}

async function finish({ place, sha256 }: Download, part: string, known: Known): Promise<number> {
  const expected = (sha256 ?? known.sha256)?.toLowerCase()
  if (expected !== undefined) {
    const found = await hashOf(part)
    if (found !== expected) return wrong(part, `its SHA-256 is ${found}, and should be ${expected}`)
  }
  await rename(part, place)
  await rm(knownFile(part), { force: true })
  return known.total ?? 0
}

async function wrong(part: string, message: string): Promise<never> {
  await Promise.all([rm(part, { force: true }), rm(knownFile(part), { force: true })])
  throw new DownloadError(`${message}; it was taken away`)
}

/** Follows redirects, and never from https to http. */
async function ask(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Reply> {
  let at = new URL(url)
  let sha256: string | undefined
  for (let count = 0; count <= REDIRECTS_MAX; count++) {
    const response = await fetch(at, {
      redirect: "manual",
      signal,
      // A body that is encoded has another length, and other bytes at a range.
      headers: { ...headers, "Accept-Encoding": "identity" },
    }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw new DownloadError(`${at.host} does not answer: ${causeOf(error)}`)
    })
    sha256 ??= /^"?([0-9a-f]{64})"?$/i.exec(response.headers.get("x-linked-etag") ?? "")?.[1]
    const location = response.headers.get("location")
    if (response.status < 300 || response.status > 399 || location === null) return { response, sha256 }
    await response.body?.cancel()
    const next = URL.canParse(location, at.href) ? new URL(location, at) : undefined
    if (
      next === undefined ||
      !/^https?:$/.test(next.protocol) ||
      (at.protocol === "https:" && next.protocol === "http:")
    )
      throw new DownloadError(`${at.host} sends to ${location}, which is not followed`)
    at = next
  }
  throw new DownloadError(`more than ${REDIRECTS_MAX} redirects`)
}

/** Ends a download that nothing comes of. */
class Watch {
  readonly signal: AbortSignal
  readonly #clock: Clock
  readonly #stalled = new AbortController()
  #timer: ReturnType<Clock["after"]>

  constructor({ clock, signal }: Download) {
    this.#clock = clock
    this.#timer = this.#after()
    this.signal = AbortSignal.any([signal, this.#stalled.signal])
  }

  heard(): void {
    this.#timer.cancel()
    this.#timer = this.#after()
  }

  end(): void {
    this.#timer.cancel()
  }

  #after(): ReturnType<Clock["after"]> {
    const why = new DownloadError(`nothing came for ${STALL_MS / 1_000} s; the same command goes on from there`)
    return this.#clock.after(STALL_MS, () => this.#stalled.abort(why))
  }
}

function knownFrom(url: string, { headers, status }: Response, sha256: string | undefined): Known {
  const tag = headers.get("etag")
  const length = Number(headers.get("content-length") ?? Number.NaN)
  const total = status === 206 ? Number(/\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] ?? Number.NaN) : length
  return {
    url,
    tag: tag !== null && !tag.startsWith("W/") ? tag : (headers.get("last-modified") ?? undefined),
    total: Number.isSafeInteger(total) ? total : undefined,
    sha256,
  }
}

function startOf({ headers }: Response): number {
  return Number(/^bytes (\d+)-/.exec(headers.get("content-range") ?? "")?.[1] ?? Number.NaN)
}

function knownFile(part: string): string {
  return `${part}.json`
}

/** Undefined: there is nothing to go on with. */
async function readKnown(part: string, url: string): Promise<Known | undefined> {
  const text = await readFile(knownFile(part), "utf8").catch(() => "")
  try {
    const known: unknown = JSON.parse(text)
    if (!isObject(known) || known.url !== url) return undefined
    const { tag, total, sha256 } = known
    return {
      url,
      tag: typeof tag === "string" ? tag : undefined,
      total: typeof total === "number" ? total : undefined,
      sha256: typeof sha256 === "string" ? sha256 : undefined,
    }
  } catch {
    return undefined
  }
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  )
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256")
  for await (const piece of createReadStream(file)) hash.update(piece)
  return hash.digest("hex")
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  return cause instanceof Error ? cause.message : String(cause)
}
