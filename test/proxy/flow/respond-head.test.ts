/** `respond()` in `responseHeaders`: what an upstream has begun to answer is replaced without being read. */
import assert from "node:assert/strict"
import { createServer } from "node:net"
import { test } from "tap"
import type { Completion, Flow, Reply } from "../../../lib/api/flow.ts"
import { completionFrom } from "../../../lib/llm/assemble.ts"
import { call, openSession } from "../../helpers/clients/h2-client.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  chatJson,
  DONE,
  eventsOf,
  FINISH,
  gate,
  jsonAnswer,
  origin,
  recorder,
  request,
  sseAnswer,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

/** A head that promises more than will ever come. */
const ENDLESS = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"

const USAGE = {
  inputTokens: 3,
  outputTokens: 2,
  totalTokens: 5,
  cachedTokens: undefined,
  reasoningTokens: undefined,
  source: "provider",
} as const

function completion(text: string): Completion {
  const deltas = [
    { type: "text", index: 0, text },
    { type: "finish", index: 0, reason: { unified: "stop", raw: "stop" } },
    { type: "usage", usage: USAGE },
  ] as const
  return completionFrom(deltas, { model: "made" })
}

/** Answers in the place of every 429. */
const instead = (reply: (flow: Flow) => Reply | Promise<Reply>) =>
  addon("instead", {
    async responseHeaders(flow) {
      if (flow.response?.status === 429) flow.respond(await reply(flow))
    },
  })

test("an upstream's answer is replaced unread: it is stopped, and one of response and error fires", async (t) => {
  const statuses: unknown[] = []
  const looks = (name: string) =>
    addon(name, {
      responseHeaders(flow) {
        statuses.push(`${name} ${flow.response?.status}`)
        flow.response?.keep(100)
      },
      response: (flow) => void statuses.push(`${name} ${flow.response?.text}`),
    })
  const seen = recorder()
  const host = await startHost(t, {
    addons: [looks("before"), instead(() => ({ status: 503, text: "later" })), looks("behind"), seen.addon],
  })
  const up = await origin(t, (_, socket) => void socket.write(ENDLESS))
  const wire = await host.connect()
  for (const path of ["/1", "/2"]) {
    wire.write(request("GET", up.port, path))
    const response = await wire.response()
    assert.deepEqual([response.status, response.text], [503, "later"], "on a connection that is kept")
    await host.settled()
    assert.deepEqual(statuses.splice(0), ["before 429", "behind 503", "before later", "behind later"])
    assert.deepEqual(
      seen.events.splice(0).filter((event) => !event.startsWith("server")),
      ["requestHeaders", "request", "responseHeaders", "response"],
    )
  }
  await until(() => up.open === 0)
  assert.equal(seen.flow().response?.status, 503)
  assert.equal(host.server.core.memory.used, 0)
})

test("an LLM answer is replaced: llmResponse tells the other one, and nothing is counted for the first", async (t) => {
  const told: unknown[] = []
  const tells = addon("tells", {
    llmResponse: (flow, { text, usage }) => void told.push(text, usage.totalTokens, flow.response?.status),
    llmError: () => void told.push("error"),
  })
  const seen = recorder(["llmDelta", "llmResponse", "llmError", "response", "error"])
  for (const stream of [true, false]) {
    const host = await startHost(t, { addons: [instead(() => ({ completion: completion("hi") })), tells, seen.addon] })
    const up = await origin(t, (_, socket) => void socket.write(ENDLESS))
    const wire = await host.connect()
    wire.write(chat(up.port, { stream }))
    const response = await wire.response("POST")
    await host.settled()
    assert.equal(response.status, 200)
    assert.match(response.text, stream ? /^data: .*"content":"hi".*\[DONE\]\n\n$/s : /"content":"hi"/)
    assert.deepEqual(told.splice(0), ["hi", 5, 200])
    assert.deepEqual(seen.events.slice(-2), ["llmResponse", "response"])
    assert.equal(seen.events.splice(0).includes("llmError"), false)
    assert.equal(seen.flow().llm?.error, undefined)
  }
})

test("what addons before have asked for holds for the reply: a hold, a transform", async (t) => {
  const guard = addon("guard", {
    responseHeaders(flow) {
      flow.response?.hold()
      flow.response?.transformDeltas((delta) =>
        delta.type === "text" ? { ...delta, text: delta.text.replace("secret", "...") } : delta,
      )
    },
    llmResponse(flow, { text }) {
      if (text.includes("really bad")) flow.respond({ completion: completion("refused") })
    },
  })
  for (const [said, expected] of [
    ["the secret", "the ..."],
    ["really bad", "refused"],
  ] as const) {
    const host = await startHost(t, { addons: [guard, instead(() => ({ completion: completion(said) }))] })
    const up = await origin(t, (_, socket) => void socket.write(ENDLESS))
    const wire = await host.connect()
    wire.write(chat(up.port))
    assert.match((await wire.response("POST")).text, new RegExp(`"content":"${expected.replaceAll(".", "\\.")}"`))
  }
})

test("a client that was kept alive gets the reply as events, an error as an event and a cut", async (t) => {
  const replies: [Reply, RegExp, boolean][] = [
    [{ completion: completion("hi") }, /"content":"hi".*\[DONE\]\n\n$/s, true],
    [{ status: 429, error: { code: "spent", message: "spent" } }, /"code":"spent"/, false],
  ]
  for (const [reply, expected, isWhole] of replies) {
    const answers = gate()
    const seen = recorder(["response", "error"])
    const waits = addon("waits", {
      async llmRequest(flow) {
        flow.keepAlive("wait")
        await flow.waitFor(answers.opened)
      },
    })
    const host = await startHost(t, { addons: [waits, instead(() => reply), seen.addon] })
    const up = await origin(t, (_, socket) => void socket.write(ENDLESS))
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }, "Connection: close\r\n"))
    await until(() => host.clock.pending > 1)
    host.clock.advance(5_000)
    await wire.until(": wait\n\n")
    answers.open()
    await wire.ended
    await host.settled()
    const body = wire.text.replace(/\r\n[0-9a-f]+\r\n/g, "").replace(/\r\n0\r\n\r\n$/, "")
    assert.match(body.replace(/\r\n$/, ""), expected)
    assert.equal(wire.text.endsWith("0\r\n\r\n"), isWhole)
    assert.deepEqual(seen.events, [isWhole ? "response" : "error"])
  }
})

test("an answer of a child takes the place: asked again elsewhere when the first host refuses", async (t) => {
  const seen = recorder(["llmDelta", "llmResponse", "llmError", "response", "error"])
  const up = await origin(t, ({ target }, socket) => {
    if (target.endsWith("?again")) socket.write(sseAnswer(chatEvent("a"), FINISH, DONE))
    else socket.write(ENDLESS)
  })
  const again = addon("again", {
    async responseHeaders(flow) {
      if (flow.response?.status !== 429 || flow.llm === undefined) return
      const { body } = flow.llm.request
      flow.respond(await flow.send({ json: body }, { url: `${flow.request.url}?again` }))
    },
  })
  const host = await startHost(t, { addons: [again, seen.addon] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(response.status, 200)
  assert.equal(eventsOf(response.text).length, 2)
  const own = seen.events.filter((event) => event === "response" || event === "llmResponse")
  assert.deepEqual(own.length, 4, "the child's and the flow's")
  assert.equal(seen.events.includes("llmError"), false)
})

test("an answer to half a request is replaced, too", async (t) => {
  const seen = recorder(["response", "error"])
  const host = await startHost(t, { addons: [instead(() => ({ status: 503, text: "later" })), seen.addon] })
  const server = createServer((socket) => {
    socket.once("data", () => socket.write(ENDLESS))
    socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => void server.close())
  const address = server.address()
  const port = typeof address === "object" ? (address?.port ?? 0) : 0
  const wire = await host.connect()
  wire.write(`POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhalf`)
  const response = await wire.response("POST")
  assert.deepEqual([response.status, response.text], [503, "later"])
  assert.equal(await wire.ended, "end")
  await host.settled()
  assert.deepEqual(seen.events, ["response"])
})

test("the last of several replies counts, and each that it replaces is stopped", async (t) => {
  let closed = 0
  async function* pieces() {
    try {
      for (;;) yield "x".repeat(1000)
    } finally {
      closed++
    }
  }
  const host = await startHost(t, {
    addons: [
      instead(() => ({ status: 429, body: pieces() })),
      addon("second", { responseHeaders: (flow) => flow.respond({ text: `not ${flow.response?.status}` }) }),
    ],
  })
  const up = await origin(t, (_, socket) => void socket.write(ENDLESS))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).text, "not 429")
  assert.equal(closed, 0, "it was never begun")
})

test("of a response that was replaced nothing can be asked any more", async (t) => {
  const thrown: unknown[] = []
  const keeps = addon("keeps", {
    async responseHeaders(flow) {
      const { response } = flow
      if (response?.status !== 429) return
      queueMicrotask(async () => {
        await until(() => flow.response?.status === 200)
        for (const deed of [() => response.hold(), () => response.keep(1), () => response.transform(() => undefined)])
          try {
            deed()
          } catch (error) {
            thrown.push(error)
          }
        thrown.push(await response.collect().catch((error) => error))
      })
      flow.respond({ text: "instead" })
    },
  })
  const waits = addon("waits", { responseHeaders: (flow) => flow.waitFor(until(() => thrown.length === 4)) })
  const host = await startHost(t, { addons: [keeps, waits] })
  const up = await origin(t, (_, socket) => void socket.write(ENDLESS))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).text, "instead")
  for (const error of thrown) assert.match(String(error), /comes too late/)
})

test("a reply that cannot be made fails the flow: error fires alone", async (t) => {
  const seen = recorder(["llmResponse", "llmError", "response", "error"])
  const cut = await origin(
    t,
    (_, socket) => void socket.write(jsonAnswer(chatJson("x")).subarray(0, -4), () => socket.end()),
  )
  const fails = addon("fails", {
    async responseHeaders(flow) {
      if (flow.parent !== undefined) return
      const child = await flow.send({ json: {} }, { url: `http://127.0.0.1:${cut.port}/x`, until: "head" })
      child.abort()
      flow.respond(child)
    },
  })
  const host = await startHost(t, { addons: [fails, seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(ENDLESS))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/", "", "Connection: close\r\n"))
  await wire.ended
  await host.settled()
  assert.equal(seen.events.at(-1), "error")
  assert.equal(seen.events.includes("llmError"), false)
})

test("an upgrade that the upstream has agreed to is answered otherwise, and HTTP/2 clients are, too", async (t) => {
  const refuses = addon("refuses", {
    request: (flow) => flow.route({ url: `http://127.0.0.1:${up.port}` }),
    responseHeaders: (flow) => flow.respond({ status: 403, text: "no" }),
  })
  const host = await startHost(t, { addons: [refuses] })
  const up = await origin(t, ({ head }, socket) => {
    if (/upgrade: x/i.test(head)) socket.write("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes")
    else socket.write(answer("upstream"))
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/", "", "Connection: upgrade\r\nUpgrade: x\r\n"))
  const response = await wire.response()
  assert.deepEqual([response.status, response.text], [403, "no"])
  const session = await openSession(t, `http://127.0.0.1:${host.port}`)
  const other = await call(session, { ":path": "/", ":authority": "x.test", ":scheme": "http" })
  assert.deepEqual([other.status, other.text, other.code], [403, "no", 0])
})
