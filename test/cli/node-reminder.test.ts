/** The warning about an old Node: once a week, and again for another version. */
import { lstatSync, readdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { nodeReminder } from "../../lib/cli/node-reminder.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { makeFifo } from "../helpers/fifo.ts"

const DAY_MS = 86_400_000

/** Says what is to be said. Whether there was anything. */
async function sayOf(...where: Parameters<typeof nodeReminder>): Promise<boolean> {
  const reminder = await nodeReminder(...where)
  await reminder?.said()
  return reminder !== undefined
}

test("it is said at the first start and then once a week, for each version", async (t) => {
  const confdir = t.testdir()
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  const said = (nodeVersion = "20.20.2") => sayOf({ nodeVersion, clock }, confdir)
  const first = await nodeReminder({ nodeVersion: "20.20.2", clock }, confdir)
  t.match(first?.text, /^Node 20\.20\.2 gets no security fixes any more/)
  t.same(readdirSync(confdir), [], "what has not been said yet is not remembered")
  await first?.said()
  t.equal(await said(), false)
  clock.advance(6 * DAY_MS)
  t.equal(await said(), false)
  clock.advance(DAY_MS)
  t.equal(await said(), true)
  t.equal(await said("22.10.0"), true, "another version")
  t.equal(await said("22.10.0"), false)
})

test("a Node without fault is not spoken of, and leaves no file", async (t) => {
  const confdir = t.testdir()
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  t.equal(await nodeReminder({ nodeVersion: "24.22.1", clock }, confdir), undefined)
  t.same(readdirSync(confdir), [])
})

test("what cannot be read, or lies in the future, is no reason to be silent; what cannot be written none to fail", async (t) => {
  const confdir = t.testdir({ "node-warning.json": "{" })
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  const said = (folder: string) => sayOf({ nodeVersion: "20.20.2", clock }, folder)
  t.ok(await said(confdir))
  writeFileSync(join(confdir, "node-warning.json"), JSON.stringify({ version: "20.20.2", at: clock.now() + DAY_MS }))
  t.ok(await said(confdir))
  t.ok(await said(join(confdir, "none")))
})

test("a pipe or a folder in its place is neither waited for nor replaced", async (t) => {
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  const piped = t.testdir({ other: { "node-warning.json": {} } })
  renameSync(makeFifo(piped), join(piped, "node-warning.json"))
  for (const folder of [piped, join(piped, "other")]) {
    t.ok(await sayOf({ nodeVersion: "20.20.2", clock }, folder))
    t.notOk(lstatSync(join(folder, "node-warning.json")).isFile())
  }
})
