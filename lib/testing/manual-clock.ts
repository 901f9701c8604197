/**
 * A clock that a test turns by hand, so that nothing sleeps and no test depends on how fast the machine is.
 */
import type { Clock, Timer } from "../base/clock.ts"

interface Pending {
  readonly at: number
  readonly order: number
  readonly fn: () => void
}

export class ManualClock implements Clock {
  #epochMs: number
  #elapsedMs = 0
  #made = 0
  readonly #timers = new Set<Pending>()

  /** `epochMs`: what `now()` says first. Default: 1 January 2026. */
  constructor(epochMs = 1_767_225_600_000) {
    this.#epochMs = epochMs
  }

  now(): number {
    return this.#epochMs + this.#elapsedMs
  }

  monotonic(): number {
    return this.#elapsedMs
  }

  after(ms: number, fn: () => void): Timer {
    this.#made += 1
    const timer: Pending = { at: this.#elapsedMs + Math.max(0, ms), order: this.#made, fn }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  /** Timers that wait. Zero at the end of a test means that nothing was forgotten. */
  get pending(): number {
    return this.#timers.size
  }

  /** Timers that were ever made. */
  get made(): number {
    return this.#made
  }

  /** Turns the clock on, firing what falls due on the way at its own time, timers made on the way included. */
  advance(ms: number): void {
    const end = this.#elapsedMs + ms
    for (let due = this.#next(end); due !== undefined; due = this.#next(end)) {
      this.#timers.delete(due)
      this.#elapsedMs = due.at
      due.fn()
    }
    this.#elapsedMs = end
  }

  /** Sets the wall clock, as a person or NTP does: durations do not notice. */
  setNow(epochMs: number): void {
    this.#epochMs = epochMs - this.#elapsedMs
  }

  #next(end: number): Pending | undefined {
    let next: Pending | undefined
    for (const timer of this.#timers) {
      const earlier = next === undefined || timer.at < next.at || (timer.at === next.at && timer.order < next.order)
      if (timer.at <= end && earlier) next = timer
    }
    return next
  }
}
