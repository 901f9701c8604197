/**
 * The time that one running hook may take. It counts only while the hook itself works: whatever of ours it awaits (a
 * body, an answer, flow.send(), flow.pause()) stops it, because there the hook waits for a client, an upstream or a
 * person. What it only begins stops nothing: the promise that it gets tells when somebody begins to await it. Whether that
 * is the hook or a part of it that it does not await itself nobody can tell, but the stop ends with what is awaited.
 * chain.ts starts and ends it.
 */
import type { Clock, Timer } from "../base/clock.ts"

export class HookBudget {
  readonly #clock: Clock
  #leftMs: number
  #pauses = 0
  #over = false
  #armedAt = 0
  #timer: Timer | undefined
  #onExpiry: (() => void) | undefined

  constructor(clock: Clock, budgetMs: number) {
    this.#clock = clock
    this.#leftMs = budgetMs
  }

  /** Whether the hook has ended, or has been given up. */
  get over(): boolean {
    return this.#over
  }

  /** Whether its hook was synchronous so far, and waits for nothing: it has all of its time, and nobody else has it. */
  get untouched(): boolean {
    return this.#onExpiry === undefined && this.#pauses === 0 && !this.#over
  }

  /** Stands still from now on. Calls nest: as many `resume()` calls start it again. */
  pause(): void {
    this.#pauses += 1
    if (this.#pauses === 1) this.#disarm()
  }

  resume(): void {
    if (this.#pauses === 0) return
    this.#pauses -= 1
    if (this.#pauses === 0) this.#arm()
  }

  /** The hook turned out to be asynchronous: `onExpiry` is called once, when the time is used up. */
  start(onExpiry: () => void): void {
    this.#onExpiry = onExpiry
    if (this.#pauses === 0) this.#arm()
  }

  end(): void {
    this.#disarm()
    this.#over = true
  }

  #arm(): void {
    // Before start() nothing runs: a hook that ends synchronously costs no timer.
    if (this.#over || this.#onExpiry === undefined) return
    this.#armedAt = this.#clock.monotonic()
    this.#timer = this.#clock.after(this.#leftMs, () => this.#expire())
  }

  #disarm(): void {
    if (this.#timer === undefined) return
    this.#timer.cancel()
    this.#leftMs = Math.max(0, this.#leftMs - (this.#clock.monotonic() - this.#armedAt))
  }

  #expire(): void {
    this.end()
    this.#onExpiry?.()
  }
}

/**
 * What `promise` becomes, for an addon. From when it is first awaited (or given a handler, in any way) until then, the time
 * of the hook that runs stands still.
 */
export class HookWait<T> extends Promise<T> {
  readonly #budgetNow: () => HookBudget | undefined
  #budget: HookBudget | undefined
  /** Nobody awaits it yet, and it is not there yet. */
  #isOnlyBegun = true

  /** `budgetNow`: of the hook that runs when it is awaited, which may be a later one. */
  constructor(promise: Promise<T>, budgetNow: () => HookBudget | undefined) {
    let settle = () => {}
    super((resolve, reject) => {
      promise.then(
        (value) => {
          settle()
          resolve(value)
        },
        (error: unknown) => {
          settle()
          reject(error)
        },
      )
    })
    settle = () => this.#settle()
    this.#budgetNow = budgetNow
  }

  /** What is made of it is a plain promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** `await` calls this, too, since this is no plain promise. */
  // biome-ignore lint/suspicious/noThenProperty: it is a promise.
  override then<Result = T, Failure = never>(
    onFulfilled?: ((value: T) => Result | PromiseLike<Result>) | null,
    onRejected?: ((reason: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Result | Failure> {
    if (this.#isOnlyBegun) {
      this.#isOnlyBegun = false
      this.#budget = this.#budgetNow()
      this.#budget?.pause()
    }
    return super.then(onFulfilled, onRejected)
  }

  #settle(): void {
    this.#isOnlyBegun = false
    this.#budget?.resume()
  }
}
