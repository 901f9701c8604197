import assert from "node:assert/strict"
import zlib from "node:zlib"
import { test } from "tap"
import type { Hooks } from "../../../lib/api/hooks.ts"
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
} from "../../helpers/hosts/proxy-host.ts"

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
  assert.deepEqual(seen.events, ["llmError", "response"], "what the client gets is an error")
  assert.equal(seen.flow().llm?.error?.code, "bad")
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

/** Who was told of what: llmResponse and llmError by the addon's name. */
function listener(name: string, heard: string[]) {
  return addon(name, {
    llmResponse: (_, { text, usage }) => void heard.push(`${name}: ${text} ${usage.totalTokens}`),
    llmError: (_, { message }) => void heard.push(`${name}: error ${message}`),
    response: (flow) => void heard.push(`${name} records ${flow.llm?.completion?.usage.totalTokens}`),
  })
}

const USAGE = { cachedTokens: undefined, reasoningTokens: undefined, source: "provider" } as const
const COST = { ...USAGE, inputTokens: 10, outputTokens: 1, totalTokens: 11 }
const usage = (prompt_tokens: number) => ({
  usage: { prompt_tokens, completion_tokens: 1, total_tokens: prompt_tokens + 1 },
})

test("who holds an answer hears of it first, all others of what the client gets, with what was spent besides", async (t) => {
  const cases = [
    ["accepted", 'accepted: "content":"held"', "held 3", 3],
    ["answer", '"content":"better"', "better 16", 16],
    ["completion", '"content":"mended"', "mended 14", 14],
    ["error", '"code":"refused"', "error no", 14],
  ] as const
  for (const [how, sent, heardOfIt, recorded] of cases) {
    const heard: string[] = []
    const up = await origin(t, ({ target }, socket) => {
      socket.write(jsonAnswer(target === "/again" ? chatJson("better", usage(4)) : chatJson("held", usage(2))))
    })
    const judge = holds({
      async llmResponse(flow, completion) {
        heard.push(`judge: ${completion.text}`)
        if (how !== "accepted") flow.addUsage(COST)
        if (how === "error") flow.respond({ status: 502, error: { code: "refused", message: "no" } })
        const choices = completion.choices.map((choice) => ({ ...choice, text: "mended" }))
        if (how === "completion") flow.respond({ completion: { ...completion, text: "mended", choices } })
        if (how !== "answer") return
        const url = `http://127.0.0.1:${up.port}/again`
        const again = await flow.send({ json: { model: "c", messages: [] } }, { url, dialect: "openai-chat" })
        flow.respond(again, { headers: { "x-again": "1" } })
      },
    })
    const host = await startHost(t, { addons: [listener("before", heard), judge, listener("after", heard)] })
    const wire = await host.connect()
    wire.write(chat(up.port))
    const response = await wire.response("POST")
    await host.settled()
    assert.equal(response.text.includes(sent.replace("accepted: ", "")), true, response.text)
    assert.equal(response.headers.get("x-again"), how === "answer" ? "1" : undefined)
    assert.equal(response.text.includes('"total_tokens":16'), false, "its own cost is what the client is told")
    const others = heard.filter((line) => !line.startsWith("judge") && !line.includes("records"))
    const children = how === "answer" ? ["before: better 5", "after: better 5"] : []
    const own = others.filter((line) => !children.includes(line))
    assert.deepEqual(own, [`before: ${heardOfIt}`, `after: ${heardOfIt}`], how)
    assert.equal(heard[0], "judge: held", "before all others")
    assert.deepEqual(heard.slice(-2), [`before records ${recorded}`, `after records ${recorded}`])
  }
})

test("a client that leaves while a held answer is judged: the others hear of that one, then of the end", async (t) => {
  const judging = gate()
  const seen = recorder(["llmResponse", "llmError", "response", "error"])
  const slow = holds({
    async llmResponse(flow) {
      judging.open()
      await flow.pause()
    },
  })
  const host = await startHost(t, { addons: [seen.addon, slow] })
  const up = await origin(t, (_, socket) => void socket.write(SSE))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await judging.opened
  assert.deepEqual(seen.events, [])
  wire.socket.destroy()
  await seen.saw("error")
  await host.settled()
  assert.deepEqual(seen.events, ["llmResponse", "error"])
})

test("fields that would break the head of an answer are refused where they are given", async (t) => {
  let thrown: unknown
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("ok"))))
  const answers = addon("answers", {
    async llmRequest(flow) {
      const answer = await flow.send({ json: { messages: [] } }, { url: `http://127.0.0.1:${up.port}${CHAT}` })
      try {
        flow.respond(answer, { headers: { "x-bad": "a\r\nb: c" } })
      } catch (error) {
        thrown = error
      }
      flow.respond(answer)
    },
  })
  const host = await startHost(t, { addons: [answers] })
  const wire = await host.connect()
  wire.write(chat(up.port))
  assert.equal((await wire.response("POST")).status, 200)
  assert.match(String(thrown), /x-bad/)
})
