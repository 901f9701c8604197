import { test } from "tap"
import { bytesOf, readRequests, readResponses } from "../helpers/wire/http1-messages.ts"

/** Code and status that the bytes are refused with. */
function refusal(text: string): string | undefined {
  return readRequests([bytesOf(text)]).error?.replace(/^client /, "")
}

function responseRefusal(text: string, method = "GET"): string | undefined {
  return readResponses([method], [bytesOf(text)]).error?.replace(/^upstream /, "")
}

function headOf(text: string) {
  const { messages, error } = readRequests([bytesOf(text)])
  if (error !== undefined || messages[0] === undefined) throw new Error(`${text} was refused: ${error}`)
  return messages[0].head
}

const REFUSED_REQUESTS: readonly [rule: string, text: string, refusal: string][] = [
  ["a request line without a target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line 400"],
  ["a request line without a version", "GET /\r\nHost: a\r\n\r\n", "bad-request-line 400"],
  ["two spaces and no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a request line without anything", "GET\r\nHost: a\r\n\r\n", "bad-request-line 400"],
  ["a request line that ends with a space", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bad-request-line 400"],
  ["a request line that begins with a space", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-method 400"],
  ["two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a tab between the parts", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line 400"],
  ["a lower-case protocol name", "GET / http/1.1\r\nHost: a\r\n\r\n", "bad-request-line 400"],
  ["a version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "bad-request-line 400"],
  ["HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", "version-not-supported 505"],
  ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version-not-supported 505"],
  ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version-not-supported 505"],
  ["a method that is no token", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-method 400"],
  ["a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a control character in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a bare CR in the request line", "GET /\rHTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a fragment in an absolute target", "GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a backslash in the target", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a byte above ASCII in the target", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["the byte 0x80 in the target", "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a target of no form", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["a server-wide target of GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target 400"],
  ["HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n", "missing-host 400"],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "repeated-host 400"],
  ["two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "repeated-host 400"],
  ["a Host with a path", "GET / HTTP/1.1\r\nHost: a/?\r\n\r\n", "bad-host 400"],
  ["a Host with user information", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "bad-host 400"],
  ["a Host with a port that is no number", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "bad-host 400"],
  ["an unknown expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", "bad-expect 417"],
  [
    "one unknown expectation of two",
    "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n",
    "bad-expect 417",
  ],
]

for (const [rule, text, expected] of REFUSED_REQUESTS)
  test(`a request is refused for ${rule}`, (t) => {
    t.equal(refusal(text), expected)
    t.end()
  })

const REFUSED_RESPONSES: readonly [rule: string, text: string, refusal: string][] = [
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "bad-status-line 502"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "bad-status-line 502"],
  ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "bad-status-line 502"],
  ["a control character in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", "bad-status-line 502"],
  ["a bare CR in the reason", "HTTP/1.1 200 O\rX: y\r\n\r\n", "bad-status-line 502"],
  ["two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n", "bad-status-line 502"],
  ["another protocol", "ICY 200 OK\r\n\r\n", "bad-status-line 502"],
  ["HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "version-not-supported 502"],
  ["an empty line before it", "\r\nHTTP/1.1 200 OK\r\n\r\n", "bad-status-line 502"],
]

for (const [rule, text, expected] of REFUSED_RESPONSES)
  test(`a response is refused for ${rule}`, (t) => {
    t.equal(responseRefusal(text), expected)
    t.end()
  })

test("every form of target is taken where it belongs", (t) => {
  for (const target of ["/", "/a?b", "http://a/", "coap+tcp://a:1/x", "/%e9%23%5c", "//a"])
    t.equal(headOf(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`).target, target)
  t.equal(headOf("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").target, "*")
  for (const target of ["a:443", "[::1]:443", "1.2.3.4:1"])
    t.equal(headOf(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`).target, target)
  t.end()
})

test("every spelling of a host is taken, an empty one included", (t) => {
  for (const host of ["a", "a.b:80", "a:", "", "[::1]", "[fe80::1%25eth0]:8080", "xn--bcher-kva.example", "a_b"])
    t.strictSame(headOf(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`).lines, [`Host: ${host}`])
  t.end()
})

test("a request may come without Host in HTTP/1.0", (t) => {
  t.equal(headOf("GET / HTTP/1.0\r\n\r\n").version, "1.0")
  t.end()
})

test("a connection lives on by the version, unless Connection says otherwise", (t) => {
  const keepAlive = (version: string, connection: string): boolean =>
    headOf(`GET / HTTP/${version}\r\nHost: a\r\nConnection: ${connection}\r\n\r\n`).keepAlive
  t.ok(keepAlive("1.1", "x"))
  t.notOk(keepAlive("1.1", "CLOSE"))
  t.notOk(keepAlive("1.1", "keep-alive,\tclose ,"))
  t.notOk(keepAlive("1.0", "x"))
  t.ok(keepAlive("1.0", "Keep-Alive"))
  t.notOk(keepAlive("1.0", "keep-alive\r\nConnection: close"))
  t.end()
})

test("the connection of a response lives on, unless its body lasts until the close", (t) => {
  const keepAlive = (text: string): boolean | undefined =>
    readResponses(["GET"], [bytesOf(text)]).messages[0]?.head.keepAlive
  t.ok(keepAlive("HTTP/1.1 204 No Content\r\n\r\n"))
  t.notOk(keepAlive("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
  t.notOk(keepAlive("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"))
  t.notOk(keepAlive("HTTP/1.0 204 No Content\r\n\r\n"))
  t.ok(keepAlive("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"))
  t.end()
})

test("an expectation counts in HTTP/1.1 only", (t) => {
  t.ok(headOf("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-CONTINUE\r\n\r\n").expectContinue)
  t.ok(headOf("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n").expectContinue)
  t.notOk(headOf("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expectContinue)
  t.notOk(headOf("POST / HTTP/1.0\r\nExpect: tea\r\n\r\n").expectContinue)
  t.end()
})

test("an upgrade is asked for where Connection names it, and never to h2c", (t) => {
  const upgrade = (fields: string, version = "1.1"): string | undefined =>
    headOf(`GET / HTTP/${version}\r\nHost: a\r\n${fields}\r\n\r\n`).upgrade
  t.equal(upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: websocket"), "websocket")
  t.equal(upgrade("Upgrade: websocket"), undefined)
  t.equal(upgrade("Connection: upgrade"), undefined)
  t.equal(upgrade("Connection: upgrade\r\nUpgrade: websocket", "1.0"), undefined)
  t.equal(upgrade("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x"), undefined)
  t.equal(upgrade("Connection: upgrade\r\nUpgrade: H2C, websocket\r\nUpgrade: x"), "websocket, x")
  t.equal(upgrade("Connection: upgrade\r\nUpgrade: a/1,b"), "a/1,b")
  t.equal(upgrade("Connection: upgrade\r\nUpgrade: , websocket"), "websocket")
  t.end()
})

test("statuses that nobody registered are taken", (t) => {
  for (const status of [299, 599, 999])
    t.equal(readResponses(["GET"], [bytesOf(`HTTP/1.1 ${status} X\r\n\r\n`)]).messages[0]?.head.status, status)
  t.end()
})

test("a status line may come without a reason", (t) => {
  for (const line of ["HTTP/1.1 204", "HTTP/1.1 204 "])
    t.match(readResponses(["GET"], [bytesOf(`${line}\r\n\r\n`)]).messages[0]?.head, { status: 204, reason: "" })
  t.end()
})

test("any number of interim responses comes before the final one", (t) => {
  const interim = "HTTP/1.1 102 Processing\r\nX: 1\r\n\r\n"
  const text = `${interim.repeat(3)}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx`
  const reading = readResponses(["POST"], [bytesOf(text)])
  t.strictSame(reading.informational, ["102 X: 1", "102 X: 1", "102 X: 1"])
  t.equal(reading.messages[0]?.body, "x")
  t.equal(reading.error, undefined)
  t.end()
})
