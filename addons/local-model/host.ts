/**
 * Which models are loaded, and whose turn it is: each in a process of its own, at most so many at a time, the one that was used
 * longest ago making room; one request at a time for each. Requests wait in one line, and none is overtaken by one that would
 * keep in memory what has to make room for it. What fails is left alone for a while, twice as long each time.
 */
import type { Clock, Timer } from "llmproxy"
import type { Generation, ModelFacts } from "./messages.ts"
import { type Listener, ModelError } from "./model-process.ts"

/** Requests that wait, of all models together. */
const WAITING_MAX = 64
/** Milliseconds before a model whose process has failed is started again; doubled with each further failure. */
const BACKOFF_MS = 1_000
const BACKOFF_MS_MAX = 60_000

/** A model cannot be asked now. */
export class Unavailable extends Error {
  readonly retryMs: number

  constructor(message: string, retryMs: number) {
    super(message)
    this.retryMs = retryMs
  }
}

interface HostSettings {
  readonly maxLoaded: number
  readonly idleMs: number
}

export interface HostOptions {
  readonly clock: Clock
  /** Live. */
  readonly settings: HostSettings
  start(file: string): RunningModel
  /** For people. */
  told(file: string, text: string, level: "info" | "warn"): void
}

/** A model's process, as `ModelProcess` is one. */
interface RunningModel {
  readonly pid: number | undefined
  readonly isDead: boolean
  readonly loaded: Promise<ModelFacts>
  readonly ended: Promise<void>
  generate(generation: Generation, listener: Listener): () => void
  end(): Promise<void>
}

/** A model that was given to one request: to be released, whatever came of it. */
export interface Turn {
  readonly facts: ModelFacts
  generate(generation: Generation, listener: Listener): () => void
  release(): void
}

interface Slot {
  readonly file: string
  readonly process: RunningModel
  state: "loading" | "idle" | "busy" | "ending"
  facts: ModelFacts | undefined
  usedAt: number
  idle: Timer | undefined
}

interface Waiting {
  readonly file: string
  resolve(turn: Turn): void
  reject(error: Error): void
}

interface Failures {
  count: number
  until: number
}

export class Host {
  readonly #options: HostOptions
  readonly #slots = new Map<string, Slot>()
  readonly #waiting: Waiting[] = []
  readonly #failures = new Map<string, Failures>()
  #isClosed = false
  #isRetired = false

  constructor(options: HostOptions) {
    this.#options = options
  }

  /** The files of the models that are loaded. */
  get loaded(): readonly string[] {
    return [...this.#slots.values()].filter(({ facts }) => facts !== undefined).map(({ file }) => file)
  }

  /** The model's turn for one request. Rejects with an `Unavailable`, a ModelError, or the signal's reason. */
  take(file: string, signal: AbortSignal): Promise<Turn> {
    const { until = 0 } = this.#failures.get(file) ?? {}
    const left = until - this.#options.clock.now()
    if (this.#isClosed) return Promise.reject(new Unavailable("llmproxy is stopping", BACKOFF_MS))
    if (left > 0) return Promise.reject(new Unavailable("its process has failed and is started again soon", left))
    if (this.#waiting.length >= WAITING_MAX)
      return Promise.reject(new Unavailable(`${WAITING_MAX} requests wait already`, BACKOFF_MS))
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { file, resolve, reject }
      const leave = () => {
        const at = this.#waiting.indexOf(waiting)
        if (at >= 0) this.#waiting.splice(at, 1)
        reject(signal.reason)
      }
      if (signal.aborted) return leave()
      signal.addEventListener("abort", leave, { once: true })
      this.#waiting.push(waiting)
      this.#pump()
    })
  }

  /** Nobody will ask any more: what is not needed ends now, what answers when it has. */
  retire(): void {
    this.#isRetired = true
    for (const slot of this.#slots.values()) if (slot.state === "idle") void this.#end(slot)
  }

  /** Ends all. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { reject } of this.#waiting.splice(0)) reject(new Unavailable("llmproxy is stopping", BACKOFF_MS))
    await Promise.all([...this.#slots.values()].map((slot) => this.#end(slot)))
  }

  #pump(): void {
    for (const waiting of [...this.#waiting]) {
      const slot = this.#slots.get(waiting.file)
      if (slot?.state === "idle") this.#give(slot, waiting)
      else if (slot === undefined && !this.#load(waiting.file)) return
    }
  }

  #give(slot: Slot, waiting: Waiting): void {
    const { facts } = slot
    const at = this.#waiting.indexOf(waiting)
    if (facts === undefined || at < 0) return
    this.#waiting.splice(at, 1)
    slot.state = "busy"
    slot.idle?.cancel()
    let isReleased = false
    waiting.resolve({
      facts,
      generate: (generation, listener) => slot.process.generate(generation, listener),
      release: () => {
        if (isReleased) return
        isReleased = true
        this.#released(slot)
      },
    })
  }

  #released(slot: Slot): void {
    if (this.#slots.get(slot.file) !== slot || slot.state !== "busy") return
    if (slot.process.isDead) this.#gone(slot, new ModelError("died", "the model's process has ended"))
    else {
      this.#failures.delete(slot.file)
      this.#rest(slot)
    }
    this.#pump()
  }

  /** Nobody asks it. */
  #rest(slot: Slot): void {
    const { clock, settings } = this.#options
    slot.state = "idle"
    if (this.#isRetired && !this.#waiting.some(({ file }) => file === slot.file)) return void this.#end(slot)
    slot.usedAt = clock.now()
    slot.idle = clock.after(settings.idleMs, () => {
      if (slot.state === "idle") void this.#end(slot, "was not used")
    })
  }

  /** Whether it is being loaded now, or something makes room for it. */
  #load(file: string): boolean {
    const { settings } = this.#options
    if (this.#slots.size >= settings.maxLoaded) {
      const idle = [...this.#slots.values()].filter(({ state }) => state === "idle")
      const [oldest] = idle.sort((one, other) => one.usedAt - other.usedAt)
      if (oldest !== undefined) void this.#end(oldest, "makes room").then(() => this.#pump())
      return false
    }
    const process = this.#options.start(file)
    const slot: Slot = { file, process, state: "loading", facts: undefined, usedAt: 0, idle: undefined }
    this.#slots.set(file, slot)
    process.loaded.then(
      (facts) => {
        if (slot.state !== "loading") return
        slot.facts = facts
        this.#options.told(file, `is loaded: ${facts.context} tokens of context, process ${process.pid}`, "info")
        this.#rest(slot)
        this.#pump()
      },
      (error: unknown) => {
        if (this.#slots.get(file) !== slot || slot.state === "ending") return
        this.#gone(slot, error instanceof ModelError ? error : new ModelError("died", String(error)))
        this.#pump()
      },
    )
    process.ended.then(() => {
      if (this.#slots.get(file) !== slot || slot.state !== "idle") return
      this.#gone(slot, new ModelError("died", "the model's process has ended"))
      this.#pump()
    })
    return true
  }

  /** Its process has failed: who waits for it is told, and it is left alone for a while. */
  #gone(slot: Slot, error: ModelError): void {
    const { clock, told } = this.#options
    slot.idle?.cancel()
    this.#slots.delete(slot.file)
    void slot.process.end()
    told(slot.file, [error.message, error.detail].filter(Boolean).join(": "), "warn")
    // What is not installed may be at any time, and trying it costs little.
    if (error.kind !== "library") {
      const count = (this.#failures.get(slot.file)?.count ?? 0) + 1
      const pause = Math.min(BACKOFF_MS * 2 ** (count - 1), BACKOFF_MS_MAX)
      this.#failures.set(slot.file, { count, until: clock.now() + pause })
    }
    const left = Math.max(0, (this.#failures.get(slot.file)?.until ?? 0) - clock.now())
    const reason = error.kind === "died" ? new Unavailable(error.message, left) : error
    for (const waiting of this.#waiting.filter(({ file }) => file === slot.file)) {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
      waiting.reject(reason)
    }
  }

  async #end(slot: Slot, why?: string): Promise<void> {
    slot.idle?.cancel()
    slot.state = "ending"
    await slot.process.end()
    if (this.#slots.get(slot.file) === slot) this.#slots.delete(slot.file)
    if (why !== undefined) this.#options.told(slot.file, `is unloaded: it ${why}`, "info")
  }
}
