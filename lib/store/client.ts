/**
 * The store as the proxy sees it: a bounded queue in front of the thread that writes. Flows go over in batches, one at a
 * time, so that a batch is what came while the last one was written. When the queue or the disk is full, flows are
 * dropped and counted, which is said once; the traffic never waits. The thread's entry is this same file, so that it
 * starts from source and from dist alike.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import type { AddonStore, FlowHistory, HistoryLimits, StoreService } from "../addon-store.ts"
import { messageOf } from "../errors.ts"
import type { FlowSnapshot } from "../flow.ts"
import { isObject, parseJson } from "../llm/json.ts"
import type { Logger } from "../log.ts"
import { asJson } from "./redaction.ts"
import type { StoreJob, StoreReply, StoreRequest } from "./thread.ts"

/** Flows that wait to be written, and the bytes that they hold. */
const QUEUE_FLOWS_MAX = 2_048
const QUEUE_BYTES_MAX = 64 * 1024 * 1024
/** Flows of one transaction, and bytes that are handed to the thread at once. */
const BATCH_FLOWS_MAX = 64
const BATCH_BYTES_MAX = 4 * 1024 * 1024
/** What a flow takes beside its texts. */
const FLOW_BYTES = 4_096
/** Jobs of addons that wait. */
const JOBS_MAX = 1_024
/** After this many crashes in a row the thread is started again only for every 100th batch. */
const CRASHES_MAX = 3
const BATCHES_SKIPPED = 100
/** Milliseconds that the end of the program waits for what is not stored yet. */
const CLOSE_MS_MAX = 5_000

const THREAD_MARK = "llmproxy store"

export interface StoreClientOptions {
  readonly file: string
  readonly log: Logger
  /** The thread's module, one that needs none of this program's Node flags. Default: this file. */
  readonly script?: URL
  readonly limits?: { readonly flows?: number; readonly bytes?: number }
  readonly closeMs?: number
}

interface Waiting {
  readonly snapshot: FlowSnapshot
  readonly bytes: number
  done(isStored: boolean): void
}

interface Job {
  resolve(value: unknown): void
  reject(error: Error): void
}

export class StoreClient implements StoreService {
  readonly history: FlowHistory
  readonly #options: StoreClientOptions
  readonly #jobs = new Map<number, Job>()
  readonly #drops: Drops
  #waiting: Waiting[] = []
  #bytes = 0
  /** The batch that is being written. */
  #writing: Promise<void> | undefined
  #worker: Worker | undefined
  #limits: HistoryLimits | undefined
  #lastId = 0
  #crashes = 0
  #skipped = 0
  #isClosed = false

  constructor(options: StoreClientOptions) {
    this.#options = options
    this.#drops = new Drops(options.log)
    this.history = {
      record: (snapshot) => this.#record(snapshot),
      retain: (limits) => this.#retain(limits),
      flush: () => this.#flush(),
    }
  }

  records(addon: string, name: string): AddonStore {
    const of = { addon, name }
    return {
      get: async (key) => valueIn(await this.#ask({ kind: "get", ...of, key })),
      set: async (key, value) => void (await this.#ask({ kind: "set", ...of, key, value })),
      delete: async (key) => void (await this.#ask({ kind: "delete", ...of, key })),
      entries: async (after = "") => {
        const found = (await this.#ask({ kind: "entries", ...of, after })) as [string, string][]
        return found.map(([key, json]) => [key, valueIn(json) ?? null])
      },
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.closeMs ?? CLOSE_MS_MAX)
    })
    await Promise.race([this.#end(), late])
    clearTimeout(timer)
    const worker = this.#worker
    this.#worker = undefined
    this.#failAll("the program ends")
    this.#drops.finish()
    await worker?.terminate()
  }

  async #end(): Promise<void> {
    await this.#flush()
    if (this.#worker !== undefined) await this.#ask({ kind: "close" }).catch(() => {}) // It has been said.
  }

  #record(snapshot: FlowSnapshot): Promise<boolean> {
    const bytes = sizeOf(snapshot)
    const { flows = QUEUE_FLOWS_MAX, bytes: bytesMax = QUEUE_BYTES_MAX } = this.#options.limits ?? {}
    const isFull = this.#waiting.length >= flows || this.#bytes + bytes > bytesMax
    if (isFull || this.#isClosed) {
      this.#drops.add(1, isFull ? "flows come faster than the disk takes them" : "the program ends")
      return Promise.resolve(false)
    }
    return new Promise((done) => {
      // What addons noted may be anything; the thread can be sent data only.
      const metadata = asJson(snapshot.metadata)
      const plain = { ...snapshot, metadata: isObject(metadata) ? metadata : {} }
      this.#waiting.push({ snapshot: plain, bytes, done })
      this.#bytes += bytes
      this.#writing ??= this.#write()
    })
  }

  #retain(limits: HistoryLimits): void {
    this.#limits = limits
    if (this.#worker !== undefined) this.#ask({ kind: "retain", retention: limits }).catch(() => {})
  }

  async #flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  async #write(): Promise<void> {
    await undefined // So that what a turn of the event loop brings is one batch.
    while (this.#waiting.length > 0) await this.#writeBatch(this.#takeBatch())
    this.#writing = undefined
  }

  #takeBatch(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && (count >= BATCH_FLOWS_MAX || bytes + waiting.bytes > BATCH_BYTES_MAX)) break
      bytes += waiting.bytes
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const snapshots = batch.map(({ snapshot }) => snapshot)
    let failed: ReadonlyMap<unknown, unknown> = new Map()
    let isWritten = true
    try {
      const reply = await this.#ask({ kind: "store", snapshots })
      if (reply instanceof Map) failed = reply
      const [why] = failed.values()
      if (failed.size > 0) this.#drops.add(failed.size, String(why))
      else this.#drops.over()
    } catch (thrown) {
      isWritten = false
      this.#drops.add(batch.length, messageOf(thrown))
    }
    for (const { snapshot, bytes, done } of batch) {
      this.#bytes -= bytes
      done(isWritten && !failed.has(snapshot.id))
    }
  }

  #ask(job: StoreJob): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#jobs.size >= JOBS_MAX) throw new Error(`the store has ${JOBS_MAX} jobs waiting`)
      const worker = this.#started(job)
      const request: StoreRequest = { id: ++this.#lastId, job }
      worker.postMessage(request)
      this.#jobs.set(request.id, { resolve, reject })
      worker.ref() // Who waits for an answer keeps the process alive.
    })
  }

  #started(job: StoreJob): Worker {
    if (this.#worker !== undefined) return this.#worker
    if (this.#isClosed && job.kind !== "store") throw new Error("the store is closed")
    if (this.#crashes >= CRASHES_MAX && ++this.#skipped % BATCHES_SKIPPED !== 0)
      throw new Error(`the store's thread crashed ${this.#crashes} times in a row`)
    const { script, file } = this.#options
    const plain = script === undefined ? {} : { execArgv: [] }
    const worker = new Worker(script ?? new URL(import.meta.url), { workerData: { mark: THREAD_MARK, file }, ...plain })
    worker.on("message", (reply: StoreReply) => this.#take(reply))
    worker.on("error", (error) => this.#crashed(worker, messageOf(error)))
    worker.on("exit", (code) => this.#crashed(worker, `exit status ${code}`))
    this.#worker = worker
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
    if ("error" in reply) job.reject(new Error(reply.error))
    else {
      this.#crashes = 0
      job.resolve(reply.value)
    }
  }

  #crashed(worker: Worker, why: string): void {
    if (worker !== this.#worker) return
    this.#worker = undefined
    this.#crashes += 1
    this.#failAll(`the store's thread ended (${why})`)
  }

  #failAll(why: string): void {
    const jobs = [...this.#jobs.values()]
    this.#jobs.clear()
    for (const job of jobs) job.reject(new Error(why))
  }
}

/** Counts what was dropped and says it once at its begin and once at its end, not for each flow. */
class Drops {
  readonly #log: Logger
  #count = 0
  #total = 0

  constructor(log: Logger) {
    this.#log = log
  }

  add(count: number, why: string): void {
    if (this.#count === 0) this.#log.warn(`history: flows are not recorded: ${why}; the traffic goes on`)
    this.#count += count
    this.#total += count
  }

  /** A batch was stored. */
  over(): void {
    if (this.#count > 0) this.#log.info(`history: recording again; ${flows(this.#count)} not recorded`)
    this.#count = 0
  }

  finish(): void {
    if (this.#total > 0) this.#log.warn(`history: ${flows(this.#total)} not recorded`)
  }
}

function flows(count: number): string {
  return count === 1 ? "1 flow was" : `${count} flows were`
}

/** About what a flow holds in memory. */
function sizeOf({ request, response, llm, metadata }: FlowSnapshot): number {
  const choices = llm?.completion?.choices ?? []
  const answers = choices.reduce((sum, choice) => {
    const calls = choice.toolCalls.reduce((chars, call) => chars + call.arguments.length, 0)
    return sum + choice.text.length + choice.reasoning.length + choice.refusal.length + calls
  }, 0)
  const notes = JSON.stringify(asJson(metadata) ?? {}).length
  return FLOW_BYTES + (request.body?.length ?? 0) + (response?.body?.length ?? 0) + answers + notes
}

function valueIn(json: unknown): ReturnType<typeof parseJson> {
  return typeof json === "string" ? parseJson(json) : undefined
}

function fileOf(data: unknown): string | undefined {
  if (!isObject(data) || data.mark !== THREAD_MARK) return undefined
  return typeof data.file === "string" ? data.file : undefined
}

const threadFile = isMainThread ? undefined : fileOf(workerData)
if (threadFile !== undefined && parentPort !== null) {
  const port = parentPort
  void import("./thread.ts").then(({ serveStore }) => serveStore(port, threadFile))
}
