/**
 * The history's thread, its inner side: does the jobs that it is sent, one after the other, and between them keeps the
 * file within its limits, a step at a time. A thread of its own because SQLite waits where it works: for the disk, for
 * another program's lock, for hashes and redaction of long texts. The other side is history-client.ts.
 */

import type { FlowSnapshot } from "../api/flow.ts"
import { messageOf } from "../base/errors.ts"
import type { JobFailure, JobNotice, JobReply, JobRequest } from "../base/threads.ts"
import { type DatabaseSources, type HistoryDatabase, type Trouble, troubleIn, troubleMessage } from "./database.ts"
import { type HistoryPlace, historyPlace } from "./history-place.ts"
import { type Retention, Writer } from "./writer.ts"

/** Milliseconds between two looks at the limits when nothing is stored. */
const RETENTION_MS = 60_000

export type StoreJob =
  | { readonly kind: "open" }
  | {
      readonly kind: "store"
      readonly snapshots: readonly FlowSnapshot[]
      /** Of the program's own. */
      readonly secrets?: readonly string[]
    }
  | { readonly kind: "retain"; readonly retention: Retention }
  | { readonly kind: "close" }

export type StoreRequest = JobRequest<StoreJob>

export interface StoreFailure extends JobFailure {
  readonly trouble: Trouble
}

export type StoreReply = JobReply<unknown, StoreFailure> | JobNotice

/** The part of a message port that the thread needs. */
export interface StorePort {
  on(event: "message", listener: (request: StoreRequest) => void): unknown
  postMessage(reply: StoreReply): void
  /** Lets the thread end. */
  close(): void
}

export interface ThreadOptions {
  /** Epoch milliseconds. Default: the system's. */
  readonly now?: () => number
  /** Where SQLite comes from. */
  readonly sources?: DatabaseSources
}

/** Answers every request, also one that fails. */
export function serveStore(port: StorePort, file: string, options: ThreadOptions = {}): void {
  const thread = new StoreThread(port, file, options)
  port.on("message", (request) => thread.take(request))
}

class StoreThread {
  readonly #port: StorePort
  readonly #now: () => number
  readonly #file: HistoryPlace
  /** Of the file that is open now. */
  #writer: { readonly of: HistoryDatabase; readonly writer: Writer } | undefined
  #retention: Retention | undefined
  #queue: Promise<void> = Promise.resolve()
  #waiting = 0
  #isTidying = false
  readonly #timer: NodeJS.Timeout

  constructor(port: StorePort, file: string, { now = Date.now, sources }: ThreadOptions) {
    this.#port = port
    this.#now = now
    const onDamage = (other: string) =>
      port.postMessage({ id: 0, warning: `${file} is damaged: it is kept as ${other}, and a new one begins` })
    this.#file = historyPlace({ file, now, onDamage, sources })
    this.#timer = setInterval(() => this.#tidy(), RETENTION_MS).unref()
  }

  take({ id, job }: StoreRequest): void {
    this.#waiting += 1
    this.#queue = this.#queue.then(async () => {
      try {
        this.#port.postMessage({ id, value: await this.#do(job) })
      } catch (thrown) {
        // A flow that is stored already is left as it is: what nobody knows of is done again.
        const trouble = troubleIn(thrown) === "lasting" ? "lasting" : "passing"
        this.#port.postMessage({ id, error: troubleMessage(thrown), trouble })
      }
      this.#waiting -= 1
      if (job.kind === "close") this.#port.close()
      else this.#tidy()
    })
  }

  async #do(job: StoreJob): Promise<unknown> {
    switch (job.kind) {
      case "open":
        return await this.#file.use(async () => undefined)
      case "store":
        return await this.#file.use((database) => this.#writerFor(database).store(job.snapshots, job.secrets))
      case "retain":
        this.#retention = job.retention
        this.#writer?.writer.retain(job.retention)
        return undefined
      case "close":
        clearInterval(this.#timer)
        return await this.#file.close()
    }
  }

  #writerFor(database: HistoryDatabase): Writer {
    if (this.#writer?.of !== database) {
      this.#writer = { of: database, writer: new Writer(database) }
      if (this.#retention !== undefined) this.#writer.writer.retain(this.#retention)
    }
    return this.#writer.writer
  }

  /** A step of retention, and another one as long as there is more to do and no job waits. */
  #tidy(): void {
    if (this.#isTidying || this.#waiting > 0 || this.#file.present === undefined) return
    this.#isTidying = true
    let hasMore = false
    this.#queue = this.#queue.then(async () => {
      try {
        const { present } = this.#file
        hasMore = present !== undefined && (await this.#writerFor(present).step(this.#now()))
      } catch (thrown) {
        this.#port.postMessage({ id: 0, warning: `keeping the history within its limits failed: ${messageOf(thrown)}` })
      }
      this.#isTidying = false
      if (hasMore) setImmediate(() => this.#tidy())
    })
  }
}
