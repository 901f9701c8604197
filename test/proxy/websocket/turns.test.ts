/**
 * Conversations with a model over a WebSocket: each turn is a flow with all its hooks, whatever becomes of it.
 */
import { once } from "node:events"
import { test } from "tap"
import type { WebSocket } from "ws"
import type { Completion, Delta, Flow } from "../../../lib/api/flow.ts"
import { openaiResponses } from "../../../lib/llm/responses/responses.ts"
import {
  addon,
  answer,
  CHAT,
  chatEvent,
  FINISH,
  gate,
  origin,
  recorder,
  sseAnswer,
  until,
} from "../../helpers/hosts/proxy-host.ts"
import { type SocketHost, startSocketHost } from "../../helpers/hosts/websocket-host.ts"

const PATH = "/v1/responses"

function ask(input: string, more: object = {}): string {
  return JSON.stringify({ type: "response.create", model: "gpt-x", input, ...more })
}

/** What a Responses server says to one request. */
function told(text: string, id = "resp_1"): object[] {
  const usage = { input_tokens: 5, output_tokens: 2, total_tokens: 7 }
  const item = { type: "message", role: "assistant", content: [{ type: "output_text", text }] }
  return [
    { type: "response.created", response: { id, model: "gpt-x", status: "in_progress" } },
    ...[...text].map((delta) => ({ type: "response.output_text.delta", output_index: 0, content_index: 0, delta })),
    { type: "response.completed", response: { id, model: "gpt-x", status: "completed", output: [item], usage } },
  ]
}

/** A server that answers each request with its input, and says what it was asked. */
function responsesServer(asked: string[]): (socket: WebSocket) => void {
  return (socket) =>
    socket.on("message", (data) => {
      asked.push(String(data))
      const { input, fail } = JSON.parse(String(data)) as { input: string; fail?: boolean }
      const error = { type: "error", status: 429, error: { code: "rate_limit_exceeded", message: "slow down" } }
      for (const event of fail === true ? [error] : told(`${input}!`)) socket.send(JSON.stringify(event))
    })
}

/** An answer as a completion. */
function readAnswerOf(text: string): { completion: Completion } {
  const output = [{ type: "message", role: "assistant", content: [{ type: "output_text", text }] }]
  const answered = openaiResponses.parseAnswer({ id: "resp_2", object: "response", status: "completed", output })
  if (answered?.completion === undefined) throw new Error("no answer")
  return answered
}

/** Every message up to the one that ends the turn. */
async function turn({ next }: { next(): Promise<string | Buffer> }): Promise<string[]> {
  const messages: string[] = []
  for (;;) {
    const message = String(await next())
    messages.push(message)
    if (/"type":"(response\.(completed|failed|incomplete|done)|error)"/.test(message)) return messages
  }
}

function textOf(messages: readonly string[]): string {
  const events = messages.map((message) => JSON.parse(message) as { type: string; delta?: string })
  return events.map(({ type, delta }) => (type === "response.output_text.delta" ? delta : "")).join("")
}

async function quiet(host: SocketHost, client: { socket: WebSocket; closed: Promise<unknown> }): Promise<void> {
  client.socket.close()
  await client.closed
  await host.proxy.settled()
}

test("each turn is a flow with its own hooks, and every byte of both sides stays", async (t) => {
  const hooks: string[] = []
  const completions: Completion[] = []
  const flows = new Set<Flow>()
  const note = (name: string) => (flow: Flow) => {
    flows.add(flow)
    hooks.push(`${flow.turn?.number ?? "socket"} ${name}`)
  }
  const watch = addon("watch", {
    requestHeaders: note("requestHeaders"),
    llmRequest(flow) {
      note(`llmRequest ${flow.llm.dialect} ${flow.llm.request.model} ${flow.llm.request.stream}`)(flow)
    },
    llmDelta(flow, delta: Delta) {
      if (delta.type === "text") hooks.push(`${flow.turn?.number} ${delta.text}`)
    },
    llmResponse(flow, completion) {
      completions.push(completion)
      note("llmResponse")(flow)
    },
    websocketEnd: note("websocketEnd"),
    response: note("response"),
    error: note("error"),
  })
  const asked: string[] = []
  const host = await startSocketHost(t, { addons: [watch], serve: responsesServer(asked) })
  const client = await host.client({}, PATH)
  const sent = ["a", "b"].map((input) => ask(input, { spaced: [1.0, 1e3] }).replace(",", " ,\n "))
  for (const message of sent) {
    client.socket.send(message)
    const got = await turn(client)
    const { input } = JSON.parse(message)
    t.same(
      got,
      told(`${input}!`).map((event) => JSON.stringify(event)),
    )
  }
  t.same(asked, sent)
  await quiet(host, client)
  t.same(hooks, [
    "socket requestHeaders",
    "1 requestHeaders",
    "1 llmRequest openai-responses gpt-x true",
    "1 a",
    "1 !",
    "1 llmResponse",
    "1 response",
    "2 requestHeaders",
    "2 llmRequest openai-responses gpt-x true",
    "2 b",
    "2 !",
    "2 llmResponse",
    "2 response",
    "socket websocketEnd",
    "socket response",
  ])
  t.same(
    completions.map(({ text, usage }) => [text, usage.totalTokens]),
    [
      ["a!", 7],
      ["b!", 7],
    ],
  )
  const [socket, ...turns] = [...flows]
  t.ok(turns.every(({ turn, parent }) => turn?.socket === socket && parent === undefined))
  t.equal(new Set([...flows].map(({ id }) => id)).size, 3)
  t.equal(turns[0]?.request.headers.get("upgrade"), undefined)
})

test("an edited request leaves edited, all else of it as it was", async (t) => {
  const edit = addon("edit", {
    llmRequest(flow) {
      flow.llm.request.system = "be brief"
    },
  })
  const asked: string[] = []
  const host = await startSocketHost(t, { addons: [edit], serve: responsesServer(asked) })
  const client = await host.client({}, PATH)
  client.socket.send('{"type" : "response.create", "model":"gpt-x", "input":"a", "n": 1.0}')
  t.equal(textOf(await turn(client)), "a!")
  t.match(
    asked[0],
    /^\{"type" : "response\.create", "model":"gpt-x", "input":"a", "n": 1\.0,\s?"instructions":\s?"be brief"\}$/,
  )
  await quiet(host, client)
})

test("an addon answers a turn itself: with an error that clients read, or with a completion as events", async (t) => {
  const { completion: canned } = readAnswerOf("canned")
  const refuse = addon("refuse", {
    llmRequest(flow) {
      const { input } = flow.llm.request.body
      if (input === "a") flow.respond({ status: 429, text: "budget spent" })
      if (input === "c") flow.kill("no")
      if (input === "d") flow.respond({ completion: canned })
    },
  })
  const asked: string[] = []
  const host = await startSocketHost(t, { addons: [refuse], serve: responsesServer(asked) })
  const client = await host.client({}, PATH)
  client.socket.send(ask("a"))
  const [refused = ""] = await turn(client)
  t.match(JSON.parse(refused), { type: "error", status: 429, error: { message: "budget spent" } })
  client.socket.send(ask("b"))
  t.equal(textOf(await turn(client)), "b!", "the connection goes on")
  client.socket.send(ask("c"))
  const [killed = ""] = await turn(client)
  t.match(JSON.parse(killed), { type: "error", error: { code: "killed" } })
  client.socket.send(ask("d"))
  t.equal(textOf(await turn(client)), "canned")
  t.equal(asked.length, 1, "the server has heard of one")
  await quiet(host, client)
})

test("a turn is sent elsewhere over HTTP, and its answer comes back as messages", async (t) => {
  const elsewhere = await origin(t, (_request, socket) => {
    const events = told("from afar").map((event) => `data: ${JSON.stringify(event)}\n\n`)
    socket.write(sseAnswer(...events))
  })
  const local = await origin(t, (_request, socket) => void socket.write(sseAnswer(chatEvent("local"), FINISH)))
  const broken = await origin(t, (_request, socket) => {
    socket.write(
      answer(
        '{"error":{"message":"no such model","code":"model_not_found"}}',
        "Content-Type: application/json\r\n",
        "404 Not Found",
      ),
    )
  })
  const route = addon("route", {
    async llmRequest(flow) {
      const { input } = flow.llm.request.body
      if (input === "route") flow.route({ url: `http://127.0.0.1:${elsewhere.port}/`, name: "afar", reason: "far" })
      if (input === "broken") flow.route({ url: `http://127.0.0.1:${broken.port}/` })
      if (input !== "send") return
      const json = { model: "m", stream: true, messages: [{ role: "user", content: "hi" }] }
      flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${local.port}${CHAT}` }))
    },
  })
  const asked: string[] = []
  const host = await startSocketHost(t, { addons: [route], serve: responsesServer(asked) })
  const client = await host.client({}, PATH)
  client.socket.send(ask("route"))
  t.equal(textOf(await turn(client)), "from afar")
  const body = elsewhere.requests[0]?.body.toString("utf8") ?? ""
  t.same(JSON.parse(body), { model: "gpt-x", input: "route", stream: true })
  client.socket.send(ask("send"))
  t.equal(textOf(await turn(client)), "local")
  client.socket.send(ask("broken"))
  const [failed = ""] = await turn(client)
  t.match(JSON.parse(failed), { type: "error", status: 404, error: { message: "no such model" } })
  client.socket.send(ask("home"))
  t.equal(textOf(await turn(client)), "home!")
  t.equal(asked.length, 1)
  await quiet(host, client)
})

test("error events fire llmError, a connection that ends in a turn fires llmResponse with cut", async (t) => {
  const hooks = recorder(["llmError", "llmResponse", "response", "error"])
  const whole = await startSocketHost(t, { addons: [hooks.addon], serve: responsesServer([]) })
  const client = await whole.client({}, PATH)
  client.socket.send(ask("a", { fail: true }))
  await turn(client)
  await hooks.saw("response")
  t.equal(hooks.flow().llm?.error?.kind, "rate_limit")
  await quiet(whole, client)
  t.same(hooks.events, ["llmError", "response", "response"])

  const reasons: string[] = []
  const watch = addon("watch", {
    llmResponse: (_flow, { finishReason, text }) => void reasons.push(`${finishReason.unified} ${text}`),
    error: (flow, { code }) => void reasons.push(`${flow.turn?.number ?? "socket"} ${code}`),
  })
  const serve = (socket: WebSocket) =>
    socket.on("message", () => {
      const events = told("half").slice(0, 3)
      for (const event of events)
        socket.send(JSON.stringify(event), () => event === events.at(-1) && socket.terminate())
    })
  const cut = await startSocketHost(t, { addons: [watch], serve })
  const second = await cut.client({}, PATH)
  second.socket.send(ask("a"))
  t.equal((await second.closed).code, 1006)
  await cut.proxy.settled()
  t.same(reasons.sort(), ["1 cut", "cut ha", "socket cut"].sort())
})

test("a held answer is replaced, a transformed one is written anew, and later messages still arrive compressed", async (t) => {
  const change = addon("change", {
    responseHeaders(flow) {
      if (flow.turn?.number === 1) flow.response?.hold()
      if (flow.turn?.number === 2)
        flow.response?.transformDeltas((delta) =>
          delta.type === "text" ? { ...delta, text: delta.text.toUpperCase() } : delta,
        )
    },
    llmResponse(flow) {
      if (flow.turn?.number === 1) flow.respond({ completion: readAnswerOf("another").completion })
    },
    llmRequest() {},
  })
  const perMessageDeflate = { threshold: 0 }
  const asked: string[] = []
  const serve = responsesServer(asked)
  const host = await startSocketHost(t, { addons: [change], serve, server: { perMessageDeflate } })
  const client = await host.client({ perMessageDeflate }, PATH)
  for (const [input, expected] of [
    ["one", "another"],
    ["two", "TWO!"],
    ["three", "three!"],
  ] as const) {
    client.socket.send(ask(input))
    t.equal(textOf(await turn(client)), expected)
  }
  await quiet(host, client)
})

test("while an addon looks for an answer elsewhere, the server's own messages pass, and it may close", async (t) => {
  const opened = gate()
  const errors: string[] = []
  const slow = addon("slow", {
    async llmRequest(flow) {
      flow.keepAlive()
      await flow.waitFor(opened.opened)
      if (flow.turn?.number === 1) flow.respond({ completion: readAnswerOf("found").completion })
    },
    error: (flow, { code }) => void errors.push(`${flow.turn?.number ?? "socket"} ${code}`),
  })
  const hooks = recorder(["llmRequest"])
  const host = await startSocketHost(t, { addons: [hooks.addon, slow], serve: () => {} })
  const client = await host.client({}, PATH)
  client.socket.send(ask("a"))
  await hooks.saw("llmRequest")
  const foreign = '{"type":"error","error":{"message":"of something else"}}'
  host.served[0]?.send(foreign)
  t.equal(await client.next(), foreign)
  host.proxy.clock.advance(60_000)
  opened.open()
  t.equal(textOf(await turn(client)), "found")
  await quiet(host, client)

  const never = recorder(["llmRequest"])
  const pausing = addon("pausing", { llmRequest: (flow) => flow.pause(), error: slow.hooks.error ?? (() => {}) })
  const closing = await startSocketHost(t, { addons: [never.addon, pausing], serve: () => {} })
  const second = await closing.client({}, PATH)
  second.socket.send(ask("b"))
  await never.saw("llmRequest")
  closing.served[0]?.close(1001)
  t.equal((await second.closed).code, 1001)
  await closing.proxy.settled()
  t.match(errors, ["1 client-gone"], "the client has answered the Close")
})

test("turns side by side are told apart by their streams, and one that is killed is silent to its end", async (t) => {
  const hooks = recorder(["llmResponse", "error"])
  const texts: string[] = []
  const kill = addon("kill", {
    llmDelta(flow, delta) {
      if (delta.type === "text" && delta.text === "x") flow.kill("enough")
    },
    llmResponse: (flow, { text }) => void texts.push(`${flow.turn?.number} ${text}`),
  })
  let asked = 0
  const serve = (socket: WebSocket) => socket.on("message", () => (asked += 1))
  const host = await startSocketHost(t, { addons: [kill, hooks.addon], serve })
  const client = await host.client({}, PATH)
  const server = host.served[0]
  for (const stream_id of ["s1", "s2"]) client.socket.send(ask(stream_id, { stream_id }))
  await until(() => asked === 2)
  const say = (text: string, stream_id: string) => told(text).map((event) => JSON.stringify({ ...event, stream_id }))
  const [one, two] = [say("1x11", "s1"), say("22", "s2")]
  const mixed = [one[0], two[0], one[1], one[2], two[1], one[3], two[2], two[3], one[4], one[5]]
  for (const message of mixed) server?.send(message ?? "")
  const got = [await turn(client), await turn(client)].flat()
  t.same(
    got.filter((message) => message.includes('"s2"')),
    two,
  )
  t.equal(got.filter((message) => message.includes('"s1"')).length, 3, "up to what killed it")
  t.equal(got.filter((message) => message.includes('"killed"')).length, 1)
  client.socket.send(ask("after"))
  await until(() => asked === 3)
  for (const event of told("33")) server?.send(JSON.stringify(event))
  t.equal(textOf(await turn(client)), "33")
  await quiet(host, client)
  t.same(texts.sort(), ["1 1x", "2 22", "3 33"])
})

test("a message that is too large to be read passes, and its turn says that it is not read whole", async (t) => {
  const hooks = recorder(["llmResponse", "response"])
  const large = JSON.stringify({ type: "response.output_item.done", item: { type: "image", data: "x".repeat(5_000) } })
  const serve = (socket: WebSocket) =>
    socket.on("message", () => {
      const [created = {}, ...rest] = told("seen").map((event) => JSON.stringify(event))
      for (const message of [created, large, ...rest]) socket.send(String(message))
    })
  const host = await startSocketHost(t, { addons: [hooks.addon], serve, settings: { bodyLimit: 4_000 } })
  const client = await host.client({}, PATH)
  client.socket.send(ask("a"))
  const got = await turn(client)
  t.equal(got[1], large)
  await hooks.saw("response")
  t.match(hooks.flow().unparsed, /too large/)
  t.equal(hooks.flow().llm?.completion?.text, "seen")
  await quiet(host, client)
})

test("what is no turn passes: other events, other texts, binary messages", async (t) => {
  const hooks = recorder(["llmRequest", "llmResponse"])
  const host = await startSocketHost(t, { addons: [hooks.addon] })
  const client = await host.client({}, PATH)
  for (const text of ['{"type":"session.update"}', "no json", "[]", '{"type":"response.cancel"}']) {
    client.socket.send(text)
    t.equal(await client.next(), text)
  }
  client.socket.send(Buffer.from([1, 2]))
  t.same(await client.next(), Buffer.from([1, 2]))
  await quiet(host, client)
  t.same(hooks.events, [])
})

test("realtime: a turn that was asked for and one that the server began are read, audio passes untouched", async (t) => {
  const completions: unknown[] = []
  const models: string[] = []
  const watch = addon("watch", {
    llmRequest: (flow) => void models.push(`${flow.llm.dialect} ${flow.llm.request.model}`),
    llmResponse: (flow, { text, usage, toolCalls }) =>
      void completions.push([flow.turn?.number, text, usage.totalTokens, usage.cachedTokens, toolCalls]),
  })
  const usage = { total_tokens: 9, input_tokens: 4, output_tokens: 5, input_token_details: { cached_tokens: 3 } }
  const serve = (socket: WebSocket) => {
    const say = (event: object) => socket.send(JSON.stringify(event))
    const voice = (text: string) => {
      const at = { response_id: "r", item_id: "i", output_index: 0, content_index: 0 }
      say({ type: "response.created", response: { id: "r", status: "in_progress" } })
      say({ type: "response.output_audio.delta", ...at, delta: "AAAA" })
      for (const delta of text) say({ type: "response.output_audio_transcript.delta", ...at, delta })
      say({ type: "response.output_audio_transcript.done", ...at, transcript: text })
      say({ type: "response.done", response: { id: "r", status: "completed", output: [], usage } })
    }
    socket.on("message", (data) => {
      const { type } = JSON.parse(String(data)) as { type: string }
      if (type === "response.create") voice("asked")
      if (type === "input_audio_buffer.append") voice("heard")
    })
  }
  const host = await startSocketHost(t, { addons: [watch], serve })
  const client = await host.client({}, "/v1/realtime?model=gpt-realtime")
  client.socket.send(JSON.stringify({ type: "response.create", response: { instructions: "hi" } }))
  t.equal((await turn(client)).length, 9)
  client.socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio: "AAAA" }))
  t.equal((await turn(client)).length, 9)
  await until(() => completions.length === 2)
  t.same(completions, [
    [1, "asked", 9, 3, []],
    [2, "heard", 9, 3, []],
  ])
  t.same(models, ["openai-realtime gpt-realtime", "openai-realtime gpt-realtime"])
  await quiet(host, client)
})

test("a client that closes while an addon still looks for an answer is gone: nothing is asked any more", async (t) => {
  const errors: string[] = []
  const slow = addon("slow", {
    llmRequest: (flow) => flow.pause(),
    error: (flow, { code }) => void errors.push(`${flow.turn?.number ?? "socket"} ${code}`),
  })
  const asked: string[] = []
  const hooks = recorder(["llmRequest", "websocketEnd"])
  const host = await startSocketHost(t, { addons: [hooks.addon, slow], serve: responsesServer(asked) })
  const client = await host.client({}, PATH)
  client.socket.send(ask("a"))
  await hooks.saw("llmRequest")
  const pong = once(client.socket, "pong")
  client.socket.ping()
  await pong
  client.socket.close(1000)
  await client.closed
  await host.proxy.settled()
  t.same(errors, ["1 client-gone"])

  const other = await host.client({}, PATH)
  other.socket.send(ask("b"))
  await until(() => hooks.events.filter((event) => event === "llmRequest").length === 2)
  other.socket.send('{"type":"waits.behind.it"}')
  other.socket.terminate()
  await host.proxy.settled()
  t.same(errors.slice(1).sort(), ["1 client-gone", "socket cut"])
  t.notOk(asked.some((message) => message.includes("response.create")))
})

test("a turn's client is its connection's, whatever addons made of the upgrade's credentials", async (t) => {
  const ids: [number | undefined, string][] = []
  const drops = addon("drops", {
    requestHeaders: (flow) => flow.request.headers.delete("authorization"),
    response: (flow) => void ids.push([flow.turn?.number, flow.client.id]),
    llmRequest: () => {},
  })
  const host = await startSocketHost(t, { addons: [drops], serve: responsesServer([]) })
  for (const key of ["one", "two"]) {
    const client = await host.client({ headers: { Authorization: `Bearer ${key}` } }, PATH)
    client.socket.send(ask("hi"))
    await turn(client)
    await quiet(host, client)
  }
  const [first, , second] = ids
  t.strictSame(
    ids.map(([number]) => number),
    [1, undefined, 1, undefined],
  )
  t.equal(new Set(ids.map(([, id]) => id)).size, 2)
  t.strictSame(ids, [first, [undefined, first?.[1]], second, [undefined, second?.[1]]])
})
