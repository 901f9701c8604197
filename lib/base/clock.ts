/**
 * Time, passed in: the program runs on `systemClock`, tests on a clock that they turn by hand.
 */
export interface Timer {
  /** Does nothing after the timer has fired. */
  cancel(): void
}

export interface Clock {
  /** Epoch milliseconds, for people and certificates. */
  now(): number
  /** Milliseconds from an arbitrary start that never go back, for durations. */
  monotonic(): number
  /** Calls `fn` once after `ms`. The timer never keeps the process alive. */
  after(ms: number, fn: () => void): Timer
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    const handle = setTimeout(fn, ms)
    handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
}
