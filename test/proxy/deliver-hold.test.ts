import assert from "node:assert/strict"
import zlib from "node:zlib"
import { test } from "tap"
import type { Hooks } from "../../lib/hooks.ts"
import {
  addon,
  answer,
  CHAT,
  chat,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  gate,
  jsonAnswer,
  origin,
  recorder,
  request,
  SSE_HEAD,
  sseAnswer,
  startHost,
} from "../helpers/proxy-host.ts"

const EVENTS = chatEvent("a") + chatEvent("b") + FINISH + DONE
const SSE = sseAnswer(chatEvent("a"), chatEvent("b"), FINISH, DONE)

const holds = (hooks: Partial<Hooks> = {}) =>
  addon("holds", { responseHeaders: (flow) => flow.response?.hold(), ...hooks })

test("a held answer leaves as it came once llmResponse has accepted it, framing and trailers included", async (t) => {
  const accept = gate()
  const judged = gate()
  const seen = recorder(["llmDelta", "llmResponse", "response", "error"])
  let text: string | undefined
  const holding = holds({
    async llmResponse(flow) {
      text = flow.response?.text
      judged.open()
      await flow.waitFor(accept.opened)
    },
  })
  const host = await startHost(t, { addons: [seen.addon, holding] })
  const trailed = Buffer.concat([
    Buffer.from(SSE_HEAD.replace("\r\n\r\n", "\r\nTrailer: X-Sum\r\nETag: e\r\n\r\n")),
    chunk(EVENTS),
    Buffer.from("0\r\nX-Sum: 1\r\n\r\n"),
  ])
  const up = await origin(t, (_, socket) => void socket.write(trailed))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await judged.opened
  assert.equal(wire.count, 0)
  accept.open()
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(response.text, EVENTS)
  assert.equal(text, EVENTS)
  assert.equal(response.headers.get("etag"), "e")
  assert.equal(response.trailers?.get("x-sum"), "1")
  assert.deepEqual(seen.events, ["llmDelta a", "llmDelta b", "llmDelta finish", "llmResponse", "response"])
  assert.equal(host.server.core.memory.used, 0)
})

test("an addon that declares hold holds every LLM answer, and asks for identity where the client asked for a coding", async (t) => {
  const seen = recorder(["llmResponse"])
  const host = await startHost(t, { addons: [addon("holder", {}, { hold: true }), seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(SSE))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }, "Accept-Encoding: gzip, br\r\n"))
  assert.equal((await wire.response("POST")).text, EVENTS)
  assert.match(up.requests[0]?.head ?? "", /Accept-Encoding: identity/)
  wire.write(request("GET", up.port, "/other", "", "Accept-Encoding: br\r\n"))
  assert.equal((await wire.response()).text, EVENTS)
  assert.match(up.requests[1]?.head ?? "", /Accept-Encoding: br/)
})

test("a held answer that comes encoded all the same leaves as identity", async (t) => {
  const host = await startHost(t, { addons: [holds({ llmResponse: () => {} })] })
  const fields = "Content-Type: application/json\r\nContent-Encoding: gzip\r\nETag: e\r\nContent-MD5: m\r\nX-A: b\r\n"
  const up = await origin(
    t,
    (_, socket) => void socket.write(answer(zlib.gzipSync(JSON.stringify(chatJson("z"))), fields)),
  )
  const wire = await host.connect()
  wire.write(chat(up.port))
  const response = await wire.response("POST")
  assert.equal(response.text, JSON.stringify(chatJson("z")))
  for (const name of ["content-encoding", "etag", "content-md5"]) assert.equal(response.headers.has(name), false)
  assert.equal(response.headers.get("x-a"), "b")
})

test("a held answer is replaced by a reply, and flow.response is what the client gets", async (t) => {
  const seen = recorder(["llmResponse", "llmError", "response"])
  const replaces = holds({
    llmResponse: (flow) => flow.respond({ status: 422, error: { code: "bad", message: "unusable" } }),
  })
  const host = await startHost(t, { addons: [replaces, seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(SSE))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(response.status, 422)
  assert.match(response.text, /unusable/)
  assert.deepEqual(seen.events, ["llmResponse", "response"])
  assert.equal(seen.flow().response?.status, 422)
  assert.equal(seen.flow().llm?.completion?.text, "ab")
})

test("a held answer is replaced by another answer, asked for in llmResponse; the client is kept alive meanwhile", async (t) => {
  const second = gate()
  const asked = gate()
  const up = await origin(t, async ({ target }, socket) => {
    if (target !== "/again") return void socket.write(SSE)
    asked.open()
    await second.opened
    socket.write(sseAnswer(chatEvent("better"), FINISH, DONE))
  })
  const requeries = holds({
    async llmResponse(flow) {
      const json = { model: "c", messages: [], stream: true }
      flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${up.port}/again`, dialect: "openai-chat" }))
    },
  })
  const seen = recorder(["response"])
  const host = await startHost(t, { addons: [seen.addon, requeries] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await asked.opened
  host.clock.advance(5_000)
  await wire.until(": keep-alive\n\n")
  second.open()
  const response = await wire.response("POST")
  assert.equal(response.text, `: keep-alive\n\n: route upstream: answered\n\n${chatEvent("better")}${FINISH}${DONE}`)
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
  assert.equal(seen.flow().llm?.completion?.text, "better", "who records the flow records what the client got")
})

test("a held answer is replaced by a completion, in the client's dialect and form", async (t) => {
  const mends = holds({
    llmResponse(flow, { choices, ...rest }) {
      const mended = choices.map((choice) => ({ ...choice, text: "mended" }))
      flow.respond({ completion: { ...rest, text: "mended", choices: mended }, headers: { "x-mended": "1" } })
    },
  })
  const seen = recorder(["response"])
  const host = await startHost(t, { addons: [mends, seen.addon] })
  const up = await origin(t, ({ body }, socket) => {
    socket.write(body.includes("true") ? SSE : jsonAnswer(chatJson("ab")))
  })
  for (const stream of [true, false]) {
    const wire = await host.connect()
    wire.write(chat(up.port, { stream }))
    const { text, headers } = await wire.response("POST")
    await host.settled()
    assert.equal(headers.get("x-mended"), "1")
    assert.match(headers.get("content-type") ?? "", stream ? /^text\/event-stream/ : /^application\/json/)
    assert.match(
      text,
      stream ? /^data: .*"content":"mended".*"finish_reason":"stop".*\[DONE\]\n\n$/s : /"content":"mended"/,
    )
    assert.equal(text.includes('"model":"up"'), true)
    assert.equal(seen.flow().llm?.completion?.text, "mended")
  }
})

test("an answer that an addon has given can be held by another, and is given once", async (t) => {
  const seen = recorder(["llmDelta", "llmResponse", "response", "error"])
  const from = await origin(t, (_, socket) => void socket.write(SSE))
  const answers = addon("answers", {
    async llmRequest(flow) {
      const json = { model: "c", messages: [], stream: true }
      flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${from.port}${CHAT}` }))
    },
  })
  const replies = addon("replies", { llmRequest: (flow) => flow.respond({ json: chatJson("mine") as never }) })
  for (const [given, text] of [
    [answers, EVENTS],
    [replies, JSON.stringify(chatJson("mine"))],
  ] as const) {
    const judge = recorder(["llmResponse", "response", "error"])
    const host = await startHost(t, { addons: [given, holds(), judge.addon, seen.addon] })
    const wire = await host.connect()
    wire.write(chat(from.port, { stream: given === answers }))
    assert.equal((await wire.response("POST")).text, text)
    await host.settled()
    assert.equal(judge.events.includes("error"), false)
  }
})

test("an error status under hold fires llmError, and is passed on or replaced", async (t) => {
  for (const replace of [false, true]) {
    const host = await startHost(t, {
      addons: [
        holds({ llmError: (flow) => (replace ? flow.respond({ json: chatJson("saved") as never }) : undefined) }),
      ],
    })
    const up = await origin(t, (_, socket) => void socket.write(jsonAnswer({ error: { message: "x" } }, "500 No")))
    const wire = await host.connect()
    wire.write(chat(up.port))
    const response = await wire.response("POST")
    assert.equal(response.status, replace ? 200 : 500)
    assert.match(response.text, replace ? /saved/ : /x/)
  }
})

test("a held answer above bodyLimit or memoryLimit is a 502 that says so, and holds nothing", async (t) => {
  for (const settings of [{ bodyLimit: 100 }, { memoryLimit: 400 }]) {
    const seen = recorder(["llmResponse", "llmError", "response", "error"])
    const host = await startHost(t, { addons: [holds(), seen.addon], settings })
    const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("x".repeat(1_000)))))
    const wire = await host.connect()
    wire.write(chat(up.port))
    const response = await wire.response("POST")
    await host.settled()
    assert.equal(response.status, 502)
    assert.match(response.text, /exceeds bodyLimit/)
    assert.deepEqual(seen.events, ["llmResponse", "error"])
    assert.equal(seen.flow().llm?.completion?.finishReason.unified, "cut")
    assert.equal(host.server.core.memory.used, 0)
  }
})

test("a held answer that is cut is a 502, or an error event for a client that was kept alive", async (t) => {
  const cut = gate()
  for (const comments of [false, true]) {
    const half = gate()
    const seen = recorder(["llmDelta", "llmResponse", "error", "response"])
    const host = await startHost(t, { addons: [holds(), seen.addon] })
    const up = await origin(t, async (_, socket) => {
      socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))
      await half.opened
      socket.end()
    })
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    await seen.saw("llmDelta a")
    if (comments) {
      host.clock.advance(5_000)
      await wire.until(": keep-alive")
    }
    half.open()
    await wire.until("llmproxy: ")
    assert.match(wire.text, comments ? /^HTTP\/1.1 200 .*data: \{"error"/s : /^HTTP\/1.1 502 /)
    await host.settled()
    assert.deepEqual(seen.events, ["llmDelta a", "llmResponse", "error"])
  }
  cut.open()
})

test("the client leaves while an answer is held: upstream is aborted, llmResponse says cut", async (t) => {
  const closed = gate()
  const seen = recorder(["llmDelta", "llmResponse", "error", "response"])
  const host = await startHost(t, { addons: [holds(), seen.addon] })
  const up = await origin(t, (_, socket) => {
    socket.once("close", closed.open)
    socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))
  })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await seen.saw("llmDelta a")
  wire.socket.destroy()
  await closed.opened
  await host.settled()
  assert.deepEqual(seen.events, ["llmDelta a", "llmResponse", "error"])
  assert.equal(host.server.core.memory.used, 0)
})

test("hold for a flow that speaks no dialect does nothing, and comes too late after responseHeaders", async (t) => {
  const thrown: unknown[] = []
  const late = holds({
    response(flow) {
      const { response } = flow
      for (const act of [
        () => response?.hold(),
        () => response?.keep(1),
        () => response?.transform((piece: Buffer) => piece),
        () => response?.transformDeltas((delta) => delta),
        () => response !== undefined && Object.assign(response, { status: 500 }),
        () => response !== undefined && Object.assign(response, { reason: "x" }),
        () => response !== undefined && Object.assign(response, { text: "x" }),
      ]) {
        try {
          act()
        } catch (error) {
          thrown.push(error)
        }
      }
    },
  })
  const host = await startHost(t, { addons: [late] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).text, "ok")
  await host.settled()
  assert.equal(thrown.length, 7)
  for (const error of thrown) assert.match(String(error), /responseHeaders/)
})
