import { test } from "tap"
import { Arrival } from "../../../lib/proxy/io/arrival.ts"

test("who asks before it comes and who asks after get the same, and a failure takes nothing back", async (t) => {
  const head = new Arrival<string, Error>()
  const early = [head.wait(), head.wait()]
  t.equal(head.value, undefined)
  head.come("one")
  head.fail(new Error("too late"))
  t.same(await Promise.all([...early, head.wait()]), ["one", "one", "one"])
  t.equal(head.value, "one")
})

test("all get the first failure, and one that nobody asks for is no unhandled rejection", async (t) => {
  const head = new Arrival<string, Error>()
  const early = head.wait()
  head.fail(new Error("first"))
  head.fail(new Error("second"))
  await t.rejects(early, { message: "first" })
  await t.rejects(head.wait(), { message: "first" })
  new Arrival<string, Error>().fail(new Error("nobody listens"))
  await new Promise((resolve) => setImmediate(resolve))
})
