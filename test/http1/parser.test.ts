import assert from "node:assert/strict"
import { test } from "tap"
import { FlowError } from "../../lib/base/errors.ts"
import { RequestParser, ResponseParser } from "../../lib/http1/parser.ts"
import { everySplit } from "../../lib/testing/every-split.ts"
import { bytesOf, readRequests, readResponses, wholeAndBytes } from "../helpers/wire/http1-messages.ts"

const REQUESTS: Record<string, string> = {
  "no body": "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
  "a length": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "a length of zero": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
  "a body that looks like a head": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
  chunks: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n01;x=y\r\n!\r\n0\r\n\r\n",
  trailers:
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\nA ;q="a;b"\r\n0123456789\r\n000;e\r\nX-Sum:  1 \r\nx-sum: 2\r\n\r\n',
  "HTTP/1.0": "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
  "the lines of a sloppy sender":
    "GET /?q=%20 HTTP/1.1\r\nhOST:a\r\nX-Empty:\r\nX-Wide: \t é \t\r\nX-Wide: again\r\n\r\n",
  "empty lines before it": "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
}
const RESPONSES: Record<string, string> = {
  "a length": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  chunks: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
  "until close": "HTTP/1.1 200 \r\n\r\nhello",
  "no reason": "HTTP/1.1 204\r\n\r\n",
  "interim responses":
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not\r\n\r\n",
  "equal lengths": "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nhi",
}

for (const [name, text] of Object.entries(REQUESTS))
  test(`a request with ${name} reads alike at every split and byte by byte`, (t) => {
    const whole = readRequests([bytesOf(text)])
    t.equal(whole.error, undefined)
    t.strictSame(
      whole.messages.map((message) => message.whole),
      [true],
    )
    for (const split of everySplit(bytesOf(text)))
      assert.deepEqual(readRequests(split), whole, `cut at byte ${split[0].length}`)
    for (const pieces of wholeAndBytes(bytesOf(text))) assert.deepEqual(readRequests(pieces), whole)
    t.end()
  })

for (const [name, text] of Object.entries(RESPONSES))
  test(`a response with ${name} reads alike at every split and byte by byte`, (t) => {
    const whole = readResponses(["GET"], [bytesOf(text)])
    t.equal(whole.error, undefined)
    t.equal(whole.messages[0]?.whole, true)
    for (const split of everySplit(bytesOf(text)))
      assert.deepEqual(readResponses(["GET"], split), whole, `cut at byte ${split[0].length}`)
    for (const pieces of wholeAndBytes(bytesOf(text))) assert.deepEqual(readResponses(["GET"], pieces), whole)
    t.end()
  })

test("a head gives its parts, and its lines as they stood", (t) => {
  const text =
    "POST /a?b HTTP/1.1\r\nHOST: a:1\r\nX:  1\t\r\nx:2\r\nConnection: Close, x\r\nexpect: 100-Continue\r\n\r\n"
  const [request] = readRequests([bytesOf(text)]).messages
  t.strictSame(request?.head, {
    method: "POST",
    target: "/a?b",
    version: "1.1",
    framing: { kind: "none" },
    keepAlive: false,
    expectContinue: true,
    upgrade: undefined,
    lines: ["HOST: a:1", "X:  1\t", "x:2", "Connection: Close, x", "expect: 100-Continue"],
  })
  const [response] = readResponses(
    ["GET"],
    [bytesOf("HTTP/1.0 404 Not  F\xe9und\r\nContent-Length:0\r\n\r\n")],
  ).messages
  t.strictSame(response?.head, {
    version: "1.0",
    status: 404,
    reason: "Not  F\xe9und",
    framing: { kind: "length", length: 0 },
    keepAlive: false,
    lines: ["Content-Length:0"],
  })
  t.end()
})

test("bodies and trailers come out as they were sent", (t) => {
  const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
  const [request] = readRequests([bytesOf(`${head}3\r\n\r\n0\r\n0\r\nX-Sum:  1 \r\nx-sum:2\r\n\r\n`)]).messages
  t.equal(request?.body, "\r\n0")
  t.strictSame(request?.trailers, ["X-Sum:  1 ", "x-sum:2"])
  t.end()
})

test("pipelined requests come one after the other, whatever their framing", (t) => {
  const texts = Object.values(REQUESTS)
  const whole = readRequests([bytesOf(texts.join(""))])
  const alone = texts.flatMap((text) => readRequests([bytesOf(text)]).messages)
  t.strictSame(whole, { messages: alone, informational: [], error: undefined })
  for (const split of everySplit(bytesOf(texts.join("")))) assert.deepEqual(readRequests(split), whole)
  t.end()
})

test("responses follow each other on one connection, each framed by its own request's method", (t) => {
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
  const reading = readResponses(["HEAD", "GET", "HEAD"], [bytesOf(head), bytesOf(`${head}abc`), bytesOf(head)])
  t.strictSame(
    reading.messages.map((message) => [message.head.framing.kind, message.body]),
    [
      ["none", ""],
      ["length", "abc"],
      ["none", ""],
    ],
  )
  t.equal(reading.error, undefined)
  t.end()
})

test("data events are views of the bytes that were fed", (t) => {
  const parser = new RequestParser()
  parser.feed(bytesOf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"))
  t.equal(parser.next()?.type, "head")
  t.equal(parser.next(), undefined)
  const pieces = [Buffer.from("abc"), Buffer.from("def")]
  for (const piece of pieces) parser.feed(piece)
  for (const piece of pieces) {
    const event = parser.next()
    t.ok(event?.type === "data" && event.bytes === piece)
  }
  t.equal(parser.next()?.type, "end")
  t.end()
})

test("an end of input is a cut inside a request, and nothing between two", (t) => {
  for (const text of Object.values(REQUESTS)) {
    const bytes = bytesOf(text)
    const start = text.search(/[A-Z]/)
    for (let end = 0; end <= bytes.length; end++) {
      const inside = end > start && end < bytes.length
      const { error } = readRequests([bytes.subarray(0, end)])
      assert.equal(error, inside ? "client cut 400" : undefined, `${text} up to byte ${end}`)
    }
  }
  t.pass("every offset of every request")
  t.end()
})

test("an end of input is a cut inside a response, and the end of a body that lasts until then", (t) => {
  for (const [name, text] of Object.entries(RESPONSES)) {
    const bytes = bytesOf(text)
    const headEnd = name === "until close" ? text.indexOf("\r\n\r\n") + 4 : bytes.length
    for (let end = 0; end <= bytes.length; end++) {
      const { error } = readResponses(["GET"], [bytes.subarray(0, end)])
      assert.equal(error, end < headEnd ? "upstream cut 502" : undefined, `${text} up to byte ${end}`)
    }
  }
  t.pass("every offset of every response")
  t.end()
})

test("an end of input waits for the events that were not pulled yet", (t) => {
  const request = new RequestParser()
  request.feed(bytesOf("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"))
  request.finish()
  t.equal(request.next()?.type, "head")
  t.equal(request.next()?.type, "end")
  t.throws(() => request.next(), { code: "cut", source: "client" })

  const response = new ResponseParser()
  response.expect("GET")
  response.feed(bytesOf("HTTP/1.1 200 OK\r\n\r\nabc"))
  response.finish()
  const types = [response.next(), response.next(), response.next(), response.next()].map((event) => event?.type)
  t.strictSame(types, ["head", "data", "end", undefined])
  t.end()
})

test("a violation is thrown again ever after, and later bytes are dropped", (t) => {
  const parser = new RequestParser()
  parser.feed(bytesOf("GET / HTTP/3.0\r\n\r\n"))
  const codes: string[] = []
  for (let turn = 0; turn < 2; turn++) {
    try {
      parser.next()
    } catch (error) {
      if (error instanceof FlowError) codes.push(error.code)
    }
    parser.feed(bytesOf("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
  }
  t.strictSame(codes, ["version-not-supported", "version-not-supported"])
  t.throws(() => parser.finish(), { code: "version-not-supported" })
  t.equal(parser.buffered, 0)
  t.end()
})

test("the bytes behind a CONNECT or an upgrade stay for the tunnel", (t) => {
  const client = new RequestParser()
  client.feed(bytesOf("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03"))
  t.strictSame([client.next()?.type, client.next()?.type], ["head", "end"])
  t.equal(client.buffered, 2)
  t.notOk(client.idle)
  t.equal(client.rest().toString("latin1"), "\x16\x03")
  t.ok(client.idle)
  t.equal(client.rest().length, 0)

  for (const [method, head] of [
    ["GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
    ["CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"],
  ] as const) {
    const upstream = new ResponseParser()
    upstream.expect(method)
    upstream.feed(bytesOf(`${head}ab`))
    upstream.feed(bytesOf("cd"))
    t.strictSame([upstream.next()?.type, upstream.next()?.type, upstream.next()], ["head", "end", undefined])
    upstream.finish()
    t.equal(upstream.rest().toString(), "abcd")
  }
  t.end()
})

test("bytes that answer no request are refused, also when they came behind an answer", (t) => {
  const early = new ResponseParser()
  t.ok(early.idle)
  early.feed(bytesOf("HTTP/1.1 200 OK\r\n\r\n"))
  t.notOk(early.idle)
  t.throws(() => early.next(), { code: "unsolicited-response", source: "upstream" })

  const poisoned = new ResponseParser()
  poisoned.expect("GET")
  poisoned.feed(bytesOf("HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))
  t.strictSame([poisoned.next()?.type, poisoned.next()?.type], ["head", "end"])
  t.throws(() => poisoned.expect("GET"), { code: "unsolicited-response" })
  t.throws(() => poisoned.next(), { code: "unsolicited-response" })
  t.end()
})

test("a response is expected once at a time", (t) => {
  const parser = new ResponseParser()
  parser.expect("GET")
  t.notOk(parser.idle)
  t.throws(() => parser.expect("GET"), /has not ended/)
  t.end()
})

test("a request parser is idle between requests only", (t) => {
  const parser = new RequestParser()
  t.ok(parser.idle)
  parser.feed(bytesOf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"))
  t.notOk(parser.idle)
  parser.next()
  t.notOk(parser.idle)
  parser.feed(bytesOf("x"))
  parser.next()
  t.notOk(parser.idle)
  parser.next()
  t.ok(parser.idle)
  parser.feed(bytesOf("\r\n"))
  t.equal(parser.next(), undefined)
  t.ok(parser.idle)
  t.end()
})
