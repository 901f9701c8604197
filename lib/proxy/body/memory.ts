/**
 * One account for the bytes that flows hold: collected, kept and held bodies. A flow that cannot book them does
 * without, so that many flows together stay within `memoryLimit`.
 */
export class MemoryBudget {
  readonly limit: number
  #used = 0

  /** `limit` in bytes. */
  constructor(limit: number) {
    this.limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** Books `bytes`; false (and nothing booked) when they do not fit. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.limit) return false
    this.#used += bytes
    return true
  }

  give(bytes: number): void {
    this.#used -= bytes
  }
}

/** What one flow has booked; given back at once when the flow ends. */
export class MemoryShare {
  #budget: MemoryBudget
  #booked = 0

  constructor(budget: MemoryBudget) {
    this.#budget = budget
  }

  take(bytes: number): boolean {
    if (!this.#budget.take(bytes)) return false
    this.#booked += bytes
    return true
  }

  /** Gives back a part before the flow ends. */
  give(bytes: number): void {
    const given = Math.min(bytes, this.#booked)
    this.#budget.give(given)
    this.#booked -= given
  }

  release(): void {
    this.#budget.give(this.#booked)
    this.#booked = 0
  }
}
