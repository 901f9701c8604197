/** Addons' own tables: their migrations, and what a transaction holds up. */
import { type Generated, sql } from "kysely"
import { test } from "tap"
import type { TableMigration } from "../../../lib/api/store.ts"
import { StartError, UsageError } from "../../../lib/base/errors.ts"
import { openSqlite, singleValue } from "../../../lib/store/sqlite.ts"
import { kindOf, onBoth } from "../../helpers/postgres.ts"
import { placeFor, served } from "./served.ts"

interface Poll {
  votes: { id: Generated<number>; who: string; weight: number }
}

const votes: TableMigration = {
  name: "0001-votes",
  async up(db) {
    await db.schema
      .createTable("votes")
      .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
      .addColumn("who", "text", (column) => column.notNull())
      .addColumn("weight", "integer", (column) => column.notNull())
      .execute()
  },
}
const index: TableMigration = {
  name: "0002-index",
  async up(db) {
    await db.schema.createIndex("votes_who").on("votes").column("who").execute()
  },
}
const broken: TableMigration = {
  name: "0003-broken",
  async up(db) {
    await sql`insert into ${sql.table("votes")} (who, weight) values ('broken', 1)`.execute(db)
    throw new Error("no such thought")
  },
}

onBoth("tables are made by the migrations, each once, and are there again after a restart", async (t) => {
  const one = await served(t)
  const db = await one.tables<Poll>("my-poll", [votes])
  const added = await db.insertInto("votes").values({ who: "ann", weight: 2 }).executeTakeFirstOrThrow()
  t.equal(added.numInsertedOrUpdatedRows, 1n)
  t.equal(added.insertId, kindOf(t) === "SQLite" ? 1n : undefined)
  t.strictSame(await db.selectFrom("votes").selectAll().execute(), [{ id: 1, who: "ann", weight: 2 }])
  await one.close()
  const next = await served(t, one)
  const again = await next.tables<Poll>("my-poll", [votes, index])
  t.strictSame(await again.selectFrom("votes").select("who").execute(), [{ who: "ann" }])
  const { rows } = await sql`select name, position from addon_migrations order by position`.execute(again)
  t.strictSame(rows, [
    { name: "0001-votes", position: 0 },
    { name: "0002-index", position: 1 },
  ])
})

onBoth("a migration that fails is taken back whole, named, and tried again the next time", async (t) => {
  const one = await served(t)
  const error = await one.tables("poll", [votes, index, broken]).catch((thrown: unknown) => thrown)
  t.ok(error instanceof UsageError)
  t.match(error, {
    message: 'addon "poll": tables: migration "0003-broken" failed and is taken back: no such thought',
  })
  const mended = { ...broken, up: async () => {} }
  const db = await one.tables<Poll>("poll", [votes, index, mended])
  t.strictSame(await db.selectFrom("votes").selectAll().execute(), [], "nothing of the first try is there")
})

onBoth("a list that is not what has run is refused before anything runs", async (t) => {
  const one = await served(t)
  await one.tables("poll", [votes, index])
  await t.rejects(one.tables("poll", [votes]), {
    message: /"0002-index" has run and is not in the list: .* newer version/,
  })
  await t.rejects(one.tables("poll", [votes, broken, index]), {
    message: /"0003-broken" stands before "0002-index", which has run already; a new migration stands at the end/,
  })
  await t.rejects(one.tables("poll", [votes, votes]), { message: /two migrations are named "0001-votes"/ })
  await t.rejects(one.tables("poll", [{ ...votes, name: "a b" }]), { message: /"a b" is no name of a migration/ })
  await one.tables("other", [votes])
})

onBoth("two programs that migrate at once run each migration once", async (t) => {
  const place = await placeFor(t)
  const [one, other] = [await served(t, place), await served(t, place)]
  let runs = 0
  const counted: TableMigration = {
    name: votes.name,
    up: async (db) => {
      runs += 1
      await votes.up(db)
    },
  }
  await one.ask({ kind: "open" })
  await other.ask({ kind: "open" })
  await Promise.all([one.tables("poll", [counted, index]), one.tables("poll", [counted, index])])
  await other.tables("poll", [counted, index])
  t.equal(runs, 1)
})

onBoth("a transaction is all or nothing, and what comes meanwhile waits for its end", async (t) => {
  const one = await served(t)
  const db = await one.tables<Poll>("poll", [votes])
  const place = { addon: "poll", name: "n" }
  const order: string[] = []
  const isAlone = kindOf(t) === "SQLite"
  const told: Promise<unknown>[] = []
  const failing = db.transaction().execute(async (transaction) => {
    await transaction.insertInto("votes").values({ who: "gone", weight: 1 }).execute()
    const waiting = db.selectFrom("votes").selectAll().execute()
    told.push(waiting.then((rows) => order.push(`others see ${rows.length}`)))
    const record = one.ask({ kind: "record", place, key: "k", what: "set", json: "1" })
    told.push(record.then(() => order.push("a record is set")))
    await transaction.insertInto("votes").values({ who: "gone too", weight: 1 }).execute()
    order.push("taken back")
    throw new Error("changed its mind")
  })
  await t.rejects(failing, { message: "changed its mind" })
  await Promise.all(told)
  // On a server others go on beside it.
  if (isAlone) t.equal(order[0], "taken back")
  t.strictSame(order.sort(), ["a record is set", "others see 0", "taken back"])
  await db.transaction().execute(async (transaction) => {
    await transaction.insertInto("votes").values({ who: "stays", weight: 1 }).execute()
  })
  t.strictSame(await db.selectFrom("votes").select("who").execute(), [{ who: "stays" }])
})

onBoth("a transaction that nobody goes on with is taken back after a while, and holds nobody up", async (t) => {
  const one = await served(t)
  const db = await one.tables<Poll>("poll", [votes])
  let begun = () => {}
  const isBegun = new Promise<void>((resolve) => {
    begun = resolve
  })
  let goOn = () => {}
  const forgotten = db.transaction().execute(async (transaction) => {
    await transaction.insertInto("votes").values({ who: "forgotten", weight: 1 }).execute()
    begun()
    await new Promise<void>((resolve) => {
      goOn = resolve
    })
    await transaction.insertInto("votes").values({ who: "late", weight: 1 }).execute()
  })
  await isBegun
  const next = db.selectFrom("votes").selectAll().execute()
  one.clock.advance(5_000)
  t.strictSame(await next, [])
  goOn()
  await t.rejects(forgotten, { message: /taken back: nothing was asked in it for 5000 ms/ })
  await db.insertInto("votes").values({ who: "next", weight: 1 }).execute()
  t.equal(one.clock.pending, 0)
})

test("a transaction that asks the database itself, and so waits for its own end, is told of it", async (t) => {
  const one = await served(t)
  const db = await one.tables<Poll>("poll", [votes])
  const stuck = db.transaction().execute(async (transaction) => {
    await transaction.insertInto("votes").values({ who: "a", weight: 1 }).execute()
    const own = db.selectFrom("votes").selectAll().execute()
    setImmediate(() => one.clock.advance(5_000))
    await own
    await transaction.insertInto("votes").values({ who: "b", weight: 1 }).execute()
  })
  await t.rejects(stuck, { message: /within a transaction ask the transaction/ })
})

onBoth("a commit that fails lets go of the database", async (t) => {
  const one = await served(t)
  const db = await one.tables<Poll>("poll", [
    votes,
    {
      name: "0002-deferred",
      up: async (up) => {
        await sql`create table ${sql.table("refs")} (vote integer references ${sql.table("votes")} (id)
          deferrable initially deferred)`.execute(up)
      },
    },
  ])
  const failing = db
    .transaction()
    .execute((transaction) => sql`insert into ${sql.table("refs")} (vote) values (99)`.execute(transaction))
  await t.rejects(failing, { message: /foreign key/i })
  t.strictSame(await db.selectFrom("votes").selectAll().execute(), [])
})

onBoth("an answer is bounded, and a statement that fails says why", async (t) => {
  const one = await served(t)
  const db = await one.tables<Poll>("poll", [votes])
  const many = sql`with recursive n(i) as (select 1 union all select i + 1 from n where i < 100001) select i from n`
  await t.rejects(many.execute(db), { message: /gives 100001 rows, and an answer holds 100000: ask with a limit/ })
  const hidden = ["/* a */ begin", "/**/ -- b\n begin", "-- a\nbegin", ";begin", " ; /* a */ ; commit", "/* a", "--"]
  for (const words of ["begin", " BEGIN immediate", "commit", "rollback", "savepoint a", "end", ...hidden.slice(0, 5)])
    await t.rejects(sql.raw(words).execute(db), { message: /by db\.transaction\(\)/ }, words)
  // An empty statement is none to SQLite.
  for (const words of kindOf(t) === "SQLite" ? hidden.slice(5) : []) await t.rejects(sql.raw(words).execute(db), words)
  for (const words of [
    "pragma query_only = 1",
    "/**/ PRAGMA journal_mode = delete",
    "attach 'a' as b",
    "detach b",
    "vacuum",
  ])
    await t.rejects(sql.raw(words).execute(db), { message: /the connection, which is everybody's/ }, words)
  await t.rejects(
    db.transaction().execute((transaction) => sql.raw("/**/ commit").execute(transaction)),
    { message: /by db\.transaction\(\)/ },
  )
  await t.rejects(sql`select * from gone`.execute(db), {
    message: /^no such table: gone$|^relation "gone" does not exist$/,
  })
  const rows: unknown[] = []
  for await (const row of db.selectFrom("votes").select("who").stream()) rows.push(row)
  t.strictSame(rows, [])
})

test("each commit is on the disk before it is told, and an older llmproxy's records are taken over once", async (t) => {
  const place = await placeFor(t)
  const old = openSqlite(place.history)
  old.connection.exec(`create table addon_records (addon text, name text, key text, value text, updated_at integer)`)
  for (let i = 0; i < 1_200; i++)
    old.connection.exec(`insert into addon_records values ('conductor', 'ratios', 'm${i}', '[1.${i}]', 5)`)
  old.connection.exec(`insert into addon_records values ('a', 'n', 'whole', '7', 5)`)
  old.close()
  const one = await served(t, place)
  const whole = { kind: "record", place: { addon: "a", name: "n" }, key: "whole" } as const
  t.equal(await one.ask({ ...whole, what: "increment", by: 1, expires: undefined }), 8)
  t.match(
    await one.ask({
      kind: "statement",
      transaction: undefined,
      sql: "select synchronous from pragma_synchronous",
      parameters: [],
    }),
    {
      rows: [{ synchronous: 2 }],
    },
  )
  const { rows } = (await one.ask({
    kind: "statement",
    transaction: undefined,
    sql: "select count(*) as n, min(updated_at) as at from addon_records",
    parameters: [],
  })) as { rows: unknown }
  t.match(rows, [{ n: 1_201, at: 5 }])
  await one.close()
  const next = await served(t, place)
  t.equal(await next.ask({ ...whole, what: "get" }), "8", "not taken over again")
  const kept = openSqlite(place.history, { readOnly: true })
  t.equal(singleValue(kept.connection, "select count(*) from addon_records"), 1_201, "and they stay in the history")
  kept.close()
})

onBoth("a database that cannot be opened is a StartError", async (t) => {
  const { file, history } = await placeFor(t)
  const gone = kindOf(t) === "SQLite" ? `${file}\0` : file.replace("llmproxy_test_", "llmproxy_gone_")
  const one = await served(t, { file: gone, history })
  const error = await one.tables("poll", [votes]).catch((thrown: unknown) => thrown)
  t.ok(error instanceof StartError)
})
