import { test } from "tap"
import { bytesOf, readRequests, readResponses, wholeAndBytes } from "../helpers/wire/http1-messages.ts"

const HEAD = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

/** What became of a chunked body, the same for the whole and for its single bytes. */
function outcome(body: string, limits?: { headBytes: number; headFields: number }) {
  const readings = [...wholeAndBytes(bytesOf(HEAD + body))].map((pieces) => readRequests(pieces, limits))
  const [whole, single] = readings
  if (JSON.stringify(whole) !== JSON.stringify(single)) throw new Error(`${body} reads otherwise byte by byte`)
  return { body: whole?.messages[0]?.body, trailers: whole?.messages[0]?.trailers, error: whole?.error }
}

const REFUSED: readonly [rule: string, body: string, code: string][] = [
  ["a chunk without a size", "\r\n", "bad-chunk"],
  ["an extension without a size", ";x\r\n", "bad-chunk"],
  ["a size with a sign", "+1\r\nx\r\n", "bad-chunk"],
  ["a size with 0x", "0x1\r\nx\r\n", "bad-chunk"],
  ["a size with an underscore", "1_0\r\nx\r\n", "bad-chunk"],
  ["a space before a size", " 1\r\nx\r\n", "bad-chunk"],
  ["a space behind a size", "1 \r\nx\r\n", "bad-chunk"],
  ["a word behind a size", "1 x\r\nx\r\n", "bad-chunk"],
  ["a size of 17 digits", "00000000000000001\r\nx\r\n", "bad-chunk"],
  ["a size that no integer holds", "20000000000000\r\n", "bad-chunk"],
  ["a size line that ends with LF", "1\nx\r\n", "bad-chunk"],
  ["a size line that ends with CR", "1\rx\r\n", "bad-chunk"],
  ["an extension that ends with LF", "1;x\nx\r\n", "bad-chunk"],
  ["an extension that ends with CR", "1;x\rx\r\n", "bad-chunk"],
  ["a control character in an extension", "1;\0\r\nx\r\n", "bad-chunk"],
  ["DEL in an extension", "1;\x7f\r\nx\r\n", "bad-chunk"],
  ["data longer than its size", "1\r\nxy\r\n", "bad-chunk"],
  ["data that ends with LF", "1\r\nx\n0\r\n\r\n", "bad-chunk"],
  ["data that ends with CR", "1\r\nx\r0\r\n\r\n", "bad-chunk"],
  ["a last chunk that ends with CR", "0\rX: y\r\n\r\n", "bad-chunk"],
  ["a last chunk that ends with LF", "0\n\n", "bad-chunk"],
  ["a last chunk that ends with CR, before more has come", "0\rX", "bad-chunk"],
  ["a trailer without a colon", "0\r\nX\r\n\r\n", "bad-field-line"],
  ["a folded trailer", "0\r\n X: y\r\n\r\n", "obs-fold"],
  ["trailers that end with LF", "0\r\nX: y\n\r\n", "bare-lf"],
]

for (const [rule, body, code] of REFUSED)
  test(`a chunked body is refused for ${rule}`, (t) => {
    // Byte by byte, the first broken rule that shows may be another one of the same line.
    const { error } = readRequests([bytesOf(HEAD + body)])
    t.match(error, code === "bare-lf" ? /^client (bare-lf|bad-field-value) 400$/ : new RegExp(`^client ${code} 400$`))
    const single = readRequests([...bytesOf(HEAD + body)].map((byte) => Buffer.from([byte])))
    t.match(single.error, /^client (bad-chunk|bad-field-line|obs-fold|bare-lf|bad-field-value) 400$/)
    const response = readResponses(["GET"], [bytesOf(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`)])
    t.match(response.error, /^upstream .* 502$/)
    t.end()
  })

test("sizes may be written in either case and with leading zeros", (t) => {
  t.equal(
    outcome(`1a\r\n${"x".repeat(26)}\r\n0000000000000001\r\n\r\r\nB\r\n\r\n0123456\r\n\r\n00\r\n\r\n`).body,
    `${"x".repeat(26)}\r\r\n0123456\r\n`,
  )
  t.end()
})

test("each hexadecimal digit is a size", (t) => {
  for (const digit of "123456789abcdefABCDEF") {
    const data = "x".repeat(Number.parseInt(digit, 16))
    t.equal(outcome(`${digit}\r\n${data}\r\n0\r\n\r\n`).body, data, digit)
  }
  for (const digit of "/:@Gg`") t.match(outcome(`${digit}\r\n`).error, "bad-chunk", digit)
  t.end()
})

test("the largest size that an integer holds is one", (t) => {
  t.equal(outcome("1fffffffffffff\r\nx").error, "client cut 400", "more of it is waited for")
  t.end()
})

test("extensions are dropped, white space before them too", (t) => {
  t.strictSame(outcome('1; a=b ;\tc="d;e"\r\nx\r\n1 \t;\xff\r\ny\r\n0;last\r\n\r\n'), {
    body: "xy",
    trailers: undefined,
    error: undefined,
  })
  t.end()
})

test("the extensions of a message together have the head's limit", (t) => {
  const limits = { headBytes: 100, headFields: 10 }
  const chunk = `1;${"e".repeat(24)}\r\nx\r\n`
  t.equal(outcome(`${chunk.repeat(4)}0\r\n\r\n`, limits).error, undefined)
  t.equal(outcome(`${chunk.repeat(4)}0;\r\n\r\n`, limits).error, "client chunk-extensions-too-long 400")
  t.end()
})

test("trailers have the head's limits", (t) => {
  const limits = { headBytes: 60, headFields: 2 }
  t.strictSame(outcome("0\r\nA: 1\r\nB: 2\r\n\r\n", limits).trailers, ["A: 1", "B: 2"])
  t.equal(outcome("0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits).error, "client too-many-fields 431")
  t.equal(outcome(`0\r\nA: ${"1".repeat(60)}\r\n\r\n`, limits).error, "client head-too-long 431")
  t.end()
})

test("fields that frame or route a message are refused in trailers", (t) => {
  const early = ["Content-Length", "TRANSFER-ENCODING", "Host", "Connection", "Keep-Alive", "Proxy-Connection"]
  for (const name of [...early, "Trailer", "TE", "Upgrade"])
    t.equal(outcome(`0\r\nX: y\r\n${name}: 1\r\n\r\n`).error, "client forbidden-trailer 400", name)
  t.end()
})
