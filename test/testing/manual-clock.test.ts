import { test } from "tap"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

test("timers fire in the order they fall due, each at its own time, timers made on the way included", (t) => {
  const clock = new ManualClock(1_000)
  const fired: string[] = []
  clock.after(20, () => fired.push(`b ${clock.monotonic()}`))
  clock.after(10, () => {
    fired.push(`a ${clock.now()}`)
    clock.after(5, () => fired.push(`nested ${clock.monotonic()}`))
  })
  clock.after(20, () => fired.push("c"))
  clock.after(-5, () => fired.push(`past ${clock.monotonic()}`))
  clock.after(31, () => fired.push("too late"))
  clock.advance(30)
  t.same(fired, ["past 0", "a 1010", "nested 15", "b 20", "c"])
  t.same([clock.now(), clock.monotonic(), clock.pending, clock.made], [1_030, 30, 1, 6])
  t.end()
})

test("a cancelled timer does not fire, and cancelling after the fact does nothing", (t) => {
  const clock = new ManualClock()
  const timer = clock.after(1, () => t.fail("cancelled"))
  timer.cancel()
  clock.advance(10)
  timer.cancel()
  t.equal(clock.pending, 0)
  t.end()
})

test("setting the wall clock back changes no duration", (t) => {
  const clock = new ManualClock(5_000)
  clock.advance(100)
  clock.setNow(1_000)
  t.same([clock.now(), clock.monotonic()], [1_000, 100])
  clock.advance(1)
  t.same([clock.now(), clock.monotonic()], [1_001, 101])
  t.end()
})
