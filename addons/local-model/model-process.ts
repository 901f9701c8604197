/**
 * One model's process as the proxy sees it: started, loaded, asked, ended. Its death, for whatever reason, fails what it was asked
 * and nothing else; whether another one is started is the host's affair.
 */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import {
  type EndReason,
  type FromProcess,
  fromProcess,
  type Generation,
  type ModelFacts,
  type ToProcess,
} from "./messages.ts"

/** Characters of what a process has said last on stderr. */
const SAID_CHARS_MAX = 1_000
/** Variables that a model's process is given: none that could hold a key. */
const VARIABLES = /^(PATH|HOME|USERPROFILE|SYSTEMROOT|TE?MP|TMPDIR|LANG|LC_ALL|LD_LIBRARY_PATH|NODE_V8_COVERAGE)$/i

/** What a request came to that was not answered. `died`: the process is gone. `library`: node-llama-cpp is not there. */
export class ModelError extends Error {
  readonly kind: "died" | "library" | "model" | "refused" | "too-long"
  /** Of `too-long`. */
  readonly promptTokens: number
  readonly context: number

  /** What is for the log alone, as a stack. */
  readonly detail: string

  constructor(
    kind: ModelError["kind"],
    message: string,
    {
      promptTokens = 0,
      context = 0,
      detail = "",
    }: Partial<Pick<ModelError, "promptTokens" | "context" | "detail">> = {},
  ) {
    super(message)
    this.kind = kind
    this.promptTokens = promptTokens
    this.context = context
    this.detail = detail
  }
}

export interface ModelEnd {
  readonly reason: EndReason
  readonly promptTokens: number
  readonly tokens: number
}

/** Is told what a request's answer says, in its order; then one of `end` and `fail`. */
export interface Listener {
  text(text: string): void
  end(end: ModelEnd): void
  fail(error: ModelError): void
}

export interface ProcessSpec {
  /** The script: a file of this build. */
  readonly script: URL
  readonly file: string
  readonly contextSize: number
  readonly threads: number
  readonly library: string
}

export class ModelProcess {
  readonly loaded: Promise<ModelFacts>
  readonly #child: ChildProcess
  readonly #listeners = new Map<number, Listener>()
  /** The process is gone. */
  readonly ended: Promise<void>
  #settle: { resolve(facts: ModelFacts): void; reject(error: ModelError): void } | undefined
  #lastId = 0
  #said = ""
  #isDead = false

  /** `progress`: the part of the model that is loaded, 0 to 1. */
  constructor({ script, ...load }: ProcessSpec, progress: (part: number) => void = () => {}) {
    const file = fileURLToPath(script)
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => VARIABLES.test(name)))
    // TypeScript runs with what this process was given to run it.
    const execArgv = file.endsWith(".ts") ? process.execArgv.filter((flag) => !flag.startsWith("--inspect")) : []
    this.#child = fork(file, [], { env, execArgv, stdio: ["ignore", "ignore", "pipe", "ipc"] })
    this.loaded = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.loaded.catch(() => {}) // Told to who awaits it.
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-SAID_CHARS_MAX)
    })
    this.#child.on("message", (value) => {
      const message = fromProcess(value)
      if (message !== undefined) this.#take(message, progress)
    })
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => this.#die(error.message))
      this.#child.once("close", (status, signal) => {
        this.#die(signal === null ? `ended with status ${status}` : `was ended by ${signal}`)
        resolve()
      })
    })
    this.#tell({ kind: "load", ...load })
  }

  get isDead(): boolean {
    return this.#isDead
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Asks; what it gives ends that, and nothing is told afterwards. */
  generate(generation: Generation, listener: Listener): () => void {
    const id = ++this.#lastId
    if (this.#isDead) {
      listener.fail(new ModelError("died", "the model's process has ended"))
      return () => {}
    }
    this.#listeners.set(id, listener)
    this.#tell({ kind: "generate", id, generation })
    return () => this.#tell({ kind: "stop", id })
  }

  /** Ends it now. Resolves when it has ended. */
  async end(): Promise<void> {
    this.#child.kill("SIGKILL") // It keeps nothing.
    await this.ended
  }

  #tell(message: ToProcess): void {
    if (this.#child.connected) this.#child.send(message, () => {}) // What fails here is told by its end.
  }

  #take(message: FromProcess, progress: (part: number) => void): void {
    switch (message.kind) {
      case "progress":
        progress(message.part)
        break
      case "loaded":
        this.#settle?.resolve(message.model)
        break
      case "failed":
        this.#settle?.reject(new ModelError(message.why, message.message))
        break
      case "text":
        this.#listeners.get(message.id)?.text(message.text)
        break
      case "end":
        this.#takeOut(message.id)?.end(message)
        break
      case "too-long":
        this.#takeOut(message.id)?.fail(new ModelError("too-long", "the prompt is too long", message))
        break
      case "refused":
        this.#takeOut(message.id)?.fail(new ModelError("refused", message.message))
        break
    }
  }

  #takeOut(id: number): Listener | undefined {
    const listener = this.#listeners.get(id)
    this.#listeners.delete(id)
    return listener
  }

  #die(how: string): void {
    if (this.#isDead) return
    this.#isDead = true
    const error = new ModelError("died", `the model's process ${how}`, { detail: this.#said.trim() })
    this.#settle?.reject(error)
    const listeners = [...this.#listeners.values()]
    this.#listeners.clear()
    for (const listener of listeners) listener.fail(error)
  }
}
