/** A database that is lost while a session is asked in: who asks is told, the others of the session go on. */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { LEASE_MS, SessionStore } from "../../../addons/sessions/store.ts"
import { MIGRATIONS, type Tables } from "../../../addons/sessions/tables.ts"
import { Turns } from "../../../addons/sessions/turns.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { served } from "../../store/state/served.ts"
import { chat, KEY, NAMED, startSessions } from "./rig.ts"

const NEVER = new AbortController().signal

test("what cannot be read, renewed or left is told, and blocks nobody of this program", async (t) => {
  const state = await served(t)
  const db = await state.tables<Tables>("sessions", MIGRATIONS)
  const lines: string[] = []
  const turns = new Turns(
    new SessionStore(db, state.clock),
    state.clock,
    makeLogger((line) => lines.push(line)),
  )
  const session = { owner: "ann", id: "1" }
  const turn = await turns.enter(session, NEVER)
  await db.schema.dropTable("messages").execute()
  await t.rejects(turn.append([{ role: "user", content: "Hi." }]), { message: /messages/ })
  await turn.leave()
  await t.rejects(turns.enter(session, NEVER), { message: /messages/ })
  t.equal((await db.selectFrom("sessions").selectAll().execute()).length, 0, "its lease is gone as well")
  await db.schema.dropTable("sessions").execute()
  await t.rejects(turns.enter(session, NEVER), { message: /sessions/ })
  const again = await served(t)
  const other = await again.tables<Tables>("sessions", MIGRATIONS)
  const others = new Turns(
    new SessionStore(other, again.clock),
    again.clock,
    makeLogger((line) => lines.push(line)),
  )
  const held = await others.enter(session, NEVER)
  await other.schema.dropTable("sessions").execute()
  again.clock.advance(LEASE_MS)
  await held.leave()
  t.match(lines.join("\n"), /session "1": .*sessions/)
})

test("who asks while the database is gone is told to come again, in the form that they ask in, and no model is asked", async (t) => {
  const confdir = t.testdir()
  const addon = await startSessions(t, { confdir })
  const ask = (more: object) => ({ url: "/answer", headers: KEY("ann"), json: { prompt: "Hi.", ...more } })
  t.equal((await addon.request(ask({ session_id: 1 }))).status, 200)
  t.equal((await addon.request(chat([{ role: "user", content: "Hi." }], { ...KEY("ann"), ...NAMED("1") }))).status, 200)
  await rm(join(confdir, "state.db"))
  const asked = addon.asked.length
  for (const request of [
    ask({ session_id: 1 }),
    ask({ session_id: 1, stream: true }),
    { url: "/answer", headers: KEY("ann") },
  ]) {
    const answer = await addon.request(request)
    t.same([answer.status, answer.headers.get("retry-after")], [503, "5"])
    t.match(answer.json(), { message: /cannot be reached now/ })
  }
  const answer = await addon.request(chat([{ role: "user", content: "Hi." }], { ...KEY("ann"), ...NAMED("1") }))
  t.same([answer.status, answer.headers.get("retry-after")], [503, "5"])
  t.match(answer.json(), { error: { code: "store-unavailable", message: /cannot be reached now/ } })
  t.equal(addon.asked.length, asked)
  t.match(addon.log.errors.join("\n"), /state\.db/, "the log says what is gone")
  t.same((await addon.request(ask({}))).status, 200, "what stands alone goes on")
})

test("an answer that cannot be kept ends its stream with an error that names nothing of this machine", async (t) => {
  const confdir = t.testdir()
  const addon = await startSessions(t, { confdir })
  addon.answer(async () => {
    await rm(join(confdir, "state.db"))
    return { completion: { text: "Hello." } }
  })
  const json = { prompt: "Hi.", session_id: 1, stream: true }
  const answer = await addon.request({ url: "/answer", headers: KEY("ann"), json })
  t.match(answer.text, /"error":\{"message":"the session could not be kept"/)
  t.notMatch(answer.text, /state\.db/)
  t.match(addon.log.errors.join("\n"), /state\.db/)
})
