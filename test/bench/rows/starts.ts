/** How long things take once: the first connection to a host, the start of the program, the size of an install. */
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createSecureContext } from "node:tls"
import { open } from "../load.ts"
import { median, type Row, ratio } from "../table.ts"
import type { Bench } from "../world.ts"

const FIRSTS = 40
/** A start is short, and others on the machine are not. */
export const STARTS_A_ROUND = 3

/** CONNECT to first response byte, a new host name each time and then each of them again, upstream connections fresh. */
export async function firstConnectionRow(bench: Bench): Promise<Row[]> {
  const started = await bench.start("llmproxy", [])
  if (started === undefined) return []
  const { target, peer } = started
  const context = createSecureContext({ ca: target.ca })
  const time = async (host: string): Promise<number> => {
    const from = performance.now()
    const socket = await open(target, context, host)
    socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    await new Promise((resolve) => socket.once("data", resolve))
    const took = performance.now() - from
    socket.destroy()
    return took
  }
  for (let index = 0; index < 10; index++) await time(`warm${index}.localhost`)
  const names = Array.from({ length: FIRSTS }, (_, index) => `h${index}.localhost`)
  const first: number[] = []
  const known: number[] = []
  for (const name of names) first.push(await time(name))
  // A name of its own for the upstream each time: the pool must not answer from a connection that it has.
  for (const name of names) known.push(await time(name))
  await peer.stop()
  const values = { "first time": median(first), "known host": median(known) }
  return [
    {
      work: "first TLS connection to a new host, CONNECT to first byte",
      unit: "ms, p50",
      values,
      errors: 0,
      goals: [{ text: "first / known", ratio: ratio(values["first time"], values["known host"]), limit: 1.5 }],
    },
  ]
}

/** Start to listening with two addons, beside a Node that does nothing. */
export async function startRow(rounds: number): Promise<Row[]> {
  const start = await Starter.prepared(".", ["hello", "conductor"])
  const node: number[] = []
  const started: number[] = []
  for (let round = 0; round < rounds * STARTS_A_ROUND; round++) {
    const from = performance.now()
    execFileSync(process.execPath, ["-e", "0"])
    node.push(performance.now() - from)
    started.push(await start.untilListening())
  }
  start.close()
  const measured = { "node -e 0": node, llmproxy: started }
  const values = { "node -e 0": median(node), llmproxy: median(started) }
  return [
    {
      work: "start to listening, two addons",
      unit: "ms",
      values,
      rounds: measured,
      errors: 0,
      goals: [{ text: "llmproxy / node -e 0", ratio: ratio(values.llmproxy, values["node -e 0"]), limit: 3 }],
    },
  ]
}

/** Starts of a built checkout with some of its addons. */
export class Starter {
  readonly #folder: string
  readonly #confdir = mkdtempSync(join(tmpdir(), "llmproxy-start-"))
  readonly #args: readonly string[]

  /** Has been started once: what is measured is every start but the first, which makes the CA and builds the addons. */
  static async prepared(folder: string, addons: readonly string[]): Promise<Starter> {
    const starter = new Starter(folder, addons)
    await starter.#start("SIGTERM")
    return starter
  }

  private constructor(folder: string, addons: readonly string[]) {
    this.#folder = folder
    const scripts = addons.flatMap((name) => ["-s", `addons/${name}.ts`])
    this.#args = ["dist/bin/llmproxy.js", "-p", "0", "--confdir", this.#confdir, ...scripts]
  }

  /** Milliseconds. */
  untilListening(): Promise<number> {
    return this.#start("SIGKILL")
  }

  close(): void {
    rmSync(this.#confdir, { recursive: true, force: true })
  }

  /** `signal`: what ends it then; one that is asked to end writes what it has built. */
  #start(signal: NodeJS.Signals): Promise<number> {
    const from = performance.now()
    let took: number | undefined
    const child = spawn(process.execPath, this.#args, { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"] })
    return new Promise((resolve, reject) => {
      let text = ""
      const onData = (bytes: Buffer) => {
        text += bytes.toString()
        if (took !== undefined || !/listening on/.test(text)) return
        took = performance.now() - from
        child.kill(signal)
      }
      child.stdout.on("data", onData)
      child.stderr.on("data", onData)
      child.once("close", () =>
        took === undefined ? reject(new Error(`llmproxy did not start: ${text}`)) : resolve(took),
      )
    })
  }
}

/** Bytes of the packages that a user's install brings: those that the lock file does not mark as for development. */
export function installRow(): Row[] {
  const lock: { packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }> } = JSON.parse(
    readFileSync("package-lock.json", "utf8"),
  )
  const names = Object.entries(lock.packages).filter(
    ([path, entry]) => path !== "" && entry.dev !== true && entry.devOptional !== true,
  )
  const bytes = names.reduce((sum, [path]) => sum + folderBytes(path, true), 0)
  return [
    {
      work: "install: runtime node_modules",
      unit: "MB",
      values: { llmproxy: bytes / 1e6 },
      errors: 0,
      goals: [{ text: "megabytes", ratio: bytes / 1e6, limit: 130 }],
    },
  ]
}

/** What the files take on disk. Nested node_modules are packages of their own in the lock file. */
function folderBytes(path: string, top: boolean): number {
  try {
    return readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => {
      if (top && entry.name === "node_modules") return sum
      const file = join(path, entry.name)
      return sum + (entry.isDirectory() ? folderBytes(file, false) : statSync(file).blocks * 512)
    }, 0)
  } catch {
    return 0 // An optional package for another platform.
  }
}
