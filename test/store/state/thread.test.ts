/** The state's thread by itself: counters over time, damage, and a file that somebody takes away. */
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import { test } from "tap"
import { openSqlite } from "../../../lib/store/sqlite.ts"
import type { RecordDeed } from "../../../lib/store/state/thread.ts"
import { onBoth } from "../../helpers/postgres.ts"
import { placeFor, type ServedState, served } from "./served.ts"

const place = { addon: "a", name: "n" }

function record(one: ServedState, key: string, deed: RecordDeed): Promise<unknown> {
  return one.ask({ kind: "record", place, key, ...deed })
}

const count = (one: ServedState, key: string, by = 1, expires: number | undefined = undefined) =>
  record(one, key, { what: "increment", by, expires })

onBoth("a counter begins anew after its time, and what has run out is neither told nor kept", async (t) => {
  const one = await served(t)
  t.equal(await count(one, "n", 2, 1_000), 2)
  one.clock.advance(999)
  t.equal(await count(one, "n", 1, 1_000), 3, "a further call does not lengthen it")
  t.equal(await record(one, "n", { what: "get" }), "3")
  one.clock.advance(1)
  t.equal(await record(one, "n", { what: "get" }), undefined)
  t.strictSame(await one.ask({ kind: "entries", place, after: "" }), [])
  t.equal(await count(one, "n", 5, 1_000), 5, "anew, and by what it is counted up")
  one.clock.advance(999)
  t.equal(await count(one, "n"), 6)
  one.clock.advance(1)
  t.equal(await count(one, "n"), 1, "without a time it is one that never begins anew")
  one.clock.advance(1_000_000)
  t.equal(await count(one, "n"), 2)
  await count(one, "gone", 1, 1)
  await record(one, "set", { what: "set", json: "1" })
  one.clock.advance(60_000)
  await count(one, "n")
  const all = {
    kind: "statement",
    transaction: undefined,
    sql: "select key from addon_records order by key",
    parameters: [],
  } as const
  t.match(await one.ask(all), { rows: [{ key: "n" }, { key: "set" }] })
})

test("what is counted is counted, whatever becomes of what has run out", async (t) => {
  const one = await served(t)
  await count(one, "gone", 1, 1)
  one.clock.advance(60_000)
  const trigger = `create trigger keep before delete on addon_records begin select raise(abort, 'no'); end`
  await one.ask({ kind: "statement", transaction: undefined, sql: trigger, parameters: [] })
  t.equal(await count(one, "n"), 1)
  t.equal(await count(one, "n"), 2)
})

onBoth("a record is swapped for another only if it is still what was seen", async (t) => {
  const one = await served(t)
  const swap = (seen: string | undefined, json: string) => record(one, "k", { what: "swap", seen, json })
  t.equal(await swap("1", "2"), false, "there is none")
  t.equal(await swap(undefined, "1"), true)
  t.equal(await swap(undefined, "2"), false, "there is one")
  t.equal(await swap("2", "3"), false)
  t.equal(await swap("1", '{"a":1}'), true)
  t.equal(await swap('{"a":1}', "0.5"), true)
  t.equal(await swap("0.5", "9"), true)
  t.equal(await record(one, "k", { what: "get" }), "9")
  await record(one, "k", { what: "delete" })
  await count(one, "k", 4, 1_000)
  one.clock.advance(1_000)
  t.equal(await swap("4", "5"), false, "what has run out is not there")
  t.equal(await swap(undefined, "5"), true)
  one.clock.advance(1_000_000)
  t.equal(await record(one, "k", { what: "get" }), "5")
})

test("a damaged file is neither set aside nor written, and the message says how to restore it", async (t) => {
  for (const content of ["this is no database ".repeat(300), "pages"]) {
    const files = await placeFor(t)
    if (content === "pages") {
      const before = await served(t, files)
      await record(before, "k", { what: "set", json: JSON.stringify("x".repeat(100_000)) })
      await before.close()
      const handle = await open(files.file, "r+")
      const { size } = await handle.stat()
      await handle.write(Buffer.alloc(size - 4_096, 0xa5), 0, size - 4_096, 4_096)
      await handle.close()
    } else await writeFile(files.file, content)
    const bytes = await readFile(files.file)
    const one = await served(t, files)
    for (const asked of [one.ask({ kind: "open" }), record(one, "k", { what: "set", json: "1" })])
      await t.rejects(asked, {
        kind: "lasting",
        message: /state\.db is damaged \(.+\): .*delete .*state\.db-wal .*put a copy of yours there.*\.recover/,
      })
    t.ok(bytes.equals(await readFile(files.file)), "as it was")
    t.strictSame(
      (await readdir(dirname(files.file))).filter((name) => name.includes("damaged")),
      [],
    )
  }
})

test("damage that shows later is told of with the call that meets it", async (t) => {
  const one = await served(t)
  await record(one, "k", { what: "set", json: JSON.stringify("x".repeat(100_000)) })
  const other = openSqlite(one.file)
  other.connection.exec("pragma wal_checkpoint(truncate)")
  other.close()
  const handle = await open(one.file, "r+")
  const { size } = await handle.stat()
  await handle.write(Buffer.alloc(size - 4_096, 0xa5), 0, size - 4_096, 4_096)
  await handle.close()
  await t.rejects(one.ask({ kind: "entries", place, after: "" }), { kind: "lasting", message: /state\.db is damaged/ })
})

test("a file that was taken away or replaced is not written any more", {
  skip: process.platform === "win32",
}, async (t) => {
  for (const work of [
    async (file: string) => await rm(file),
    async (file: string) => {
      await writeFile(`${file}.copy`, await readFile(file))
      await rename(`${file}.copy`, file)
    },
  ]) {
    const one = await served(t)
    await record(one, "k", { what: "set", json: "1" })
    await work(one.file)
    await t.rejects(record(one, "k", { what: "get" }), {
      kind: "lasting",
      message: /was deleted or replaced while llmproxy runs; stop llmproxy, put the file in its place, start again/,
    })
  }
})

test("the file is nobody else's to read, and a newer llmproxy's is refused", async (t) => {
  const one = await served(t)
  await one.ask({ kind: "open" })
  if (process.platform !== "win32") t.equal((await stat(one.file)).mode & 0o777, 0o600)
  const step = "insert into kysely_migration values ('9999-later', '2030-01-01')"
  await one.ask({ kind: "statement", transaction: undefined, sql: step, parameters: [] })
  await one.close()
  const next = await served(t, one)
  await t.rejects(next.ask({ kind: "open" }), { message: /was written by a newer llmproxy/ })
})

test("a damaged history costs what stood in it, and is told of", async (t) => {
  const files = await placeFor(t)
  await writeFile(files.history, "this is no database ".repeat(300))
  const one = await served(t, files)
  await one.ask({ kind: "open" })
  t.match(one.warnings, [/history\.db is damaged: what addons had noted there is not taken over/])
})

test("a history in which addons had noted nothing costs nothing, and says nothing", async (t) => {
  const files = await placeFor(t)
  const history = openSqlite(files.history)
  history.connection.exec("create table flows (id text)")
  history.close()
  const one = await served(t, files)
  await one.ask({ kind: "open" })
  t.strictSame(one.warnings, [])
})

test("a history that cannot be read now is no reason to go on without it", async (t) => {
  const files = await placeFor(t)
  await mkdir(files.history)
  const one = await served(t, files)
  await t.rejects(one.ask({ kind: "open" }), { message: /unable to open database file|disk I\/O|cannot/i })
})
