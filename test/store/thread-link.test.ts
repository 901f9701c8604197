/** The way to the store's thread when the thread dies within SQLite. What becomes of the jobs is client.test.ts's. */
import { test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import type { StoreJob } from "../../lib/store/thread.ts"
import { ThreadLink } from "../../lib/store/thread-link.ts"
import { bundled } from "../helpers/bundled.ts"

test("a thread that died inside is waited for by nobody, neither now nor when the process ends", async (t) => {
  const script = await bundled(t, "test/fixtures/store/dies-inside.ts")
  const before = process.listenerCount("exit")
  const link = new ThreadLink<StoreJob>({ serves: "history", file: "history.db", log: makeLogger(() => {}), script })
  for (const round of ["the first", "the one in its place"]) {
    const asked = link.ask({ kind: "open" })
    t.equal(process.listenerCount("exit"), before + 1, `${round} is waited for as long as it runs`)
    await t.rejects(asked, { message: /the store's thread ended/ })
    t.equal(process.listenerCount("exit"), before, round)
    t.notOk(link.isStarted)
  }
  await link.end()
})

test("a thread that dies inside while its end is waited for has ended", async (t) => {
  const script = await bundled(t, "test/fixtures/store/dies-inside.ts")
  const before = process.listenerCount("exit")
  let enter = (): void => {}
  const inside = new Promise<void>((resolve) => {
    enter = resolve
  })
  const link = new ThreadLink<StoreJob>({ serves: "history", file: "later.db", log: makeLogger(() => enter()), script })
  const asked = t.rejects(link.ask({ kind: "open" }), { message: "the program ends" })
  await inside
  await link.end()
  await asked
  t.equal(process.listenerCount("exit"), before)
})
