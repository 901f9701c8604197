/** What is PostgreSQL's alone: transactions beside each other, and connections that are lost. */
import { execFileSync } from "node:child_process"
import { type Generated, sql } from "kysely"
import { type Test, test } from "tap"
import type { TableMigration } from "../../../lib/api/store.ts"
import { StartError } from "../../../lib/base/errors.ts"
import { openReader } from "../../../lib/store/database.ts"
import { historyPlace, openHistory } from "../../../lib/store/history-place.ts"
import { pruneFile } from "../../../lib/store/prune.ts"
import { Reader } from "../../../lib/store/reader.ts"
import { Writer } from "../../../lib/store/writer.ts"
import { chat, START } from "../../helpers/flow-snapshots.ts"
import { asked, NO_POSTGRES, newDatabase } from "../../helpers/postgres.ts"
import { served } from "../state/served.ts"

interface Poll {
  votes: { id: Generated<number>; who: string; at: number; share: number; seal: Buffer | null }
}

const votes: TableMigration = {
  name: "0001-votes",
  async up(db) {
    await db.schema
      .createTable("votes")
      .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
      .addColumn("who", "text", (column) => column.notNull().unique())
      .addColumn("at", "integer", (column) => column.notNull())
      .addColumn("share", "real", (column) => column.notNull())
      .addColumn("seal", "blob")
      .execute()
  },
}

/** A program that asks the server at a URL one thing. */
const ASKED_APART = `const { Client } = require("pg"); const client = new Client(process.argv[1])
client.connect().then(() => client.query(process.argv[2])).then(() => client.end())`

const onServer = (name: string, run: (t: Test, url: string) => Promise<void>) =>
  test(name, { skip: NO_POSTGRES }, async (t) => run(t, await newDatabase(t)))

onServer("an addon's columns hold what SQLite's hold, and texts are in the order of their bytes", async (t, url) => {
  const one = await served(t, { file: url, history: url })
  const db = await one.tables<Poll>("poll", [votes])
  const at = 1_796_000_000_000
  for (const who of ["b", "B", "ä", "a", "Z"])
    await db
      .insertInto("votes")
      .values({ who, at, share: 0.5, seal: Buffer.from(who) })
      .execute()
  const rows = await db.selectFrom("votes").select(["id", "who", "at", "share"]).orderBy("who").execute()
  t.strictSame(
    rows.map(({ who }) => who),
    ["B", "Z", "a", "b", "ä"],
  )
  t.strictSame([rows[0]?.at, rows[0]?.share], [at, 0.5])
  t.strictSame(rows.map(({ id }) => id).sort(), [1, 2, 3, 4, 5])
  const { total } = await db
    .selectFrom("votes")
    .select((eb) => eb.fn.sum<number>("at").as("total"))
    .executeTakeFirstOrThrow()
  t.equal(total, 5 * at, "a sum is a number")
})

onServer("of two transactions in each other's way one is run again, and both are done", async (t, url) => {
  const one = await served(t, { file: url, history: url })
  const db = await one.tables<Poll>("poll", [votes])
  for (const who of ["a", "b"]) await db.insertInto("votes").values({ who, at: 0, share: 0, seal: null }).execute()
  let runs = 0
  let bothHold = () => {}
  const held = new Promise<void>((resolve) => {
    bothHold = resolve
  })
  const raise = (first: string, second: string) =>
    db.transaction().execute(async (transaction) => {
      runs += 1
      const add = (who: string) =>
        transaction
          .updateTable("votes")
          .set((eb) => ({ at: eb("at", "+", 1) }))
          .where("who", "=", who)
          .execute()
      await add(first)
      if (runs === 2) bothHold()
      await held
      await add(second)
    })
  await Promise.all([raise("a", "b"), raise("b", "a")])
  t.equal(runs, 3, "one was taken back and run again")
  const rows = await db.selectFrom("votes").select("at").execute()
  t.strictSame(rows, [{ at: 2 }, { at: 2 }])
  await t.rejects(
    db.transaction().execute((transaction) => sql`select * from gone`.execute(transaction)),
    { message: 'relation "gone" does not exist' },
    "what is wrong for good is told at once",
  )
})

onServer(
  "a connection that the server has ended is replaced, and what was asked on it is told as unknown",
  async (t, url) => {
    const one = await served(t, { file: url, history: url })
    const record = { kind: "record", place: { addon: "a", name: "n" }, key: "k" } as const
    await one.ask({ ...record, what: "set", json: "1" })
    const end = `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'llmproxy state'
    and datname = current_database()`
    const db = await one.tables<Poll>("poll", [votes])
    // Meanwhile this process stands still: the driver does not know of the end when it is asked next.
    const endUnseen = () => execFileSync(process.execPath, ["-e", ASKED_APART, url, end])
    endUnseen()
    t.equal(await one.ask({ ...record, what: "get" }), "1", "what only reads is asked again")
    endUnseen()
    t.strictSame(await one.ask({ kind: "entries", place: record.place, after: "" }), [["k", "1"]])
    endUnseen()
    const found = await db.transaction().execute((open) => open.selectFrom("votes").select("id").execute())
    t.strictSame(found, [], "and what only begins")
    endUnseen()
    const written = one.ask({ ...record, what: "set", json: "2" }).catch((thrown: unknown) => thrown)
    t.match(await written, { kind: "crash" }, "what writes is not")
    const sleeping = sql`select pg_sleep(60)`.execute(db).catch((thrown: unknown) => thrown)
    const isAsleep = `select 1 as found from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`
    while ((await asked(url, isAsleep)).length === 0) await new Promise(setImmediate)
    await asked(url, end)
    t.match(await sleeping, { kind: "crash" })
    t.equal(await one.ask({ ...record, what: "get" }), "1")
  },
)

onServer("programs that store the same conversations at once count who refers to them right", async (t, url) => {
  const writers = await Promise.all([1, 2, 3].map(async () => new Writer(await openHistory(url))))
  const messages = Array.from({ length: 20 }, (_, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content: `m${i}`,
  }))
  const store = async (writer: Writer) => {
    for (let length = 2; length <= 20; length += 3) {
      const snapshots = [chat({ messages: messages.slice(0, length) }), chat({ messages })]
      for (;;) {
        try {
          await writer.store(snapshots)
          break
        } catch (thrown) {
          t.match(thrown, { code: /^40/ }, "only ever in each other's way, and then tried again by who asks")
        }
      }
    }
  }
  await Promise.all(writers.map(store))
  const [row] = await asked(
    url,
    "select count(*)::int as flows, (select count(*)::int from llmproxy_history.turns) as turns from llmproxy_history.flows",
  )
  t.strictSame(row, { flows: 42, turns: 20 })
  const reader = await Reader.open(url)
  t.equal((await reader.list({ search: "M19" }, 100)).length, 24)
  t.equal((await reader.stats({})).sums[0]?.requests, 42)
  const [flow] = await reader.list({}, 1)
  t.ok(flow)
  if (flow !== undefined) t.equal((await reader.exchange(flow)).messages.length, 20)
  await reader.close()
  t.match(await pruneFile(url, START + 1e9), { flows: 42, bytes: undefined })
  const left = await asked(
    url,
    "select (select count(*)::int from llmproxy_history.turns) as turns, (select count(*)::int from llmproxy_history.contents) as contents",
  )
  t.strictSame(left, [{ turns: 0, contents: 0 }], "no reference was counted too often or too rarely")
  t.equal(await writers[0]?.step(START), false, "no size is known, and none kept within")
  await Promise.all(writers.map((writer) => writer.close()))
})

onServer("the history is opened with the first flow, and read where it is up to date", async (t, url) => {
  await t.rejects(openReader(url), { name: "StartError", message: /is of an older llmproxy/ })
  const place = historyPlace({ file: url, now: () => 0, onDamage: () => {} })
  t.equal(place.present, undefined)
  await place.use(async () => {})
  t.ok(place.present)
  await place.close()
  await (await openReader(url)).close()
})

test("a server that is not there is told of without its password", { skip: NO_POSTGRES }, async (t) => {
  const gone = new URL(await newDatabase(t))
  gone.pathname = "/llmproxy_gone"
  gone.password = "hidden"
  for (const open of [openHistory, openReader, (url: string) => pruneFile(url, 0)]) {
    const error = await open(gone.href).catch((thrown: unknown) => thrown)
    t.ok(error instanceof StartError)
    t.match(error, { message: /postgres:\/\/llmproxy:\*\*\*@localhost\/llmproxy_gone.*"llmproxy_gone" does not exist/ })
  }
})
