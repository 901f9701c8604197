/**
 * The way to the store's thread: starts it with the first job, gives each job its answer, and tells of a thread that
 * died. The thread's entry is this same file, so that it starts from source and from dist alike. What is tried again, and
 * when, is for those who ask.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import type { HistoryLimits } from "../addon-store.ts"
import { messageOf } from "../errors.ts"
import { isObject } from "../llm/json.ts"
import type { Logger } from "../log.ts"
import { gated, NativeGate } from "./native-gate.ts"
import { BUSY_TIMEOUT_MS, isPassing, SOURCES } from "./sqlite.ts"
import type { StoreJob, StoreReply, StoreRequest } from "./thread.ts"

const THREAD_MARK = "llmproxy store"
/** Milliseconds that the end of the thread, or of the process, waits for a call of SQLite's: the longest waits for a lock. */
const LEAVE_MS_MAX = BUSY_TIMEOUT_MS + 1_000

/** passing: may succeed later; lasting: will not; crash: the thread died with this job, or before its turn came. */
export type TroubleKind = "passing" | "lasting" | "crash"

/** Why a job was not done. */
export class StoreTrouble extends Error {
  readonly kind: TroubleKind

  constructor(kind: TroubleKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export interface ThreadLinkOptions {
  readonly file: string
  readonly log: Logger
  /** The thread's module, one that needs none of this program's Node flags. Default: this file. */
  readonly script?: URL
}

interface Job {
  resolve(value: unknown): void
  reject(error: StoreTrouble): void
}

export class ThreadLink {
  readonly #options: ThreadLinkOptions
  readonly #jobs = new Map<number, Job>()
  #worker: Worker | undefined
  /** Of the thread that runs. */
  #gate: NativeGate | undefined
  #limits: HistoryLimits | undefined
  #lastId = 0
  #isEnded = false

  constructor(options: ThreadLinkOptions) {
    this.#options = options
  }

  get isStarted(): boolean {
    return this.#worker !== undefined
  }

  /** Limits for this thread and those that are started in its place. */
  retain(limits: HistoryLimits): void {
    this.#limits = limits
    this.#worker?.postMessage({ id: 0, job: { kind: "retain", retention: limits } })
  }

  /** Jobs are done in their order. Rejects with a StoreTrouble. */
  ask(job: StoreJob): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const worker = this.#started()
      const request: StoreRequest = { id: ++this.#lastId, job }
      worker.postMessage(request)
      this.#jobs.set(request.id, { resolve, reject })
      worker.ref() // Who waits for an answer keeps the process alive.
    })
  }

  /** Ends the thread. Whoever still waits is refused, and so is whoever asks later. */
  async end(): Promise<void> {
    this.#isEnded = true
    const worker = this.#worker
    this.#worker = undefined
    this.#failAll("lasting", "the program ends")
    if (worker === undefined) return
    worker.ref() // The process lasts until it is outside.
    if (!(await this.#gate?.shut(LEAVE_MS_MAX))) {
      worker.unref() // To end it now would end the process.
      return
    }
    forget(this.#gate)
    await worker.terminate()
  }

  #started(): Worker {
    if (this.#isEnded) throw new StoreTrouble("lasting", "the store is closed")
    this.#worker ??= this.#start()
    return this.#worker
  }

  #start(): Worker {
    const { script, file } = this.#options
    const plain = script === undefined ? {} : { execArgv: [] }
    const gate = new NativeGate()
    const data: ThreadData = { mark: THREAD_MARK, file, gate: gate.memory }
    let worker: Worker
    try {
      worker = new Worker(script ?? new URL(import.meta.url), { workerData: data, ...plain })
    } catch (thrown) {
      throw new StoreTrouble("passing", `the store's thread cannot be started: ${messageOf(thrown)}`)
    }
    this.#gate = gate
    waitAtExit(gate)
    worker.on("message", (reply: StoreReply) => this.#take(reply))
    worker.on("error", (error) => this.#crashed(worker, messageOf(error)))
    worker.on("exit", (code) => {
      gate.ended()
      this.#crashed(worker, `exit status ${code}`)
    })
    if (this.#limits !== undefined) worker.postMessage({ id: 0, job: { kind: "retain", retention: this.#limits } })
    return worker
  }

  #take(reply: StoreReply): void {
    if ("warning" in reply) {
      this.#options.log.warn(`history: ${reply.warning}`)
      return
    }
    const job = this.#jobs.get(reply.id)
    if (job === undefined) return
    this.#jobs.delete(reply.id)
    if (this.#jobs.size === 0) this.#worker?.unref()
    if ("error" in reply) job.reject(new StoreTrouble(reply.isPassing ? "passing" : "lasting", reply.error))
    else job.resolve(reply.value)
  }

  #crashed(worker: Worker, why: string): void {
    if (worker !== this.#worker) return
    this.#worker = undefined
    // It may have died inside: the end of the process would wait for it.
    forget(this.#gate)
    this.#gate = undefined
    this.#failAll("crash", `the store's thread ended (${why})`)
  }

  #failAll(kind: TroubleKind, why: string): void {
    const jobs = [...this.#jobs.values()]
    this.#jobs.clear()
    for (const job of jobs) job.reject(new StoreTrouble(kind, why))
  }
}

/** Those of threads that run: the end of the process waits for each, with one listener for all. */
const gates = new Set<NativeGate>()

function waitAtExit(gate: NativeGate): void {
  if (gates.size === 0) process.on("exit", leaveAll)
  gates.add(gate)
}

function forget(gate: NativeGate | undefined): void {
  if (gate !== undefined && gates.delete(gate) && gates.size === 0) process.off("exit", leaveAll)
}

function leaveAll(): void {
  for (const gate of gates) gate.shutNow(LEAVE_MS_MAX)
}

/** What was thrown, as trouble. */
export function troubleOf(thrown: unknown): StoreTrouble {
  if (thrown instanceof StoreTrouble) return thrown
  return new StoreTrouble(isPassing(thrown) ? "passing" : "lasting", messageOf(thrown))
}

/** What the thread is started with. */
interface ThreadData {
  readonly mark: typeof THREAD_MARK
  readonly file: string
  readonly gate: SharedArrayBuffer
}

function isThreadData(data: unknown): data is ThreadData {
  return isObject(data) && data.mark === THREAD_MARK
}

if (!isMainThread && parentPort !== null && isThreadData(workerData)) {
  const port = parentPort
  const { file, gate } = workerData
  const sources = gated(SOURCES, new NativeGate(gate))
  void import("./thread.ts").then(({ serveStore }) => serveStore(port, file, { sources }))
}
