import { mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { KyselyPlugin } from "kysely"
import { type Test, test } from "tap"
import type { FlowSnapshot } from "../../lib/api/flow.ts"
import { keepConversations } from "../../lib/store/contents.ts"
import { contentOf } from "../../lib/store/flow-record.ts"
import { openHistory } from "../../lib/store/history-place.ts"
import { openSqlite, singleValue } from "../../lib/store/sqlite.ts"
import { Writer } from "../../lib/store/writer.ts"
import { chat, START } from "../helpers/flow-snapshots.ts"
import { asked, kindOf, newDatabase, onBoth } from "../helpers/postgres.ts"

async function place(t: Test): Promise<string> {
  if (kindOf(t) === "PostgreSQL") return await newDatabase(t)
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-store-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return join(folder, "history.db")
}

async function writerIn(t: Test): Promise<{ file: string; writer: Writer; value(sql: string): Promise<unknown> }> {
  const file = await place(t)
  const writer = new Writer(await openHistory(file))
  t.teardown(() => writer.close())
  const value = async (sql: string) => {
    if (kindOf(t) === "PostgreSQL") return await valueOnServer(file, sql)
    const open = openSqlite(file, { readOnly: true })
    try {
      return singleValue(open.connection, sql)
    } finally {
      open.close()
    }
  }
  return { file, writer, value }
}

async function valueOnServer(url: string, sql: string): Promise<unknown> {
  const placed = sql
    .replace(/\b(from|join) (\w+)/g, "$1 llmproxy_history.$2")
    .replace("json_array(", "json_build_array(")
  const [row = {}] = await asked(url, placed)
  const [value] = Object.values(row)
  if (Array.isArray(value)) return JSON.stringify(value)
  return typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value
}

/** Of a file, whose size is known. */
async function bytesOf(writer: Writer): Promise<number> {
  return (await writer.bytes()) ?? Number.NaN
}

/** Deletes until nothing is left to do; resolves to the number of steps. */
async function tidy(writer: Writer, now: number): Promise<number> {
  for (let steps = 0; ; steps++) if (!(await writer.step(now))) return steps
}

const NO_LIMITS = { maxAgeMs: undefined, maxBytes: undefined }

onBoth("a conversation that is sent again is stored once", async (t) => {
  const { writer, value } = await writerIn(t)
  const messages = Array.from({ length: 150 }, (_, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content: `message ${i} ${"x".repeat(1000)}`,
  }))
  await writer.store([chat({ messages: messages.slice(0, 148) })])
  const before = { turns: await value("select count(*) from turns"), bytes: await bytesOf(writer) }
  t.equal(before.turns, 148)
  for (let round = 0; round < 20; round++) await writer.store([chat({ messages: messages.slice(0, 148) })])
  t.equal(await value("select count(*) from turns"), 148, "the same conversation adds no turn")
  await writer.store([chat({ messages })])
  t.equal(await value("select count(*) from turns"), 150, "a longer one adds what is new")
  t.equal(await value("select count(*) from flows"), 22)
  if (kindOf(t) === "SQLite")
    t.ok((await bytesOf(writer)) < before.bytes + 65_536, "twenty times 150 kB cost a few pages")
})

onBoth("what two conversations share is stored once, and where they part they part", async (t) => {
  const { writer, value } = await writerIn(t)
  const shared = ["a", "b", "c"].map((content) => ({ role: "user", content }))
  await writer.store([
    chat({ messages: [...shared, { role: "user", content: "left" }] }),
    chat({ messages: [...shared, { role: "user", content: "right" }, ...shared] }),
  ])
  t.equal(await value("select count(*) from turns"), 3 + 1 + 4)
  t.equal(await value("select refs from turns where position = 2"), 2, "both go on from the third turn")
})

onBoth("retention by age deletes the oldest flows and what only they refer to, in small steps", async (t) => {
  const { writer, value } = await writerIn(t)
  const shared = [{ role: "system", content: "You are kind." }]
  const flow = (start: number) =>
    chat({ start, messages: [...shared, { role: "user", content: `q ${start}` }], answer: `a ${start}` })
  await writer.store(Array.from({ length: 120 }, (_, i) => flow(START + i)))
  writer.retain({ ...NO_LIMITS, maxAgeMs: 1_000 })
  const steps = await tidy(writer, START + 1_100)
  t.ok(steps >= 2, `in ${steps} steps`)
  t.equal(await value("select count(*) from flows"), 20)
  t.equal(await value("select count(*) from turns"), 21)
  t.equal(await value("select refs from turns where position = 0"), 20)
  // Per flow: its question and answer. Shared: system prompt, parameters, two heads.
  t.equal(await value("select count(*) from contents"), 2 * 20 + 4)
  writer.retain({ ...NO_LIMITS, maxAgeMs: 0 })
  await tidy(writer, START + 1_000_000)
  t.equal(await value("select count(*) from flows"), 0)
  t.equal(await value("select count(*) from turns"), 0, "no turn is left over")
  t.equal(await value("select count(*) from contents"), 0, "no content is left over")
})

onBoth("a conversation longer than a step is deleted over several, and every step leaves a whole file", async (t) => {
  const { writer, value } = await writerIn(t)
  const messages = Array.from({ length: 1_300 }, (_, i) => ({ role: "user", content: `m ${i}` }))
  await writer.store([chat({ start: START, messages })])
  writer.retain({ ...NO_LIMITS, maxAgeMs: 1 })
  t.equal(await writer.step(START + 10), true)
  t.equal(await value("select count(*) from turns"), 800)
  t.equal(await value("select count(*) from flows"), 1)
  t.equal(
    await value("select count(*) from flows join turns on turns.hash = flows.conversation"),
    1,
    "the flow refers to what is left",
  )
  await tidy(writer, START + 10)
  t.equal(await value("select count(*) from turns"), 0)
  t.equal(await value("select count(*) from contents"), 0)
})

test("retention by size deletes the oldest until there is room, and gives the pages back", async (t) => {
  const { file, writer, value } = await writerIn(t)
  const flow = (i: number) =>
    chat({ start: START + i, messages: [{ role: "user", content: `${i} ${"y".repeat(40_000)}` }] })
  for (let i = 0; i < 100; i += 20) await writer.store(Array.from({ length: 20 }, (_, k) => flow(i + k)))
  const maxBytes = 2_000_000
  t.ok((await bytesOf(writer)) > maxBytes)
  writer.retain({ ...NO_LIMITS, maxBytes })
  await tidy(writer, START)
  t.ok((await bytesOf(writer)) <= maxBytes, String(await bytesOf(writer)))
  t.ok(Number(await value("select count(*) from flows")) > 20, "not more than needed")
  const kept = Number(await value("select count(*) from flows"))
  t.equal(await value("select min(started_at) from flows"), START + 100 - kept, "the latest are kept")
  const used = await bytesOf(writer)
  await writer.close()
  t.ok((await stat(file)).size < used + 1_048_576, "the file is hardly larger than what is in it")
})

onBoth("a flow that cannot be read costs itself, not its batch, and none is stored twice", async (t) => {
  const { writer, value } = await writerIn(t)
  const good = chat()
  const bad = chat({}, { request: { ...good.request, url: "no url" } })
  const failed = await writer.store([good, bad, good])
  t.strictSame([...failed.keys()], [bad.id])
  await writer.store([good])
  t.equal(await value("select count(*) from flows"), 1)
})

onBoth("contents beyond the limit are left out, and the flow says so", async (t) => {
  const { writer, value } = await writerIn(t)
  await writer.store([chat({ messages: [{ role: "user", content: "z".repeat(17 * 1024 * 1024) }] })])
  t.equal(await value("select incomplete from flows"), 1)
  t.equal(await value("select count(*) from contents"), 0)
  if (kindOf(t) === "SQLite") t.ok((await bytesOf(writer)) < 200_000)
})

onBoth("what is one to one with a flow stands in its row", async (t) => {
  const { writer, value } = await writerIn(t)
  const parent = chat({ route: "local", usage: { cachedTokens: 3, reasoningTokens: 2, source: "counted" } })
  const error = {
    kind: "rate_limit",
    status: 429,
    message: "slow down",
    code: "rate",
    type: undefined,
    raw: undefined,
  } as const
  const child: FlowSnapshot = {
    ...chat({}, { parentId: parent.id, error: { source: "upstream", code: "cut", message: "cut off" } }),
    llm: { dialect: "openai-chat", model: "m", completion: undefined, error },
  }
  await writer.store([{ ...parent, metadata: { "guard.tries": 2 } }, child])
  const columns =
    "route, route_reason, route_tokens, input_tokens, cached_tokens, reasoning_tokens, usage_source, metadata"
  t.strictSame(
    await value(`select json_array(${columns}) from flows where parent_id is null`),
    JSON.stringify(["local", "fits", 12, 10, 3, 2, "counted", '{"guard.tries":2}']),
  )
  t.strictSame(
    await value(
      "select json_array(parent_id, error_code, llm_error_kind, llm_error_message, status) from flows where parent_id is not null",
    ),
    JSON.stringify([parent.id, "cut", "rate_limit", "slow down", 200]),
  )
})

test("the files are nobody else's to read", { skip: process.platform === "win32" }, async (t) => {
  const { file, writer } = await writerIn(t)
  await writer.store([chat()])
  const folder = join(file, "..")
  for (const name of await readdir(folder)) t.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name)
})

onBoth("a flow that is stored again gets the counts that it had none of, and is not counted twice", async (t) => {
  const { writer, value } = await writerIn(t)
  const uncounted = chat({
    usage: { inputTokens: undefined, outputTokens: undefined, totalTokens: undefined, source: "none" },
  })
  await writer.store([uncounted])
  const refs = await value("select sum(refs) from contents")
  const counted = chat(
    { usage: { inputTokens: 7, outputTokens: 3, totalTokens: 10, source: "counted" } },
    { id: uncounted.id },
  )
  await writer.store([counted])
  const row = "select json_array(input_tokens, output_tokens, total_tokens, usage_source) from flows"
  t.equal(await value(row), '[7,3,10,"counted"]')
  t.equal(await value("select sum(refs) from contents"), refs, "its contents are referred to once")
  const other = chat(
    { usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2, source: "provider" } },
    { id: uncounted.id },
  )
  await writer.store([other])
  t.equal(await value(row), '[7,3,10,"counted"]', "what is there stays")
})

test("turns that another program adds meanwhile are referred to, not added twice", async (t) => {
  const { file, writer, value } = await writerIn(t)
  const messages = ["a", "b", "c"].map((content) => ({ role: "user", content }))
  const other = new Writer(await openHistory(file))
  t.teardown(() => other.close())
  await other.store([chat({ messages })])
  const { db, close } = openSqlite(file)
  t.teardown(close)
  const contents = [...messages, { role: "user", content: "d" }].map((message) => contentOf(message))
  // As if nothing had been there when this one looked: a look-up finds no turn, the insert finds three.
  const selects = new WeakSet<object>()
  const blind: KyselyPlugin = {
    transformQuery: ({ node, queryId }) => {
      if (node.kind === "SelectQueryNode") selects.add(queryId)
      return node
    },
    transformResult: async ({ result, queryId }) => (selects.has(queryId) ? { ...result, rows: [] } : result),
  }
  const added = await db
    .withPlugin(blind)
    .transaction()
    .execute((transaction) => keepConversations(transaction, [contents]))
  t.strictSame(
    added.map(({ json }) => json),
    ['{"role":"user","content":"d"}'],
  )
  t.equal(await value("select count(*) from turns"), 4)
  t.equal(await value("select group_concat(refs) from (select refs from turns order by position)"), "1,1,2,1")
  t.ok((await bytesOf(writer)) > 0)
})
