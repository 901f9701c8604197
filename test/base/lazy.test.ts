/** What is loaded with its first use: once, again where that failed, and closed once it is there. */
import { test } from "tap"
import { Lazy } from "../../lib/base/lazy.ts"

test("it is loaded once, and closed where it was loaded", async (t) => {
  let loads = 0
  let closed = 0
  const one = new Lazy(async () => ({ at: ++loads, close: async () => void closed++ }))
  t.equal(one.isWanted, false)
  t.same(
    (await Promise.all([one.get(), one.get()])).map(({ at }) => at),
    [1, 1],
  )
  t.equal(one.loaded?.at, 1)
  await one.close()
  t.equal(closed, 1)
  const never = new Lazy(async () => ({ at: ++loads, close: async () => void closed++ }))
  await never.close()
  t.same([loads, closed], [1, 1])
  await never.get()
  t.equal(closed, 2, "what comes when all is over is closed, too")
})

test("what could not be loaded is told to who asked, tried again, and no reason for the end to fail", async (t) => {
  let fails = true
  const one = new Lazy(async () => {
    if (fails) throw new Error("gone")
    return { async close() {} }
  })
  await t.rejects(one.get(), /gone/)
  await one.close()
  const other = new Lazy(async () => {
    if (fails) throw new Error("gone")
    return { async close() {} }
  })
  const asked = other.get()
  await Promise.all([t.rejects(asked, /gone/), other.close()])
  fails = false
  t.ok(await one.get())
})
