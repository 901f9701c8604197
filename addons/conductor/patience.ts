/**
 * How long a request may be held up by questions about local hosts: which program answers, what its model takes, how
 * many tokens the prompt is. One budget for all of them and all hosts, because the client waits for their sum. Only the
 * questions count: the wait in a line and the model's own work have their own limits.
 */
import type { Clock } from "llmproxy"

/** Milliseconds that all questions for one request may take together. */
export const QUESTIONS_MS = 2_000

export class Patience {
  readonly #clock: Clock
  #spentMs = 0
  /** Monotonic milliseconds: since then a question is being asked. */
  #since: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get leftMs(): number {
    const running = this.#since === undefined ? 0 : this.#clock.monotonic() - this.#since
    return Math.max(0, QUESTIONS_MS - this.#spentMs - running)
  }

  /** Waits for what is good to have, `ms` at most. `work` never rejects. */
  upTo(ms: number, work: Promise<void>): Promise<void> {
    const wait = new Promise<void>((resolve) => {
      const timer = this.#clock.after(Math.min(ms, this.leftMs), resolve)
      void work.then(() => {
        timer.cancel()
        resolve()
      })
    })
    return this.during(() => wait)
  }

  /** What `work` becomes; the time it takes is taken off. Not for works at the same time. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#since = this.#clock.monotonic()
    try {
      return await work()
    } finally {
      this.#spentMs = QUESTIONS_MS - this.leftMs
      this.#since = undefined
    }
  }
}
