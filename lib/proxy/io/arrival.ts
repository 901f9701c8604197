/**
 * What comes once or fails once, and is asked for before or after: the head of an answer. A promise is made only for who
 * asks: a failure that nobody asked for is no unhandled rejection.
 */
export class Arrival<Value, Failure extends Error> {
  #value: Value | undefined
  #failure: Failure | undefined
  #asked: { resolve(value: Value): void; reject(failure: Failure): void }[] = []

  /** Undefined until it has come. */
  get value(): Value | undefined {
    return this.#value
  }

  come(value: Value): void {
    this.#value = value
    for (const { resolve } of this.#asked.splice(0)) resolve(value)
  }

  /** Whoever asks before it came gets the failure. What has come stays. */
  fail(failure: Failure): void {
    this.#failure ??= failure
    for (const { reject } of this.#asked.splice(0)) reject(failure)
  }

  /** Rejects with what `fail` was given. */
  wait(): Promise<Value> {
    if (this.#value !== undefined) return Promise.resolve(this.#value)
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => this.#asked.push({ resolve, reject }))
  }
}
