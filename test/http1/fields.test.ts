import { test } from "tap"
import { FlowError } from "../../lib/base/errors.ts"
import { RequestParser } from "../../lib/http1/parser.ts"
import { bytesOf, readRequests, readResponses, wholeAndBytes } from "../helpers/wire/http1-messages.ts"

const REFUSED: readonly [rule: string, lines: string, code: string][] = [
  ["a line that is folded", "X: a\r\n b\r\n", "obs-fold"],
  ["a line that is folded with a tab", "X: a\r\n\tb\r\n", "obs-fold"],
  ["white space before the first line", " X: a\r\n", "obs-fold"],
  ["a space before the colon", "Content-Length : 5\r\n", "space-before-colon"],
  ["a tab before the colon", "X\t: 5\r\n", "space-before-colon"],
  ["a line without a colon", "X\r\n", "bad-field-line"],
  ["an empty name", ": a\r\n", "bad-field-name"],
  ["a space in the name", "X Y: a\r\n", "bad-field-name"],
  ["NUL in the name", "X\0: a\r\n", "bad-field-name"],
  ["a name beyond ASCII", "X\xe9: a\r\n", "bad-field-name"],
  ["NUL in a value", "X: a\0b\r\n", "bad-field-value"],
  ["DEL in a value", "X: a\x7fb\r\n", "bad-field-value"],
  ["a vertical tab around a value", "X: \x0ba\r\n", "bad-field-value"],
  ["a bare CR in a value", "X: a\rY: b\r\n", "bad-field-value"],
  ["a bare CR at the end of a value", "X: a\r\r\n", "bad-field-value"],
]

for (const [rule, lines, code] of REFUSED)
  test(`a head is refused for ${rule}`, (t) => {
    t.equal(readRequests([bytesOf(`GET / HTTP/1.0\r\n${lines}\r\n`)]).error, `client ${code} 400`)
    t.equal(readResponses(["GET"], [bytesOf(`HTTP/1.1 200 OK\r\n${lines}\r\n`)]).error, `upstream ${code} 502`)
    t.end()
  })

test("a bare LF is refused, at once where no empty line can follow", (t) => {
  const texts = [
    "GET / HTTP/1.0\nX: y\n\n",
    "GET / HTTP/1.0\r\nX: y\n\r\n",
    "GET / HTTP/1.0\r\nX: y\nZ: z\r\n\r\n",
    "\nGET /",
  ]
  for (const text of texts)
    for (const pieces of wholeAndBytes(bytesOf(text)))
      t.match(readRequests(pieces).error, /^client (bare-lf|bad-field-value) 400$/, JSON.stringify(text))
  t.end()
})

test("a bare CR is refused at once, before the head is whole", (t) => {
  for (const text of ["GET /\rX", "GET / HTTP/1.1\r\nX: y\rZ", "GET / HTTP/1.1\r\r\n"])
    for (const pieces of wholeAndBytes(bytesOf(text)))
      t.equal(readRequests(pieces).error, "client bare-cr 400", JSON.stringify(text))
  t.end()
})

test("bytes beyond ASCII, tabs and names of JavaScript's own are ordinary", (t) => {
  const lines = ["__proto__: 1", "constructor: 2", "toString:\t3", "hasOwnProperty: \xff\x80", "X: a\tb"]
  const { messages, error } = readRequests([bytesOf(`GET / HTTP/1.0\r\n${lines.join("\r\n")}\r\n\r\n`)])
  t.equal(error, undefined)
  t.strictSame(messages[0]?.head.lines, lines)
  const parser = new RequestParser()
  parser.feed(bytesOf(`GET / HTTP/1.0\r\n${lines.join("\r\n")}\r\n\r\n`))
  const event = parser.next()
  t.ok(event?.type === "head" && event.head.headers.get("__PROTO__") === "1")
  t.ok(event?.type === "head" && event.head.headers.get("tostring") === "3")
  t.end()
})

test("white space around a value is none of it", (t) => {
  const fields = ["Host:\t a.test \t", "Connection:  close\t ", "Content-Length:   2  ", "Expect: \t100-continue \t"]
  const { messages, error } = readRequests([bytesOf(`POST / HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\nhi`)])
  t.equal(error, undefined)
  t.match(messages[0], { body: "hi", head: { keepAlive: false, expectContinue: true } })
  t.equal(readRequests([bytesOf("GET / HTTP/1.1\r\nHost:  \t \r\n\r\n")]).error, undefined, "nothing but white space")
  t.end()
})

test("a head may have as many fields and bytes as the limits say, and not one more", (t) => {
  const text = "GET / HTTP/1.0\r\nA: 1\r\nB: 2\r\n\r\n"
  const headBytes = text.length - 2
  for (const pieces of wholeAndBytes(bytesOf(text))) {
    t.equal(readRequests(pieces, { headBytes, headFields: 2 }).error, undefined)
    t.equal(readRequests(pieces, { headBytes: headBytes - 1, headFields: 2 }).error, "client head-too-long 431")
    t.equal(readRequests(pieces, { headBytes, headFields: 1 }).error, "client too-many-fields 431")
  }
  const response = "HTTP/1.1 204 No\r\nA: 1\r\n\r\n"
  t.equal(
    readResponses(["GET"], [bytesOf(response)], { headBytes: 20, headFields: 9 }).error,
    "upstream head-too-long 502",
  )
  t.end()
})

test("a head that never ends is refused when it passes the limit, not when memory ends", (t) => {
  const parser = new RequestParser({ headBytes: 1000, headFields: 10 })
  const piece = Buffer.alloc(100, "a")
  let fed = 0
  t.throws(
    () => {
      for (; fed < 10_000; fed += piece.length) {
        parser.feed(piece)
        parser.next()
      }
    },
    { code: "head-too-long", status: 431 },
  )
  t.equal(fed, 1000)
  t.equal(parser.buffered, 0)
  t.end()
})

test("empty lines before a request line have the head's limit", (t) => {
  for (const pieces of wholeAndBytes(Buffer.from("\r\n".repeat(11)))) {
    t.equal(readRequests(pieces, { headBytes: 22, headFields: 1 }).error, undefined)
    t.equal(readRequests(pieces, { headBytes: 20, headFields: 1 }).error, "client head-too-long 431")
  }
  t.end()
})

test("what a violation quotes is short and holds no control characters", (t) => {
  const parser = new RequestParser()
  parser.feed(bytesOf(`GET / HTTP/1.1\r\nX: \x1b[31m"\xe9${"a".repeat(1000)}\r\n\r\n`))
  try {
    parser.next()
    t.fail("taken")
  } catch (error) {
    t.ok(error instanceof FlowError)
    t.match(String(error), /\\x1b\[31m\\x22\\xe9a+\.\.\."/)
    t.ok(String(error).length < 250)
  }
  t.end()
})
