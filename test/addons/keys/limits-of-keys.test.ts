/** Limits through the running program: what is refused, in which words, and what an answer's end settles. */
import { test } from "tap"
import { MICRO, spanAt } from "../../../addons/keys/limits.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import { bearer, CHAT, chatBody, type KeysRig, startKeys } from "./rig.ts"

/** What is kept of a key: in the present day, and what is reserved. */
async function kept({ addon, clock, keyOf }: KeysRig, key: string) {
  const db = await addon.tables<Tables>(MIGRATIONS)
  const id = (await keyOf(key))?.id ?? ""
  const day = spanAt("day", clock.now())
  const rows = await db.selectFrom("usage").selectAll().where("key_id", "=", id).where("span", "=", day).execute()
  const held = await db.selectFrom("reservations").selectAll().where("key_id", "=", id).execute()
  const [{ requests, tokens, money } = { requests: 0, tokens: 0, money: 0 }] = rows
  return { requests, tokens, money, held: held.length }
}

/** Until what was settled is written: nothing waits for it but the end of the program. */
async function settled(rig: KeysRig, key: string, isSo: (state: Awaited<ReturnType<typeof kept>>) => boolean) {
  for (;;) {
    const state = await kept(rig, key)
    if (isSo(state)) return state
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const used = (inputTokens: number, outputTokens: number) => ({
  completion: { text: "Hello.", usage: { inputTokens, outputTokens } },
})

test("requests of a minute are counted, and the next one is told when to come again", async (t) => {
  const rig = await startKeys(t)
  const key = await rig.make({ limits: { requests: { minute: 2, day: 3 } } })
  const first = await rig.chat(key)
  t.same(
    ["limit", "remaining", "reset"].map((word) => first.headers.get(`x-ratelimit-${word}-requests`)),
    ["2", "1", "55s"],
  )
  t.equal((await rig.chat(key)).status, 200)
  const refused = await rig.chat(key)
  t.equal(refused.status, 429)
  t.match(refused.error, { code: "rate_limit_exceeded", message: /This key may use 2 requests a minute: 2 are used/ })
  t.same(
    ["retry-after", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"].map(
      (field) => refused.headers.get(field),
    ),
    ["55", "2", "0", "55s"],
  )
  rig.clock.advance(55_000)
  t.equal((await rig.chat(key)).status, 200)
  const day = await rig.chat(key)
  t.same([day.status, day.headers.get("x-ratelimit-reset-requests")], [429, "11h59m0s"])
  const claude = await rig.addon.request({
    url: "/v1/messages",
    headers: { "x-api-key": key },
    json: { model: "claude", max_tokens: 5, messages: [{ role: "user", content: "Hi" }] },
  })
  t.match(claude.json(), { type: "error", error: { message: /3 requests a day/ } }, "in the client's dialect")
  t.equal(rig.addon.asked.length, 3)
  t.match(await kept(rig, key), { requests: 3, held: 0 })
})

test("tokens are reserved before and settled after: what was reserved and not used is free again", async (t) => {
  const rig = await startKeys(t)
  const key = await rig.make({ limits: { tokens: { day: 1_000 } } })
  rig.addon.answer(used(100, 50))
  const large = await rig.chat(key, { max_tokens: 2_000 })
  t.equal(large.status, 429)
  t.match(large.error?.message, /1000 tokens a day, and this request alone may come to 20\d\d/)
  t.equal(large.headers.get("retry-after"), undefined, "waiting does not help")
  t.equal((await rig.chat(key)).status, 429, "without max_tokens the option says what is reserved")
  t.equal((await rig.chat(key, { max_tokens: 900 })).status, 200)
  t.match(await settled(rig, key, ({ held }) => held === 0), { requests: 1, tokens: 150 })
  t.equal((await rig.chat(key, { max_tokens: 880 })).status, 429)
  t.equal((await rig.chat(key, { max_tokens: 800 })).status, 200)
  const note = rig.addon.flows.at(-1)?.metadata["keys.usage"]
  t.match(note, { tokens: 150, how: "provider" })
})

test("embeddings count by what they say of their usage", async (t) => {
  const rig = await startKeys(t)
  const key = await rig.make({ limits: { tokens: { day: 1_000 } } })
  rig.addon.answer({ json: { object: "list", data: [], model: "e", usage: { prompt_tokens: 7, total_tokens: 7 } } })
  const ask = () => rig.addon.request({ url: "/v1/embeddings", headers: bearer(key), json: { model: "e", input: "x" } })
  t.equal((await ask()).status, 200)
  t.match(await settled(rig, key, ({ held }) => held === 0), { tokens: 7 })
})

test("money is counted by the price of the time, and an unknown price is refused with the reason", async (t) => {
  const rig = await startKeys(t, {}, { program: { baseUpstream: "https://api.openai.com" } })
  const key = await rig.make({ limits: { money: { month: 0.01 * MICRO } } })
  rig.addon.answer(used(1_000, 100))
  const unknown = await rig.chat(key, { model: "of-nobody" })
  t.same([unknown.status, unknown.error?.code], [403, "price_unknown"])
  t.equal((await rig.chat(key, { max_tokens: 100 })).status, 200)
  // 1,000 tokens at $2.50 and 100 at $10 for a million.
  t.match(await settled(rig, key, ({ held }) => held === 0), { money: 3_500, tokens: 1_100 })
  t.match(rig.addon.flows.at(-1)?.metadata["keys.usage"], {
    microDollars: 3_500,
    table: "genai-prices 0.1.8",
    date: "2026-09-23",
  })
  const over = await rig.chat(key, { max_tokens: 700 })
  t.same([over.status, over.error?.code], [429, "insufficient_quota"])
  t.match(over.error?.message, /This key may spend \$0\.01 a month/)
})

test("unknownPrice=allow lets a model without a price through for nothing", async (t) => {
  const rig = await startKeys(t, { unknownPrice: "allow" })
  const key = await rig.make({ limits: { money: { day: 100 } } })
  t.equal((await rig.chat(key, { model: "of-nobody" })).status, 200)
  t.match(rig.addon.flows.at(-1)?.metadata["keys.usage"], { microDollars: undefined })
})

test("a file of prices counts before", async (t) => {
  const { writeFile } = await import("node:fs/promises")
  const file = `${t.testdir()}/prices.json`
  await writeFile(file, JSON.stringify({ date: "2026-11-01", models: [{ model: "of-nobody", input: 1, output: 1 }] }))
  const rig = await startKeys(t, { pricesFile: file })
  const key = await rig.make({ limits: { money: { day: MICRO } } })
  rig.addon.answer(used(10, 10))
  t.equal((await rig.chat(key, { model: "of-nobody" })).status, 200)
  t.match(await settled(rig, key, ({ held }) => held === 0), { money: 20 })
  await t.rejects(startKeys(t, { pricesFile: `${file}.none` }), /prices in .*ENOENT/)
})

for (const [policy, how, tokens] of [
  ["abort", "aborted", undefined],
  ["estimate", "estimated", 25],
  ["drain", "drained", 150],
] as const)
  test(`of an answer whose client leaves, ${policy} counts what it says, and the record says which`, async (t) => {
    const rig = await startKeys(t, { clientGone: policy })
    const key = await rig.make({ limits: { tokens: { day: 1_000 } } })
    let goOn = () => {}
    const left = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const chunk = (delta: object, more: object = {}) =>
      `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "gpt-4o", choices: [{ index: 0, delta, ...more }] })}\n\n`
    rig.addon.answer({
      headers: { "Content-Type": "text/event-stream" },
      body: (async function* () {
        yield chunk({ content: "Hello " })
        await left
        yield chunk({ content: "Ann." }, { finish_reason: "stop" })
        yield `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [], usage: { prompt_tokens: 100, completion_tokens: 50, total_tokens: 150 } })}\n\n`
        yield "data: [DONE]\n\n"
      })(),
    })
    const leaving = new AbortController()
    const asked = rig.addon.request({
      url: CHAT,
      headers: bearer(key),
      json: chatBody({ stream: true, max_tokens: 15 }),
      signal: leaving.signal,
      onPiece: () => leaving.abort(),
    })
    // With drain the flow ends when its answer has been read.
    leaving.signal.addEventListener("abort", () => setImmediate(goOn))
    await asked
    const state = await settled(rig, key, ({ held }) => held === 0)
    const note = rig.addon.flows.at(-1)?.metadata["keys.usage"]
    t.match(note, { how })
    t.equal(state.requests, 1)
    if (tokens !== undefined) t.equal(state.tokens, tokens)
    else t.ok(state.tokens > 8 && state.tokens < 20, `${state.tokens} tokens: what was asked, and a word`)
  })

test("what reaches no model costs nothing, and an error of the host neither", async (t) => {
  const rig = await startKeys(t)
  const key = await rig.make({ limits: { tokens: { day: 10_000 } } })
  rig.addon.answer({ error: { status: 500, code: "x", message: "broken" } } as never, used(1, 1))
  await rig.chat(key)
  t.match(await settled(rig, key, ({ held }) => held === 0), { requests: 1, tokens: 0 })
})

test("no more run at a time than a key may", async (t) => {
  const rig = await startKeys(t)
  const key = await rig.make({ limits: { parallel: 1 } })
  let goOn = () => {}
  const waiting = new Promise<void>((resolve) => {
    goOn = resolve
  })
  rig.addon.answer(async () => {
    await waiting
    return "late"
  })
  const first = rig.chat(key)
  while (rig.addon.asked.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const second = await rig.chat(key)
  t.same([second.status, second.headers.get("retry-after")], [429, "1"])
  t.match(second.error?.message, /1 requests at a time, and 1 run/)
  goOn()
  t.equal((await first).status, 200)
  await settled(rig, key, ({ held }) => held === 0)
  t.equal((await rig.chat(key)).status, 200)
})

test("a key without limits writes nothing on a request's path, and what it uses is added soon", async (t) => {
  const rig = await startKeys(t)
  const key = await rig.make()
  rig.addon.answer(used(100, 50))
  for (let n = 0; n < 3; n++) t.equal((await rig.chat(key)).status, 200)
  t.match(await kept(rig, key), { requests: 0, held: 0 })
  rig.clock.advance(1_000)
  t.match(await settled(rig, key, ({ requests }) => requests > 0), { requests: 3, tokens: 450 })
})
