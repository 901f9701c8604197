import { test } from "tap"
import { Headers } from "../../lib/base/headers.ts"
import type { Framing } from "../../lib/http1/message.ts"
import {
  chunkHead,
  isHopByHop,
  LAST_CHUNK,
  type RequestHeadOptions,
  type ResponseHeadOptions,
  requestHead,
  responseHead,
  trailerSection,
} from "../../lib/http1/serializer.ts"

const NONE: Framing = { kind: "none" }

function raw(lines: readonly string[]): Headers {
  const headers = new Headers()
  for (const line of lines) {
    const colon = line.indexOf(":")
    headers.appendRaw(line, line.slice(0, colon))
  }
  return headers
}

/** The lines of a request's head behind its first, the empty ones cut. */
function request(lines: readonly string[], framing: Framing = NONE, options: RequestHeadOptions = {}): string[] {
  const text = requestHead({ method: "POST", target: "/" }, raw(lines), framing, options)
  return linesOf(text).slice(1)
}

function response(lines: readonly string[], framing: Framing = NONE, options: ResponseHeadOptions = {}, status = 200) {
  return linesOf(responseHead({ status, reason: "OK", headers: raw(lines) }, framing, options)).slice(1)
}

function linesOf(text: string): string[] {
  if (!text.endsWith("\r\n\r\n")) throw new Error(`${JSON.stringify(text)} ends without an empty line`)
  return text.slice(0, -4).split("\r\n")
}

test("a head is a start line, the kept lines byte for byte, and an empty line", (t) => {
  const lines = ["host:a", "X:  1\t", "x: 2", "X-\xe9:\xff"]
  const head = requestHead({ method: "M-SEARCH", target: "/%e9?a" }, raw(lines), NONE)
  t.equal(head, `M-SEARCH /%e9?a HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`)
  const answer = responseHead({ status: 404, reason: "Nicht da", headers: raw(lines) }, NONE, { version: "1.0" })
  t.equal(answer, `HTTP/1.0 404 Nicht da\r\n${lines.join("\r\n")}\r\n\r\n`)
  t.equal(responseHead({ status: 200, reason: "", headers: raw([]) }, NONE), "HTTP/1.1 200 \r\n\r\n")
  t.end()
})

test("hop-by-hop fields stay on their hop, those that Connection names too", (t) => {
  const lines = [
    "Connection: keep-alive, X-Mine",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic x",
    "Proxy-Authenticate: Basic",
    "Proxy-Authentication-Info: x",
    "Transfer-Encoding: chunked",
    "Upgrade: h2c",
    "HTTP2-Settings: x",
    "TE: gzip",
    "x-mine: 1",
    "connection: x-other",
    "X-Other: 2",
    "X-Kept: 3",
    "Trailer: X-Sum",
  ]
  t.strictSame(request(lines), ["X-Kept: 3", "Trailer: X-Sum"])
  t.strictSame(response(lines), ["X-Kept: 3", "Trailer: X-Sum"])
  t.end()
})

test("Connection cannot name away what others decide by", (t) => {
  const lines = ["Host: a", "Content-Length: 1", "Authorization: b", "Cookie: c", "Content-Type: d"]
  const connection = "Connection: host, content-length, authorization, cookie, content-type"
  t.strictSame(request([connection, ...lines], { kind: "length", length: 1 }), lines)
  t.ok(isHopByHop("te", []))
  t.ok(isHopByHop("x-a", ["x-a"]))
  t.notOk(isHopByHop("x-a", ["x-b"]))
  t.notOk(isHopByHop("host", ["host"]))
  t.end()
})

test("the challenge of a 407 is kept, for the client that can answer it", (t) => {
  t.strictSame(response(["Proxy-Authenticate: Basic"], NONE, {}, 407), ["Proxy-Authenticate: Basic"])
  t.end()
})

test("a Content-Length that is true stays as it stood; another is replaced in its place", (t) => {
  const length = (bytes: number): Framing => ({ kind: "length", length: bytes })
  for (const write of [request, response]) {
    t.strictSame(write(["content-length:5", "A: b"], length(5)), ["content-length:5", "A: b"])
    t.strictSame(write(["content-length:5", "A: b"], length(6)), ["content-length: 6", "A: b"])
    t.strictSame(write(["Content-Length: 05"], length(5)), ["Content-Length: 5"])
    t.strictSame(write(["Content-Length: 5", "Content-Length: 5"], length(5)), ["Content-Length: 5"])
    t.strictSame(write(["A: b", "Transfer-Encoding: chunked"], length(0)), ["A: b", "Content-Length: 0"])
    t.strictSame(write(["Content-Length: 5", "A: b"], { kind: "chunked" }), ["A: b", "Transfer-Encoding: chunked"])
  }
  t.strictSame(request(["Content-Length: 5"]), [])
  t.end()
})

test("a response without a body keeps the length it speaks of, save where none may stand", (t) => {
  t.strictSame(response(["Content-Length:  5"], NONE), ["Content-Length:  5"])
  t.strictSame(response(["Content-Length: 5"], NONE, {}, 304), ["Content-Length: 5"])
  for (const status of [101, 103, 204]) t.strictSame(response(["Content-Length: 0"], NONE, {}, status), [])
  t.end()
})

test("a body that lasts until the close has no length and says that the connection closes", (t) => {
  const lines = ["Content-Length: 5", "Connection: keep-alive"]
  t.strictSame(response(lines, { kind: "until-close" }, { connection: "keep-alive" }), ["Connection: close"])
  t.throws(() => request([], { kind: "until-close" }), TypeError)
  t.end()
})

test("Host is kept where equal, else set in its place, or first", (t) => {
  t.strictSame(request(["A: b", "host:  a"], NONE, { host: "a" }), ["A: b", "host:  a"])
  t.strictSame(request(["A: b", "hOST:  a", "Host: c"], NONE, { host: "b:1" }), ["A: b", "hOST: b:1"])
  t.strictSame(request(["A: b"], NONE, { host: "a" }), ["Host: a", "A: b"])
  t.strictSame(request(["Host: a"]), ["Host: a"])
  t.end()
})

test("TE: trailers is sent again where the client accepts trailers, or where asked for", (t) => {
  const again = ["TE: trailers", "Connection: TE"]
  t.strictSame(request(["TE: trailers"]), again)
  t.strictSame(request(["te: gzip;q=0.5 ,\tTRAILERS;q=1"]), again)
  t.strictSame(request(["TE: gzip", "TE: trailers, deflate"]), again)
  t.strictSame(request(["TE: nottrailers, trailersnot"]), [])
  t.strictSame(request([], NONE, { te: true }), again)
  t.strictSame(response(["TE: trailers"]), [])
  t.end()
})

test("the fields of this hop stand in one Connection line", (t) => {
  const options = { connection: "close", upgrade: "websocket", te: true } as const
  t.strictSame(request(["A: b"], NONE, options), [
    "A: b",
    "Upgrade: websocket",
    "TE: trailers",
    "Connection: Upgrade, TE, close",
  ])
  t.strictSame(response(["Upgrade: x"], NONE, { upgrade: "websocket" }, 101), [
    "Upgrade: websocket",
    "Connection: Upgrade",
  ])
  t.strictSame(response([], NONE, { connection: "keep-alive" }), ["Connection: keep-alive"])
  t.end()
})

test("a part that would break the head is refused", (t) => {
  const headers = new Headers()
  for (const method of ["", "G T", "GET\r\n"])
    t.throws(() => requestHead({ method, target: "/" }, headers, NONE), TypeError)
  for (const target of ["", "/ ", "/\r\nX: y", "/\0"])
    t.throws(() => requestHead({ method: "GET", target }, headers, NONE), TypeError)
  for (const value of ["a\r\nX: y", "a\n", "a\0"]) {
    t.throws(() => request([], NONE, { host: value }), TypeError)
    t.throws(() => request([], NONE, { upgrade: value }), TypeError)
    t.throws(() => responseHead({ status: 200, reason: value, headers }, NONE), TypeError)
  }
  t.end()
})

test("a head is written without a change to the headers", (t) => {
  const headers = raw(["Connection: x", "X: 1", "Host: a", "Content-Length: 1"])
  const before = [...headers.lines()]
  requestHead(
    { method: "GET", target: "/" },
    headers,
    { kind: "length", length: 2 },
    { host: "b", connection: "close" },
  )
  t.strictSame(headers.lines(), before)
  t.end()
})

test("a chunk's size is hexadecimal and never zero", (t) => {
  t.equal(chunkHead(1), "1\r\n")
  t.equal(chunkHead(0x1abc), "1abc\r\n")
  t.throws(() => chunkHead(0), RangeError)
  t.end()
})

test("trailers end a chunked body, without those that may not stand there", (t) => {
  t.equal(trailerSection(undefined), LAST_CHUNK)
  t.equal(trailerSection(new Headers()), LAST_CHUNK)
  t.equal(trailerSection(raw(["X:1", "x: 2"])), "0\r\nX:1\r\nx: 2\r\n\r\n")
  t.equal(trailerSection(raw(["Content-Length: 5", "X:1", "TE: x"])), "0\r\nX:1\r\n\r\n")
  t.equal(trailerSection(raw(["Host: a"])), LAST_CHUNK)
  t.end()
})
