/**
 * Flows on their way to the thread: a bounded queue, written in batches, one at a time, so that a batch is what came while
 * the last one was written. What passes (a locked file, a full disk, no file descriptor left, a thread that died) is
 * waited for while the queue has room; a batch that fails for good falls to single flows, so that only those are lost that
 * cannot be stored. What is dropped is counted and said; the traffic never waits.
 */

import type { FlowSnapshot } from "../api/flow.ts"
import type { Clock } from "../base/clock.ts"
import { isObject } from "../base/json.ts"
import type { Logger } from "../base/log.ts"
import { asJson } from "./notes.ts"
import { Pauses } from "./retry.ts"
import { troubleOf } from "./thread-link.ts"

/** Flows that wait to be written, and the bytes that they hold. */
const QUEUE_FLOWS_MAX = 2_048
const QUEUE_BYTES_MAX = 64 * 1024 * 1024
/** Flows of one transaction, and bytes that are handed to the thread at once. */
const BATCH_FLOWS_MAX = 64
const BATCH_BYTES_MAX = 4 * 1024 * 1024
/** What a flow takes beside its texts. */
const FLOW_BYTES = 4_096
/** After so many threads that died with it, a batch is stored flow by flow, and a flow is dropped. */
const CRASHES_MAX = 3

export interface FlowQueueOptions {
  /** Stores flows. Resolves to those that cannot be stored: why, by id. Rejects with a StoreTrouble when none was. */
  readonly store: (snapshots: readonly FlowSnapshot[]) => Promise<ReadonlyMap<string, string>>
  readonly clock: Clock
  readonly log: Logger
  readonly limits?: { readonly flows?: number; readonly bytes?: number }
}

interface Waiting {
  readonly snapshot: FlowSnapshot
  readonly bytes: number
  done(isStored: boolean): void
}

export class FlowQueue {
  readonly #options: FlowQueueOptions
  readonly #drops: Drops
  #waiting: Waiting[] = []
  #bytes = 0
  /** Until the queue is empty. */
  #writing: Promise<void> | undefined
  readonly #pauses: Pauses
  #isClosed = false

  constructor(options: FlowQueueOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#drops = new Drops(options.log)
  }

  /** Resolves to whether it was stored. Never rejects. */
  add(snapshot: FlowSnapshot): Promise<boolean> {
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

  /** Resolves when whatever was added is stored or dropped. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /** Takes nothing more, and tries what waits at once. */
  close(): void {
    this.#isClosed = true
    this.#pauses.end()
  }

  /** Drops what still waits, and says how many were not stored in all. */
  finish(): void {
    this.#isClosed = true
    const left = this.#waiting.splice(0)
    if (left.length > 0) this.#drops.add(left.length, "the program ends")
    for (const { bytes, done } of left) {
      this.#bytes -= bytes
      done(false)
    }
    this.#pauses.end()
    this.#drops.finish()
  }

  async #write(): Promise<void> {
    await undefined // So that what a turn of the event loop brings is one batch.
    while (this.#waiting.length > 0) {
      // A batch stays in the queue until its fate is known: what waits for the disk counts against the limits.
      const batch = this.#nextBatch()
      await this.#settle(batch)
    }
    this.#writing = undefined
  }

  #nextBatch(): readonly Waiting[] {
    let bytes = 0
    let count = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && (count >= BATCH_FLOWS_MAX || bytes + waiting.bytes > BATCH_BYTES_MAX)) break
      bytes += waiting.bytes
      count += 1
    }
    return this.#waiting.slice(0, count)
  }

  /** Stores a batch from the queue's head, or drops of it what cannot be stored. */
  async #settle(batch: readonly Waiting[]): Promise<void> {
    let crashes = 0
    for (let tries = 1; ; tries++) {
      try {
        const failed = await this.#options.store(batch.map(({ snapshot }) => snapshot))
        this.#took(batch, failed)
        return
      } catch (thrown) {
        const { kind, message } = troubleOf(thrown)
        if (batch.some((one) => !this.#waiting.includes(one))) return // finish() was faster.
        if (kind === "crash") crashes += 1
        if (kind === "lasting" || crashes >= CRASHES_MAX) {
          if (batch.length > 1) for (const one of batch) await this.#settle([one])
          else this.#took(batch, new Map(batch.map(({ snapshot }) => [snapshot.id, message])))
          return
        }
        this.#drops.delayed(message)
        await this.#pauses.before(tries)
      }
    }
  }

  #took(batch: readonly Waiting[], failed: ReadonlyMap<string, string>): void {
    const [why] = failed.values()
    if (why === undefined) this.#drops.over()
    else this.#drops.add(failed.size, why)
    this.#waiting = this.#waiting.filter((one) => !batch.includes(one))
    for (const { snapshot, bytes, done } of batch) {
      this.#bytes -= bytes
      done(!failed.has(snapshot.id))
    }
  }
}

/** Counts what was dropped and says it once at its begin and once at its end, not for each flow. */
class Drops {
  readonly #log: Logger
  #count = 0
  #total = 0
  #isDelayed = false

  constructor(log: Logger) {
    this.#log = log
  }

  add(count: number, why: string): void {
    if (this.#count === 0) this.#log.warn(`history: flows are not recorded: ${why}; the traffic goes on`)
    this.#count += count
    this.#total += count
  }

  /** Nothing is lost yet. */
  delayed(why: string): void {
    if (!this.#isDelayed) this.#log.warn(`history: not written yet: ${why}; it is tried again, the traffic goes on`)
    this.#isDelayed = true
  }

  /** A batch was stored. */
  over(): void {
    const lost = this.#count > 0 ? `${flows(this.#count)} not recorded` : "nothing was lost"
    if (this.#count > 0 || this.#isDelayed) this.#log.info(`history: recording again; ${lost}`)
    this.#count = 0
    this.#isDelayed = false
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
