/** Replies of bytes and of bodies that are made as they go, to clients of both versions of HTTP. */
import assert from "node:assert/strict"
import { type Test, test } from "tap"
import type { Flow, Reply } from "../../../lib/api/flow.ts"
import { answerOf, openSession } from "../../helpers/clients/h2-client.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  DONE,
  FINISH,
  gate,
  origin,
  type ProxyHost,
  recorder,
  request,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

type Piece = string | Uint8Array

const BYTES = Buffer.from([0, 255, 128, 13, 10, 0xef, 0xbb, 0xbf])
/** What the kernel and our queues hold of a body that nobody reads. */
const HELD_BYTES_MAX = 96 * 1_048_576

const replies = (reply: () => Reply) => addon("replies", { request: (flow) => flow.respond(reply()) })

/** A source that notes what is done with it. */
function source(make: () => AsyncGenerator<Piece, void>) {
  const noted = { begun: 0, closed: 0 }
  const body: AsyncIterable<Piece> = {
    [Symbol.asyncIterator]() {
      noted.begun++
      const pieces = make()
      return {
        next: () => pieces.next(),
        return: () => {
          noted.closed++
          return Promise.resolve({ done: true, value: undefined })
        },
      }
    },
  }
  return { body, noted }
}

async function* said(...pieces: readonly Piece[]): AsyncGenerator<Piece, void> {
  yield* pieces
}

const never = () => new Promise<never>(() => {})

test("a reply of bytes leaves as they are, under the type that its headers say", async (t) => {
  const cases: [Reply, number, string][] = [
    [{ bytes: BYTES }, 200, "application/octet-stream"],
    [{ status: 503, bytes: new Uint8Array(BYTES), headers: { "Content-Type": "image/png" } }, 503, "image/png"],
  ]
  for (const [reply, status, type] of cases) {
    const host = await startHost(t, { addons: [replies(() => reply)] })
    const wire = await host.connect()
    wire.write(chat(1))
    const response = await wire.response("POST")
    assert.deepEqual([response.status, response.headers.get("content-type")], [status, type])
    assert.deepEqual(response.body, BYTES)
    assert.equal(response.headers.get("content-length"), String(BYTES.length))
  }
})

test("a body made as it goes is sent piece by piece, in chunks over HTTP/1.1, to the close over 1.0", async (t) => {
  const second = gate()
  async function* pieces() {
    yield "é"
    await second.opened
    yield ""
    yield BYTES
  }
  const seen = recorder(["response", "error"])
  const host = await startHost(t, { addons: [replies(() => ({ body: pieces() })), seen.addon] })
  const wire = await host.connect()
  wire.write(request("GET", 1, "/"))
  await wire.until("\r\n2\r\n\xc3\xa9\r\n")
  second.open()
  const response = await wire.response()
  assert.deepEqual(response.body, Buffer.concat([Buffer.from("é"), BYTES]))
  assert.equal(response.headers.get("transfer-encoding"), "chunked")
  assert.equal(response.headers.get("content-type"), "application/octet-stream")
  wire.write(request("GET", 1, "/again").replace("HTTP/1.1", "HTTP/1.0"))
  assert.deepEqual((await wire.response()).body, response.body, "the connection was kept")
  assert.equal(await wire.ended, "end")
  await host.settled()
  assert.deepEqual(seen.events, ["response", "response"])
})

test("a Content-Length that the addon gives is kept, and a body that does not keep it is a cut", async (t) => {
  for (const [pieces, isWhole] of [
    [["ab", "c"], true],
    [["ab"], false],
    [["ab", "cd"], false],
  ] as const) {
    const made = () => ({ body: said(...pieces), headers: { "Content-Length": "3" } })
    const seen = recorder(["response", "error"])
    const host = await startHost(t, { addons: [replies(made), seen.addon] })
    const wire = await host.connect()
    wire.write(request("GET", 1, "/", "", "Connection: close\r\n"))
    await wire.ended
    await host.settled()
    assert.match(wire.text, /^HTTP\/1\.1 200 OK\r\n.*content-length: 3\r\n/is)
    assert.equal(wire.text.endsWith("\r\n\r\nabc"), isWhole, pieces.join())
    assert.deepEqual(seen.events, [isWhole ? "response" : "error"])
    if (!isWhole) assert.match(seen.flow().error?.message ?? "", /Content-Length of 3 bytes/)
  }
})

test("what the source throws, and what it makes that is no piece, is a cut and never an end", async (t) => {
  async function* fails() {
    yield "begun"
    throw new Error("the disk is gone")
  }
  async function* mistakes(): AsyncGenerator<Piece, void> {
    yield "begun"
    const wrong: unknown = { not: "a piece" }
    yield wrong as Piece
  }
  for (const [make, message] of [
    [fails, /the disk is gone/],
    [mistakes, /a value of type object; yield strings and Uint8Arrays/],
  ] as const) {
    const seen = recorder(["response", "error"])
    const host = await startHost(t, { addons: [replies(() => ({ body: make() })), seen.addon] })
    const wire = await host.connect()
    wire.write(request("GET", 1, "/"))
    await wire.ended
    assert.ok(wire.text.endsWith("5\r\nbegun\r\n"), "no last chunk")
    const session = await openSession(t, `http://127.0.0.1:${host.port}`)
    const stream = await answerOf(session.request({ ":path": "/", ":authority": "x.test" }))
    assert.equal(stream.text, "begun")
    assert.notEqual(stream.code, 0, "a reset")
    await host.settled()
    assert.deepEqual(seen.events, ["error", "error"])
    assert.equal(seen.flow().error?.code, "body-failed")
    assert.match(seen.flow().error?.message ?? "", message)
  }
})

test("a client that leaves stops the source at once, also one that says nothing", async (t) => {
  async function* pieces() {
    yield "begun"
    await never()
  }
  const made = source(pieces)
  const seen = recorder(["response", "error"])
  const host = await startHost(t, { addons: [replies(() => ({ body: made.body })), seen.addon] })
  const wire = await host.connect()
  wire.write(request("GET", 1, "/"))
  await wire.until("begun")
  wire.socket.destroy()
  await seen.saw("error")
  assert.deepEqual(made.noted, { begun: 1, closed: 1 })
  const session = await openSession(t, `http://127.0.0.1:${host.port}`)
  const stream = session.request({ ":path": "/", ":authority": "x.test" })
  await new Promise((resolve) => stream.once("data", resolve))
  stream.close(8)
  await until(() => made.noted.closed === 2)
  await host.settled()
  assert.deepEqual(seen.events, ["error", "error"])
  assert.equal(seen.flow().error?.code, "client-gone")
})

test("a generator's finally runs when its client has left", async (t) => {
  const freed = gate()
  async function* pieces(flow: Flow): AsyncGenerator<Piece, void> {
    try {
      yield "begun"
      await new Promise((resolve) => flow.signal.addEventListener("abort", resolve))
      yield "for nobody"
    } finally {
      freed.open()
    }
  }
  const host = await startHost(t, {
    addons: [addon("replies", { request: (flow) => flow.respond({ body: pieces(flow) }) })],
  })
  const wire = await host.connect()
  wire.write(request("GET", 1, "/"))
  await wire.until("begun")
  wire.socket.destroy()
  await freed.opened
})

async function askPaused(t: Test, host: ProxyHost, version: "1.1" | "2"): Promise<void> {
  if (version === "2") {
    const session = await openSession(t, `http://127.0.0.1:${host.port}`)
    session.request({ ":path": "/", ":authority": "x.test" }).pause()
    return
  }
  const wire = await host.connect()
  wire.socket.pause()
  wire.write(request("GET", 1, "/"))
}

test("the source is asked for more when the client has taken what there was", async (t) => {
  const piece = Buffer.alloc(65_536)
  for (const version of ["1.1", "2"] as const) {
    let made = 0
    async function* pieces() {
      for (;;) {
        made += piece.length
        yield piece
      }
    }
    const host = await startHost(t, { addons: [replies(() => ({ body: pieces() }))] })
    await askPaused(t, host, version)
    await until(() => made > 0)
    for (let quiet = 0, last = -1; quiet < 300; quiet++) {
      await new Promise((resolve) => setImmediate(resolve))
      if (made !== last) quiet = 0
      last = made
    }
    assert.ok(made < HELD_BYTES_MAX, `${version}: ${made} bytes were made for nobody`)
  }
})

test("a request that takes no body does not begin one, and what a later reply replaced is never begun", async (t) => {
  const made = source(() => said("x"))
  const twice = addon("twice", {
    request(flow) {
      flow.respond({ body: made.body, headers: { "Content-Length": "1" } })
      if (flow.request.method === "GET") flow.respond({ status: 204, body: made.body })
      if (flow.request.method === "POST") flow.respond({ text: "instead" })
    },
  })
  const host = await startHost(t, { addons: [twice] })
  const wire = await host.connect()
  for (const [method, length] of [
    ["HEAD", "1"],
    ["GET", undefined],
    ["POST", "7"],
  ] as const) {
    wire.write(request(method, 1, "/"))
    const response = await wire.response(method)
    assert.equal(response.headers.get("content-length"), length, method)
  }
  await host.settled()
  assert.deepEqual(made.noted, { begun: 0, closed: 0 })
})

test("in a flow that speaks a dialect the body is read as the answer that it is", async (t) => {
  const made = () => ({
    body: said(chatEvent("a"), chatEvent("b").slice(0, 20), chatEvent("b").slice(20), FINISH, DONE),
    headers: { "Content-Type": "text/event-stream" },
  })
  const gives = addon("gives", {
    llmRequest: (flow) => flow.respond(made()),
    responseHeaders(flow) {
      if (flow.request.path.endsWith("?held")) flow.response?.hold()
      if (flow.request.path.endsWith("?edited"))
        flow.response?.transformDeltas((delta) =>
          delta.type === "text" ? { ...delta, text: delta.text.toUpperCase() } : delta,
        )
    },
  })
  const seen = recorder(["llmDelta", "llmResponse", "response", "error"])
  const host = await startHost(t, { addons: [gives, seen.addon] })
  for (const [query, text] of [
    ["", "ab"],
    ["?held", "ab"],
    ["?edited", "AB"],
  ] as const) {
    const wire = await host.connect()
    wire.write(chat(1, { stream: true }).replace("completions HTTP", `completions${query} HTTP`))
    const response = await wire.response("POST")
    await host.settled()
    const [a = "", b = ""] = text
    assert.equal(response.text, chatEvent(a) + chatEvent(b) + FINISH + DONE, query)
    assert.equal(seen.flow().llm?.completion?.text, text)
    const last = seen.events.splice(0)
    assert.deepEqual(last, [`llmDelta ${a}`, `llmDelta ${b}`, "llmDelta finish", "llmResponse", "response"], query)
  }
})

test("a reply whose content cannot be sent is the hook's failure: two contents, none of their type", async (t) => {
  const wrong = (value: object) => value as Reply
  const cases: [Reply, RegExp][] = [
    [{ text: "a", json: {} }, /a reply has one content, and this one has text and json/],
    [wrong({ bytes: "text" }), /flow\.respond: bytes takes a Buffer or a Uint8Array; for a string there is text/],
    [wrong({ body: ["a"] }), /body is no async iterable; for what is there already there are text and bytes/],
  ]
  for (const [reply, message] of cases) {
    const host = await startHost(t, { addons: [replies(() => reply)] })
    const up = await origin(t, (_, socket) => void socket.write(answer("went on")))
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    assert.equal((await wire.response()).text, "went on")
    assert.match(host.lines.join("\n"), message)
  }
})

test("bytes of a request, of a response and of a child's request are replaced as texts are", async (t) => {
  const thrown: unknown[] = []
  const edits = addon(
    "edits",
    {
      async request(flow) {
        if (flow.parent !== undefined) return
        flow.request.bytes = new Uint8Array(BYTES)
        const url = flow.request.url.replace("/", "/child/")
        await flow.send({ bytes: BYTES.subarray(2) }, { url: url.replace("/child//", "//"), until: "end" })
        await flow.send({ bytes: BYTES, text: "x" }, { url, until: "end" }).catch((error) => thrown.push(error))
      },
      async responseHeaders(flow) {
        if (flow.parent !== undefined || flow.response === undefined) return
        await flow.response.collect()
        flow.response.bytes = Buffer.concat([flow.response.bytes, BYTES])
      },
    },
    { reads: "bodies" },
  )
  const host = await startHost(t, { addons: [edits] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok", "ETag: e\r\n")))
  const wire = await host.connect()
  wire.write(request("POST", up.port, "/", "was text", "Content-Encoding: identity\r\n"))
  const response = await wire.response("POST")
  assert.deepEqual(response.body, Buffer.concat([Buffer.from("ok"), BYTES]))
  assert.equal(response.headers.get("etag"), undefined)
  assert.deepEqual(
    up.requests.map(({ body }) => body),
    [BYTES.subarray(2), BYTES],
  )
  assert.match(up.requests[1]?.head ?? "", /content-length: 8$/i)
  assert.doesNotMatch(up.requests[1]?.head ?? "", /content-encoding/i)
  assert.match(String(thrown[0]), /one of json, text and bytes/)
})
