import assert from "node:assert/strict"
import zlib from "node:zlib"
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import type { Hooks } from "../../../lib/api/hooks.ts"
import {
  addon,
  answer,
  chat,
  chatJson,
  chunk,
  gate,
  jsonAnswer,
  origin,
  recorder,
  request,
  startHost,
} from "../../helpers/hosts/proxy-host.ts"

const reads = (hooks: Partial<Hooks>, more = {}) => addon("reads", hooks, more)

test("a request body is collected where a hook asks for it: text, bytes, json; else reading throws", async (t) => {
  const told: unknown[] = []
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const collects = reads({
    async requestHeaders(flow) {
      if (flow.request.path === "/headers") await flow.request.collect()
    },
    async request(flow) {
      if (flow.request.path === "/request") await flow.request.collect()
      try {
        told.push(flow.request.json(), flow.request.bytes.length, flow.request.text)
      } catch (error) {
        told.push(String(error))
      }
    },
  })
  const host = await startHost(t, { addons: [collects] })
  const wire = await host.connect()
  for (const path of ["/headers", "/request", "/never"]) {
    wire.write(request("POST", up.port, path, '{"é":1}'))
    assert.equal((await wire.response("POST")).text, "ok")
  }
  const whole = [{ é: 1 }, 8, '{"é":1}']
  assert.deepEqual(told.slice(0, 6), [...whole, ...whole])
  assert.match(String(told[6]), /request body not collected: await flow\.request\.collect\(\)/)
  assert.deepEqual(
    up.requests.map(({ body }) => body.toString()),
    ['{"é":1}', '{"é":1}', '{"é":1}'],
  )
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
})

test("an addon that declares collect gets every body; an edit replaces it and its codings", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const edits = reads(
    {
      request(flow) {
        if (flow.request.path === "/edit") flow.request.text = `${flow.request.text} é!`
      },
    },
    { reads: "bodies" },
  )
  const host = await startHost(t, { addons: [edits] })
  const wire = await host.connect()
  const zipped = zlib.gzipSync("plain")
  wire.write(Buffer.from(request("POST", up.port, "/edit", zipped, "Content-Encoding: gzip\r\n"), "latin1"))
  await wire.response("POST")
  wire.write(Buffer.from(request("POST", up.port, "/keep", zipped, "Content-Encoding: gzip\r\n"), "latin1"))
  await wire.response("POST")
  const [edited, kept] = up.requests
  assert.equal(edited?.body.toString(), "plain é!")
  assert.doesNotMatch(edited?.head ?? "", /Content-Encoding/)
  assert.deepEqual(kept?.body, zipped)
  assert.match(kept?.head ?? "", /Content-Encoding: gzip/)
})

test("an edit without collect throws, and the body streams on unchanged", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const edits = reads({
    request(flow) {
      flow.request.text = "mine"
    },
  })
  const host = await startHost(t, { addons: [edits] })
  const wire = await host.connect()
  wire.write(request("POST", up.port, "/", "theirs"))
  await wire.response("POST")
  assert.equal(up.requests[0]?.body.toString(), "theirs")
  assert.match(host.lines.join("\n"), /not collected/)
})

test("a client that waits for 100-continue is told to go on while its body is collected", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const host = await startHost(t, { addons: [reads({}, { reads: "bodies" })] })
  const wire = await host.connect()
  const body = "expected"
  wire.write(request("POST", up.port, "/", body, "Expect: 100-continue\r\n").slice(0, -body.length))
  await wire.until("100 Continue")
  wire.write(body)
  assert.equal((await wire.response("POST")).text, "ok")
  assert.equal(up.requests[0]?.body.toString(), body)
  assert.doesNotMatch(up.requests[0]?.head ?? "", /Expect/)
})

test("a body that cannot be read streams on whole and marks the flow; with block it is 413 or 400", async (t) => {
  const long = JSON.stringify({ model: "m", messages: [{ role: "user", content: "x".repeat(3_000) }] })
  const json = JSON.stringify({ model: "m", messages: [] })
  const cases: [string, Buffer, string, number, RegExp][] = [
    ["too large, said so", Buffer.from(long), "", 413, /exceeds bodyLimit \(2000 bytes\)/],
    ["too large, chunked", Buffer.from(long), "chunked", 413, /exceeds bodyLimit/],
    ["a bomb", zlib.gzipSync(long), "Content-Encoding: gzip\r\n", 413, /decoded content exceeds 2000/],
    ["an unknown coding", Buffer.from(json), "Content-Encoding: compress\r\n", 400, /Content-Encoding compress/],
    ["a broken coding", Buffer.from(json), "Content-Encoding: br\r\n", 400, /could not be decoded/],
    ["no JSON", Buffer.from("{oops"), "", 400, /no JSON object/],
    ["no request of the dialect", Buffer.from('{"a":1}'), "", 400, /no openai-chat request/],
  ]
  for (const [what, body, fields, status, message] of cases) {
    for (const onError of ["continue", "block"] as const) {
      const seen = recorder(["llmRequest", "llmResponse", "response", "error"])
      const listens = addon("listens", { llmRequest: () => {} }, { onError })
      const host = await startHost(t, { addons: [listens, seen.addon], settings: { bodyLimit: 2_000 } })
      const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("x"))))
      const wire = await host.connect()
      const head = `POST http://127.0.0.1:${up.port}/v1/chat/completions HTTP/1.1\r\nHost: x\r\n`
      if (fields === "chunked") {
        wire.write(`${head}Transfer-Encoding: chunked\r\n\r\n`)
        wire.write(Buffer.concat([chunk(body), Buffer.from("0\r\n\r\n")]))
      } else wire.write(Buffer.concat([Buffer.from(`${head}${fields}Content-Length: ${body.length}\r\n\r\n`), body]))
      const response = await wire.response("POST")
      await host.settled()
      assert.equal(response.status, onError === "block" ? status : 200, `${what} ${onError}: ${response.text}`)
      if (onError === "block") assert.match(response.text, message, what)
      else {
        assert.deepEqual(up.requests[0]?.body, body, what)
        assert.match(seen.flow().unparsed ?? "", message, what)
        assert.deepEqual(seen.events, ["response"], what)
      }
      assert.equal(host.server.core.memory.used, 0)
    }
  }
})

test("memoryLimit counts all flows together", async (t) => {
  const waiting = gate()
  const go = gate()
  const flows: Flow[] = []
  const slow = reads(
    {
      async request(flow) {
        flows.push(flow)
        if (flows.length > 1) return
        waiting.open()
        await flow.waitFor(go.opened)
      },
    },
    { reads: "bodies" },
  )
  const host = await startHost(t, { addons: [slow], settings: { memoryLimit: 1_000 } })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const first = await host.connect()
  first.write(request("POST", up.port, "/1", "x".repeat(800)))
  await waiting.opened
  assert.equal(host.server.core.memory.used, 800)
  const second = await host.connect()
  second.write(request("POST", up.port, "/2", "y".repeat(800)))
  assert.equal((await second.response("POST")).status, 200)
  assert.equal(up.requests[0]?.body.toString(), "y".repeat(800))
  assert.match(flows[1]?.unparsed ?? "", /memory limit/)
  go.open()
  await first.response("POST")
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
})

test("collect of a response: read, left as it came, or edited with its fields", async (t) => {
  const told: unknown[] = []
  const collects = reads({
    async responseHeaders(flow) {
      const { response } = flow
      assert.throws(() => response?.text, /response body not kept/)
      assert.throws(() => response && Object.assign(response, { text: "early" }), /after await flow\.response\.collect/)
      await response?.collect()
      told.push(response?.text)
      if (response === undefined || flow.request.path !== "/edit") return
      response.text = "edited é"
      response.status = 404
    },
  })
  const host = await startHost(t, { addons: [collects] })
  const zipped = zlib.deflateSync("zipped")
  const up = await origin(t, ({ target }, socket) => {
    const coded = "Content-Encoding: deflate\r\nETag: e\r\n"
    if (target === "/chunked")
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
    else socket.write(answer(zipped, coded))
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/keep"))
  const kept = await wire.response()
  assert.deepEqual(
    [kept.body, kept.headers.get("content-encoding"), kept.headers.get("etag")],
    [zipped, "deflate", "e"],
  )
  wire.write(request("GET", up.port, "/edit"))
  const edited = await wire.response()
  assert.deepEqual([edited.status, edited.body.toString(), edited.headers.has("etag")], [404, "edited é", false])
  assert.equal(edited.head.reason, "Not Found")
  wire.write(request("GET", up.port, "/chunked"))
  const chunked = await wire.response()
  assert.deepEqual([chunked.text, chunked.trailers?.get("x-t")], ["abc", "1"])
  assert.deepEqual(told, ["zipped", "zipped", "abc"])
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
})

test("a response too large to collect is passed on whole, or is a 502 where its addon says block", async (t) => {
  for (const onError of ["continue", "block"] as const) {
    const collects = reads({ responseHeaders: (flow) => flow.response?.collect() }, { onError })
    const host = await startHost(t, { addons: [collects], settings: { bodyLimit: 70_000 } })
    const body = "abc".repeat(100_000)
    const up = await origin(t, (_, socket) => void socket.write(answer(body)))
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    const response = await wire.response()
    assert.equal(response.status, onError === "block" ? 502 : 200)
    if (onError === "continue") assert.equal(response.text, body)
    else assert.match(response.text, /exceeds bodyLimit \(70000 bytes\)/)
    await host.settled()
    assert.equal(host.server.core.memory.used, 0)
  }
})

test("a response that is cut while it is collected is a cut for the client", async (t) => {
  const seen = recorder(["response", "error"])
  const host = await startHost(t, {
    addons: [reads({ responseHeaders: (flow) => flow.response?.collect() }), seen.addon],
  })
  const up = await origin(t, (_, socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await assert.rejects(wire.response())
  await host.settled()
  assert.deepEqual(seen.events, ["error"])
})

test("keep retains a decoded copy while the body streams on, up to its limit and the memory's", async (t) => {
  const told: unknown[] = []
  const keeps = reads({
    responseHeaders(flow) {
      flow.response?.keep(flow.request.path === "/zip" ? 100 : 5)
      flow.response?.keep(3)
    },
    response(flow) {
      const { response } = flow
      try {
        told.push(response?.text, response?.truncated)
      } catch (error) {
        told.push(String(error))
      }
    },
  })
  const host = await startHost(t, { addons: [keeps], settings: { memoryLimit: 5_000 } })
  const up = await origin(t, ({ target }, socket) => {
    if (target === "/zip") socket.write(answer(zlib.brotliCompressSync("x".repeat(500)), "Content-Encoding: br\r\n"))
    else if (target === "/odd") socket.write(answer("hello", "Content-Encoding: compress\r\n"))
    else if (target === "/broken") socket.write(answer("hello", "Content-Encoding: gzip\r\n"))
    else if (target === "/short") socket.write(answer("hi"))
    else socket.write(answer("hello world"))
  })
  const wire = await host.connect()
  for (const path of ["/short", "/plain", "/zip", "/odd", "/broken"]) {
    wire.write(request("GET", up.port, path))
    await wire.response()
    await host.settled()
    assert.equal(host.server.core.memory.used, 0)
  }
  assert.deepEqual(told.slice(0, 6), ["hi", false, "hello", true, "x".repeat(100), true])
  assert.match(String(told[6]), /Content-Encoding compress cannot be decoded/)
  assert.match(String(told[7]), /could not be decoded/)

  const poor = await startHost(t, { addons: [keeps], settings: { memoryLimit: 2 } })
  const second = await poor.connect()
  second.write(request("GET", up.port, "/plain"))
  assert.equal((await second.response()).text, "hello world")
  await poor.settled()
  assert.deepEqual(told.slice(8), ["", true])
})

test("a kept JSON answer can be read as JSON", async (t) => {
  let json: unknown
  const keeps = reads({
    responseHeaders: (flow) => flow.response?.keep(1_000),
    response(flow) {
      json = flow.response?.json()
    },
  })
  const host = await startHost(t, { addons: [keeps] })
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer({ a: [1] })))
  const wire = await host.connect()
  wire.write(chat(up.port))
  await wire.response("POST")
  await host.settled()
  assert.deepEqual(json, { a: [1] })
})

test("a collected body that came in chunks leaves in chunks, its trailers behind it, an empty one too", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const host = await startHost(t, { addons: [reads({}, { reads: "bodies" })] })
  const wire = await host.connect()
  const head = `POST http://127.0.0.1:${up.port}/ HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n`
  for (const body of ["3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n", "0\r\n\r\n"]) {
    wire.write(head + body)
    await wire.response()
  }
  const [full, empty] = up.requests
  assert.equal(full?.rawBody.toString(), "5\r\nabcde\r\n0\r\nX-Sum: 5\r\n\r\n")
  assert.match(empty?.head ?? "", /Transfer-Encoding: chunked/)
  assert.equal(empty?.rawBody.toString(), "0\r\n\r\n")
})
