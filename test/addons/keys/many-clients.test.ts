/** Many clients at once over some keys: nothing goes over a limit, and what is counted is what the upstream has seen. */
import { test } from "tap"
import { spanAt } from "../../../addons/keys/limits.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import { CHAT, chatBody, startKeys } from "./rig.ts"

const KEYS = 20
const CLIENTS = 100
const EACH = 2
const LIMITS = { requests: { day: 7 }, parallel: 3, tokens: { day: 1_000 } }

test("100 clients over 20 keys stay within each key's limits, and the sums are the upstream's own", async (t) => {
  const rig = await startKeys(t)
  const keys = await Promise.all(Array.from({ length: KEYS }, () => rig.make({ limits: LIMITS })))
  const running = new Map<string, number>()
  const most = new Map<string, number>()
  const counted = new Map<string, number>()
  rig.addon.answer(async ({ json }) => {
    const body = json()
    const who = typeof body === "object" && body !== null && "user" in body ? String(body.user) : ""
    const now = (running.get(who) ?? 0) + 1
    running.set(who, now)
    most.set(who, Math.max(now, most.get(who) ?? 0))
    counted.set(who, (counted.get(who) ?? 0) + 1)
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    running.set(who, (running.get(who) ?? 0) - 1)
    return { completion: { text: "Hello.", usage: { inputTokens: 10, outputTokens: 5 } } }
  })
  const statuses: number[] = []
  const client = async (index: number) => {
    const who = index % KEYS
    for (let n = 0; n < EACH; n++) {
      const headers = { "x-api-key": keys[who] ?? "" }
      const answer = await rig.addon.request({ url: CHAT, headers, json: chatBody({ user: `u${who}`, max_tokens: 5 }) })
      statuses.push(answer.status)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)))
  t.same([...new Set(statuses)].sort(), [200, 429])
  for (const [who, parallel] of most) t.ok(parallel <= LIMITS.parallel, `${who}: ${parallel} at a time`)
  const db = await rig.addon.tables<Tables>(MIGRATIONS)
  while ((await db.selectFrom("reservations").select("id").execute()).length > 0)
    await new Promise((resolve) => setImmediate(resolve))
  const day = spanAt("day", rig.clock.now())
  for (const [index, key] of keys.entries()) {
    const id = (await rig.keyOf(key))?.id ?? ""
    const [usage] = await db.selectFrom("usage").selectAll().where("key_id", "=", id).where("span", "=", day).execute()
    const seen = counted.get(`u${index}`) ?? 0
    t.same([usage?.requests, usage?.tokens], [seen, seen * 15], `key ${index}`)
    t.ok(seen > 0 && seen <= LIMITS.requests.day)
  }
  t.equal(
    statuses.filter((status) => status === 200).length,
    [...counted.values()].reduce((sum, one) => sum + one, 0),
  )
})
