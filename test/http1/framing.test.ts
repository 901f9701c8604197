import { test } from "tap"
import { connectionTokens } from "../../lib/http1/framing.ts"
import { bytesOf, readRequests, readResponses } from "../helpers/wire/http1-messages.ts"

const REFUSED_BY_BOTH: readonly [rule: string, lines: string, code: string][] = [
  ["Content-Length with Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "ambiguous-length"],
  ["Transfer-Encoding with Content-Length", "transfer-encoding: chunked\r\ncontent-length: 0\r\n", "ambiguous-length"],
  ["a negative length", "Content-Length: -1\r\n", "bad-content-length"],
  ["a length with a sign", "Content-Length: +1\r\n", "bad-content-length"],
  ["an empty length", "Content-Length: \r\n", "bad-content-length"],
  ["a hexadecimal length", "Content-Length: 0x1\r\n", "bad-content-length"],
  ["a length with an exponent", "Content-Length: 1e1\r\n", "bad-content-length"],
  ["a length with a fraction", "Content-Length: 1.0\r\n", "bad-content-length"],
  ["a length that no integer holds", "Content-Length: 9007199254740992\r\n", "bad-content-length"],
  ["a tab behind a length", "Content-Length: 1\t\r\n", "bad-content-length"],
  ["a tab before chunked", "Transfer-Encoding:\tchunked\r\n", "bad-transfer-encoding"],
  ["a tab behind chunked", "Transfer-Encoding: chunked \t \r\n", "bad-transfer-encoding"],
  ["a coding before chunked", "Transfer-Encoding: gzip, chunked\r\n", "bad-transfer-encoding"],
  ["a coding after chunked", "Transfer-Encoding: chunked, identity\r\n", "bad-transfer-encoding"],
  ["chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "bad-transfer-encoding"],
  ["the identity coding", "Transfer-Encoding: identity\r\n", "bad-transfer-encoding"],
  ["an empty coding", "Transfer-Encoding:\r\n", "bad-transfer-encoding"],
  ["chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n", "bad-transfer-encoding"],
  ["chunked in quotes", 'Transfer-Encoding: "chunked"\r\n', "bad-transfer-encoding"],
]

for (const [rule, lines, code] of REFUSED_BY_BOTH)
  test(`a message is refused for ${rule}`, (t) => {
    const request = `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
    t.equal(readRequests([bytesOf(request)]).error, `client ${code} 400`)
    for (const method of ["GET", "HEAD"])
      t.equal(readResponses([method], [bytesOf(`HTTP/1.1 200 OK\r\n${lines}\r\n`)]).error, `upstream ${code} 502`)
    t.end()
  })

test("Transfer-Encoding is refused in HTTP/1.0", (t) => {
  const lines = "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
  t.equal(readRequests([bytesOf(`POST / HTTP/1.0\r\n${lines}`)]).error, "client transfer-encoding-in-1.0 400")
  const response = readResponses(["GET"], [bytesOf(`HTTP/1.0 200 OK\r\n${lines}`)])
  t.equal(response.error, "upstream transfer-encoding-in-1.0 502")
  t.end()
})

test("a repeated length is refused in a request, equal or not", (t) => {
  for (const lines of [
    "Content-Length: 1\r\nContent-Length: 1",
    "Content-Length: 1, 1",
    "Content-Length: 1\r\ncontent-length: 2",
  ])
    t.equal(
      readRequests([bytesOf(`POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\nx`)]).error,
      "client repeated-content-length 400",
    )
  t.end()
})

test("equal lengths of a response become one line, in the first one's place; different ones are refused", (t) => {
  const read = (lines: string) => readResponses(["GET"], [bytesOf(`HTTP/1.1 200 OK\r\n${lines}\r\n\r\nx`)])
  t.strictSame(read("CONTENT-length: 1\r\nA: b\r\nContent-Length: 1").messages[0]?.head.lines, [
    "CONTENT-length: 1",
    "A: b",
  ])
  const { head } = read("Content-Length: 1,01").messages[0] ?? {}
  t.strictSame([head?.lines, head?.framing], [["Content-Length: 1"], { kind: "length", length: 1 }])
  t.equal(read("Content-Length: 1\r\nContent-Length: 2").error, "upstream repeated-content-length 502")
  t.equal(read("Content-Length: 1,").error, "upstream bad-content-length 502")
  t.end()
})

test("a length may have leading zeros", (t) => {
  const { messages } = readRequests([
    bytesOf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000002\r\n\r\nhi"),
  ])
  t.equal(messages[0]?.body, "hi")
  t.end()
})

test("a request without a length has no body, whatever its method", (t) => {
  const { messages } = readRequests([bytesOf("POST / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n")])
  t.strictSame(
    messages.map((message) => [message.head.method, message.head.framing.kind]),
    [
      ["POST", "none"],
      ["GET", "none"],
    ],
  )
  t.end()
})

test("CONNECT has no body", (t) => {
  const connect = (lines: string) => readRequests([bytesOf(`CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n${lines}\r\n`)])
  t.equal(connect("Content-Length: 1\r\n").error, "client connect-with-content 400")
  t.equal(connect("Transfer-Encoding: chunked\r\n").error, "client connect-with-content 400")
  t.equal(connect("Content-Length: 0\r\n").error, undefined)
  t.equal(connect("").error, undefined)
  t.end()
})

test("responses to HEAD, 1xx, 204 and 304 have no body, whatever their fields say", (t) => {
  const kind = (method: string, status: number, line: string) =>
    readResponses([method], [bytesOf(`HTTP/1.1 ${status} X\r\n${line}\r\n\r\n`)]).messages[0]?.head.framing.kind
  for (const line of ["Content-Length: 5", "Transfer-Encoding: chunked", "X: y"]) {
    t.equal(kind("HEAD", 200, line), "none")
    t.equal(kind("GET", 204, line), "none")
    t.equal(kind("GET", 304, line), "none")
    t.equal(kind("GET", 101, line), "none")
    t.equal(kind("CONNECT", 200, line), "none")
  }
  t.equal(kind("CONNECT", 407, "Content-Length: 0"), "length")
  t.equal(kind("CONNECT", 300, "Content-Length: 5"), "length")
  t.equal(kind("GET", 200, "Content-Length: 5"), "length")
  t.equal(kind("GET", 200, "Transfer-Encoding: chunked"), "chunked")
  t.equal(kind("GET", 205, "X: y"), "until-close")
  t.end()
})

test("Connection is a list of tokens in any case, with empty members", (t) => {
  t.strictSame(connectionTokens(undefined), [])
  t.strictSame(connectionTokens("Keep-Alive"), ["keep-alive"])
  t.strictSame(connectionTokens(" ,close,\tX-Y ,,"), ["close", "x-y"])
  t.end()
})
