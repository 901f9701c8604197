/** What goes on while the database is gone, and what a llmproxy that was killed leaves behind. */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { BELIEVED_MS } from "../../../addons/keys/book.ts"
import { spanAt } from "../../../addons/keys/limits.ts"
import { makeKey } from "../../../addons/keys/secret.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import { startKeys } from "./rig.ts"

for (const [onDatabaseLost, status] of [
  ["refuse", 503],
  ["allow", 200],
] as const)
  test(`what cannot be counted is answered as onDatabaseLost=${onDatabaseLost} says; what needs no write goes on`, async (t) => {
    const { addon, make, chat, clock } = await startKeys(t, { onDatabaseLost })
    const [limited, free] = [await make({ limits: { parallel: 5 } }), await make()]
    t.same([(await chat(limited)).status, (await chat(free)).status], [200, 200])
    const db = await addon.tables<Tables>(MIGRATIONS)
    for (const table of ["reservations", "keys"]) await db.schema.dropTable(table).execute()
    clock.advance(BELIEVED_MS)
    const answer = await chat(limited)
    t.equal(answer.status, status)
    if (status === 503) t.same([answer.headers.get("retry-after"), answer.error?.code], ["5", "ledger_unavailable"])
    t.equal((await chat(free)).status, 200, "a key that was known, without limits")
    t.equal((await chat(makeKey())).status, 503, "it cannot be known whether this is a key")
    t.match(addon.log.lines.join("\n"), /the ledger cannot be reached/)
  })

test("what a killed llmproxy had reserved is counted once its lease is over, and blocks nobody after", async (t) => {
  const { addon, make, chat, keyOf, clock } = await startKeys(t, { lease: 60 })
  const key = await make({ limits: { parallel: 1, tokens: { day: 10_000 } } })
  const db = await addon.tables<Tables>(MIGRATIONS)
  const id = (await keyOf(key))?.id ?? ""
  const at = clock.now()
  const left = {
    id: "of-another",
    key_id: id,
    process: "that was killed",
    started_at: at,
    slots: 1,
    tokens: 700,
    money: 0,
  }
  await db
    .insertInto("reservations")
    .values({ ...left, lapses_at: at + 60_000 })
    .execute()
  t.equal((await chat(key, { max_tokens: 10 })).status, 429, "it may run still")
  for (let third = 0; third < 3; third++) {
    clock.advance(20_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const tokens = async () => {
    const rows = await db
      .selectFrom("usage")
      .selectAll()
      .where("key_id", "=", id)
      .where("span", "=", spanAt("day", at))
      .execute()
    return Number(rows[0]?.tokens ?? 0)
  }
  while ((await tokens()) < 700) await new Promise((resolve) => setImmediate(resolve))
  t.equal((await chat(key, { max_tokens: 10 })).status, 200)
})

test("/auth and /auth/key say in their form when to come again, and nothing of what is gone", async (t) => {
  const confdir = t.testdir()
  const { addon, master, make } = await startKeys(t, {}, { confdir })
  const key = await make()
  await rm(join(confdir, "state.db"))
  for (const [method, url, shown] of [
    ["GET", "/auth", key],
    ["POST", "/auth/key", master],
    ["GET", "/auth/key/", master],
  ] as const) {
    const answer = await addon.request({ url, method, headers: { Authorization: shown } })
    t.same([answer.status, answer.headers.get("retry-after")], [503, "5"], url)
    t.match(answer.json(), { message: /again/ })
    t.notMatch(answer.text, /state\.db|llmproxy-/)
    t.equal(answer.headers.get("cache-control"), "no-store")
  }
  const refused = await addon.request({ url: "/v1/models", headers: { Authorization: key } })
  t.same([refused.status, refused.headers.get("retry-after")], [503, "5"])
})
