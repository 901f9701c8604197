/**
 * Hosts that failed are left alone for a while, longer with each failure: a request must not wait for a machine that is
 * off each time. Then one request at a time tries whether it is well again. Kept in an addon's state, so that a reload does
 * not forget. It only says so: whoever has nobody else to ask may ask a host that rests.
 */
import type { Clock } from "../base/clock.ts"

/** However often a host has failed, and whatever it says itself, it is asked again after this long. Milliseconds. */
export const REST_MS_MAX = 300_000
const STATE_KEY = "cooldowns"

interface Rest {
  readonly failures: number
  /** Monotonic milliseconds. */
  readonly until: number
  readonly why: string
  /** A request is trying whether it is well. */
  isTried: boolean
}

/** Why a host is left alone, and for how many milliseconds more; 0: until the request that tries it is answered. */
export interface Standing {
  readonly ms: number
  readonly why: string
}

export class Health {
  readonly #rests: Map<string, Rest>
  readonly #clock: Pick<Clock, "monotonic">

  constructor(state: Map<string, unknown>, clock: Pick<Clock, "monotonic">) {
    const known = state.get(STATE_KEY)
    this.#rests = known instanceof Map ? known : new Map()
    state.set(STATE_KEY, this.#rests)
    this.#clock = clock
  }

  /**
   * `firstMs`: how long the first failure counts; each one after it twice as long. `atLeastMs`: what the host itself asks
   * for. Of requests that ran beside each other, and fail while it rests already, none makes that longer.
   */
  failed(host: string, why: string, firstMs: number, atLeastMs = 0): void {
    const now = this.#clock.monotonic()
    const before = this.#rests.get(host)
    const isResting = before !== undefined && before.until > now
    const failures = isResting ? before.failures : (before?.failures ?? 0) + 1
    const own = isResting ? before.until - now : firstMs * 2 ** (failures - 1)
    const rest = Math.min(Math.max(own, atLeastMs), REST_MS_MAX)
    this.#rests.set(host, { failures, until: now + rest, why, isTried: false })
  }

  succeeded(host: string): void {
    this.#rests.delete(host)
  }

  /** How long the host is still left alone, and why; undefined: it can be asked. */
  restOf(host: string): Standing | undefined {
    const rest = this.#rests.get(host)
    if (rest === undefined) return undefined
    const ms = rest.until - this.#clock.monotonic()
    return ms > 0 ? { ms, why: rest.why } : undefined
  }

  /** The same; also while a request tries whether it is well again. */
  standingOf(host: string): Standing | undefined {
    const rest = this.#rests.get(host)
    return this.restOf(host) ?? (rest?.isTried === true ? { ms: 0, why: rest.why } : undefined)
  }

  /** A request goes there. True: it is the one that tries whether the host is well, and `dropped` ends that, too. */
  begin(host: string): boolean {
    const rest = this.#rests.get(host)
    if (rest === undefined || rest.isTried || rest.until > this.#clock.monotonic()) return false
    rest.isTried = true
    return true
  }

  /** The request that tried it has ended, and has told nothing of it. */
  dropped(host: string): void {
    const rest = this.#rests.get(host)
    if (rest !== undefined) rest.isTried = false
  }
}
