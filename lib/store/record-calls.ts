/**
 * Addons' calls on their records: an addon's calls are done one after the other, in their order, and none is refused
 * because there are many. What passes is tried again for a while, with the calls behind it waiting.
 */
import type { Clock } from "../clock.ts"
import { Pauses } from "./retry.ts"
import { troubleOf } from "./thread-link.ts"

/** Tries of a call: some 3 seconds; an addon's hook has 5. */
const TRIES_MAX = 6

export class RecordCalls {
  readonly #pauses: Pauses
  /** The last call of each addon that is not done. */
  readonly #last = new Map<string, Promise<unknown>>()
  #isClosed = false

  constructor(clock: Clock) {
    this.#pauses = new Pauses(clock)
  }

  /** Runs the call in its turn; resolves and rejects as it does in the end. */
  add<T>(addon: string, run: () => Promise<T>): Promise<T> {
    const before = this.#last.get(addon) ?? Promise.resolve()
    const call = before.then(() => this.#tried(run))
    // Whoever made the call hears of its failure; the next one only waits.
    const settled = call
      .catch(() => {})
      .then(() => {
        if (this.#last.get(addon) === settled) this.#last.delete(addon)
      })
    this.#last.set(addon, settled)
    return call
  }

  /** Waits for no second try any more. */
  close(): void {
    this.#isClosed = true
    this.#pauses.end()
  }

  async #tried<T>(run: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await run()
      } catch (thrown) {
        const trouble = troubleOf(thrown)
        if (trouble.kind === "lasting" || tries >= TRIES_MAX || this.#isClosed) throw trouble
      }
      await this.#pauses.before(tries)
    }
  }
}
