import { test } from "tap"
import { systemClock } from "../../lib/base/clock.ts"

test("the system's clock tells the time, and durations never go back", (t) => {
  const [before, now, after] = [Date.now(), systemClock.now(), Date.now()]
  t.ok(before <= now && now <= after)
  const first = systemClock.monotonic()
  t.ok(systemClock.monotonic() >= first)
  t.end()
})

test("a timer fires once, and a cancelled one does not", async (t) => {
  systemClock.after(0, () => t.fail("cancelled")).cancel()
  const timer = await new Promise<{ cancel(): void }>((resolve) => {
    // Such timers do not keep the process alive, so the test holds it meanwhile.
    const hold = setInterval(() => {}, 1_000)
    const made = systemClock.after(0, () => {
      clearInterval(hold)
      resolve(made)
    })
  })
  timer.cancel()
  t.pass("fired")
})
