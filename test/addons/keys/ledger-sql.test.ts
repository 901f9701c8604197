/** The ledger in the database, of one llmproxy and of several: on SQLite, and on PostgreSQL where there is one. */
import { test } from "tap"
import type { Refused, Standing } from "../../../addons/keys/judge.ts"
import { SqlLedger } from "../../../addons/keys/ledger-sql.ts"
import { type Limits, spanAt } from "../../../addons/keys/limits.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { languageOf } from "../../../lib/store/places.ts"
import { openTables } from "../../../lib/store/state/tables.ts"
import { kindOf, onBoth } from "../../helpers/postgres.ts"
import { type ServedState, served } from "../../store/state/served.ts"

const LEASE_MS = 60_000

async function ledgerOn(state: ServedState, process: string) {
  const jobs: string[] = []
  let isGone = false
  const ask: ServedState["ask"] = (job) => {
    jobs.push(job.kind)
    return isGone ? Promise.reject(new Error("the database is gone")) : state.ask(job)
  }
  const { clock } = state
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const options = {
    addon: "keys",
    migrations: MIGRATIONS,
    ask,
    language: languageOf(state.file),
    now: () => clock.now(),
  }
  const db = await openTables<Tables>(options)
  const ledger = new SqlLedger({ db, clock, log, process, lease: () => LEASE_MS })
  const isBroken = (gone: boolean) => {
    isGone = gone
  }
  return { db, ledger, lines, jobs, clock, isBroken }
}

let flows = 0
function wish(key: string, at: number, limits: Limits, tokens = 10) {
  flows += 1
  return { id: `flow-${flows}`, key, at, slots: 1, tokens, money: 0, limits }
}

const isIn = (verdict: Refused | readonly Standing[]) => !("retryMs" in verdict)

async function sums(db: Awaited<ReturnType<typeof ledgerOn>>["db"], key: string, at: number) {
  const rows = await db
    .selectFrom("usage")
    .selectAll()
    .where("key_id", "=", key)
    .where("span", "=", spanAt("day", at))
    .execute()
  const [{ requests, tokens } = { requests: 0, tokens: 0 }] = rows
  const held = await db.selectFrom("reservations").select("id").where("key_id", "=", key).execute()
  return { requests: Number(requests), tokens: Number(tokens), held: held.length }
}

onBoth("what is reserved counts until it is settled, and what is settled twice counts once", async (t) => {
  const { ledger, db, clock } = await ledgerOn(await served(t), "one")
  const limits = { tokens: { day: 100 }, parallel: 2 }
  const first = wish("k", clock.now(), limits, 60)
  t.ok(isIn(await ledger.reserve(first)))
  t.match(await ledger.reserve(wish("k", clock.now(), limits, 60)), {
    kind: "tokens",
    span: "day",
    used: 60,
    wished: 60,
  })
  t.ok(isIn(await ledger.reserve(wish("other", clock.now(), limits, 60))), "another key has its own")
  const settlement = { id: first.id, key: "k", at: first.at, tokens: 15, money: 0 }
  await Promise.all([ledger.settle(settlement), ledger.settle(settlement)])
  await ledger.settle(settlement)
  t.same(await sums(db, "k", first.at), { requests: 1, tokens: 15, held: 0 })
  t.ok(isIn(await ledger.reserve(wish("k", clock.now(), limits, 85))))
  t.match(await ledger.reserve(wish("k", clock.now(), limits, 1)), { kind: "tokens", used: 100 })
  t.same(await ledger.used("k", [spanAt("day", first.at), "d1999-01-01"]), [
    { requests: 2, tokens: 15, money: 0 },
    { requests: 0, tokens: 0, money: 0 },
  ])
})

onBoth("two llmproxies on one database let in no more than a key may", async (t) => {
  const state = await served(t)
  // Two of SQLite's in one thread would wait for each other for ever: there its transactions come from two ledgers.
  const [one, two] = [
    await ledgerOn(state, "one"),
    await ledgerOn(kindOf(t) === "SQLite" ? state : await served(t, state), "two"),
  ]
  const at = state.clock.now()
  const limits = { requests: { day: 30 }, parallel: 25 }
  const all = Array.from({ length: 60 }, (_, n) =>
    (n % 2 === 0 ? one : two).ledger.reserve(wish(`k${(n % 2) ^ ((n >> 1) & 1)}`, at, limits)),
  )
  const verdicts = await Promise.all(all)
  t.equal(verdicts.filter(isIn).length, 50)
  for (const key of ["k0", "k1"]) t.match(await sums(one.db, key, at), { requests: 25, held: 25 })
})

test("calls that come while a transaction runs go together into the next one", async (t) => {
  const { ledger, jobs, clock } = await ledgerOn(await served(t), "one")
  jobs.splice(0)
  const limits = { requests: { day: 1_000 } }
  await Promise.all(Array.from({ length: 100 }, () => ledger.reserve(wish("k", clock.now(), limits))))
  t.equal(jobs.filter((kind) => kind === "begin").length, 2, "the first alone, then all others")
})

onBoth("what a llmproxy that is gone has reserved is counted as it was reserved once its lease is over", async (t) => {
  const state = await served(t)
  const gone = await ledgerOn(state, "gone")
  const other = await ledgerOn(await served(t, state), "other")
  const at = state.clock.now()
  const limits = { parallel: 1 }
  const lost = wish("k", at, limits, 40)
  t.ok(isIn(await gone.ledger.reserve(lost)))
  await other.ledger.renew()
  t.match(await other.ledger.reserve(wish("k", at, limits)), { kind: "parallel" })
  state.clock.advance(LEASE_MS - 1)
  await gone.ledger.renew()
  state.clock.advance(LEASE_MS - 1)
  // Each has a clock of its own, as programs have.
  other.clock.advance(2 * LEASE_MS - 2)
  await other.ledger.renew()
  t.match(await sums(other.db, "k", at), { held: 1 }, "it was renewed")
  state.clock.advance(1)
  other.clock.advance(1)
  await other.ledger.renew()
  t.same(await sums(other.db, "k", at), { requests: 1, tokens: 40, held: 0 })
  await gone.ledger.settle({ id: lost.id, key: "k", at, tokens: 1, money: 0 })
  t.same(await sums(other.db, "k", at), { requests: 1, tokens: 40, held: 0 }, "who comes back adds nothing")
  t.match(other.lines, [/1 requests of a llmproxy that is gone are counted as they were reserved/])
})

test("while the database is gone what has to be counted is refused, and what has ended is written later", async (t) => {
  const { ledger, db, clock, lines, isBroken } = await ledgerOn(await served(t), "one")
  const at = clock.now()
  const first = wish("k", at, { parallel: 5 })
  await ledger.reserve(first)
  isBroken(true)
  await t.rejects(ledger.reserve(wish("k", at, { parallel: 5 })), /the database is gone/)
  await ledger.settle({ id: first.id, key: "k", at, tokens: 7, money: 0 })
  ledger.add("free", at, { requests: 1, tokens: 3, money: 0 })
  clock.advance(1_000)
  await new Promise((resolve) => setImmediate(resolve))
  ledger.add("free", at, { requests: 1, tokens: 3, money: 0 })
  await ledger.renew()
  isBroken(false)
  clock.advance(1_000)
  clock.advance(1_000)
  await ledger.close()
  t.same(await sums(db, "k", at), { requests: 1, tokens: 7, held: 0 })
  t.same(await sums(db, "free", at), { requests: 2, tokens: 6, held: 0 })
  t.match(lines.join("\n"), /could not be written, and is tried again/)
  t.match(lines.join("\n"), /reservations could not be renewed/)
})

test("what keys without limits use is written once a second, also while it goes on coming", async (t) => {
  const { ledger, db, clock } = await ledgerOn(await served(t), "one")
  const at = clock.now()
  const use = () => ledger.add("free", at, { requests: 1, tokens: 3, money: 0 })
  use()
  clock.advance(1_000) // Its transaction runs now.
  use()
  while ((await sums(db, "free", at)).requests === 0) await new Promise((resolve) => setImmediate(resolve))
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.same(await sums(db, "free", at), { requests: 1, tokens: 3, held: 0 }, "the second waits for its time")
  clock.advance(1_000)
  while ((await sums(db, "free", at)).requests === 1) await new Promise((resolve) => setImmediate(resolve))
  t.same(await sums(db, "free", at), { requests: 2, tokens: 6, held: 0 })
  use()
  await ledger.close()
  t.same(await sums(db, "free", at), { requests: 3, tokens: 9, held: 0 }, "the end waits for nothing")
})
