/** Sessions as clients have them: /answer and /models as Local-LLM-API has them, and the field of OpenAI's clients. */
import { test } from "tap"
import profiles from "../../addons/profiles.ts"
import { RETRY_MS } from "../../addons/sessions/turns.ts"
import sessions from "../../addons/sessions.ts"
import type { JsonObject } from "../../lib/base/json.ts"
import { loadAddon } from "../../lib/testing/load-addon.ts"
import { chat, KEY, messagesIn, NAMED, startSessions } from "./sessions/rig.ts"

const ask = (prompt: unknown, more: JsonObject = {}, headers: Record<string, string> = {}) => ({
  ...{ url: "/answer", headers },
  json: { prompt: prompt as string, ...more },
})

test('a session goes on where it was, 7 and "7" are one, and it is its owner\'s', async (t) => {
  const addon = await startSessions(t)
  addon.answer("One.", "Two.", "Three.", "Four.")
  const first = await addon.request(ask("Hello, this is a long first question.", { session_id: 7 }, KEY("ann")))
  t.same([first.status, first.json()], [200, { result: "One." }])
  const second = await addon.request({ ...ask("And?", { session_id: "7" }, KEY("ann")), url: "/answer/" })
  t.same(second.json(), { result: "Two." })
  t.same(messagesIn(addon), ["user: Hello, this is a long first question.", "assistant: One.", "user: And?"])
  await addon.request(ask("Who am I?", { session_id: 7 }, KEY("bob")))
  t.same(messagesIn(addon), ["user: Who am I?"])
  await addon.request(ask("Alone?", { session_id: null }, KEY("ann")))
  t.same(messagesIn(addon), ["user: Alone?"], "without a session each request stands alone")
  for (const url of ["/answer", "/answer/"]) {
    t.same((await addon.request({ url, headers: KEY("ann") })).json(), { 7: "Hello, this is a long first qu..." })
    t.same((await addon.request({ url, headers: KEY("bob") })).json(), { 7: "Who am I?..." })
    t.same((await addon.request({ url })).json(), {})
  }
  t.same((await addon.request({ url: "/answer?limit=1&after=8", headers: KEY("ann") })).json(), {})
  const { url, llm } = addon.asked.at(-1) ?? {}
  t.match([url, llm?.model], ["http://127.0.0.1:1234/v1/chat/completions", "qwen3-4b"], "the first of the list")
})

test("what is no question is a clear 400, and reaches no model", async (t) => {
  const addon = await startSessions(t)
  const rule = "session_id: must be an integer, or a text of 1 to 200 characters"
  for (const [json, message] of [
    [{}, /^Question not provided: send it as a text/],
    [{ prompt: 7 }, /^Question not provided/],
    [{ prompt: "  " }, /^Question not provided/],
    [{ prompt: "a", session_id: 1.5 }, rule],
    [{ prompt: "a", session_id: "" }, rule],
    [{ prompt: "a", session_id: "x".repeat(201) }, rule],
    [{ prompt: "a", session_id: "x\0" }, rule],
    [{ prompt: "a", session_id: [1] }, rule],
    [{ prompt: "a", session_id: true }, rule],
    [{ prompt: "a", stream: "yes" }, "stream: must be true or false"],
  ] as [JsonObject, string | RegExp][]) {
    const answer = await addon.request({ url: "/answer", json })
    t.equal(answer.status, 400, JSON.stringify(json))
    t.match(answer.json(), { message })
  }
  const broken = { url: "/answer", text: "{", headers: { "Content-Type": "application/json" } }
  t.match((await addon.request(broken)).json(), { message: "the body is no JSON" })
  const unknown = await addon.request(ask("Hi.", {}, KEY("unknown")))
  t.same([unknown.status, unknown.json()], [401, { message: "Unauthorized" }])
  t.equal((await addon.request({ url: "/answer?limit=0" })).status, 400)
  t.equal(addon.asked.length, 0)
  t.equal((await addon.request(ask("x", { session_id: "é".repeat(200) }))).status, 200)
})

test("an answer streams as chunks of OpenAI's chat, and is kept once it is whole", async (t) => {
  const addon = await startSessions(t)
  addon.deltas(["Hel", "lo."])
  for (const request of [
    ask("One?", { session_id: 1, stream: true }),
    ask("Two?", { session_id: 1 }, { Accept: "text/event-stream" }),
  ]) {
    const answer = await addon.request(request)
    t.equal(answer.headers.get("content-type"), "text/event-stream")
    const events = [...answer.text.matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => data)
    t.equal(events.pop(), "[DONE]")
    const chunks = events.map((event) => JSON.parse(event).choices[0])
    t.same(
      chunks.map(({ delta }) => delta.content ?? ""),
      ["", "Hel", "lo.", ""],
    )
    t.equal(chunks.at(-1).finish_reason, "stop")
  }
  t.same(messagesIn(addon), ["user: One?", "assistant: Hello.", "user: Two?"])
})

test("an answer that is cut or fails is not kept, and its question neither", async (t) => {
  const addon = await startSessions(t)
  addon.answer({ deltas: ["Hel", "lo"], cut: true })
  const cut = await addon.request(ask("One?", { session_id: 1, stream: true }))
  t.match(cut.text, /"code":"answer_cut"/)
  t.ok(cut.broken)
  t.notMatch(cut.text, /\[DONE\]/)
  addon.answer({
    status: 429,
    headers: { "Retry-After": "9" },
    json: { error: { message: "slow down", code: "rate" } },
  })
  const refused = await addon.request(ask("Two?", { session_id: 1 }))
  t.match([refused.status, refused.json(), refused.headers.get("retry-after")], [429, { message: /slow down/ }, "9"])
  addon.answer({ deltas: ["Hel"], cut: true })
  await addon.request(chat([{ role: "user", content: "Three?" }], NAMED("1"), { stream: true }))
  addon.answer("Fine.")
  await addon.request(ask("Four?", { session_id: 1 }))
  t.same(messagesIn(addon), ["user: Four?"])
})

test("a client that leaves ends what was asked, and the next request of the session goes on", async (t) => {
  const addon = await startSessions(t)
  addon.deltas(["Hel", "lo."])
  const leaving = new AbortController()
  const onPiece = () => leaving.abort()
  await addon.request({ ...ask("One?", { session_id: 1, stream: true }), signal: leaving.signal, onPiece })
  addon.answer("Fine.")
  t.equal((await addon.request(ask("Two?", { session_id: 1 }))).status, 200)
})

test("OpenAI's clients name a session by a field, and send what is new", async (t) => {
  const addon = await startSessions(t)
  const user = (content: string) => ({ role: "user", content })
  const system = { role: "system", content: "Be brief." }
  addon.answer({ completion: { text: "", toolCalls: [{ id: "c1", name: "f", arguments: "{}" }] } }, "It is 1.", "Yes.")
  await addon.request(chat([system, user("Call f.")], NAMED("s"), { stream: true }))
  t.notOk(addon.asked.at(-1)?.headers.has("x-llmproxy-session"))
  await addon.request(chat([{ role: "tool", tool_call_id: "c1", content: "1" }], NAMED("s")))
  t.match(JSON.parse(addon.asked.at(-1)?.text ?? "").messages, [
    system,
    user("Call f."),
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }],
    },
    { role: "tool", tool_call_id: "c1", content: "1" },
  ])
  await addon.request(chat([{ role: "system", content: "Be long." }, user("Sure?")], NAMED("s")))
  t.same(messagesIn(addon), [
    "system: Be long.",
    "user: Call f.",
    "assistant: ",
    "tool: 1",
    "assistant: It is 1.",
    "user: Sure?",
  ])
  await addon.request(ask("And now?", { session_id: "s" }))
  t.same(
    messagesIn(addon).slice(-3),
    ["user: Sure?", "assistant: Yes.", "user: And now?"],
    "it is the same session at /answer",
  )
  t.equal(messagesIn(addon)[0], "system: Be brief.")
})

test("a field that names no session, or comes with another API, is 400", async (t) => {
  const addon = await startSessions(t)
  const long = await addon.request(chat([{ role: "user", content: "Hi." }], NAMED("x".repeat(201))))
  t.match([long.status, long.error?.code], [400, "invalid_session"])
  const json = { model: "qwen3-4b", max_tokens: 5, messages: [{ role: "user", content: "Hi." }] }
  const headers = { ...NAMED("1"), "anthropic-version": "2023-06-01" }
  const other = await addon.request({ url: "/v1/messages", headers, json })
  t.match([other.status, other.error?.message], [400, /is for chat completions, and this is anthropic-messages/])
  t.equal(addon.asked.length, 0)
})

test("only the newest turns that fit are sent, with the first message", async (t) => {
  const addon = await startSessions(t, { options: { tokens: 70 } })
  const long = (word: string) => `${word} ${"and so on ".repeat(6)}`
  for (const word of ["one", "two", "three"]) await addon.request(ask(long(word), { session_id: 1 }))
  t.same(
    messagesIn(addon).map((text) => text.slice(0, 12)),
    ["user: one an", "user: three "],
  )
  await addon.request(chat([{ role: "user", content: "four" }], NAMED("1")))
  t.same(
    messagesIn(addon).map((text) => text.slice(0, 12)),
    ["user: one an", "user: three ", "assistant: H", "user: four"],
  )
})

test("a conversation that is too long for its model is asked again with fewer turns, and that is remembered", async (t) => {
  const addon = await startSessions(t)
  const long = (word: string) => `${word} ${"and so on ".repeat(40)}`
  for (const word of ["one", "two", "three"]) await addon.request(ask(long(word), { session_id: 1 }))
  addon.answer(({ llm }) => {
    if (JSON.stringify(llm?.messages).length < 1_200) return "Fine."
    const message = "This model's maximum context length is 400 tokens. However, you requested 410 tokens."
    return {
      status: 400,
      json: { error: { message, type: "invalid_request_error", param: "messages", code: "context_length_exceeded" } },
    }
  })
  const answer = await addon.request(ask("four", { session_id: 1 }))
  t.same(answer.json(), { result: "Fine." })
  t.match(
    messagesIn(addon).map((text) => text.slice(0, 9)),
    ["user: one", "user: thr", "assistant", "user: fou"],
  )
  const before = addon.asked.length
  await addon.request(ask("five", { session_id: 1 }))
  t.equal(addon.asked.length, before + 1)
})

test("GET /models is the gateway's list, and sessions.model answers before its first", async (t) => {
  const addon = await startSessions(t, { options: { model: "vicuna.gguf" } })
  for (const url of ["/models", "/models/"])
    t.same((await addon.request({ url })).json(), { models: ["qwen3-4b", "vicuna.gguf"] })
  await addon.request(ask("Hi."))
  t.equal(addon.asked.at(-1)?.llm?.model, "vicuna.gguf")
  const alone = await startSessions(t, { upstreams: {} })
  t.match((await alone.request(ask("Hi."))).json(), { message: /no upstream/ })
  t.match((await alone.request({ url: "/docs/openapi.json" })).text, /"\/answer"/)
})

test("another llmproxy's request of the session is waited for", async (t) => {
  const addon = await startSessions(t)
  const { MIGRATIONS } = await import("../../addons/sessions/tables.ts")
  const { SessionStore } = await import("../../addons/sessions/store.ts")
  const store = new SessionStore(await addon.tables(MIGRATIONS), addon.clock)
  await store.take({ owner: "master", id: "1" }, "another")
  const asking = addon.request(ask("Hi.", { session_id: 1 }))
  let isThere = false
  void asking.then(() => {
    isThere = true
  })
  const before = addon.clock.made
  while (addon.clock.made < before + 2) await new Promise((resolve) => setImmediate(resolve))
  t.notOk(isThere)
  await store.leave({ owner: "master", id: "1" }, "another")
  while (!isThere) {
    addon.clock.advance(RETRY_MS)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal((await asking).status, 200)
})

test("a session that another has taken meanwhile is not written to, and the client is told", async (t) => {
  const addon = await startSessions(t)
  const { MIGRATIONS } = await import("../../addons/sessions/tables.ts")
  const { SessionStore } = await import("../../addons/sessions/store.ts")
  const store = new SessionStore(await addon.tables(MIGRATIONS), addon.clock)
  addon.answer(async () => {
    await store.delete({ owner: "master", id: "1" })
    return "Fine."
  })
  const answer = await addon.request(ask("Hi.", { session_id: 1 }))
  t.match([answer.status, answer.json()], [409, { message: /it was taken by another llmproxy meanwhile; ask again/ }])
  const streamed = await addon.request(ask("Hi.", { session_id: 1, stream: true }))
  t.match(streamed.text, /"code":"answer_cut"/)
  const whole = await addon.request(chat([{ role: "user", content: "Hi." }], NAMED("1")))
  t.equal(whole.completion?.text, "Fine.")
  t.match(addon.log.lines.join("\n"), /session 1: it was taken/)
  t.same(await store.list("master"), [])
})

test("beyond 64 requests of one session the next is told to come again", async (t) => {
  const addon = await startSessions(t)
  let go = () => {}
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  addon.answer(async () => {
    await gate
    return "Fine."
  })
  let over = 0
  const many = Array.from({ length: 66 }, async (_, at) => {
    const answer =
      at % 2 === 0
        ? await addon.request(ask("Hi.", { session_id: 1 }))
        : await addon.request(chat([{ role: "user", content: "Hi." }], NAMED("1")))
    if (answer.status === 429 && ++over === 2) go()
    return answer.status
  })
  const statuses = await Promise.all(many)
  t.same([statuses.filter((status) => status === 200).length, over], [64, 2])
})

test("clients of other machines that nobody has named get 401", async (t) => {
  const addon = await startSessions(t, { program: { trustedProxy: ["127.0.0.1/32"], profiles: { list: { a: {} } } } })
  const headers = { "X-Forwarded-For": "203.0.113.7" }
  for (const request of [
    ask("Hi.", {}, headers),
    { url: "/answer", headers },
    { url: "/models", headers },
    { url: "/models/model", headers, json: { model_config: "a" } },
  ]) {
    const answer = await addon.request(request)
    t.same([answer.status, answer.json()], [401, { message: "Unauthorized" }], request.url)
  }
  t.equal((await addon.request(chat([{ role: "user", content: "Hi." }], { ...NAMED("1"), ...headers }))).status, 401)
  t.equal(addon.asked.length, 0)
})

test("a profile's template holds the session's conversation, for OpenAI's clients too", async (t) => {
  const addon = await startSessions(t, {
    program: { profiles: { list: { a: { template: "T {chat_history} / {input}" } }, default: "a" } },
  })
  await addon.request(chat([{ role: "user", content: "One {input}?" }], NAMED("1")))
  await addon.request(chat([{ role: "user", content: "Two?" }], NAMED("1")))
  t.same(messagesIn(addon), ["user: T Human: One {input}?\nAI: Hello. / Two?"])
})

test("where the address leads to a server that lists no models, that is told", async (t) => {
  const addon = await loadAddon(sessions, { others: [profiles], program: { baseUpstream: "http://127.0.0.1:1234" } })
  t.teardown(() => addon.close())
  addon.answer({ text: "junk" })
  const answer = await addon.request({ url: "/models" })
  t.same([answer.status, answer.json()], [502, { message: "what came is no list of models" }])
})
