/** The ledger in a real Redis, where redis-server is installed. */
import { spawn, spawnSync } from "node:child_process"
import { createServer } from "node:net"
import { type Test, test } from "tap"
import { openRedisLedger } from "../../../addons/keys/ledger-redis.ts"
import { type Limits, spanAt } from "../../../addons/keys/limits.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { ManualClock } from "../../../lib/testing/index.ts"
import { bearer, startKeys } from "./rig.ts"

const isThere = spawnSync("redis-server", ["--version"]).status === 0
const skip = isThere ? false : "redis-server is not installed"
const LEASE_MS = 60_000

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}

async function startRedis(t: Test): Promise<{ url: string; stop(): void }> {
  const port = await freePort()
  const argv = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.testdir()]
  const child = spawn("redis-server", argv, { stdio: ["ignore", "pipe", "inherit"] })
  t.teardown(() => void child.kill("SIGKILL"))
  for await (const piece of child.stdout.setEncoding("utf8")) if (String(piece).includes("Ready to accept")) break
  return { url: `redis://127.0.0.1:${port}`, stop: () => void child.kill("SIGKILL") }
}

async function ledgerAt(t: Test, url: string, clock: ManualClock) {
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const ledger = await openRedisLedger(url, { clock, log, lease: () => LEASE_MS })
  t.teardown(() => ledger.close())
  return { ledger, lines }
}

let flows = 0
function wish(key: string, at: number, limits: Limits, tokens = 10, money = 0) {
  flows += 1
  return { id: `flow-${flows}`, key, at, slots: 1, tokens, money, limits }
}

test("a Redis reserves and settles as the database does, for several llmproxies", { skip }, async (t) => {
  const { url } = await startRedis(t)
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  const [one, two] = [await ledgerAt(t, url, clock), await ledgerAt(t, url, clock)]
  const at = clock.now()
  const limits = { requests: { day: 30 }, parallel: 25 }
  const all = Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? one : two).ledger.reserve(wish("k", at, limits)))
  t.equal((await Promise.all(all)).filter((verdict) => !("retryMs" in verdict)).length, 25)
  const day = spanAt("day", at)
  t.same(await one.ledger.used("k", [day, "d1999-01-01"]), [
    { requests: 25, tokens: 0, money: 0 },
    { requests: 0, tokens: 0, money: 0 },
  ])
  const tokens = { tokens: { day: 100 }, money: { month: 50 } }
  const first = wish("other", at, tokens, 60, 20)
  t.same(await one.ledger.reserve(first), [{ kind: "tokens", limit: 100, left: 40, resetMs: 86_400_000 }])
  t.match(await two.ledger.reserve(wish("other", at, tokens, 60)), { kind: "tokens", used: 60, wished: 60 })
  t.match(await two.ledger.reserve(wish("other", at, tokens, 1, 40)), { kind: "money", used: 20 })
  const settlement = { id: first.id, key: "other", at, tokens: 15, money: 5 }
  await one.ledger.settle(settlement)
  await one.ledger.settle(settlement)
  t.same(await two.ledger.used("other", [day]), [{ requests: 1, tokens: 15, money: 5 }])
  one.ledger.add("free", at, { requests: 1, tokens: 3, money: 0 })
  one.ledger.add("free", at, { requests: 1, tokens: 3, money: 0 })
  await one.ledger.close()
  t.same(await two.ledger.used("free", [day]), [{ requests: 2, tokens: 6, money: 0 }])
})

test("in a Redis, too, what a llmproxy that is gone has reserved lapses unless it is renewed", { skip }, async (t) => {
  const { url } = await startRedis(t)
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  const [gone, other] = [await ledgerAt(t, url, clock), await ledgerAt(t, url, clock)]
  const at = clock.now()
  const limits = { parallel: 1 }
  const lost = wish("k", at, limits, 40)
  await gone.ledger.reserve(lost)
  clock.advance(LEASE_MS - 1)
  await gone.ledger.renew()
  clock.advance(LEASE_MS - 1)
  t.match(await other.ledger.reserve(wish("k", at, limits)), { kind: "parallel" }, "it was renewed")
  clock.advance(1)
  t.same(await other.ledger.reserve(wish("k", at, limits)), [])
  await gone.ledger.settle({ id: lost.id, key: "k", at, tokens: 1, money: 0 })
  t.same(await other.ledger.used("k", [spanAt("day", at)]), [{ requests: 2, tokens: 40, money: 0 }])
})

test("the addon counts in the Redis that keys.redis names, and a Redis that is gone is a database that is", {
  skip,
}, async (t) => {
  const { url, stop } = await startRedis(t)
  const rig = await startKeys(t, { redis: url })
  const key = await rig.make({ limits: { requests: { minute: 1 } } })
  t.same([(await rig.chat(key)).status, (await rig.chat(key)).status], [200, 429])
  const free = await rig.make()
  stop()
  const other = await rig.make({ limits: { requests: { minute: 5 } } })
  t.equal((await rig.chat(other)).status, 503)
  t.equal((await rig.addon.request({ url: "/v1/models", headers: bearer(free) })).status, 200)
})

test("a Redis that does not answer stops the start, and no password is shown", async (t) => {
  const port = await freePort()
  const start = startKeys(t, { redis: `redis://user:secret-word@127.0.0.1:${port}` })
  const error: unknown = await start.catch((thrown: unknown) => thrown)
  t.match(String(error), /keys\.redis: 127\.0\.0\.1:\d+: .*; write redis:\/\/HOST:6379/)
  t.notMatch(String(error), "secret-word")
})
