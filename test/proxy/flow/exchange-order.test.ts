import assert from "node:assert/strict"
import { test } from "tap"
import {
  addon,
  answer,
  CHAT,
  chat,
  chatEvent,
  chatJson,
  DONE,
  FINISH,
  jsonAnswer,
  origin,
  recorder,
  request,
  sseAnswer,
  startHost,
} from "../../helpers/hosts/proxy-host.ts"

test("the hooks of a flow that speaks no dialect fire in order, each once", async (t) => {
  const seen = recorder()
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(answer("hello")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/a"))
  const response = await wire.response()
  await host.settled()
  assert.equal(response.text, "hello")
  assert.deepEqual(seen.events, [
    "requestHeaders",
    "request",
    "serverConnect",
    "serverConnected",
    "responseHeaders",
    "response",
  ])
})

test("a second request on the same connections fires no serverConnect", async (t) => {
  const seen = recorder()
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(answer("hello")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/a"))
  await wire.response()
  await host.settled()
  seen.events.length = 0
  wire.write(request("GET", up.port, "/b"))
  await wire.response()
  await host.settled()
  assert.deepEqual(seen.events, ["requestHeaders", "request", "responseHeaders", "response"])
  assert.equal(seen.flow().server?.reused, true)
  assert.equal(up.connections, 1)
})

test("the hooks of a streamed LLM answer fire in order", async (t) => {
  const seen = recorder()
  const host = await startHost(t, { addons: [seen.addon] })
  const bytes = sseAnswer(chatEvent("a"), chatEvent("b"), FINISH, DONE)
  const up = await origin(t, (_, socket) => void socket.write(bytes))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(response.text, chatEvent("a") + chatEvent("b") + FINISH + DONE)
  assert.deepEqual(seen.events, [
    "requestHeaders",
    "request",
    "llmRequest",
    "serverConnect",
    "serverConnected",
    "responseHeaders",
    "llmDelta a",
    "llmDelta b",
    "llmDelta finish",
    "llmResponse",
    "response",
  ])
  const completion = seen.flow().llm?.completion
  assert.equal(completion?.text, "ab")
  assert.deepEqual(completion?.finishReason, { unified: "stop", raw: "stop" })
})

test("the hooks of a JSON LLM answer fire in order, without deltas", async (t) => {
  const seen = recorder()
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("whole"))))
  const wire = await host.connect()
  wire.write(chat(up.port))
  await wire.response("POST")
  await host.settled()
  assert.deepEqual(seen.events.slice(5), ["responseHeaders", "llmResponse", "response"])
  assert.equal(seen.flow().llm?.completion?.text, "whole")
})

test("an error status of an LLM path fires llmError instead of llmResponse", async (t) => {
  const seen = recorder()
  const host = await startHost(t, { addons: [seen.addon] })
  const body = { error: { message: "slow down", type: "rate_limit_error", code: "rate_limit_exceeded" } }
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(body, "429 Too Many Requests")))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const response = await wire.response("POST")
  await host.settled()
  assert.deepEqual([response.status, JSON.parse(response.text)], [429, body])
  assert.deepEqual(seen.events.slice(5), ["responseHeaders", "llmError", "response"])
  assert.deepEqual([seen.flow().llm?.error?.kind, seen.flow().llm?.error?.status], ["rate_limit", 429])
})

test("an error event in a stream fires llmError, and the bytes pass", async (t) => {
  const seen = recorder()
  const host = await startHost(t, { addons: [seen.addon] })
  const error = `data: ${JSON.stringify({ error: { message: "broke", code: "server_error" } })}\n\n`
  const up = await origin(t, (_, socket) => void socket.write(sseAnswer(chatEvent("a"), error, DONE)))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(response.text, chatEvent("a") + error + DONE)
  assert.deepEqual(seen.events.slice(5), ["responseHeaders", "llmDelta a", "llmError", "response"])
})

test("1xx reaches the client before the head, and after its hooks, one after the other", async (t) => {
  const seen: string[] = []
  const slow = addon("slow", {
    async informational(_, { status, headers }) {
      await new Promise((resolve) => setImmediate(resolve))
      seen.push(`informational ${status} ${headers.get("link")}`)
    },
    responseHeaders: () => void seen.push("responseHeaders"),
  })
  const host = await startHost(t, { addons: [slow] })
  const early = (link: string) => `HTTP/1.1 103 Early Hints\r\nLink: ${link}\r\n\r\n`
  const up = await origin(t, (_, socket) => {
    socket.write(Buffer.concat([Buffer.from(early("<a>")), Buffer.from(early("<b>")), answer("ok")]))
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  const response = await wire.response()
  assert.deepEqual(seen, ["informational 103 <a>", "informational 103 <b>", "responseHeaders"])
  assert.deepEqual(
    response.informational.map(({ status, headers }) => [status, headers.get("link")]),
    [
      [103, "<a>"],
      [103, "<b>"],
    ],
  )
})

test("without an informational hook 1xx passes as well, a 100 that nobody asked for included", async (t) => {
  const host = await startHost(t)
  const up = await origin(t, (_, socket) => {
    const text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    socket.write(Buffer.concat([Buffer.from(text), answer("ok")]))
  })
  const wire = await host.connect()
  wire.write(request("POST", up.port, "/", "x"))
  const response = await wire.response("POST")
  assert.deepEqual(
    response.informational.map(({ status }) => status),
    [100, 103],
  )
})

test("a 100 that an addon asked for is not the client's", async (t) => {
  const host = await startHost(t, {
    addons: [addon("expects", { request: (flow) => flow.request.headers.set("Expect", "100-continue") })],
  })
  const up = await origin(t, (_, socket) => {
    socket.write(Buffer.concat([Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"), answer("ok")]))
  })
  const wire = await host.connect()
  wire.write(request("POST", up.port, "/", "x"))
  const response = await wire.response("POST")
  assert.equal(response.text, "ok")
  assert.deepEqual(response.informational, [])
})

test("a 100 of the upstream reaches a client that waits for it, whose body then follows", async (t) => {
  const host = await startHost(t)
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  // The scripted origin answers whole requests only, so the 100 comes from a second one that speaks first.
  const wire = await host.connect()
  const { createServer } = await import("node:net")
  const bytes: Buffer[] = []
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.on("data", (data: Buffer) => {
      bytes.push(data)
      const text = Buffer.concat(bytes).toString("latin1")
      if (text.endsWith("\r\n\r\n")) socket.write("HTTP/1.1 100 Continue\r\n\r\n")
      if (text.endsWith("body")) socket.write(answer("ok"))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const head = `POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`
  wire.write(head)
  await wire.until("100 Continue")
  wire.write("body")
  const response = await wire.response("POST")
  assert.equal(response.text, "ok")
  assert.equal(up.connections, 0)
  assert.match(Buffer.concat(bytes).toString("latin1"), /Expect: 100-continue/)
})

test("a failing informational hook stops the flow only where its addon says block", async (t) => {
  for (const onError of ["continue", "block"] as const) {
    const seen = recorder(["response", "error"])
    const breaks = addon(
      "breaks",
      {
        informational() {
          throw new Error("oops")
        },
      },
      { onError },
    )
    const host = await startHost(t, { addons: [breaks, seen.addon] })
    const up = await origin(t, (_, socket) => {
      socket.write(Buffer.concat([Buffer.from("HTTP/1.1 103 Early Hints\r\n\r\n"), answer("ok")]))
    })
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    const response = await wire.response()
    await host.settled()
    assert.equal(response.status, onError === "block" ? 500 : 200)
    assert.deepEqual(seen.events, [onError === "block" ? "error" : "response"])
  }
})

test("trailers of the request and of the response pass", async (t) => {
  const host = await startHost(t)
  const up = await origin(t, (_, socket) => {
    socket.write(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n",
    )
  })
  const wire = await host.connect()
  const head = `POST http://127.0.0.1:${up.port}${CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n`
  wire.write(`${head}TE: trailers\r\nTrailer: X-End\r\n\r\n3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n`)
  const response = await wire.response("POST")
  assert.equal(response.trailers?.get("x-sum"), "9")
  assert.equal(up.requests[0]?.rawBody.toString(), "3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n")
})

test("addons run in list order, and what one sees the next sees", async (t) => {
  const order: string[] = []
  const first = addon("first", {
    async request(flow) {
      await new Promise((resolve) => setImmediate(resolve))
      flow.request.headers.set("X-By", "first")
      order.push("first")
    },
  })
  const second = addon("second", {
    request(flow) {
      order.push(`second after ${flow.request.headers.get("x-by")}`)
    },
  })
  const host = await startHost(t, { addons: [first, second] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await wire.response()
  assert.deepEqual(order, ["first", "second after first"])
  assert.match(up.requests[0]?.head ?? "", /X-By: first/)
})
