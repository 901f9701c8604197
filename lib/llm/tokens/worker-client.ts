/**
 * The counting thread, both ends of it: the one file of lib/llm that imports a node: module of the system, because
 * loading a table (0.1 s) and counting a long text must not stop the event loop. The thread's entry is this same file,
 * so it starts from source and from dist alike; a vocabulary's is lib/services/vocabulary.ts. Started with the first count,
 * restarted after a crash, never the reason that a process stays alive. A count that cannot be had rejects; the caller
 * estimates.
 */

import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { type Clock, systemClock, type Timer } from "../../base/clock.ts"
import { type JobPort, JobThread, serveJobs } from "../../base/threads.ts"
import { type Counted, countTexts } from "./encode.ts"
import type { TableName } from "./encodings.ts"

/** What to count with: one of OpenAI's tables; of a vocabulary, texts as such or whole prompts. */
export type CountingTable = TableName | "text" | "prompt"

/** Counts texts with a table. Rejects when it cannot. */
export interface CountingBackend {
  count(table: CountingTable, texts: readonly string[]): Promise<readonly Counted[]>
  close(): Promise<void>
}

export interface CountingThreadOptions {
  /** The thread's module. Default: this file. */
  script?: URL
  /** What the module finds as its workerData. Default: what this file knows itself by. */
  data?: unknown
  /** Mebibytes that the thread may hold. Default HEAP_MIB_MAX. */
  heapMibMax?: number
  /** Milliseconds without an answer after which the thread counts as hung. Default JOB_MS_MAX, START_MS_MAX at first. */
  jobMsMax?: number
  /** By which that is measured. Default: the system's. */
  clock?: Clock
}

// Counts that wait. Beyond these an estimate is of more use to a request than a place in the queue.
const QUEUE_JOBS_MAX = 256
const QUEUE_CHARS_MAX = 16_777_216

// The longest job (1 MiB of the worst text) takes 3 s on a slow core. A thread that starts also compiles and loads.
const JOB_MS_MAX = 10_000
const START_MS_MAX = 30_000

// After this many crashes with no answer between them, the thread is started again only for every 100th count.
const CRASHES_MAX = 3
const COUNTS_SKIPPED = 100

// Both tables with their maps take 90 MB; a 1 MiB text in pieces 40 MB more.
const HEAP_MIB_MAX = 256

const THREAD_MARK = "llmproxy token counting"

/** What the thread is asked. */
interface CountJob {
  readonly table: CountingTable
  readonly texts: readonly string[]
}

export class CountingThread implements CountingBackend {
  readonly #script: URL
  readonly #data: unknown
  readonly #heapMibMax: number
  readonly #jobMsMax: number | undefined
  readonly #thread: JobThread<CountJob, readonly Counted[]>
  readonly #clock: Clock
  #timer: Timer | undefined
  #answered = false
  #chars = 0
  #crashes = 0
  #skipped = 0
  #closed = false

  constructor(options: CountingThreadOptions = {}) {
    this.#clock = options.clock ?? systemClock
    this.#script = options.script ?? new URL(import.meta.url)
    this.#data = options.data ?? THREAD_MARK
    this.#heapMibMax = options.heapMibMax ?? HEAP_MIB_MAX
    this.#jobMsMax = options.jobMsMax
    this.#thread = new JobThread({
      start: () => this.#start(),
      refused: ({ error, name = "Error" }) => Object.assign(new Error(`count tokens: ${error}`), { name }),
      crashed: (why) => this.#ended(`the counting thread ended (${why})`),
      answered: () => this.#gotAnswer(),
    })
  }

  async count(table: CountingTable, texts: readonly string[]): Promise<readonly Counted[]> {
    const chars = texts.reduce((sum, text) => sum + text.length, 0)
    this.#admit(chars)
    this.#chars += chars
    const counting = this.#thread.ask({ table, texts })
    if (this.#thread.waiting === 1) this.#watch()
    try {
      return await counting
    } finally {
      this.#chars -= chars
    }
  }

  /** Ends the thread. Counts that wait reject, as does every later one. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#thread.release(new Error("count tokens: the token counter was closed"))?.terminate()
  }

  #admit(chars: number): void {
    const { waiting, isStarted } = this.#thread
    if (this.#closed) throw new Error("count tokens: the token counter was closed")
    if (waiting >= QUEUE_JOBS_MAX || this.#chars + chars > QUEUE_CHARS_MAX)
      throw new Error(`count tokens: ${waiting} counts of ${this.#chars} characters are waiting already`)
    if (!isStarted && this.#crashes >= CRASHES_MAX && ++this.#skipped % COUNTS_SKIPPED !== 0)
      throw new Error(`count tokens: the counting thread crashed ${this.#crashes} times in a row`)
  }

  #start(): Worker {
    this.#answered = false
    return new Worker(this.#script, {
      workerData: this.#data,
      resourceLimits: { maxOldGenerationSizeMb: this.#heapMibMax },
    })
  }

  #gotAnswer(): void {
    this.#answered = true
    this.#crashes = 0
    this.#skipped = 0
    this.#watch()
  }

  /** Bounds the wait for the next answer, while one is due. */
  #watch(): void {
    this.#timer?.cancel()
    if (this.#thread.waiting === 0) return
    const wait = this.#jobMsMax ?? (this.#answered ? JOB_MS_MAX : START_MS_MAX)
    this.#timer = this.#clock.after(wait, () => {
      void this.#thread.release(this.#ended(`the counting thread ended (no answer within ${wait} ms)`))?.terminate()
    })
  }

  #ended(reason: string): Error {
    this.#crashes += 1
    this.#timer?.cancel()
    return new Error(`count tokens: ${reason}`)
  }
}

/** The thread's side: answers every request, also one that fails. */
export function serveCounts(
  port: JobPort<CountJob>,
  count: (table: CountingTable, texts: readonly string[]) => Promise<readonly Counted[]> = countWithTable,
): void {
  serveJobs(port, ({ table, texts }) => count(table, texts))
}

async function countWithTable(table: CountingTable, texts: readonly string[]): Promise<Counted[]> {
  if (table === "text" || table === "prompt") throw new Error("this thread has no vocabulary")
  return countTexts(table, texts)
}

if (!isMainThread && workerData === THREAD_MARK && parentPort !== null) serveCounts(parentPort)
