/**
 * The way to one of the store's threads (a JobThread), which has to be left in an order of its own: nobody ends it within SQLite
 * (native-gate.ts). The thread's entry is this same file, so that it starts from source and from dist alike. What is tried again, and
 * when, is for those who ask.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { messageOf, StoreError } from "../base/errors.ts"
import { isObject } from "../base/json.ts"
import type { Logger } from "../base/log.ts"
import { type JobFailure, type JobRequest, JobThread } from "../base/threads.ts"
import { gated, NativeGate } from "./native-gate.ts"
import { BUSY_TIMEOUT_MS, isPassing, SOURCES } from "./sqlite.ts"

const THREAD_MARK = "llmproxy store"
/** Milliseconds that the end of the thread, or of the process, waits for a call of SQLite's: the longest waits for a lock. */
const LEAVE_MS_MAX = BUSY_TIMEOUT_MS + 1_000

/**
 * passing: may succeed later; lasting: will not; crash: the thread died with this job, or before its turn came, or its way to
 * the database did, so that nobody knows whether it was done.
 */
export type TroubleKind = "passing" | "lasting" | "crash"

/** Why a job was not done. */
export class StoreTrouble extends StoreError {
  readonly kind: TroubleKind

  constructor(kind: TroubleKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export interface ThreadLinkOptions<Job> {
  /** Which of the two it is: history.db's or state.db's. */
  readonly serves: "history" | "state"
  readonly file: string
  /** Of state.db: the history from which records are taken over. */
  readonly history?: string
  readonly log: Logger
  /** The thread's module, one that needs none of this program's Node flags. Default: this file. */
  readonly script?: URL
  /** What each thread is told before its first job. */
  first?(): Job | undefined
}

interface StoreFailure extends JobFailure {
  readonly trouble: "passing" | "unknown" | "lasting"
}

export class ThreadLink<Job> {
  readonly #options: ThreadLinkOptions<Job>
  readonly #thread: JobThread<Job, unknown, StoreFailure>
  /** Of the thread that runs. */
  #gate: NativeGate | undefined
  #isEnded = false

  constructor(options: ThreadLinkOptions<Job>) {
    this.#options = options
    this.#thread = new JobThread<Job, unknown, StoreFailure>({
      start: () => this.#start(),
      refused: ({ error, trouble }) => new StoreTrouble(trouble === "unknown" ? "crash" : trouble, error),
      crashed: (why) => this.#crashed(why),
      warned: (warning) => options.log.warn(`${options.serves}: ${warning}`),
    })
  }

  get isStarted(): boolean {
    return this.#thread.isStarted
  }

  /** Jobs are begun in their order. Rejects with a StoreTrouble. */
  ask(job: Job): Promise<unknown> {
    return this.#thread.ask(job)
  }

  /** A job whose answer nobody waits for, if there is a thread. */
  tell(job: Job): void {
    this.#thread.tell(job)
  }

  /** Ends the thread. Whoever still waits is refused, and so is whoever asks later. */
  async end(): Promise<void> {
    this.#isEnded = true
    const worker = this.#thread.release(new StoreTrouble("lasting", "the program ends"))
    if (worker === undefined) return
    worker.ref() // The process lasts until it is outside.
    if (!(await this.#gate?.shut(LEAVE_MS_MAX))) {
      worker.unref() // To end it now would end the process.
      return
    }
    forget(this.#gate)
    await worker.terminate()
  }

  #start(): Worker {
    if (this.#isEnded) throw new StoreTrouble("lasting", "the store is closed")
    const { script, serves, file, history } = this.#options
    const plain = script === undefined ? {} : { execArgv: [] }
    const gate = new NativeGate()
    const data: ThreadData = { mark: THREAD_MARK, serves, file, history, gate: gate.memory }
    let worker: Worker
    try {
      worker = new Worker(script ?? new URL(import.meta.url), { workerData: data, ...plain })
    } catch (thrown) {
      throw new StoreTrouble("passing", `the store's thread cannot be started: ${messageOf(thrown)}`)
    }
    this.#gate = gate
    waitAtExit(gate)
    worker.on("exit", () => gate.ended())
    const job = this.#options.first?.()
    if (job !== undefined) worker.postMessage({ id: 0, job } satisfies JobRequest<Job>)
    return worker
  }

  #crashed(why: string): StoreTrouble {
    // It may have died inside: the end of the process would wait for it.
    forget(this.#gate)
    this.#gate = undefined
    return new StoreTrouble("crash", `the store's thread ended (${why})`)
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
  readonly serves: "history" | "state"
  readonly file: string
  readonly history: string | undefined
  readonly gate: SharedArrayBuffer
}

function isThreadData(data: unknown): data is ThreadData {
  return isObject(data) && data.mark === THREAD_MARK
}

if (!isMainThread && parentPort !== null && isThreadData(workerData)) {
  const port = parentPort
  const { serves, file, history = "", gate } = workerData
  const sources = gated(SOURCES, new NativeGate(gate))
  if (serves === "history") void import("./thread.ts").then(({ serveStore }) => serveStore(port, file, { sources }))
  else void import("./state/thread.ts").then(({ serveState }) => serveState(port, { file, history, sources }))
}
