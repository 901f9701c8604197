/**
 * Fires when nothing has happened for a while. `touch()` is called for each piece of data, so it only notes the time;
 * the timer looks at the note when it fires and sets itself again.
 */
import type { Clock, Timer } from "../../base/clock.ts"

export class IdleTimer {
  #clock: Clock
  #ms: number
  #onIdle: () => void
  #last: number
  #timer: Timer | undefined

  constructor(clock: Clock, ms: number, onIdle: () => void) {
    this.#clock = clock
    this.#ms = ms
    this.#onIdle = onIdle
    this.#last = clock.monotonic()
    this.#schedule(ms)
  }

  touch(): void {
    this.#last = this.#clock.monotonic()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #schedule(ms: number): void {
    this.#timer = this.#clock.after(ms, () => {
      const left = this.#ms - (this.#clock.monotonic() - this.#last)
      if (left > 0) this.#schedule(left)
      else this.#onIdle()
    })
  }
}
