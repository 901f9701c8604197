/** Sessions in the database, of one llmproxy and of two: on SQLite, and on PostgreSQL where there is one. */
import type { Test } from "tap"
import { LEASE_MS, SessionStore } from "../../../addons/sessions/store.ts"
import { MIGRATIONS, type Tables } from "../../../addons/sessions/tables.ts"
import { RETRY_MS, type Turn, Turns } from "../../../addons/sessions/turns.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { onBoth } from "../../helpers/postgres.ts"
import { placeFor, served } from "../../store/state/served.ts"

const NEVER = new AbortController().signal
const user = (content: string) => ({ role: "user", content })
const texts = (messages: readonly { content?: unknown }[]) => messages.map(({ content }) => content)

async function on(t: Test, place?: { file: string; history: string }) {
  const state = await served(t, place)
  const db = await state.tables<Tables>("sessions", MIGRATIONS)
  const store = new SessionStore(db, state.clock)
  const turns = new Turns(
    store,
    state.clock,
    makeLogger(() => {}),
  )
  return { db, store, turns, clock: state.clock }
}

/** Until the database has been asked, and the queue has gone on. */
async function until(isDone: () => boolean, each = () => {}): Promise<void> {
  while (!isDone()) {
    each()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

onBoth("a session is its owner's, 10,000 of them are listed, and one without a word is nobody's", async (t) => {
  const { store, turns, db } = await on(t)
  const ann = await turns.enter({ owner: "ann", id: "7" }, NEVER)
  await ann.append([user("What is a very long question about?\0\nYes."), { role: "assistant", content: "A." }])
  await ann.leave()
  await ann.leave()
  const bob = await turns.enter({ owner: "bob", id: "7" }, NEVER)
  t.same(bob.messages, [])
  t.same(await store.list("bob"), [], "while he waits for his first answer")
  await bob.leave()
  t.same(await store.owners(), ["ann"])
  t.match(await store.list("ann"), [{ id: "7", name: "What is a very long question a...", length: 2 }])
  t.equal((await store.messages({ owner: "ann", id: "7" })).length, 2)
  t.same([await store.delete({ owner: "bob", id: "7" }), await store.delete({ owner: "ann", id: "7" })], [false, true])
  t.same(await store.messages({ owner: "ann", id: "7" }), [])
  const row = { owner: "ann", name: "n", created_at: 0, updated_at: 0, length: 1, lease: null, lease_until: 0 }
  for (let from = 0; from < 10_000; from += 1_000)
    await db
      .insertInto("sessions")
      .values(Array.from({ length: 1_000 }, (_, at) => ({ ...row, id: `s${String(from + at).padStart(5, "0")}` })))
      .execute()
  const all = await store.list("ann")
  t.same([all.length, all[0]?.id, all.at(-1)?.id], [10_000, "s00000", "s09999"])
  const page = await store.list("ann", { after: "s04999", limit: 2 })
  t.same(
    page.map(({ id }) => id),
    ["s05000", "s05001"],
  )
})

onBoth("of a very long session the first messages and the newest are read", async (t) => {
  const { store } = await on(t)
  const session = { owner: "ann", id: "long" }
  t.ok(
    await store.add(
      session,
      "long\n one",
      Array.from({ length: 2_050 }, (_, at) => user(String(at))),
    ),
  )
  t.notOk(await store.add(session, "again", [user("x")]))
  const read = texts(await store.messages(session))
  t.equal(read.length, 2_008)
  t.same([read.slice(0, 9), read.at(-1)], [["0", "1", "2", "3", "4", "5", "6", "7", "50"], "2049"])
  t.equal((await store.list("ann"))[0]?.name, "long  one")
})

onBoth("requests of one session come after each other, in one llmproxy in the order in which they came", async (t) => {
  const { turns, store } = await on(t)
  const session = { owner: "ann", id: "1" }
  const order: number[] = []
  const ask = async (number: number) => {
    const turn = await turns.enter(session, NEVER)
    order.push(turn.messages.length)
    await turn.append([user(String(number)), { role: "assistant", content: "" }])
    await turn.leave()
  }
  await Promise.all([1, 2, 3, 4, 5].map(ask))
  t.same(order, [0, 2, 4, 6, 8])
  t.same(
    texts(await store.messages(session)).filter((text) => text !== ""),
    ["1", "2", "3", "4", "5"],
  )
})

onBoth("two llmproxies on one database wait for each other, and not for one that is gone", async (t) => {
  const place = await placeFor(t)
  const [one, two] = [await on(t, place), await on(t, place)]
  const session = { owner: "ann", id: "1" }
  const first = await one.turns.enter(session, NEVER)
  let second: Turn | undefined
  const entering = two.turns.enter(session, NEVER).then((turn) => {
    second = turn
  })
  await until(() => two.clock.pending > 0)
  await first.append([user("one")])
  t.equal(second, undefined)
  await first.leave()
  await until(
    () => second !== undefined,
    () => two.clock.advance(RETRY_MS),
  )
  await entering
  t.same(texts(second?.messages ?? []), ["one"])
  // The second is killed now: nobody renews its lease.
  let third: Turn | undefined
  const waiting = one.turns.enter(session, NEVER).then((turn) => {
    third = turn
  })
  one.clock.advance(LEASE_MS * 3)
  await until(
    () => third !== undefined,
    () => one.clock.advance(RETRY_MS),
  )
  await waiting
  await t.rejects(second?.append([user("late")]) ?? Promise.resolve(), { name: "LeaseLost" })
  await third?.append([user("three")])
  t.same(texts(await one.store.messages(session)), ["one", "three"])
  await third?.leave()
})

onBoth("who leaves while waiting is not waited for, and too many are refused", async (t) => {
  const { turns, clock, store } = await on(t)
  const session = { owner: "ann", id: "1" }
  const first = await turns.enter(session, NEVER)
  const leaving = new AbortController()
  const gone = turns.enter(session, leaving.signal)
  const rest = Array.from({ length: 62 }, () => turns.enter(session, NEVER))
  await t.rejects(turns.enter(session, NEVER), { name: "SessionBusy", message: /64 requests wait for it already/ })
  leaving.abort(new Error("left"))
  clock.advance(LEASE_MS / 3)
  await first.leave()
  await t.rejects(gone, { message: "left" })
  for (const turn of rest) await (await turn).leave()
  t.same(await store.owners(), [])
  // Another process has it: the wait ends with its client.
  t.ok(await store.take(session, "another"))
  const impatient = new AbortController()
  const waiting = turns.enter(session, impatient.signal)
  await until(() => clock.pending > 0)
  impatient.abort(new Error("left"))
  await t.rejects(waiting, { message: "left" })
})
