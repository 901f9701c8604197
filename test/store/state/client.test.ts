/** Addons' records as an addon has them: through a thread of their own. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import { StartError } from "../../../lib/base/errors.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { RecordCalls } from "../../../lib/store/record-calls.ts"
import { StateClient, type StateClientOptions } from "../../../lib/store/state/client.ts"
import { StoreTrouble } from "../../../lib/store/thread-link.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { bundledOnce } from "../../helpers/bundled.ts"
import { kindOf, newDatabase, onBoth } from "../../helpers/postgres.ts"

const script = bundledOnce("lib/store/thread-link.ts")

async function clientIn(t: Test, options: Partial<StateClientOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-state-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const lines: string[] = []
  const log = makeLogger((line) => lines.push(line))
  const url = kindOf(t) === "PostgreSQL" && options.file === undefined ? await newDatabase(t) : undefined
  const places = { file: url ?? join(folder, "state.db"), history: url ?? join(folder, "history.db") }
  const client = new StateClient({ ...places, log, script: await script, ...options })
  t.teardown(() => client.close())
  return { client, folder, lines, ...places }
}

onBoth("records come back as they were given, and are their addon's own", async (t) => {
  const { client } = await clientIn(t)
  const records = client.records("conductor", "ratios")
  const values = { gpt: { ratio: 1.25, seen: [1, 2] }, half: 0.5, llama: "text", none: null, whole: 7, yes: true }
  for (const [key, value] of Object.entries(values)) await records.set(key, value)
  t.strictSame(Object.fromEntries(await records.entries()), values)
  for (const [key, value] of Object.entries(values)) t.strictSame(await records.get(key), value, key)
  t.equal(await records.get("other"), undefined)
  await records.delete("gpt")
  t.strictSame(await records.entries("llama"), [
    ["none", null],
    ["whole", 7],
    ["yes", true],
  ])
  t.strictSame(await client.records("other", "ratios").entries(), [])
  t.strictSame(await client.records("conductor", "other").entries(), [])
})

onBoth("what is no JSON, or too much of it, is refused", async (t) => {
  const { client } = await clientIn(t)
  const records = client.records("a", "b")
  const wrong = undefined as unknown as null
  await t.rejects(records.set("k", wrong), { name: "TypeError", message: 'record "k": the value is no JSON' })
  await t.rejects(records.set("k", "x".repeat(16_777_216)), { message: /at most 16777216 are kept/ })
  await t.rejects(
    records.update("k", () => Promise.resolve(1) as unknown as number),
    { message: 'record "k": the value is no JSON' },
  )
  t.strictSame(await records.entries(), [])
})

onBoth("a key that is no text, and a time that is none, are refused: SQL would make something of them", async (t) => {
  const { client } = await clientIn(t)
  const records = client.records("a", "b")
  for (const wrong of [undefined, null, 5, {}, () => {}] as unknown as string[]) {
    const message = /^record .*: a key is a text/
    await t.rejects(records.get(wrong), { name: "TypeError", message })
    await t.rejects(records.set(wrong, 1), { name: "TypeError", message })
    await t.rejects(records.delete(wrong), { name: "TypeError", message })
    await t.rejects(
      records.update(wrong, () => 1),
      { name: "TypeError", message },
    )
    await t.rejects(records.increment(wrong), { name: "TypeError", message })
    if (wrong !== undefined) await t.rejects(records.entries(wrong), { name: "TypeError", message })
  }
  for (const expires of [Number.NaN, Number.POSITIVE_INFINITY, -1, "60000", null] as number[])
    await t.rejects(records.increment("n", 1, { expires }), { name: "RangeError", message: /milliseconds, 0 or more/ })
  t.equal(await records.increment("n", 1, { expires: 60_000 }), 1)
  t.strictSame((await records.entries()).length, 1)
  const noName = undefined as unknown as string
  t.throws(() => client.records("a", noName), { name: "TypeError", message: /records: a name is a text/ })
})

onBoth("an addon's calls wait, however many there are, and keep their order", async (t) => {
  const { client } = await clientIn(t)
  const records = client.records("a", "b")
  const calls: Promise<unknown>[] = Array.from({ length: 300 }, (_, i) => records.set("last", i))
  calls.push(...Array.from({ length: 100 }, (_, i) => records.set(`k${i}`, i)))
  const read = records.get("last")
  await Promise.all(calls)
  t.equal(await read, 299)
  t.equal(await records.get("k99"), 99)
})

onBoth("an update runs on what is there, and again when somebody was faster", async (t) => {
  const { client } = await clientIn(t)
  const [records, others] = [client.records("a", "b"), client.records("other", "b")]
  t.strictSame(await records.update("k", (value) => ({ before: value ?? "nothing" })), { before: "nothing" })
  t.strictSame(await records.get("k"), { before: "nothing" })
  t.strictSame(await records.update("k", () => undefined), { before: "nothing" }, "left as it is")
  t.equal(await others.update("k", () => undefined), undefined)
  await t.rejects(
    records.update("k", () => {
      throw new Error("not so")
    }),
    { message: "not so" },
  )
  const both = Array.from({ length: 50 }, () => records.update("count", (count) => Number(count ?? 0) + 1))
  await Promise.all(both)
  t.equal(await records.get("count"), 50)
})

onBoth("a counter counts, begins anew after its time, and is gone from then on", async (t) => {
  const { client } = await clientIn(t)
  const records = client.records("a", "b")
  t.equal(await records.increment("n"), 1)
  t.equal(await records.increment("n", 5), 6)
  t.equal(await records.increment("n", -2), 4)
  t.equal(await records.get("n"), 4)
  await records.set("n", 40)
  t.equal(await records.increment("n", 2), 42, "a whole number that was set can be counted up")
  await records.set("text", "a")
  await t.rejects(records.increment("text"), { message: /increment "text": the record is no whole number/ })
  t.equal(await records.get("text"), "a")
  await t.rejects(records.increment("n", 0.5), { message: 'increment "n": 0.5 is no whole number' })
  await records.set("large", Number.MAX_SAFE_INTEGER)
  await t.rejects(records.increment("large"), { message: /too large/ })
  t.equal(await records.get("large"), Number.MAX_SAFE_INTEGER)
})

test("an addon's calls wait for what passes, for a while; what must not be done twice is not", async (t) => {
  const clock = new ManualClock()
  const calls = new RecordCalls(clock)
  const nextTry = async () => {
    while (clock.pending === 0) await new Promise(setImmediate)
    clock.advance(5_000)
  }
  const failing = (kind: "passing" | "crash") => () => Promise.reject(new StoreTrouble(kind, "database is locked"))
  for (const kind of ["passing", "crash"] as const) {
    let tries = 0
    const second = calls.add("a", async () => (++tries < 2 ? failing(kind)() : "done"))
    await nextTry()
    t.equal(await second, "done")
  }
  await t.rejects(calls.add("a", failing("crash"), { isOnce: true }), { message: "database is locked" })
  const never = calls.add("a", failing("passing"), { isOnce: true })
  const behind = calls.add("a", async () => "behind")
  for (let i = 0; i < 5; i++) await nextTry()
  await t.rejects(never, { message: "database is locked" })
  t.equal(await behind, "behind")
  const late = calls.add("b", failing("passing"))
  calls.close()
  await t.rejects(late, { message: "database is locked" })
})

test("a file that cannot be opened is a StartError that names it, and calls reject", async (t) => {
  const { folder } = await clientIn(t)
  await writeFile(join(folder, "file"), "")
  const file = join(folder, "file", "state.db")
  const { client } = await clientIn(t, { file })
  const error = await client.open().catch((thrown: unknown) => thrown)
  t.ok(error instanceof StartError)
  t.match(error, { message: /file\/state\.db.*(ENOTDIR|EEXIST)|(ENOTDIR|EEXIST).*file/ })
  await t.rejects(client.records("a", "b").get("c"), /ENOTDIR|EEXIST/)
})

onBoth("the end waits for the calls that were made, and later ones are refused", async (t) => {
  const { client, lines, ...places } = await clientIn(t)
  const records = client.records("a", "b")
  const calls = Array.from({ length: 50 }, (_, i) => records.set(`k${i}`, i))
  await client.close()
  await Promise.all(calls)
  await client.close()
  t.strictSame(lines, [], "closed in order")
  await t.rejects(records.get("k"), /the store is closed/)
  const { client: next } = await clientIn(t, { file: places.file })
  t.equal((await next.records("a", "b").entries()).length, 50)
})
