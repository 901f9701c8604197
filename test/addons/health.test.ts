/** Whether it is alive, and whether it is ready. */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import health from "../../addons/health.ts"
import { defineAddon } from "../../lib/index.ts"
import { loadAddon } from "../../lib/testing/index.ts"

test("it is ready once clients are served, and says so to anybody", async (t) => {
  const addon = await loadAddon(health)
  t.teardown(() => addon.close())
  for (const path of ["/health/live", "/health/ready", "/health/ready/"]) {
    const answer = await addon.request({ url: path })
    t.strictSame([answer.status, answer.text], [200, '{"status":"ok"}'], path)
  }
  t.match((await addon.request({ url: "/docs/openapi.json" })).text, "/health/ready")
})

test("without its database it is alive and not ready", async (t) => {
  const confdir = t.testdir()
  const addon = await loadAddon(health, { confdir })
  t.teardown(() => addon.close())
  t.equal((await addon.request({ url: "/health/ready" })).status, 200)
  await rm(join(confdir, "state.db"))
  const answer = await addon.request({ url: "/health/ready" })
  t.strictSame([answer.status, answer.text], [503, '{"status":"no database"}'])
  t.equal((await addon.request({ url: "/health/live" })).status, 200)
})

test("a database that does not answer in time is none", async (t) => {
  const stuck = defineAddon({
    ...health,
    setup: (context) => {
      const records = (name: string) => ({ ...context.records(name), get: () => new Promise<undefined>(() => {}) })
      return health.setup?.({ ...context, records })
    },
  })
  const addon = await loadAddon(stuck)
  t.teardown(() => addon.close())
  const asked = addon.request({ url: "/health/ready" })
  let isOver = false
  void asked.finally(() => {
    isOver = true
  })
  while (!isOver) {
    addon.clock.advance(2_000)
    await new Promise(setImmediate)
  }
  t.equal((await asked).status, 503)
})
