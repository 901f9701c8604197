/**
 * A hundred clients over twenty keys before one or several gateways, and the upstream's own count of what reached it: who asked, how
 * many at a time, and what it has told as used.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Kysely } from "kysely"
import type { Test } from "tap"
import { KeyBook } from "../../../addons/keys/book.ts"
import type { Limits } from "../../../addons/keys/limits.ts"
import { makeKey } from "../../../addons/keys/secret.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import { systemClock } from "../../../lib/base/clock.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { LazyStore } from "../../../lib/store/lazy-store.ts"
import { storePlaces } from "../../../lib/store/places.ts"
import { kindOf, newDatabase } from "../../helpers/postgres.ts"
import { folderFor, type Gateway, startGateway, startUpstreams } from "./rig.ts"

export const KEYS = 20
const CLIENTS = 100
/** Requests of a client. */
const EACH = 6
/** What an answer uses; less than what is reserved for it. */
const USED = { inputTokens: 3, outputTokens: 7 }
export const USED_TOKENS = USED.inputTokens + USED.outputTokens
const MAX_TOKENS = 20
/** Most that is reserved for a request: its counted input and `MAX_TOKENS`. */
export const RESERVED_MAX = 60
const PARALLEL = 3
/** Turns of the upstream's loop that an answer takes. */
const TURNS = 50
/** In turn: each kind of limit is met by some keys. A token costs a micro-dollar. */
const LIMITS: readonly Limits[] = [
  { parallel: PARALLEL, requests: { month: 11 } },
  { parallel: PARALLEL, tokens: { month: 130 } },
  { parallel: PARALLEL, money: { month: 120 } },
  { parallel: PARALLEL, tokens: { month: 100_000 } },
]

/** What the upstream has seen of one key's clients. */
interface Seen {
  requests: number
  answered: number
  running: number
  most: number
}

interface Client {
  readonly who: number
  readonly nonce: string
  readonly gateway: Gateway
  readonly stream: boolean
}

export interface Counted {
  readonly requests: number
  readonly tokens: number
  readonly money: number
}

export async function startMany(t: Test, processes: number) {
  const upstreams = await startUpstreams(t)
  const folder = folderFor(t, upstreams)
  const confdir = join(folder, "conf")
  const prices = join(folder, "prices.json")
  writeFileSync(prices, JSON.stringify({ date: "2026-11-30", models: [{ model: "*", input: 1, output: 1 }] }))
  const config = join(confdir, "config.yaml")
  writeFileSync(config, `${readFileSync(config, "utf8")}keys: { lease: 3, pricesFile: "${prices}" }\n`)
  const server = kindOf(t) === "PostgreSQL" ? await newDatabase(t) : undefined
  const { db, keys, ids } = await makeKeys(t, confdir, server)
  const seen = Array.from({ length: KEYS }, (): Seen => ({ requests: 0, answered: 0, running: 0, most: 0 }))
  let count = 0
  let onSeen = (_: number) => {}
  upstreams.openai.say(async ({ llm }) => {
    const { user, nonce } = JSON.parse(String(llm?.body.user ?? "{}"))
    const one = seen[user] ?? { requests: 0, answered: 0, running: 0, most: 0 }
    if (user % LIMITS.length !== 0) onSeen(++count)
    one.requests++
    one.running++
    one.most = Math.max(one.most, one.running)
    for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
    one.running--
    one.answered++
    return { completion: { text: `${user} ${nonce}`, usage: USED } }
  })
  const args = ["-s", "gateway", ...(server === undefined ? [] : ["--database", server])]
  const start = () => startGateway(t, folder, { args })
  const gateways: Gateway[] = []
  for (let number = 0; number < processes; number++) gateways.push(await start())
  return {
    gateways,
    start,
    seen,
    keys,
    counted: (index: number) => countedOf(db, ids[index] ?? ""),
    open: () => openOf(db),
    /** With each request that the upstream gets of a key whose tokens are counted, before it answers. */
    whenSeen: (told: typeof onSeen) => {
      onSeen = told
    },
  }
}

async function makeKeys(t: Test, confdir: string, server: string | undefined) {
  const log = makeLogger(() => {})
  const store = new LazyStore({ ...storePlaces(confdir, server), log })
  t.teardown(() => store.close())
  const db = await store.tables<Tables>("keys", MIGRATIONS)
  const book = new KeyBook(db, systemClock, log)
  const keys = Array.from({ length: KEYS }, () => makeKey())
  const ids: string[] = []
  for (const [index, key] of keys.entries())
    ids.push(await book.create(key, { label: `key ${index}`, limits: LIMITS[index % LIMITS.length] ?? {} }))
  return { db, keys, ids }
}

/** Of all months: a test may run into the next one. */
async function countedOf(db: Kysely<Tables>, id: string): Promise<Counted> {
  const rows = await db.selectFrom("usage").selectAll().where("key_id", "=", id).execute()
  const months = rows.filter(({ span }) => span.startsWith("M"))
  const sum = (kind: keyof Counted) => months.reduce((total, row) => total + Number(row[kind]), 0)
  return { requests: sum("requests"), tokens: sum("tokens"), money: sum("money") }
}

/** How many reservations stand. */
async function openOf(db: Kysely<Tables>): Promise<number> {
  return (await db.selectFrom("reservations").select("id").execute()).length
}

/** One request; its status, or undefined where the gateway went away. Throws where somebody else's answer came. */
async function ask(key: string, { who, nonce, gateway, stream }: Client): Promise<number | undefined> {
  let status: number
  let text: string
  try {
    const answer = await fetch(`${gateway.base}/v1/chat/completions`, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}` },
      body: JSON.stringify({
        model: "gpt-4.1",
        max_tokens: MAX_TOKENS,
        user: JSON.stringify({ user: who, nonce }),
        messages: [{ role: "user", content: "Say hello." }],
        ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
      }),
    })
    status = answer.status
    text = await answer.text()
  } catch {
    return undefined
  }
  if (status === 200 && saidIn(text, stream) !== `${who} ${nonce}`)
    throw new Error(`${who} ${nonce} was told ${saidIn(text, stream)}`)
  return status
}

function saidIn(text: string, stream: boolean): string {
  if (!stream) return JSON.parse(text).choices[0].message.content
  const events = text.split("\n\n").filter((event) => /^data: \{/.test(event))
  return events.map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? "").join("")
}

/** All clients, each with its requests one after the other. Resolves to the statuses. */
export async function askAll(gateways: readonly Gateway[], keys: readonly string[]): Promise<number[]> {
  const statuses: number[] = []
  const client = async (index: number) => {
    const who = index % KEYS
    const gateway = gateways[index % gateways.length]
    if (gateway === undefined) return
    for (let count = 0; count < EACH; count++) {
      const nonce = `${index}-${count}`
      const status = await ask(keys[who] ?? "", { who, nonce, gateway, stream: (index + count) % 2 === 0 })
      if (status === undefined) return
      statuses.push(status)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)))
  return statuses
}

/** Nothing is over a limit that a key has. */
export function withinLimits(t: Test, index: number, one: Counted, most: number): void {
  const { parallel = 0, requests, tokens, money } = LIMITS[index % LIMITS.length] ?? {}
  t.ok(most <= parallel, `key ${index}: ${most} at a time`)
  for (const [kind, limit] of [
    ["requests", requests?.month],
    ["tokens", tokens?.month],
    ["money", money?.month],
  ] as const)
    if (limit !== undefined) t.ok(one[kind] <= limit, `key ${index}: ${one[kind]} of ${limit} ${kind}`)
}
