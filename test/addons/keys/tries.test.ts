import { test } from "tap"
import { Tries } from "../../../addons/keys/tries.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

const MINUTE_MS = 60_000

test("an address that shows wrong keys waits longer each time, and then is refused unseen", async (t) => {
  const clock = new ManualClock()
  const tries = new Tries(clock)
  const address = "192.0.2.1"
  for (let n = 0; n < 5; n++) {
    t.equal(await tries.enter(address), true)
    tries.failed(address)
  }
  t.equal(await tries.enter(address), true, "the next one is not late yet")
  tries.failed(address)
  let entered: boolean | undefined
  const waiting = tries.enter(address).then((isIn) => {
    entered = isIn
  })
  await Promise.resolve()
  t.equal(entered, undefined, "this one waits")
  clock.advance(100)
  await waiting
  t.equal(entered, true)
  for (let n = 0; n < 10; n++) tries.failed(address)
  void tries.enter(address)
  void tries.enter(address)
  void tries.enter(address)
  t.equal(await tries.enter(address), false)
  t.equal(await tries.enter("192.0.2.2"), true, "others do not wait")
  clock.advance(16 * MINUTE_MS)
  t.equal(await tries.enter(address), true, "it is forgotten")
})

test("an IPv6 client is its network", async (t) => {
  const tries = new Tries(new ManualClock())
  for (let n = 0; n < 20; n++) tries.failed("2001:db8:1:2::3")
  void tries.enter("2001:db8:1:2:9::1")
  void tries.enter("2001:db8:1:2:9::2")
  void tries.enter("2001:db8:1:2:9::3")
  t.equal(await tries.enter("2001:db8:1:2:ffff:1:2:3"), false)
  t.equal(await tries.enter("2001:db8:1:3::3"), true)
  for (let n = 0; n < 20; n++) tries.failed("::1")
  t.equal(await tries.enter("2001:db8:1:3::3"), true)
})

test("10,000 addresses are remembered, the oldest go", async (t) => {
  const tries = new Tries(new ManualClock())
  for (let n = 0; n < 20; n++) tries.failed("first")
  for (let n = 0; n < 10_000; n++) tries.failed(`address-${n}`)
  for (let n = 0; n < 5; n++) t.equal(await tries.enter("first"), true)
})
