/** Whoever gets nothing is counted, by the reason and by nothing that a client could choose. */
import { test } from "tap"
import { makeKey } from "../../../addons/keys/secret.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import metrics from "../../../addons/metrics.ts"
import { bearer, startKeys } from "./rig.ts"

test("keys' refusals stand in GET /metrics by their reason", async (t) => {
  const { addon, make, chat, master } = await startKeys(t, {}, { others: [metrics] })
  const ask = async (key: string | undefined, status: number, more = {}) =>
    t.equal((await chat(key, more)).status, status)
  await ask(undefined, 401)
  await ask(makeKey(), 401)
  await ask(await make({ scopes: { models: ["gpt-5*"] } }), 403)
  await ask(await make({ scopes: { endpoints: ["/v1/embeddings"] } }), 403)
  for (const limits of [{ requests: { day: 0 } }, { tokens: { day: 1 } }, { money: { day: 1 } }, { parallel: 0 }])
    await ask(await make({ limits }), 429, { max_tokens: 10 })
  await ask(await make({ limits: { money: { day: 1_000 } } }), 403, { model: "nobody-sells-this" })
  const twice = '{"model":"gpt-4o","model":"gpt-5","messages":[]}'
  const limited = await make({ scopes: { models: ["gpt*"] } })
  const named = await addon.request({ url: "/v1/chat/completions", text: twice, headers: bearer(limited) })
  t.equal(named.status, 400)
  const free = await make({ limits: { requests: { day: 100 } } })
  await ask(free, 200)
  const db = await addon.tables<Tables>(MIGRATIONS)
  await db.schema.dropTable("reservations").execute()
  await ask(free, 503)
  const { text } = await addon.request({ url: "/metrics", headers: bearer(master) })
  const counted = [...text.matchAll(/^keys_refusals_total\{reason="(\w+)"\} (\d+)$/gm)]
  t.same(Object.fromEntries(counted.map(([, reason = "", count]) => [reason, Number(count)])), {
    ...{ unknown: 2, scope: 2, requests: 1, tokens: 1, money: 1, parallel: 1, price: 1, ambiguous: 1, database: 1 },
  })
})
