/**
 * The demo's processes as the demo sees them: hosts and client that it talks to over IPC, and the proxy as anybody
 * starts it. All of them end with the demo.
 */
import { type ChildProcess, fork } from "node:child_process"
import { extname } from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import type { Clock } from "../../base/clock.ts"
import { StartError } from "../../base/errors.ts"
import { ownModule } from "../package.ts"
import type { World } from "../world.ts"
import { isMessage, type Message } from "./messages.ts"

/** Milliseconds for a process to start, or to answer. */
const PATIENCE_MS = 30_000
/** Milliseconds for a process to end when it is asked to. */
const END_MS = 5_000

/** Variables that would point the demo's processes at something else than the demo. */
const FOREIGN = /^(OPENAI_|LOCAL_LLM_|LLMPROXY_|MAX_TOKEN_COUNT$|NODE_EXTRA_CA_CERTS$|NODE_USE_ENV_PROXY$)|_proxy$/i

export function demoEnvironment(env: World["env"]): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !FOREIGN.test(name)))
}

export interface ProcessPlace {
  /** The URL of this very module in the build whose programs are run: the source's, or dist's. */
  readonly build: string
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly clock: Clock
}

export const OWN_BUILD = ownModule("lib/cli/demo/processes").href

/** A program of a build. TypeScript runs with what this process was given to run it. */
function programOf(build: string, path: string): { file: string; execArgv: string[] } {
  const extension = extname(build)
  const file = fileURLToPath(new URL(path + extension, build))
  return { file, execArgv: extension === ".ts" ? process.execArgv : [] }
}

/** A value that comes later, with an end to the patience. */
function inTime<T>(clock: Clock, what: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = new StartError(`demo: ${what} took more than ${PATIENCE_MS / 1_000} s`)
    const timer = clock.after(PATIENCE_MS, () => reject(late))
    promise.then(resolve, reject).finally(() => timer.cancel())
  })
}

/** A host or the client: lib/cli/demo/NAME. */
export class DemoChild {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #clock: Clock
  readonly #listeners = new Set<(message: Message) => void>()
  #said = ""

  constructor(name: string, args: readonly string[], { build, env, cwd, clock }: ProcessPlace) {
    this.#name = name
    this.#clock = clock
    const { file, execArgv } = programOf(build, `./${name}`)
    this.#child = fork(file, args, { env, cwd, execArgv, stdio: ["ignore", "ignore", "pipe", "ipc"] })
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-1_000)
    })
    this.#child.on("message", (value: unknown) => {
      if (isMessage(value)) for (const listener of this.#listeners) listener(value)
    })
  }

  onMessage(listener: (message: Message) => void): void {
    this.#listeners.add(listener)
  }

  /** The next message of a kind. Rejects with a StartError when the process fails, ends or stays silent. */
  next<K extends Message["kind"]>(kind: K): Promise<Extract<Message, { kind: K }>> {
    const came = new Promise<Extract<Message, { kind: K }>>((resolve, reject) => {
      const listener = (message: Message) => {
        if (isKind(message, kind)) resolve(message)
        else if (message.kind === "failed") reject(new StartError(`demo: ${this.#name}: ${message.message}`))
        else return
        this.#listeners.delete(listener)
      }
      this.#listeners.add(listener)
      this.#child.once("close", (status) => {
        reject(new StartError(`demo: ${this.#name} ended with status ${status}: ${this.#said.trim()}`))
      })
    })
    return inTime(this.#clock, this.#name, came)
  }

  send(message: Message): void {
    this.#child.send(message)
  }

  stop(): Promise<void> {
    return ended(this.#child, this.#clock, () => {
      if (this.#child.connected) this.#child.disconnect() // It ends when nobody is there to talk to.
    })
  }
}

function isKind<K extends Message["kind"]>(message: Message, kind: K): message is Extract<Message, { kind: K }> {
  return message.kind === kind
}

/** llmproxy itself, as a process of its own. */
export class DemoProxy {
  readonly #child: ChildProcess
  readonly #clock: Clock
  /** Lines of flows that nobody has taken yet, and who waits for one. */
  readonly #lines: string[] = []
  #onLine: ((line: string) => void) | undefined
  readonly #started: Promise<string>
  #said = ""

  constructor(args: readonly string[], { build, env, cwd, clock }: ProcessPlace) {
    this.#clock = clock
    const { file, execArgv } = programOf(build, "./proxy")
    const child = fork(file, args, { env, cwd, execArgv, stdio: ["ignore", "pipe", "pipe", "ipc"] })
    this.#child = child
    onLine(child.stdout, (line) => {
      if (this.#onLine === undefined) this.#lines.push(line)
      else this.#onLine(line)
    })
    this.#started = new Promise((resolve, reject) => {
      onLine(child.stderr, (line) => {
        this.#said = `${this.#said}${line}\n`.slice(-1_000)
        const url = /listening on .*?(http:\/\/[\w.:]+)/.exec(line)?.[1]
        if (url !== undefined) resolve(url)
      })
      child.once("close", (status) => {
        const line = /^llmproxy: (.+)$/m.exec(this.#said)?.[1] ?? this.#said.trim()
        reject(new StartError(`demo: the proxy ended with status ${status}: ${line}`))
      })
    })
    this.#started.catch(() => {}) // Told by start().
  }

  /** Resolves to its URL. */
  start(): Promise<string> {
    return inTime(this.#clock, "the proxy", this.#started)
  }

  /** The next line that it prints of a flow. */
  line(): Promise<string> {
    const [line] = this.#lines.splice(0, 1)
    if (line !== undefined) return Promise.resolve(line)
    const came = new Promise<string>((resolve) => {
      this.#onLine = (next) => {
        this.#onLine = undefined
        resolve(next)
      }
    })
    return inTime(this.#clock, "the proxy's line", came)
  }

  /** Hands every further line to `listener`. */
  follow(listener: (line: string) => void): void {
    for (const line of this.#lines.splice(0)) listener(line)
    this.#onLine = listener
  }

  stop(): Promise<void> {
    return ended(this.#child, this.#clock, () => this.#child.kill("SIGTERM"))
  }
}

function onLine(stream: Readable | null, listener: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on("line", listener)
}

/** Asks a process to end, and sees to it that it does. */
function ended(child: ChildProcess, clock: Clock, ask: () => void): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = clock.after(END_MS, () => child.kill("SIGKILL"))
    child.once("exit", () => {
      timer.cancel()
      resolve()
    })
    ask()
  })
}
