/**
 * The counting thread, both ends of it: the one file of lib/llm that imports a node: module of the system, because
 * loading a table (0.1 s) and counting a long text must not stop the event loop. The thread's entry is this same file,
 * so it starts from source and from dist alike; a vocabulary's is lib/vocabulary.ts. Started with the first count,
 * restarted after a crash, never the reason that a process stays alive. A count that cannot be had rejects; the caller
 * estimates.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { messageOf } from "../../errors.ts"
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

interface Request {
  readonly id: number
  readonly table: CountingTable
  readonly texts: readonly string[]
}
type Reply =
  | { readonly id: number; readonly counts: readonly Counted[] }
  | { readonly id: number; readonly error: string; readonly name: string }

interface Job {
  readonly chars: number
  resolve(counts: readonly Counted[]): void
  reject(error: Error): void
}

export class CountingThread implements CountingBackend {
  readonly #script: URL
  readonly #data: unknown
  readonly #heapMibMax: number
  readonly #jobMsMax: number | undefined
  readonly #jobs = new Map<number, Job>()
  #worker: Worker | undefined
  #timer: NodeJS.Timeout | undefined
  #answered = false
  #lastId = 0
  #chars = 0
  #crashes = 0
  #skipped = 0
  #closed = false

  constructor(options: CountingThreadOptions = {}) {
    this.#script = options.script ?? new URL(import.meta.url)
    this.#data = options.data ?? THREAD_MARK
    this.#heapMibMax = options.heapMibMax ?? HEAP_MIB_MAX
    this.#jobMsMax = options.jobMsMax
  }

  async count(table: CountingTable, texts: readonly string[]): Promise<readonly Counted[]> {
    const chars = texts.reduce((sum, text) => sum + text.length, 0)
    const worker = this.#admit(chars)
    return new Promise((resolve, reject) => {
      const request: Request = { id: ++this.#lastId, table, texts }
      this.#jobs.set(request.id, { chars, resolve, reject })
      this.#chars += chars
      if (this.#jobs.size === 1) {
        worker.ref()
        this.#watch()
      }
      worker.postMessage(request)
    })
  }

  /** Ends the thread. Counts that wait reject, as does every later one. */
  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#worker
    this.#drop("the token counter was closed")
    await worker?.terminate()
  }

  #admit(chars: number): Worker {
    if (this.#closed) throw new Error("count tokens: the token counter was closed")
    if (this.#jobs.size >= QUEUE_JOBS_MAX || this.#chars + chars > QUEUE_CHARS_MAX)
      throw new Error(`count tokens: ${this.#jobs.size} counts of ${this.#chars} characters are waiting already`)
    if (this.#worker !== undefined) return this.#worker
    if (this.#crashes >= CRASHES_MAX && ++this.#skipped % COUNTS_SKIPPED !== 0)
      throw new Error(`count tokens: the counting thread crashed ${this.#crashes} times in a row`)
    this.#worker = this.#start()
    return this.#worker
  }

  #start(): Worker {
    const worker = new Worker(this.#script, {
      workerData: this.#data,
      resourceLimits: { maxOldGenerationSizeMb: this.#heapMibMax },
    })
    worker.on("message", (reply: Reply) => this.#take(reply))
    worker.on("error", (error) => this.#crash(worker, messageOf(error)))
    worker.on("exit", (code) => this.#crash(worker, `exit status ${code}`))
    worker.unref()
    this.#answered = false
    return worker
  }

  #take(reply: Reply): void {
    const job = this.#jobs.get(reply.id)
    if (job === undefined) return
    this.#jobs.delete(reply.id)
    this.#chars -= job.chars
    this.#answered = true
    this.#crashes = 0
    this.#skipped = 0
    this.#watch()
    if (this.#jobs.size === 0) this.#worker?.unref()
    if ("counts" in reply) job.resolve(reply.counts)
    else job.reject(Object.assign(new Error(`count tokens: ${reply.error}`), { name: reply.name }))
  }

  /** Bounds the wait for the next answer, while one is due. */
  #watch(): void {
    clearTimeout(this.#timer)
    if (this.#jobs.size === 0) return
    const wait = this.#jobMsMax ?? (this.#answered ? JOB_MS_MAX : START_MS_MAX)
    this.#timer = setTimeout(() => {
      const worker = this.#worker
      if (worker === undefined) return
      this.#crash(worker, `no answer within ${wait} ms`)
      void worker.terminate()
    }, wait)
  }

  #crash(worker: Worker, reason: string): void {
    if (worker !== this.#worker) return
    this.#crashes++
    this.#drop(`the counting thread ended (${reason})`)
  }

  #drop(reason: string): void {
    clearTimeout(this.#timer)
    this.#worker = undefined
    const jobs = [...this.#jobs.values()]
    this.#jobs.clear()
    this.#chars = 0
    for (const job of jobs) job.reject(new Error(`count tokens: ${reason}`))
  }
}

/** The part of a message port that the thread needs. */
export interface CountingPort {
  on(event: "message", listener: (request: Request) => void): unknown
  postMessage(reply: Reply): void
}

/** The thread's side: answers every request, also one that fails. */
export function serveCounts(
  port: CountingPort,
  count: (table: CountingTable, texts: readonly string[]) => Promise<readonly Counted[]> = countWithTable,
): void {
  port.on("message", ({ id, table, texts }) => {
    count(table, texts).then(
      (counts) => port.postMessage({ id, counts }),
      (error: unknown) => port.postMessage({ id, error: messageOf(error), name: nameOf(error) }),
    )
  })
}

async function countWithTable(table: CountingTable, texts: readonly string[]): Promise<Counted[]> {
  if (table === "text" || table === "prompt") throw new Error("this thread has no vocabulary")
  return countTexts(table, texts)
}

/** A name survives the way between threads, a class does not. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "Error"
}

if (!isMainThread && workerData === THREAD_MARK && parentPort !== null) serveCounts(parentPort)
