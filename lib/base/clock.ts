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
  // performance.now() would load Node's perf_hooks, at each start.
  monotonic() {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1e3 + nanoseconds / 1e6
  },
  after(ms, fn) {
    const handle = setTimeout(fn, ms)
    handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
}
