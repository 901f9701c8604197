import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { DEFAULT_HEAD_LIMITS } from "../../../lib/http1/message.ts"
import { resetName } from "../../../lib/proxy/http2/codes.ts"
import {
  requestHeadFromH2,
  requestHeadToH2,
  responseHeadersToH2,
  responseHeadFromH2,
  trailersFromH2,
  trailersToH2,
} from "../../../lib/proxy/http2/head.ts"
import {
  acceptFor,
  isWebSocket,
  webSocketAnswerFromH2,
  webSocketAnswerToH2,
  webSocketUpgradeFields,
} from "../../../lib/proxy/http2/websocket.ts"

const LIMITS = DEFAULT_HEAD_LIMITS
const SENSITIVE = Symbol("sensitive")
const BASE = [":method", "GET", ":scheme", "https", ":authority", "api.test", ":path", "/v1"]

const read = (...more: string[]) => requestHeadFromH2([...BASE, ...more], LIMITS)

/** The code and status of the FlowError that `run` throws. */
function refusal(run: () => unknown): string {
  try {
    run()
  } catch (thrown) {
    if (thrown instanceof FlowError) return `${thrown.source} ${thrown.code} ${thrown.status}`
    throw thrown
  }
  return "accepted"
}

test("a request's head is read: Host first, the rest as it came, crumbs of cookies joined", async (t) => {
  const head = read(
    "x",
    "1",
    "cookie",
    "a=1",
    "x",
    "2",
    "cookie",
    "b=2",
    "content-length",
    "3",
    "expect",
    "100-Continue",
  )
  t.strictSame(head.headers.lines(), [
    "host: api.test",
    "x: 1",
    "cookie: a=1; b=2",
    "x: 2",
    "content-length: 3",
    "expect: 100-Continue",
  ])
  t.match(head, { method: "GET", scheme: "https", authority: "api.test", path: "/v1", contentLength: 3 })
  t.equal(head.expectContinue, true)
  t.equal(head.protocol, undefined)
})

test("Host may stand in for :authority, and may not contradict it", async (t) => {
  const bare = [":method", "GET", ":scheme", "http", ":path", "*"]
  t.equal(
    refusal(() => requestHeadFromH2(bare, LIMITS)),
    "client bad-target 400",
  )
  const options = [":method", "OPTIONS", ":scheme", "http", ":path", "*"]
  t.equal(
    refusal(() => requestHeadFromH2(options, LIMITS)),
    "client missing-host 400",
  )
  const head = requestHeadFromH2([...options, "x", "1", "host", "h:81"], LIMITS)
  t.equal(head.authority, "h:81")
  t.strictSame(head.headers.lines(), ["host: h:81", "x: 1"])
  t.equal(read("host", "API.test:443").authority, "api.test")
  t.equal(
    refusal(() => read("host", "api.test:80")),
    "client bad-host 400",
  )
  t.equal(
    refusal(() => read("host", "other")),
    "client bad-host 400",
  )
  t.equal(
    refusal(() => read("host", "a b")),
    "client bad-host 400",
  )
})

test("what HTTP/1.1 would read otherwise is refused", async (t) => {
  const cases: Record<string, [readonly string[], string]> = {
    "no method": [[":scheme", "http", ":path", "/"], "missing-pseudo-header 400"],
    "a method that is none": [[":method", "G T", ":scheme", "http", ":path", "/", ":authority", "a"], "bad-method 400"],
    "no scheme": [[":method", "GET", ":path", "/", ":authority", "a"], "missing-pseudo-header 400"],
    "another scheme": [[":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "a"], "bad-scheme 400"],
    "no path": [[":method", "GET", ":scheme", "http", ":authority", "a"], "missing-pseudo-header 400"],
    "a path with a space": [
      [":method", "GET", ":scheme", "http", ":path", "/a b", ":authority", "a"],
      "bad-target 400",
    ],
    "a path beyond ASCII": [
      [":method", "GET", ":scheme", "http", ":path", "/\u00e9", ":authority", "a"],
      "bad-target 400",
    ],
    "an authority with a user": [
      [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "u@a"],
      "bad-host 400",
    ],
    "two paths": [[...BASE, ":path", "/"], "bad-pseudo-header 400"],
    "a status": [[...BASE, ":status", "200"], "bad-pseudo-header 400"],
    "a pseudo-header behind a field": [[":method", "GET", "x", "1", ":path", "/"], "bad-pseudo-header 400"],
    "a line break in a pseudo-header": [[":method", "GET", ":path", "/\r\nx: y"], "bad-field-value 400"],
    "an upper-case name": [[...BASE, "X", "1"], "bad-field-name 400"],
    "a colon in a name": [[...BASE, "x:y", "1"], "bad-field-name 400"],
    "an empty name": [[...BASE, "", "1"], "bad-field-name 400"],
    CR: [[...BASE, "x", "1\r"], "bad-field-value 400"],
    LF: [[...BASE, "x", "1\ny: 2"], "bad-field-value 400"],
    NUL: [[...BASE, "x", "\0"], "bad-field-value 400"],
    "white space before a value": [[...BASE, "x", " 1"], "bad-field-value 400"],
    "white space after a value": [[...BASE, "x", "1\t"], "bad-field-value 400"],
    connection: [[...BASE, "connection", "close"], "connection-field 400"],
    "transfer-encoding": [[...BASE, "transfer-encoding", "chunked"], "connection-field 400"],
    upgrade: [[...BASE, "upgrade", "websocket"], "connection-field 400"],
    "te: gzip": [[...BASE, "te", "gzip"], "connection-field 400"],
    "two lengths": [[...BASE, "content-length", "1", "content-length", "1"], "repeated-field 400"],
    "a length that is none": [[...BASE, "content-length", "+1"], "bad-content-length 400"],
    "two credentials": [[...BASE, "authorization", "a", "authorization", "b"], "repeated-field 400"],
    "an expectation": [[...BASE, "expect", "200-ok"], "bad-expect 417"],
    "too many fields": [[...BASE, ...Array.from({ length: 402 }, () => "x")], "too-many-fields 431"],
    "too many bytes": [[...BASE, "x", "y".repeat(65_536)], "head-too-large 431"],
    "a protocol without CONNECT": [[...BASE, ":protocol", "websocket"], "bad-protocol 400"],
    "a protocol that is none": [
      [":method", "CONNECT", ":protocol", "a b", ":scheme", "http", ":path", "/", ":authority", "a"],
      "bad-protocol 400",
    ],
    "CONNECT with a path": [[":method", "CONNECT", ":path", "/", ":authority", "a:1"], "bad-connect 400"],
  }
  for (const [name, [raw, wanted]] of Object.entries(cases))
    t.equal(
      refusal(() => requestHeadFromH2(raw, LIMITS)),
      `client ${wanted}`,
      name,
    )
  t.equal(read("te", "trailers").headers.get("te"), "trailers")
})

test("CONNECT has an authority and nothing else, unless it is extended", async (t) => {
  const plain = requestHeadFromH2([":method", "CONNECT", ":authority", "a.test:443"], LIMITS)
  t.match(plain, { method: "CONNECT", authority: "a.test:443" })
  t.strictSame([plain.scheme, plain.path, plain.protocol], [undefined, undefined, undefined])
  const extended = [
    ":method",
    "CONNECT",
    ":protocol",
    "WebSocket",
    ":scheme",
    "https",
    ":path",
    "/ws",
    ":authority",
    "a",
  ]
  t.match(requestHeadFromH2(extended, LIMITS), { protocol: "websocket", path: "/ws", scheme: "https" })
})

test("a response's head is read, and what is malformed is the upstream's fault", async (t) => {
  const head = responseHeadFromH2(
    [":status", "200", "set-cookie", "a", "set-cookie", "b", "content-length", "2"],
    LIMITS,
  )
  t.match(head, { status: 200, reason: "", contentLength: 2 })
  t.strictSame(head.headers.getAll("set-cookie"), ["a", "b"])
  for (const raw of [
    ["x", "1"],
    [":status", "20"],
    [":status", "101"],
    [":status", "200", ":path", "/"],
  ])
    t.match(
      refusal(() => responseHeadFromH2(raw, LIMITS)),
      /^upstream bad-(status|pseudo-header) 502$/,
    )
  const twice = [":status", "200", "etag", "a", "etag", "b"]
  t.equal(
    refusal(() => responseHeadFromH2(twice, LIMITS)),
    "upstream repeated-field 502",
  )
})

test("a response's head is written: names in lower case, equal names together, the length as it is known", async (t) => {
  const headers = new Headers([
    ["X-One", "1"],
    ["Set-Cookie", "a"],
    ["Connection", "X-Hop"],
    ["X-Hop", "1"],
    ["Keep-Alive", "timeout=5"],
    ["Content-Length", "7"],
    ["Set-Cookie", "b"],
    ["__proto__", "p"],
    ["Content-Encoding", "gzip"],
    ["Content-Encoding", "br"],
    ["Date", "today"],
    ["Date", "today"],
  ])
  const written = (status: number, length: number | undefined, hasBody: boolean) =>
    Object.entries(responseHeadersToH2({ status, reason: "", headers }, { length, hasBody }))
  const fields: [string, unknown][] = [
    ["x-one", "1"],
    ["set-cookie", ["a", "b"]],
    ["content-length", "7"],
    ["__proto__", "p"],
    ["content-encoding", "gzip, br"],
    ["date", "today"],
  ]
  const without = fields.filter(([name]) => name !== "content-length")
  t.strictSame(written(200, 7, true), [[":status", 200], ...fields])
  t.strictSame(written(200, undefined, true), [[":status", 200], ...without])
  t.strictSame(written(304, undefined, false), [[":status", 304], ...fields], "what a 304 says of the length stays")
  t.strictSame(written(204, undefined, false), [[":status", 204], ...without])
  t.strictSame(written(103, undefined, false), [[":status", 103], ...without])
  const other = new Headers([
    ["Location", "/a"],
    ["Location", "/b"],
  ])
  const write = () => responseHeadersToH2({ status: 302, reason: "", headers: other }, { length: 0, hasBody: true })
  t.equal(refusal(write), "upstream repeated-field 502")
})

test("a challenge leaves with its 407 and with nothing else", async (t) => {
  const headers = new Headers([["Proxy-Authenticate", "Basic"]])
  for (const status of [407, 401]) {
    const out = responseHeadersToH2({ status, reason: "", headers }, { length: 0, hasBody: true })
    t.equal(out["proxy-authenticate"], status === 407 ? "Basic" : undefined)
  }
})

test("a request's head is written: Host is :authority, and credentials are never put into a table", async (t) => {
  const headers = new Headers([
    ["Host", "other"],
    ["Authorization", "Bearer k"],
    ["Cookie", "a=1"],
    ["Cookie", "b=2"],
    ["TE", "deflate, trailers;q=0.5"],
    ["Connection", "TE"],
    ["Proxy-Authorization", "Basic x"],
  ])
  const head = { method: "POST", path: "/v1", authority: "api.test", headers, upgrade: undefined }
  const out = requestHeadToH2(head, "https", { length: 4, hasBody: true }, SENSITIVE)
  t.strictSame(Object.entries(out), [
    [":method", "POST"],
    [":scheme", "https"],
    [":authority", "api.test"],
    [":path", "/v1"],
    ["authorization", "Bearer k"],
    ["cookie", "a=1; b=2"],
    ["te", "trailers"],
    ["content-length", "4"],
  ])
  t.strictSame(Reflect.get(out, SENSITIVE), ["authorization", "cookie"])
  const twice = new Headers([
    ["Range", "bytes=0-1"],
    ["Range", "bytes=2-3"],
  ])
  const write = () => requestHeadToH2({ ...head, headers: twice }, "https", { length: 0, hasBody: false }, SENSITIVE)
  t.equal(refusal(write), "client repeated-field 400")
})

test("trailers pass without what comes too late there", async (t) => {
  t.equal(trailersFromH2(["x-sum", "7"], "upstream", LIMITS).get("x-sum"), "7")
  t.equal(
    refusal(() => trailersFromH2([":path", "/"], "client", LIMITS)),
    "client bad-pseudo-header 400",
  )
  t.equal(
    refusal(() => trailersFromH2(["content-length", "1"], "client", LIMITS)),
    "client bad-trailer 400",
  )
  const trailers = new Headers([
    ["X-Sum", "7"],
    ["Host", "a"],
    ["TE", "trailers"],
    ["Trailer", "x"],
  ])
  t.strictSame(Object.entries(trailersToH2(trailers, "upstream")), [["x-sum", "7"]])
  t.strictSame(Object.entries(trailersToH2(undefined, "upstream")), [])
})

test("an upgrade to WebSocket is an extended CONNECT, and back", async (t) => {
  const headers = new Headers([
    ["Host", "a"],
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Sec-WebSocket-Version", "13"],
  ])
  const head = { method: "GET", path: "/ws", authority: "a", headers, upgrade: "websocket" }
  const out = requestHeadToH2(head, "https", { length: undefined, hasBody: false }, SENSITIVE)
  t.strictSame(Object.entries(out), [
    [":method", "CONNECT"],
    [":scheme", "https"],
    [":authority", "a"],
    [":path", "/ws"],
    [":protocol", "websocket"],
    ["sec-websocket-version", "13"],
  ])
  const back = webSocketUpgradeFields(new Headers([["sec-websocket-version", "13"]]))
  t.equal(back.get("upgrade"), "websocket")
  t.equal(Buffer.from(back.get("sec-websocket-key") ?? "", "base64").length, 16)
  t.notOk(back.has("connection"))
  const answer = { status: 200, reason: "", headers: new Headers([["sec-websocket-protocol", "chat"]]) }
  const switched = webSocketAnswerFromH2(answer, headers.get("sec-websocket-key"))
  t.equal(switched.status, 101)
  t.equal(switched.headers.get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455 section 1.3")
  t.equal(acceptFor("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  const plain = webSocketAnswerToH2(switched)
  t.equal(plain.status, 200)
  t.strictSame(plain.headers.lines(), ["sec-websocket-protocol: chat"])
  t.notOk(webSocketAnswerFromH2(answer, undefined).headers.has("sec-websocket-accept"))
})

test("WebSocket is known by its name, and codes by theirs", async (t) => {
  t.strictSame([" WebSocket ", "websocket, x", undefined].map(isWebSocket), [true, false, false])
  t.strictSame([0, 8, 13, 99, undefined].map(resetName), [
    "NO_ERROR",
    "CANCEL",
    "HTTP_1_1_REQUIRED",
    "code 99",
    "NO_ERROR",
  ])
})
