import assert from "node:assert/strict"
import zlib from "node:zlib"
import type { Test } from "tap"
import { test } from "tap"
import type { RespondOptions, SendOptions } from "../../../lib/api/flow.ts"
import {
  addon,
  answer,
  CHAT,
  COMPLETIONS,
  chat,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  eventsOf,
  FINISH,
  gate,
  jsonAnswer,
  origin,
  recorder,
  request,
  SSE_HEAD,
  sseAnswer,
  startHost,
  textEvent,
  until,
} from "../../helpers/hosts/proxy-host.ts"

interface Case {
  /** What the upstream sends. */
  up: Buffer
  /** Where the child goes. */
  path?: string
  /** What the client asks for. */
  client?: object
  respond?: RespondOptions
  send?: Partial<SendOptions>
}

/** One request of a client, answered by a child. */
async function relayed(t: Test, { up, path = CHAT, client = {}, respond = {}, send = {} }: Case) {
  const from = await origin(t, (_, socket) => void socket.write(up))
  const seen = recorder(["llmResponse", "llmError", "response", "error"])
  const relays = addon("relays", {
    async llmRequest(flow) {
      const json =
        path === CHAT ? { model: "c", messages: [], stream: true } : { model: "c", prompt: "p", stream: true }
      flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${from.port}${path}`, ...send }), respond)
    },
  })
  const host = await startHost(t, { addons: [relays, seen.addon] })
  const wire = await host.connect()
  wire.write(chat(from.port, client))
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
  return { response, seen, text: response.text, events: eventsOf(response.text) }
}

const USAGE = {
  inputTokens: 3,
  outputTokens: 4,
  totalTokens: 7,
  cachedTokens: undefined,
  reasoningTokens: undefined,
  source: "counted",
} as const
const WRITTEN = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }

test("chat SSE for a client that streams chat: the same bytes, event by event, comments and odd spacing included", async (t) => {
  const odd = `data:${chatEvent("b").slice(6).replace("\n\n", "\r\n\r\n")}`
  const { response, text } = await relayed(t, {
    up: sseAnswer(": comment\n\n", chatEvent("a"), odd, FINISH, "data:[DONE]\n\n"),
    client: { stream: true },
  })
  assert.equal(text, `: comment\n\n${chatEvent("a")}${odd}${FINISH}data:[DONE]\n\n`)
  assert.equal(response.headers.get("content-type"), "text/event-stream")
  assert.equal(response.headers.get("cache-control"), "no-cache")
})

test("a model override changes that one value of each event, and nothing else", async (t) => {
  const tricky = chatEvent('say "model":"up" and $& now')
  const { text } = await relayed(t, {
    up: sseAnswer(tricky, FINISH, DONE),
    client: { stream: true },
    respond: { model: 'mine "$&"' },
  })
  const renamed = (event: string) => event.replace(/"model":"up"/, () => '"model":"mine \\"$&\\""')
  assert.equal(text, renamed(tricky) + renamed(FINISH) + DONE)
})

test("completions SSE becomes chat SSE", async (t) => {
  const { events, text } = await relayed(t, {
    up: sseAnswer(textEvent("he"), textEvent("llo", "stop"), DONE),
    path: COMPLETIONS,
    client: { stream: true },
  })
  const seen = events as { object: string; model: string; choices: { delta: object; finish_reason: string | null }[] }[]
  assert.deepEqual(
    seen.map(({ object, model, choices }) => [object, model, choices[0]?.delta, choices[0]?.finish_reason]),
    [
      ["chat.completion.chunk", "up", { role: "assistant", content: "he" }, null],
      ["chat.completion.chunk", "up", { content: "llo" }, null],
      ["chat.completion.chunk", "up", {}, "stop"],
    ],
  )
  assert.ok(text.endsWith(DONE))
})

test("chunks of another dialect that no delta tells have no place in the client's stream", async (t) => {
  const other = `data: ${JSON.stringify({ object: "text_completion", choices: [{ index: 0, strange: 1 }] })}\n\n`
  const { text } = await relayed(t, {
    up: sseAnswer(textEvent("a"), other, textEvent("", "stop"), DONE),
    path: COMPLETIONS,
    client: { stream: true },
  })
  assert.doesNotMatch(text, /strange/)
})

test("JSON becomes SSE, SSE becomes JSON, completions JSON becomes chat JSON", async (t) => {
  const toSse = await relayed(t, { up: jsonAnswer(chatJson("whole")), client: { stream: true } })
  const [first] = toSse.events as { id: string; choices: { delta: object }[] }[]
  assert.deepEqual(first?.choices[0]?.delta, { role: "assistant", content: "whole" })
  assert.ok(toSse.text.endsWith(DONE))

  const toJson = await relayed(t, {
    up: sseAnswer(chatEvent("a"), chatEvent("b"), FINISH, DONE),
    respond: { model: "mine" },
  })
  const whole = JSON.parse(toJson.text) as {
    model: string
    object: string
    choices: { message: { content: string } }[]
  }
  assert.deepEqual([whole.model, whole.object, whole.choices[0]?.message.content], ["mine", "chat.completion", "ab"])
  assert.equal(toJson.response.headers.get("content-type"), "application/json")

  const json = {
    id: "t",
    object: "text_completion",
    created: 1,
    model: "up",
    choices: [{ index: 0, text: "x", finish_reason: "length" }],
  }
  const crossed = await relayed(t, { up: jsonAnswer(json), path: COMPLETIONS })
  const chatted = JSON.parse(crossed.text) as {
    object: string
    choices: { message: { content: string }; finish_reason: string }[]
  }
  assert.deepEqual(
    [chatted.object, chatted.choices[0]?.message.content, chatted.choices[0]?.finish_reason],
    ["chat.completion", "x", "length"],
  )
})

test("JSON for a JSON client of the same dialect: the same bytes, save what is to be changed", async (t) => {
  const odd = `{ "id":"1",  "choices":[{"index":0,"message":{"role":"assistant","content":"a","annotations":[]},"logprobs":{"x":1e2}}], "model":"up" }`
  const up = answer(odd, "Content-Type: application/json\r\n")
  assert.equal((await relayed(t, { up })).text, odd)
  assert.equal((await relayed(t, { up, respond: { model: "mine" } })).text, odd.replace('"up"', '"mine"'))
  const counted = JSON.parse((await relayed(t, { up, respond: { usage: USAGE } })).text) as {
    usage: object
    choices: object
  }
  assert.deepEqual(counted.usage, WRITTEN)
  assert.deepEqual(counted.choices, (JSON.parse(odd) as { choices: object }).choices)
})

test("usage that is missing is counted: told in SSE where the client asked for it, always in JSON and to the hooks", async (t) => {
  const up = sseAnswer(chatEvent("a"), FINISH, DONE)
  const usage = async () => USAGE
  const silent = await relayed(t, { up, client: { stream: true }, respond: { usage } })
  assert.equal(silent.text, chatEvent("a") + FINISH + DONE)
  assert.deepEqual(silent.seen.flow().llm?.completion?.usage, USAGE)

  const asked = { stream: true, stream_options: { include_usage: true } }
  const told = await relayed(t, { up, client: asked, respond: { usage } })
  const last = told.events.at(-1) as { usage: object; choices: unknown[] }
  assert.deepEqual([last.usage, last.choices], [WRITTEN, []])
  assert.ok(told.text.startsWith(chatEvent("a") + FINISH), "no event is changed, none is said twice")

  const crossed = await relayed(t, {
    up: sseAnswer(textEvent("a", "stop"), DONE),
    path: COMPLETIONS,
    client: asked,
    respond: { usage },
  })
  assert.deepEqual((crossed.events.at(-1) as { usage: object }).usage, WRITTEN)

  const hosts = { choices: [], usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 } }
  const unasked = await relayed(t, {
    up: sseAnswer(textEvent("a", "stop"), `data: ${JSON.stringify(hosts)}\n\n`, DONE),
    path: COMPLETIONS,
    client: { stream: true },
    respond: { usage },
  })
  assert.ok(!unasked.text.includes("prompt_tokens"), "the client did not ask")
  const { usage: known } = unasked.seen.flow().llm?.completion ?? {}
  assert.deepEqual([known?.inputTokens, known?.source], [7, "provider"], "the hooks get the host's own count")

  const json = await relayed(t, { up, respond: { usage: USAGE } })
  assert.deepEqual((JSON.parse(json.text) as { usage: object }).usage, WRITTEN)

  const own = chatEvent("", { choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } })
  const given = await relayed(t, {
    up: sseAnswer(chatEvent("a"), FINISH, own, DONE),
    client: asked,
    respond: { usage: () => Promise.reject(new Error("not asked")) },
  })
  assert.equal(given.text, chatEvent("a") + FINISH + own + DONE)

  const endless = await relayed(t, { up: sseAnswer(chatEvent("a"), FINISH), client: asked, respond: { usage } })
  assert.equal(endless.text, chatEvent("a") + FINISH)
  assert.deepEqual(endless.seen.flow().llm?.completion?.usage, USAGE)

  const broken = await relayed(t, { up, client: asked, respond: { usage: () => Promise.reject(new Error("no")) } })
  assert.equal(broken.text, chatEvent("a") + FINISH + DONE)
})

test("an encoded answer leaves decoded, whichever way it takes", async (t) => {
  const fields = "Content-Type: application/json\r\nContent-Encoding: gzip\r\nETag: x\r\n"
  const json = await relayed(t, { up: answer(zlib.gzipSync(JSON.stringify(chatJson("zip"))), fields) })
  assert.equal(json.text, JSON.stringify(chatJson("zip")))
  const events = chatEvent("a") + FINISH + DONE
  const sse = answer(zlib.brotliCompressSync(events), "Content-Type: text/event-stream\r\nContent-Encoding: br\r\n")
  const streamed = await relayed(t, { up: sse, client: { stream: true } })
  assert.equal(streamed.text, events)
  assert.equal(streamed.response.headers.has("content-encoding"), false)
})

test("an error status keeps its body and its fields within one dialect, and its meaning across two", async (t) => {
  const body = { error: { message: "slow", code: "rate", type: "t", extra: [1] } }
  const up = jsonAnswer(body, "429 Too Many Requests", "Retry-After: 7\r\nX-Limit: 1\r\n")
  const same = await relayed(t, { up, client: { stream: true } })
  assert.deepEqual([same.response.status, same.text], [429, JSON.stringify(body)])
  assert.equal(same.response.headers.get("x-limit"), "1")
  assert.deepEqual(same.seen.events.toSorted(), ["llmError", "llmError", "response", "response"], "child and parent")
  const crossed = await relayed(t, { up, path: COMPLETIONS })
  assert.equal(crossed.response.status, 429)
  assert.equal(crossed.response.headers.get("retry-after"), "7")
  assert.equal((JSON.parse(crossed.text) as typeof body).error.message, "slow")
})

test("an answer taken at its head: an error is an error, JSON is read, a stream begins at once", async (t) => {
  const send = { until: "head" } as const
  const failed = await relayed(t, {
    up: jsonAnswer({ error: { message: "x" } }, "503 No"),
    send,
    client: { stream: true },
  })
  assert.equal(failed.response.status, 503)
  assert.equal((await relayed(t, { up: jsonAnswer(chatJson("j")), send })).text, JSON.stringify(chatJson("j")))
  const empty = await relayed(t, { up: sseAnswer(FINISH, DONE), send, client: { stream: true } })
  assert.equal(empty.text, FINISH + DONE)
})

test("a stream that breaks in the middle breaks for the client as well, never ends cleanly", async (t) => {
  const error = `data: ${JSON.stringify({ error: { message: "broke", code: "server_error", type: "t" } })}\n\n`
  const cases: [string, string, Buffer][] = [
    ["error, same dialect", CHAT, sseAnswer(chatEvent("a"), error, DONE)],
    ["error, another dialect", COMPLETIONS, sseAnswer(textEvent("a"), error, DONE)],
    ["cut, same dialect", CHAT, Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))])],
    ["cut, another dialect", COMPLETIONS, Buffer.concat([Buffer.from(SSE_HEAD), chunk(textEvent("a"))])],
  ]
  for (const [what, path, bytes] of cases) {
    const firstSeen = gate()
    const from = await origin(t, async (_, socket) => {
      socket.write(bytes)
      await firstSeen.opened
      socket.end()
    })
    const seen = recorder(["llmResponse", "llmError", "response", "error"])
    const mine: string[] = []
    const relays = addon("relays", {
      async llmRequest(flow) {
        const json =
          path === CHAT ? { model: "c", messages: [], stream: true } : { model: "c", prompt: "p", stream: true }
        flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${from.port}${path}` }))
        firstSeen.open()
      },
      response: () => void mine.push("response"),
      error: () => void mine.push("error"),
    })
    const host = await startHost(t, { addons: [relays, seen.addon] })
    const wire = await host.connect()
    wire.write(chat(from.port, { stream: true }))
    await assert.rejects(wire.until("\r\n0\r\n\r\n"), what)
    assert.equal(wire.text.includes("broke"), what.startsWith("error"), what)
    await host.settled()
    assert.deepEqual(mine, ["error"], what)
    assert.equal(host.server.core.memory.used, 0)
  }
})

test("SSE that breaks before a JSON client has anything is a 502 with the reason", async (t) => {
  const error = `data: ${JSON.stringify({ error: { message: "broke" } })}\n\n`
  const { response, text } = await relayed(t, { up: sseAnswer(chatEvent("a"), error) })
  assert.equal(response.status, 502)
  assert.match(text, /broke/)
})

test("answers for clients that speak no dialect, or were answered before llmRequest", async (t) => {
  const from = await origin(t, ({ target }, socket) => {
    if (target === "/raw") socket.write(answer("raw bytes", "X-A: b\r\nETag: e\r\n"))
    else if (target === "/zip") socket.write(answer(zlib.gzipSync("zipped"), "Content-Encoding: gzip\r\nETag: e\r\n"))
    else socket.write(sseAnswer(chatEvent("a"), chatEvent("b"), FINISH, DONE))
  })
  const relays = addon(
    "relays",
    {
      async request(flow) {
        const { path } = flow.request
        const to = path.startsWith("/v1") || path === "/chat" ? CHAT : path
        const json = { model: "c", messages: [], stream: true }
        flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${from.port}${to}` }))
      },
    },
    { reads: "bodies" },
  )
  const host = await startHost(t, { addons: [relays] })
  const wire = await host.connect()
  wire.write(request("GET", 1, "/raw"))
  const raw = await wire.response()
  assert.deepEqual([raw.text, raw.headers.get("x-a"), raw.headers.get("etag")], ["raw bytes", "b", "e"])
  wire.write(request("GET", 1, "/zip"))
  const zip = await wire.response()
  assert.deepEqual([zip.text, zip.headers.has("content-encoding"), zip.headers.has("etag")], ["zipped", false, false])
  wire.write(request("GET", 1, "/chat"))
  assert.equal((await wire.response()).text, chatEvent("a") + chatEvent("b") + FINISH + DONE)
  wire.write(chat(1))
  const early = JSON.parse((await wire.response("POST")).text) as { choices: { message: { content: string } }[] }
  assert.equal(early.choices[0]?.message.content, "ab")
  await until(() => host.chain.flows === 0)
})
