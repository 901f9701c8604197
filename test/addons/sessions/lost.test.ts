/** A database that is lost while a session is asked in: who asks is told, the others of the session go on. */
import { test } from "tap"
import { LEASE_MS, SessionStore } from "../../../addons/sessions/store.ts"
import { MIGRATIONS, type Tables } from "../../../addons/sessions/tables.ts"
import { Turns } from "../../../addons/sessions/turns.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { served } from "../../store/state/served.ts"

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
