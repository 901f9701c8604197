/** How long what passes is waited for before it is tried again. */
import { test } from "tap"
import { Pauses } from "../../lib/store/retry.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

/** The milliseconds of each wait, after one try that failed, after two, and so on. */
async function waits(count: number): Promise<number[]> {
  const clock = new ManualClock()
  const pauses = new Pauses(clock)
  const found: number[] = []
  for (let tries = 1; tries <= count; tries++) {
    const from = clock.now()
    let over = false
    const pause = pauses.before(tries).then(() => {
      over = true
    })
    while (!over && clock.now() - from < 60_000) {
      clock.advance(1)
      await Promise.resolve()
      await Promise.resolve()
    }
    if (over) await pause
    found.push(clock.now() - from)
  }
  return found
}

test("each wait is twice as long as the one before it, up to five seconds", async (t) => {
  t.strictSame(await waits(8), [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
})

test("the end of the program ends every wait at once, and leaves no timer", async (t) => {
  const clock = new ManualClock()
  const pauses = new Pauses(clock)
  const both = Promise.all([pauses.before(1), pauses.before(5)])
  t.equal(clock.pending, 2)
  pauses.end()
  await both
  t.equal(clock.pending, 0)
})
