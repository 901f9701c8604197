import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { DRAINS_MAX, Drain, Drains } from "../../../lib/proxy/body/drains.ts"
import { ManualClock } from "../../../lib/testing/parts.ts"

const GONE = new FlowError("client", "client-gone", "it left")
const LIMITS = { drainLimit: 10, drainLimitMs: 100 }

test("a drain ends by its bytes or its time, with what the client's leaving was", async (t) => {
  const clock = new ManualClock()
  const stopped: string[] = []
  const stop = ({ code }: FlowError) => void stopped.push(code)
  const byBytes = new Drain(GONE, LIMITS, clock, stop)
  byBytes.took(10)
  t.strictSame(stopped, [])
  byBytes.took(1)
  t.strictSame(stopped, ["client-gone"])
  byBytes.close()
  new Drain(GONE, LIMITS, clock, stop)
  clock.advance(100)
  t.strictSame(stopped, ["client-gone", "client-gone"], "a closed one's time is not up")
})

test("there are so many at a time, and none once the program stops", async (t) => {
  const clock = new ManualClock()
  let empty = 0
  const drains = new Drains(() => void empty++)
  const all = Array.from({ length: DRAINS_MAX }, () => new Drain(GONE, LIMITS, clock, () => {}))
  for (const drain of all) drains.add(drain)
  t.strictSame([drains.hasRoom, drains.isEmpty], [false, false])
  for (const drain of all) drains.delete(drain)
  for (const drain of all) drains.delete(drain)
  t.strictSame([drains.hasRoom, drains.isEmpty, empty], [true, true, 1])
  let stopped = 0
  drains.add(new Drain(GONE, LIMITS, clock, () => void stopped++))
  drains.abort()
  t.strictSame([stopped, drains.hasRoom], [1, false])
})
