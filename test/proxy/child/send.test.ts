import assert from "node:assert/strict"
import zlib from "node:zlib"
import { test } from "tap"
import type { Answer, Flow, SendOptions } from "../../../lib/api/flow.ts"
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
  textEvent,
  until,
} from "../../helpers/hosts/proxy-host.ts"

/** An addon that asks `port` for every chat, and hands what it gets to `use`. */
function asks(port: number, options: Partial<SendOptions>, use: (flow: Flow, answer: Answer) => unknown, body = {}) {
  return addon("asks", {
    async llmRequest(flow) {
      const url = `http://127.0.0.1:${port}${CHAT}`
      const json = { model: "c", messages: [{ role: "user", content: "q" }], stream: true, ...body }
      await use(flow, await flow.send({ json }, { url, ...options }))
    },
  })
}

test("send resolves at the head, the first delta or the end, and the client sees nothing", async (t) => {
  const steps = { head: gate(), delta: gate(), end: gate() }
  const up = await origin(t, async (_, socket) => {
    await steps.head.opened
    socket.write(SSE_HEAD)
    await steps.delta.opened
    socket.write(Buffer.concat([chunk(": hello\n\n"), chunk(chatEvent("")), chunk(chatEvent("a"))]))
    await steps.end.opened
    socket.write(Buffer.concat([chunk(FINISH), chunk(DONE), Buffer.from("0\r\n\r\n")]))
  })
  const resolved: string[] = []
  const sends = addon("sends", {
    async llmRequest(flow) {
      const url = `http://127.0.0.1:${up.port}${CHAT}`
      const json = { model: "c", messages: [], stream: true }
      const all = (["head", "delta", "end"] as const).map(async (what) => {
        const got = await flow.send({ json }, { url, until: what })
        resolved.push(`${what} ${got.status} ${got.failure?.kind}`)
        return got
      })
      await Promise.all(all)
      flow.respond({ text: "done" })
    },
  })
  const host = await startHost(t, { addons: [sends] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await up.received(3)
  assert.deepEqual(resolved, [])
  steps.head.open()
  await until(() => resolved.length === 1)
  steps.delta.open()
  await until(() => resolved.length === 2)
  assert.deepEqual(resolved, ["head 200 undefined", "delta 200 undefined"])
  assert.equal(wire.count, 0)
  steps.end.open()
  assert.equal((await wire.response("POST")).text, "done")
  assert.equal(resolved[2], "end 200 undefined")
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
})

const FAILURES: [string, Buffer | "cut" | "nothing", string, RegExp][] = [
  ["no connection", "nothing", "connect", /refused/],
  ["a cut before the head", "cut", "connect", /closed|ended/],
  [
    "a status",
    jsonAnswer({ error: { message: "no such model", code: "model_not_found" } }, "404 Not Found"),
    "status",
    /no such model/,
  ],
  ["a status with a long text", answer("x".repeat(100_000), "Content-Type: text/plain\r\n", "500 Oops"), "status", /x/],
  [
    "an error event",
    sseAnswer(`data: ${JSON.stringify({ error: { message: "overloaded" } })}\n\n`),
    "error",
    /overloaded/,
  ],
  ["a JSON error with status 200", jsonAnswer({ error: "Unexpected endpoint" }), "error", /Unexpected endpoint/],
  ["JSON that is no answer", jsonAnswer({ hello: 1 }), "error", /no openai-chat answer: .*hello/],
  ["an empty body", jsonAnswer({}, "200 OK").subarray(0, 0), "connect", /closed|ended/],
  ["an empty stream", sseAnswer(FINISH, DONE), "empty", /without a text/],
  ["an empty JSON answer", jsonAnswer(chatJson("")), "empty", /without a text/],
  ["nothing at all", answer("", "Content-Type: application/json\r\n"), "empty", /answer/],
  ["a cut in the body", Buffer.concat([Buffer.from(SSE_HEAD), chunk(": wait\n\n")]), "cut", /closed|ended/],
]

for (const [what, bytes, kind, message] of FAILURES) {
  test(`an answer that is of no use says why: ${what}`, async (t) => {
    const up = await origin(t, (_, socket) => {
      if (bytes === "cut") socket.destroy()
      else if (bytes !== "nothing") socket.end(bytes)
    })
    const { port } = up
    if (bytes === "nothing") await up.close()
    let failure: Answer["failure"]
    let status = -1
    const host = await startHost(t, {
      addons: [
        asks(port, {}, async (flow, got) => {
          failure = got.failure
          status = got.status
          if (kind !== "empty") await assert.rejects(got.completion(), (thrown: Error) => message.test(thrown.message))
          flow.respond(got)
        }),
      ],
    })
    const wire = await host.connect()
    wire.write(chat(port, { stream: true }))
    const response = await wire.response("POST")
    assert.equal(failure?.kind, kind)
    assert.match(failure?.message ?? "", message)
    assert.equal(failure?.status, status)
    assert.equal(response.status, status >= 400 ? status : 502)
    assert.match(response.text, message)
    await host.settled()
    assert.equal(host.server.core.memory.used, 0)
  })
}

test("the sender does not see its child, every other addon does, with parent set", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(sseAnswer(chatEvent("hi"), FINISH, DONE)))
  const sender = recorder(undefined, "sender-view")
  const other = recorder()
  const parents: (string | undefined)[] = []
  const keeps = addon("keeps", { request: (flow) => void parents.push(flow.parent?.id) })
  const sending = asks(up.port, {}, (flow, got) => flow.respond(got))
  const both = { ...sending, hooks: { ...sender.addon.hooks, ...sending.hooks } }
  const host = await startHost(t, { addons: [both, other.addon, keeps] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await wire.response("POST")
  await host.settled()
  assert.deepEqual(sender.events.filter((event) => event === "request").length, 1)
  assert.deepEqual(other.events.filter((event) => event === "request").length, 2)
  assert.deepEqual(other.events.filter((event) => event === "llmResponse").length, 2)
  assert.deepEqual(other.events.filter((event) => event === "response").length, 2)
  assert.deepEqual([parents[0], typeof parents[1]], [undefined, "string"])
})

test("a child is dead with its parent: the client leaves, and its upstream is aborted", async (t) => {
  const closed = gate()
  const up = await origin(t, (_, socket) => {
    socket.once("close", closed.open)
    socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))
  })
  const seen = recorder(["error", "response"])
  const rejected: unknown[] = []
  const host = await startHost(t, {
    addons: [
      asks(up.port, { until: "end" }, () => {}),
      addon("notes", { error: (_, error) => void rejected.push(error.code) }),
      seen.addon,
    ],
  })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await up.received(1)
  wire.socket.destroy()
  await closed.opened
  await host.settled()
  assert.deepEqual(seen.events, ["error", "error"])
  assert.deepEqual(rejected, ["client-gone", "client-gone"])
  assert.equal(
    host.lines.some((line) => line.includes("failed")),
    false,
  )
})

test("a child that nobody reads ends with its parent, however full it is", async (t) => {
  const closed = gate()
  const up = await origin(t, (_, socket) => {
    socket.once("close", closed.open)
    socket.write(SSE_HEAD)
    const more = () => {
      while (!socket.destroyed && socket.write(chunk(chatEvent("x".repeat(10_000))))) {}
    }
    socket.on("drain", more)
    more()
  })
  const host = await startHost(t, { addons: [asks(up.port, {}, (flow) => flow.respond({ text: "mine" }))] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  assert.equal((await wire.response("POST")).text, "mine")
  await closed.opened
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
})

test("an answer that another one replaces is aborted at once, one that is given twice is not", async (t) => {
  const closed = gate()
  const up = await origin(t, async ({ target }, socket) => {
    if (target.includes("slow")) socket.once("close", closed.open)
    socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))
    if (target.includes("slow")) return
    // Not before the first has gone: the end of the flow would close that one as well.
    await closed.opened
    socket.write(Buffer.concat([chunk(DONE), Buffer.from("0\r\n\r\n")]))
  })
  const two = addon("two", {
    async llmRequest(flow) {
      const json = { model: "c", messages: [], stream: true }
      const first = await flow.send({ json }, { url: `http://127.0.0.1:${up.port}/slow${CHAT}` })
      const second = await flow.send({ json }, { url: `http://127.0.0.1:${up.port}${CHAT}` })
      flow.respond(first)
      flow.respond(second)
      flow.respond(second)
    },
  })
  const host = await startHost(t, { addons: [two] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  assert.equal((await wire.response("POST")).text, chatEvent("a") + DONE)
})

test("what an answer tells: deltas, completion, text; and it can still be handed on after completion()", async (t) => {
  for (const streamed of [true, false]) {
    for (const until of ["head", "delta", "end"] as const) {
      const bytes = streamed ? sseAnswer(chatEvent("a"), chatEvent("b"), FINISH, DONE) : jsonAnswer(chatJson("ab"))
      const up = await origin(t, (_, socket) => void socket.write(bytes))
      const told: unknown[] = []
      const host = await startHost(t, {
        addons: [
          asks(up.port, { until }, async (flow, got) => {
            const completion = await got.completion()
            told.push(completion.text, (await got.completion()).text, completion.streamed)
            flow.respond(got)
          }),
        ],
      })
      const wire = await host.connect()
      wire.write(chat(up.port, { stream: streamed }))
      const { text } = await wire.response("POST")
      assert.deepEqual(told, ["ab", "ab", streamed])
      assert.equal(text, streamed ? chatEvent("a") + chatEvent("b") + FINISH + DONE : JSON.stringify(chatJson("ab")))
      await host.settled()
      assert.equal(host.server.core.memory.used, 0)
    }
  }
})

test("deltas and text of an answer, read instead of handed on", async (t) => {
  const cases: [Buffer, string[], string][] = [
    [
      sseAnswer(chatEvent("a"), chatEvent("b"), FINISH, DONE),
      ["a", "b", "finish"],
      chatEvent("a") + chatEvent("b") + FINISH + DONE,
    ],
    [jsonAnswer(chatJson("ab")), ["ab", "finish"], JSON.stringify(chatJson("ab"))],
    [
      answer(
        zlib.gzipSync(JSON.stringify(chatJson("ab"))),
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
      ),
      ["ab", "finish"],
      JSON.stringify(chatJson("ab")),
    ],
  ]
  for (const [bytes, expected, text] of cases) {
    const up = await origin(t, (_, socket) => void socket.write(bytes))
    const told: string[] = []
    let read = ""
    const reads = addon("reads", {
      async llmRequest(flow) {
        const url = `http://127.0.0.1:${up.port}${CHAT}`
        const json = { model: "c", messages: [], stream: true }
        const first = await flow.send({ json }, { url })
        for await (const delta of first.deltas()) told.push("text" in delta ? delta.text : delta.type)
        read = await (await flow.send({ json }, { url })).text()
        flow.respond({ text: "x" })
      },
    })
    const host = await startHost(t, { addons: [reads] })
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    await wire.response("POST")
    assert.deepEqual(told, expected)
    assert.equal(read, text)
  }
})

test("deltas of an error reject, an answer too large for bodyLimit is a failure", async (t) => {
  const big = chatEvent("x".repeat(3_000))
  const up = await origin(t, ({ target }, socket) => {
    if (target.startsWith("/error")) socket.write(jsonAnswer({ error: { message: "no" } }, "500 No"))
    else if (target.startsWith("/stream")) socket.write(sseAnswer(big, big, big, DONE))
    else if (target.startsWith("/late"))
      socket.write(sseAnswer(chatEvent("a"), `data: {"error":{"message":"late"}}\n\n`))
    else socket.write(jsonAnswer(chatJson("x".repeat(9_000))))
  })
  const told: unknown[] = []
  const reads = addon("reads", {
    async llmRequest(flow) {
      const send = (path: string, until?: "head" | "end") => {
        const json = { model: "c", messages: [], stream: true }
        return flow.send({ json }, { url: `http://127.0.0.1:${up.port}${path}${CHAT}`, ...(until ? { until } : {}) })
      }
      const read = async (got: Answer) => {
        for await (const _ of got.deltas()) told.push("delta")
      }
      await assert.rejects(read(await send("/error", "head")), /no/)
      await assert.rejects(read(await send("/late")), /late/)
      told.push((await send("/json")).failure?.message, (await send("/stream", "end")).failure?.message)
      await assert.rejects((await send("/stream")).text(), /exceeds bodyLimit \(8000/)
      flow.respond({ text: "x" })
    },
  })
  const host = await startHost(t, { addons: [reads], settings: { bodyLimit: 8_000 } })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  assert.equal((await wire.response("POST")).text, "x")
  const message = "the answer exceeds bodyLimit (8000 bytes) or the memory limit, and is to be read whole"
  assert.deepEqual(told, ["delta", message, message])
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
})

test("a child's request: its own fields and body, whatever they were copied from; any method and dialect", async (t) => {
  const up = await origin(t, ({ target }, socket) => {
    socket.write(target === "/odd" ? sseAnswer(textEvent("odd", "stop"), DONE) : answer("plain"))
  })
  const told: string[] = []
  const sends = addon("sends", {
    async request(flow) {
      const base = `http://127.0.0.1:${up.port}`
      const headers = flow.request.headers
      const got = await flow.send(
        { headers, json: { prompt: "p", model: "m" } },
        { url: `${base}/odd`, dialect: "openai-completions" },
      )
      told.push((await got.completion()).text)
      const plain = await flow.send({ method: "GET" }, { url: `${base}/plain`, until: "end" })
      told.push(await plain.text(), await plain.text())
      await assert.rejects(flow.send({}, { url: "nonsense" }), /no http or https URL/)
      await assert.rejects(flow.send({}, { url: base, dialect: "nope" as never }), /no dialect named "nope"/)
      flow.respond(plain)
    },
  })
  const host = await startHost(t, { addons: [sends] })
  const wire = await host.connect()
  wire.write(request("POST", up.port, "/x", "1234567890", "X-A: b\r\nContent-Encoding: gzip\r\n"))
  const response = await wire.response("POST")
  assert.deepEqual(told, ["odd", "plain", "plain"])
  assert.equal(response.text, "plain")
  assert.equal(up.requests[0]?.body.toString(), '{"prompt":"p","model":"m"}')
  assert.match(up.requests[0]?.head ?? "", /X-A: b/)
  assert.doesNotMatch(up.requests[0]?.head ?? "", /Content-Encoding/)
})

test("a deadline fails the answer, and a child's own failing addon is its own affair", async (t) => {
  const silent = await origin(t, () => {})
  const told: unknown[] = []
  const host = await startHost(t, {
    addons: [
      asks(silent.port, { timeoutMs: 70 }, (flow, got) => {
        told.push(got.failure?.kind, got.failure?.message)
        flow.respond({ text: "late" })
      }),
    ],
  })
  const wire = await host.connect()
  wire.write(chat(silent.port, { stream: true }))
  await silent.received(1)
  host.clock.advance(70)
  assert.equal((await wire.response("POST")).text, "late")
  assert.deepEqual(told, ["connect", `http://127.0.0.1:${silent.port}${CHAT}: no answer within 70 ms`])
})
