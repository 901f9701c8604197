/**
 * Hosts that failed are left alone for a while, longer with each failure: a request must not wait for a machine that is
 * off each time. Kept in the addon's state, so that a reload does not forget.
 */
import type { Clock } from "llmproxy"

/** However often a host has failed, it is asked again after this long. */
const REST_MS_MAX = 300_000
const STATE_KEY = "cooldowns"

interface Rest {
  readonly failures: number
  /** Monotonic milliseconds. */
  readonly until: number
  readonly why: string
}

export class Cooldowns {
  readonly #rests: Map<string, Rest>
  readonly #clock: Clock

  constructor(state: Map<string, unknown>, clock: Clock) {
    const known = state.get(STATE_KEY)
    this.#rests = known instanceof Map ? known : new Map()
    state.set(STATE_KEY, this.#rests)
    this.#clock = clock
  }

  /** `firstMs`: how long the first failure counts. */
  failed(host: string, why: string, firstMs: number): void {
    const failures = (this.#rests.get(host)?.failures ?? 0) + 1
    const rest = Math.min(firstMs * 2 ** (failures - 1), REST_MS_MAX)
    this.#rests.set(host, { failures, until: this.#clock.monotonic() + rest, why })
  }

  succeeded(host: string): void {
    this.#rests.delete(host)
  }

  /** How long the host is still left alone, and why; undefined: it can be asked. */
  restOf(host: string): { readonly ms: number; readonly why: string } | undefined {
    const rest = this.#rests.get(host)
    if (rest === undefined) return undefined
    const ms = rest.until - this.#clock.monotonic()
    return ms > 0 ? { ms, why: rest.why } : undefined
  }
}
