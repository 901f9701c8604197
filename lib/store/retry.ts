/** How long what passes is waited for before it is tried again, and how often. */
import type { Clock } from "../base/clock.ts"

/** Milliseconds before the second try; doubled for each further one. */
const DELAY_MS_MIN = 100
const DELAY_MS_MAX = 5_000

/** Milliseconds to wait after so many tries that failed. */
function retryDelay(tries: number): number {
  return Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** (tries - 1))
}

/** The waits of those who will try again; the end of the program ends them. */
export class Pauses {
  readonly #clock: Clock
  readonly #ends = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves when it is time to try again, after so many tries that failed. */
  before(tries: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        timer.cancel()
        this.#ends.delete(end)
        resolve()
      }
      const timer = this.#clock.after(retryDelay(tries), end)
      this.#ends.add(end)
    })
  }

  /** Whoever waits now tries at once. */
  end(): void {
    for (const end of [...this.#ends]) end()
  }
}
