/**
 * Answers that are read on when their clients have left, because an addon has asked for it (`flow.onClientGone`): what they
 * cost is said at their end. Each is bounded in time and bytes, and all of them in number: nobody waits for them.
 */
import type { Clock, Timer } from "../../base/clock.ts"
import type { FlowError } from "../../base/errors.ts"

/** Answers that are read on at a time; a client that leaves beyond that is one for which nothing is. */
export const DRAINS_MAX = 256

export interface DrainLimits {
  /** Milliseconds from when the client left. */
  readonly drainLimitMs: number
  /** Bytes from then on. */
  readonly drainLimit: number
}

/** An answer that is read on. */
export class Drain {
  /** That the client has left, and how. */
  readonly reason: FlowError
  readonly #stop: (reason: FlowError) => void
  readonly #timer: Timer
  #bytesLeft: number

  /** `stop` ends it, once a limit is reached. */
  constructor(reason: FlowError, limits: DrainLimits, clock: Clock, stop: (reason: FlowError) => void) {
    this.reason = reason
    this.#stop = stop
    this.#bytesLeft = limits.drainLimit
    this.#timer = clock.after(limits.drainLimitMs, () => this.stop())
  }

  /** So many more bytes were read. */
  took(bytes: number): void {
    this.#bytesLeft -= bytes
    if (this.#bytesLeft < 0) this.stop()
  }

  stop(): void {
    this.#stop(this.reason)
  }

  /** Its flow has ended. */
  close(): void {
    this.#timer.cancel()
  }
}

/** All of a server's. */
export class Drains {
  readonly #running = new Set<Drain>()
  readonly #onEmpty: () => void
  #isClosed = false

  /** `onEmpty` is called whenever the last one has ended. */
  constructor(onEmpty: () => void = () => {}) {
    this.#onEmpty = onEmpty
  }

  get isEmpty(): boolean {
    return this.#running.size === 0
  }

  /** Whether there is room for one more. */
  get hasRoom(): boolean {
    return this.#running.size < DRAINS_MAX && !this.#isClosed
  }

  add(drain: Drain): void {
    this.#running.add(drain)
  }

  /** Its flow has run its last hook. */
  delete(drain: Drain): void {
    drain.close()
    if (this.#running.delete(drain) && this.isEmpty) this.#onEmpty()
  }

  /** Ends them all; no further one begins. */
  abort(): void {
    this.#isClosed = true
    for (const drain of [...this.#running]) drain.stop()
  }
}
