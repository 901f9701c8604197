import { test } from "tap"
import { IdleTimer } from "../../../lib/proxy/io/idle-timer.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

test("it fires when nothing has happened for its time, counted from the last touch", (t) => {
  const clock = new ManualClock()
  let fired = 0
  const timer = new IdleTimer(clock, 1_000, () => fired++)
  clock.advance(900)
  timer.touch()
  clock.advance(999)
  t.equal(fired, 0)
  clock.advance(1)
  t.equal(fired, 1)
  t.equal(clock.pending, 0)
  t.end()
})

test("touching makes no timers, and a stopped one never fires", (t) => {
  const clock = new ManualClock()
  const timer = new IdleTimer(clock, 1_000, () => t.fail("stopped"))
  for (let count = 0; count < 1_000; count++) timer.touch()
  t.equal(clock.made, 1)
  timer.stop()
  timer.stop()
  clock.advance(5_000)
  t.equal(clock.pending, 0)
  t.end()
})
