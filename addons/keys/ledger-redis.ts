/**
 * The ledger in a Redis, for many llmproxies that share no database of state. One script checks and reserves, one settles; all that
 * belongs to a key has one hash tag, so that a cluster keeps it in one place. What a llmproxy that is gone has reserved is counted
 * with the next request of that key, or the next renewal. ioredis is loaded where it is used, and is the user's to install.
 */
import { type Clock, type Logger, UsageError } from "llmproxy"
import { type Amounts, judge, type Refused, type Standing } from "./judge.ts"
import { type Ledger, NOTHING, type Reservation, type Settlement, sum } from "./ledger.ts"
import { KINDS, MINUTE_MS, SPANS, spanAt } from "./limits.ts"

/** Milliseconds that what keys without limits use is collected, and until what could not be written is tried again. */
const COLLECT_MS = 1_000
/** Milliseconds that a command may take. */
const COMMAND_MS = 2_000
/** Settlements that wait for a Redis that is gone; beyond, the lease decides. */
const SETTLEMENTS_MAX = 100_000

/** Seconds that the sums of a span are kept, by the first letter of its name: a day, 400 and 4,000 days. */
const COMMON = `
local base = KEYS[1]
local held, lease = base .. ':held', base .. ':lease'
local kept = { m = 86400, d = 34560000, M = 345600000 }
local function add(spans, requests, tokens, money)
  for _, span in ipairs(spans) do
    local usage = base .. ':' .. span
    redis.call('HINCRBY', usage, 'requests', requests)
    redis.call('HINCRBY', usage, 'tokens', tokens)
    redis.call('HINCRBY', usage, 'money', money)
    redis.call('EXPIRE', usage, kept[string.sub(span, 1, 1)])
  end
end
local function lapse(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', lease, '-inf', now)) do
    local one = redis.call('HGET', held, id)
    if one then
      local was = cjson.decode(one)
      add(was.spans, 0, was.tokens, was.money)
    end
    redis.call('HDEL', held, id)
    redis.call('ZREM', lease, id)
  end
end
`

/** ARGV: now, when it lapses, id, the reservation as JSON, the limits as JSON: of requests, tokens and money in three spans each. */
const RESERVE = `${COMMON}
lapse(tonumber(ARGV[1]))
local wish, limits = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
local running, before = 0, { 0, 0, 0, 0, 0, 0, 0, 0, 0 }
for index, span in ipairs(wish.spans) do
  local used = redis.call('HMGET', base .. ':' .. span, 'requests', 'tokens', 'money')
  for kind = 1, 3 do before[(kind - 1) * 3 + index] = tonumber(used[kind] or '0') or 0 end
end
for _, one in ipairs(redis.call('HVALS', held)) do
  local other = cjson.decode(one)
  running = running + other.slots
  for index, span in ipairs(wish.spans) do
    if other.spans[index] == span then
      before[3 + index] = before[3 + index] + other.tokens
      before[6 + index] = before[6 + index] + other.money
    end
  end
end
local isIn = 1
if limits.parallel and wish.slots > 0 and running + wish.slots > limits.parallel then isIn = 0 end
local wished = { 1, wish.tokens, wish.money }
for kind = 1, 3 do
  for index = 1, 3 do
    local limit = limits.spans[kind][index]
    if limit >= 0 and before[(kind - 1) * 3 + index] + wished[kind] > limit then isIn = 0 end
  end
end
if isIn == 1 then
  redis.call('HSET', held, ARGV[3], ARGV[4])
  redis.call('ZADD', lease, tonumber(ARGV[2]), ARGV[3])
  add(wish.spans, 1, 0, 0)
end
return cjson.encode({ isIn = isIn, running = running, before = before })
`

/** ARGV: id, tokens, money. */
const SETTLE = `${COMMON}
local one = redis.call('HGET', held, ARGV[1])
if not one then return 0 end
redis.call('HDEL', held, ARGV[1])
redis.call('ZREM', lease, ARGV[1])
add(cjson.decode(one).spans, 0, tonumber(ARGV[2]), tonumber(ARGV[3]))
return 1
`

/** ARGV: requests, tokens, money, spans. */
const ADD = `${COMMON}
add({ ARGV[4], ARGV[5], ARGV[6] }, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
return 1
`

/** ARGV: now, when it lapses, ids. What lapsed meanwhile stays so. */
const RENEW = `${COMMON}
for index = 3, #ARGV do redis.call('ZADD', lease, 'XX', tonumber(ARGV[2]), ARGV[index]) end
lapse(tonumber(ARGV[1]))
return 1
`

/** Of ioredis, what is used here. */
interface RedisClient {
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>
  hmget(key: string, ...fields: string[]): Promise<(string | null)[]>
  disconnect(): void
}

export interface RedisLedgerOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Milliseconds; as it is now. */
  lease(): number
}

/** Connects. Rejects with a UsageError that says what to install, or that nobody answers there. */
export async function openRedisLedger(url: string, options: RedisLedgerOptions): Promise<RedisLedger> {
  let Redis: typeof import("ioredis").Redis
  try {
    Redis = (await import("ioredis")).Redis
  } catch {
    throw new UsageError("keys.redis: ioredis is not installed; install it with: npm install --global ioredis@6.0.0")
  }
  const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 1, commandTimeout: COMMAND_MS })
  client.on("error", (error: Error) => options.log.debug(`keys.redis: ${error.message}`))
  try {
    await client.connect()
    await client.ping()
  } catch (thrown) {
    client.disconnect()
    const place = URL.canParse(url) ? new URL(url).host : "the URL"
    throw new UsageError(
      `keys.redis: ${place}: ${thrown instanceof Error ? thrown.message : String(thrown)}; write redis://HOST:6379`,
    )
  }
  return new RedisLedger(client, options)
}

class RedisLedger implements Ledger {
  readonly #client: RedisClient
  readonly #options: RedisLedgerOptions
  /** What runs here, by the flow's id. */
  readonly #open = new Map<string, string>()
  #unsettled: Settlement[] = []
  /** By key and minute. */
  #added = new Map<string, { readonly key: string; readonly at: number; readonly amounts: Amounts }>()
  #isWaiting = false

  constructor(client: RedisClient, options: RedisLedgerOptions) {
    this.#client = client
    this.#options = options
  }

  async reserve(wish: Reservation): Promise<Refused | readonly Standing[]> {
    const { id, key, at, slots, tokens, money, limits } = wish
    const { clock, lease } = this.#options
    const now = clock.now()
    const spans = SPANS.map((span) => spanAt(span, at))
    const most = KINDS.map((kind) => SPANS.map((span) => limits[kind]?.[span] ?? -1))
    const checked = JSON.stringify({ spans: most, parallel: limits.parallel })
    const text = await this.#client.eval(
      RESERVE,
      1,
      baseOf(key),
      now,
      now + lease(),
      id,
      JSON.stringify({ spans, slots, tokens, money }),
      checked,
    )
    const { isIn, running, before } = JSON.parse(String(text)) as { isIn: number; running: number; before: number[] }
    if (isIn === 1) this.#open.set(id, key)
    // The script has decided; this is the same said in words.
    const used = (name: string) => {
      const [requests = 0, used = 0, spent = 0] = [0, 3, 6].map((kind) => before[kind + spans.indexOf(name)])
      return { requests, tokens: used, money: spent }
    }
    const verdict = judge(wish, used, [{ at: 0, slots: running, tokens: 0, money: 0 }])
    if ((isIn === 1) === "retryMs" in verdict) throw new Error("the Redis and llmproxy do not agree about a limit")
    return verdict
  }

  async settle(settlement: Settlement): Promise<void> {
    const { id, key, tokens, money } = settlement
    this.#open.delete(id)
    try {
      await this.#client.eval(SETTLE, 1, baseOf(key), id, tokens, money)
    } catch (thrown) {
      this.#options.log.warn(`what a key has used could not be written, and is tried again: ${String(thrown)}`)
      if (this.#unsettled.length < SETTLEMENTS_MAX) this.#unsettled.push(settlement)
      this.#writeLater()
    }
  }

  add(key: string, at: number, amounts: Amounts): void {
    const id = `${key} ${Math.floor(at / MINUTE_MS)}`
    const before = this.#added.get(id)
    this.#added.set(id, { key, at, amounts: before === undefined ? amounts : sum(before.amounts, amounts) })
    this.#writeLater()
  }

  async used(key: string, spans: readonly string[]): Promise<readonly Amounts[]> {
    const all = spans.map((span) => this.#client.hmget(`${baseOf(key)}:${span}`, "requests", "tokens", "money"))
    return (await Promise.all(all)).map(([requests, tokens, money]) => ({
      requests: Number(requests ?? 0),
      tokens: Number(tokens ?? 0),
      money: Number(money ?? 0),
    }))
  }

  async renew(): Promise<void> {
    const { clock, lease, log } = this.#options
    const now = clock.now()
    const ids = new Map<string, string[]>()
    for (const [id, key] of this.#open) ids.set(key, [...(ids.get(key) ?? []), id])
    try {
      for (const [key, open] of ids) await this.#client.eval(RENEW, 1, baseOf(key), now, now + lease(), ...open)
    } catch (thrown) {
      log.warn(`reservations could not be renewed: ${String(thrown)}`)
    }
  }

  async close(): Promise<void> {
    await this.#write()
    this.#client.disconnect()
  }

  #writeLater(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#options.clock.after(COLLECT_MS, () => {
      this.#isWaiting = false
      void this.#write()
    })
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    const [unsettled, added] = [this.#unsettled, this.#added]
    this.#unsettled = []
    this.#added = new Map()
    for (const settlement of unsettled) await this.settle(settlement)
    for (const { key, at, amounts } of added.values()) {
      const { requests, tokens, money } = sum(NOTHING, amounts)
      const spans = SPANS.map((span) => spanAt(span, at))
      try {
        await this.#client.eval(ADD, 1, baseOf(key), requests, tokens, money, ...spans)
      } catch (thrown) {
        this.#options.log.debug(`what a key has used is written later: ${String(thrown)}`)
        this.add(key, at, amounts)
      }
    }
  }
}

function baseOf(key: string): string {
  return `llmproxy:{${key}}`
}
