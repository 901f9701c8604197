/**
 * What the parser reads and the serializer writes is read again as the same message, for messages that fast-check
 * makes; and the lines that are kept leave byte for byte.
 */
import assert from "node:assert/strict"
import fc from "fast-check"
import { test } from "tap"
import type { Headers } from "../../lib/base/headers.ts"
import type { Framing, RequestEvent, ResponseEvent } from "../../lib/http1/message.ts"
import { RequestParser, ResponseParser } from "../../lib/http1/parser.ts"
import { chunkHead, requestHead, responseHead, trailerSection } from "../../lib/http1/serializer.ts"
import { bytesOf } from "../helpers/wire/http1-messages.ts"

/** latin1 characters that a field value may hold. */
const VALUE_CHARS = [...'\t !"#aZ09:;,=\x80\xe9\xff']
const token = fc.string({ unit: fc.constantFrom(..."abXYZ09-_.!~"), minLength: 1, maxLength: 12 })
/** Names of these are kept on every hop, and frame nothing. */
const line = fc
  .tuple(
    token,
    fc.constantFrom("", " ", "  ", "\t"),
    fc.string({ unit: fc.constantFrom(...VALUE_CHARS), maxLength: 30 }),
  )
  .map(([name, blank, value]) => `X-${name}:${blank}${value}`)
const lines = fc.array(line, { maxLength: 8 })
const piece = fc.uint8Array({ minLength: 1, maxLength: 50 }).map((bytes) => Buffer.from(bytes))
const pieces = fc.array(piece, { maxLength: 5 })
const coding = fc.constantFrom("none", "length", "chunked" as const)
const trailerLines = fc.array(line, { maxLength: 3 })
const cuts = fc.array(fc.nat(400), { maxLength: 6 })

interface Made {
  readonly kind: string
  readonly lines: readonly string[]
  readonly pieces: readonly Buffer[]
  readonly trailers: readonly string[]
  readonly cuts: readonly number[]
}

const made: fc.Arbitrary<Made> = fc.record({ kind: coding, lines, pieces, trailers: trailerLines, cuts })

/** Field lines and body as another sender would write them. */
function written(message: Made): { fields: string[]; body: Buffer } {
  const whole = Buffer.concat(message.pieces)
  if (message.kind === "none") return { fields: [], body: Buffer.alloc(0) }
  if (message.kind === "length") return { fields: [`content-LENGTH:  ${whole.length}`], body: whole }
  const chunks = message.pieces.map((bytes) =>
    Buffer.concat([bytesOf(`${bytes.length.toString(16).toUpperCase()};x\r\n`), bytes, bytesOf("\r\n")]),
  )
  const end = bytesOf(`0\r\n${message.trailers.map((trailer) => `${trailer}\r\n`).join("")}\r\n`)
  return { fields: ["Transfer-Encoding: chunked"], body: Buffer.concat([...chunks, end]) }
}

function cutAt(bytes: Buffer, offsets: readonly number[]): Buffer[] {
  const sorted = [0, ...offsets.filter((offset) => offset < bytes.length).sort((a, b) => a - b), bytes.length]
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end))
}

function eventsOf<Event>(
  parser: { feed(bytes: Buffer): void; next(): Event | undefined },
  input: readonly Buffer[],
): Event[] {
  const events: Event[] = []
  for (const bytes of input) {
    parser.feed(bytes)
    for (let event = parser.next(); event !== undefined; event = parser.next()) events.push(event)
  }
  return events
}

/** Body and trailers of the one message whose events these are. */
function contentOf(events: readonly (RequestEvent | ResponseEvent)[]): { body: Buffer; trailers: Headers | undefined } {
  const data = events.map((event) => (event.type === "data" ? event.bytes : Buffer.alloc(0)))
  const end = events.at(-1)
  if (end?.type !== "end") throw new Error("the message did not end")
  return { body: Buffer.concat(data), trailers: end.trailers }
}

function bodyOf(framing: Framing, body: Buffer, trailers: Headers | undefined): Buffer {
  if (framing.kind !== "chunked") return body
  const chunk = body.length === 0 ? [] : [bytesOf(chunkHead(body.length)), body, bytesOf("\r\n")]
  return Buffer.concat([...chunk, bytesOf(trailerSection(trailers))])
}

test("a request that is read, written and read again is the same, line by line", (t) => {
  fc.assert(
    fc.property(made, token, (message, method) => {
      const { fields, body } = written(message)
      const wire = bytesOf(
        `${[`M${method} /p?q HTTP/1.1`, "hOST:h", ...message.lines, ...fields].join("\r\n")}\r\n\r\n`,
      )
      const events = eventsOf(new RequestParser(), cutAt(Buffer.concat([wire, body]), message.cuts))
      const [first] = events
      assert.ok(first?.type === "head")
      const { head } = first
      assert.deepEqual(head.headers.lines(), ["hOST:h", ...message.lines, ...fields])
      const content = contentOf(events)
      if (message.kind !== "none") assert.deepEqual(content.body, Buffer.concat(message.pieces))
      if (message.kind === "chunked") assert.deepEqual(content.trailers?.lines() ?? [], message.trailers)

      const again = bytesOf(requestHead(head, head.headers, head.framing, { host: "h" }))
      assert.deepEqual(again, wire, "the head leaves byte for byte")
      const events2 = eventsOf(new RequestParser(), [again, bodyOf(head.framing, content.body, content.trailers)])
      assert.deepEqual(contentOf(events2), content)
    }),
    { numRuns: 500 },
  )
  t.pass("500 requests")
  t.end()
})

test("a response that is read, written and read again is the same, line by line", (t) => {
  const status = fc.integer({ min: 200, max: 599 }).filter((code) => code !== 204 && code !== 304)
  fc.assert(
    fc.property(made, status, token, (message, code, reason) => {
      const { fields, body } = written(message)
      const wire = bytesOf(`${[`HTTP/1.1 ${code} ${reason}`, ...message.lines, ...fields].join("\r\n")}\r\n\r\n`)
      const parser = new ResponseParser()
      parser.expect("GET")
      const events = eventsOf(parser, cutAt(Buffer.concat([wire, body]), message.cuts))
      parser.finish()
      for (let event = parser.next(); event !== undefined; event = parser.next()) events.push(event)
      const [first] = events
      assert.ok(first?.type === "head")
      const { head } = first
      const content = contentOf(events)
      assert.deepEqual(head.headers.lines(), [...message.lines, ...fields])
      assert.deepEqual(content.body, message.kind === "none" ? Buffer.alloc(0) : Buffer.concat(message.pieces))
      assert.deepEqual(content.trailers?.lines() ?? [], message.kind === "chunked" ? message.trailers : [])

      const expected =
        message.kind === "none" ? `${wire.subarray(0, -2).toString("latin1")}Connection: close\r\n\r\n` : wire
      assert.deepEqual(bytesOf(responseHead(head, head.framing)), Buffer.from(expected.toString("latin1"), "latin1"))
    }),
    { numRuns: 500 },
  )
  t.pass("500 responses")
  t.end()
})

test("a body may change its framing on the way and stays the same", (t) => {
  fc.assert(
    fc.property(made, fc.boolean(), (message, chunked) => {
      const { fields, body } = written(message)
      const wire = bytesOf(`${["POST / HTTP/1.1", "Host: h", ...message.lines, ...fields].join("\r\n")}\r\n\r\n`)
      const events = eventsOf(new RequestParser(), [wire, body])
      const content = contentOf(events)
      const framing: Framing = chunked ? { kind: "chunked" } : { kind: "length", length: content.body.length }
      const [first] = events
      assert.ok(first?.type === "head")
      const again = bytesOf(requestHead(first.head, first.head.headers, framing))
      const events2 = eventsOf(new RequestParser(), [again, bodyOf(framing, content.body, undefined)])
      assert.deepEqual(contentOf(events2).body, content.body)
      const [changed] = events2
      assert.ok(changed?.type === "head")
      assert.deepEqual(changed.head.framing, framing)
      assert.deepEqual(changed.head.headers.lines().slice(0, message.lines.length + 1), ["Host: h", ...message.lines])
    }),
    { numRuns: 300 },
  )
  t.pass("300 requests")
  t.end()
})
