/**
 * The history's thread, its inner side: does the jobs that it is sent, one after the other, and between them keeps the
 * file within its limits, a step at a time. A thread of its own because SQLite waits where it works: for the disk, for
 * another program's lock, for hashes and redaction of long texts. The other side is client.ts.
 */

import type { FlowSnapshot } from "../api/flow.ts"
import { messageOf } from "../base/errors.ts"
import type { JobFailure, JobNotice, JobReply, JobRequest } from "../base/threads.ts"
import { isDamage, isPassing, type SqliteSources, setAside } from "./sqlite.ts"
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
  /** Whether the job may succeed later. */
  readonly isPassing: boolean
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
  readonly sources?: SqliteSources
}

/** Answers every request, also one that fails. */
export function serveStore(port: StorePort, file: string, options: ThreadOptions = {}): void {
  const thread = new StoreThread(port, file, options)
  port.on("message", (request) => thread.take(request))
}

class StoreThread {
  readonly #port: StorePort
  readonly #file: string
  readonly #now: () => number
  readonly #sources: SqliteSources | undefined
  #writer: Writer | undefined
  #retention: Retention | undefined
  #queue: Promise<void> = Promise.resolve()
  #waiting = 0
  #isTidying = false
  readonly #timer: NodeJS.Timeout

  constructor(port: StorePort, file: string, { now = Date.now, sources }: ThreadOptions) {
    this.#sources = sources
    this.#port = port
    this.#file = file
    this.#now = now
    this.#timer = setInterval(() => this.#tidy(), RETENTION_MS).unref()
  }

  take({ id, job }: StoreRequest): void {
    this.#waiting += 1
    this.#queue = this.#queue.then(async () => {
      try {
        this.#port.postMessage({ id, value: await this.#done(job) })
      } catch (thrown) {
        this.#port.postMessage({ id, error: messageOf(thrown), isPassing: isPassing(thrown) })
      }
      this.#waiting -= 1
      if (job.kind === "close") this.#port.close()
      else this.#tidy()
    })
  }

  /**
   * Damage that shows with a job is what it is at the opening: the file gets another name, unless another program has given
   * it one, and the job a new file.
   */
  async #done(job: StoreJob): Promise<unknown> {
    try {
      return await this.#do(job)
    } catch (thrown) {
      if (!isDamage(thrown) || this.#writer === undefined) throw thrown
      const damaged = this.#writer
      this.#writer = undefined
      damaged.abandon()
      const other = setAside(this.#file, damaged.fileId, this.#now())
      if (other !== undefined) this.#damaged(other)
      return await this.#do(job)
    }
  }

  async #do(job: StoreJob): Promise<unknown> {
    if (job.kind === "close") return this.#close()
    if (job.kind === "retain") {
      this.#retention = job.retention
      this.#writer?.retain(job.retention)
      return undefined
    }
    const writer = await this.#opened()
    switch (job.kind) {
      case "open":
        return undefined
      case "store":
        return await writer.store(job.snapshots, job.secrets)
    }
  }

  async #opened(): Promise<Writer> {
    if (this.#writer?.isInPlace()) return this.#writer
    this.#leave()
    const onDamage = (other: string) => this.#damaged(other)
    const writer = await Writer.open(this.#file, this.#now(), onDamage, this.#sources)
    if (this.#retention !== undefined) writer.retain(this.#retention)
    this.#writer = writer
    return writer
  }

  /** Another program has set the file aside, or somebody has removed it: what is stored there nobody finds. */
  #leave(): void {
    const writer = this.#writer
    this.#writer = undefined
    if (writer?.isEmptied() !== true) {
      writer?.leave()
      return
    }
    // Before it is closed, so that its log stays what may still be of use.
    const other = setAside(this.#file, writer.fileId, this.#now())
    writer.abandon()
    if (other !== undefined) this.#damaged(other)
  }

  #damaged(other: string): void {
    const warning = `${this.#file} is damaged: it is kept as ${other}, and a new one begins`
    this.#port.postMessage({ id: 0, warning })
  }

  #close(): void {
    clearInterval(this.#timer)
    this.#writer?.close()
    this.#writer = undefined
  }

  /** A step of retention, and another one as long as there is more to do and no job waits. */
  #tidy(): void {
    if (this.#isTidying || this.#waiting > 0 || this.#writer === undefined) return
    this.#isTidying = true
    let hasMore = false
    this.#queue = this.#queue.then(async () => {
      try {
        hasMore = (await this.#writer?.step(this.#now())) ?? false
      } catch (thrown) {
        this.#port.postMessage({ id: 0, warning: `keeping the history within its limits failed: ${messageOf(thrown)}` })
      }
      this.#isTidying = false
      if (hasMore) setImmediate(() => this.#tidy())
    })
  }
}
