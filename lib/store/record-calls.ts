/**
 * Addons' calls on what they keep: an addon's calls are done one after the other, in their order, and none is refused
 * because there are many. What passes is tried again for a while, with the calls behind it waiting.
 */
import type { Clock } from "../base/clock.ts"
import { Pauses } from "./retry.ts"
import { type StoreTrouble, troubleOf } from "./thread-link.ts"

/** Tries of a call: some 3 seconds; an addon's hook has 5. */
const TRIES_MAX = 6

export interface CallOptions {
  /** Whether to do it twice would be wrong: then it is not tried again where nobody knows whether it was done. */
  readonly isOnce?: boolean
  /** Whether it is part of a transaction, which is done again as a whole or not at all. */
  readonly isPart?: boolean
}

export class RecordCalls {
  readonly #pauses: Pauses
  /** The last call of each addon that is not done. */
  readonly #last = new Map<string, Promise<unknown>>()
  #isClosed = false

  constructor(clock: Clock) {
    this.#pauses = new Pauses(clock)
  }

  /** Runs the call in its turn; resolves and rejects as it does in the end. */
  add<T>(addon: string, run: () => Promise<T>, options: CallOptions = {}): Promise<T> {
    const before = this.#last.get(addon) ?? Promise.resolve()
    const call = before.then(() => this.tried(run, options))
    // Whoever made the call hears of its failure; the next one only waits.
    const settled = call
      .catch(() => {})
      .then(() => {
        if (this.#last.get(addon) === settled) this.#last.delete(addon)
      })
    this.#last.set(addon, settled)
    return call
  }

  /** The same out of turn. Rejects with a StoreTrouble. */
  async tried<T>(run: () => Promise<T>, options: CallOptions = {}): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await run()
      } catch (thrown) {
        const trouble = troubleOf(thrown)
        if (!mayPass(trouble, options) || tries >= TRIES_MAX || this.#isClosed) throw trouble
      }
      await this.#pauses.before(tries)
    }
  }

  /** Resolves when the calls that wait now are done. */
  async settled(): Promise<void> {
    await Promise.all(this.#last.values())
  }

  /** Waits for no second try any more. */
  close(): void {
    this.#isClosed = true
    this.#pauses.end()
  }
}

function mayPass({ kind }: StoreTrouble, { isOnce = false, isPart = false }: CallOptions): boolean {
  return !isPart && (kind === "passing" || (kind === "crash" && !isOnce))
}
