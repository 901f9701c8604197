import fc from "fast-check"
import { test } from "tap"
import { EVENT_BYTES_MAX, SseDecoder, type SseEvent } from "../../../lib/llm/framing/sse.ts"

/** Decodes `bytes`, fed in the pieces that `cuts` make. */
function decode(bytes: Buffer | string, cuts: readonly number[] = []): SseEvent[] {
  const buffer = Buffer.from(bytes)
  const decoder = new SseDecoder()
  const ends = [...cuts, buffer.length]
  const events = ends.flatMap((end, at) => decoder.feed(buffer.subarray(ends[at - 1] ?? 0, end)))
  return [...events, ...decoder.finish()]
}

function words(events: readonly SseEvent[]): (string | undefined)[][] {
  return events.map(({ raw, event, data, error, bare }) => [raw.toString("latin1"), event, data, error, bare])
}

function raws(events: readonly SseEvent[]): string[] {
  return events.map(({ raw }) => raw.toString())
}

function data(events: readonly SseEvent[]): string[] {
  return events.flatMap((event) => (event.data === undefined ? [] : [event.data]))
}

test("any of the three line ends ends lines and events", async (t) => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const events = decode(`data: a${end}${end}event: x${end}data: b${end}data: c${end}${end}`)
    t.strictSame(data(events), ["a", "b\nc"], JSON.stringify(end))
    t.equal(events[1]?.event, "x")
  }
})

test("an event ends with its blank line, whose line end stays whole", async (t) => {
  for (const events of [
    ["data: a\r\n\r\n", "data: b\r\n\r\n"],
    ["\n", "data: a\n\n"],
    ["\r\n", "data: a\r\n\r\n"],
    // A CR alone says that no LF is due, and a LF that one is again.
    ["data: a\r\r", "data: b\r\r"],
    ["data: a\rdata: b\n\r\n", "data: c\n\n"],
    ["data: a\n\r\n", "data: b\n\n"],
  ])
    t.strictSame(raws(decode(events.join(""))), events)
})

test("one space behind the colon is dropped, more are data", async (t) => {
  t.strictSame(data(decode("data:a\n\ndata: b\n\ndata:  c\n\ndata\n\ndata:\n\ndata: \n\n")), [
    "a",
    "b",
    " c",
    "",
    "",
    "",
  ])
  t.strictSame(data(decode("data:a\ndata: b\ndata:  c\n\n")), ["a\nb\n c"])
})

test("comments, id and retry have no meaning but keep their bytes", async (t) => {
  const text = ": ping\n\n:\nid: 7\nretry: 10\ndata: a\n\nunknown: x\n\n"
  const events = decode(text)
  t.strictSame(
    events.map((event) => event.data),
    [undefined, "a", undefined],
  )
  t.equal(events.map((event) => event.raw.toString()).join(""), text)
})

test("a comment block is delivered at once, so a keep-alive is not held back until the next event", async (t) => {
  t.equal(new SseDecoder().feed(Buffer.from(": ping\n\n")).length, 1)
})

test("an event is delivered with the byte that ends it, whatever the line ends are", async (t) => {
  t.equal(new SseDecoder().feed(Buffer.from("data: a\n\n")).length, 1)
  t.equal(new SseDecoder().feed(Buffer.from("data: a\r\n\r\n")).length, 1)
  t.equal(new SseDecoder().feed(Buffer.from("data: a\r\r")).length, 1, "a stream of CRs waits for no LF")
})

test("the field error, which SSE does not know, is visible", async (t) => {
  const [event] = decode('error: {"code":500}\n\n')
  t.equal(event?.error, '{"code":500}')
  t.equal(event?.data, undefined)
})

test("a byte order mark at the start is skipped, and only there", async (t) => {
  t.strictSame(data(decode("\uFEFFdata: a\n\n")), ["a"])
  t.strictSame(data(decode("\uFEFFdata: a\ndata: b\n\n")), ["a\nb"])
  t.strictSame(data(decode("data: a\n\n\uFEFFdata: b\n\n")), ["a"])
})

test("what is unfinished at the end is delivered by finish", async (t) => {
  t.strictSame(data(decode("data: a\n\ndata: b\ndata: c")), ["a", "b\nc"])
  t.strictSame(data(decode("data: a")), ["a"])
  t.strictSame(data(decode("data: a\r\n\r")), ["a"])
  t.strictSame(decode(""), [])
  t.strictSame(new SseDecoder().finish(), [])
})

test("bare JSON lines are events of their own", async (t) => {
  const events = decode('{"a":1}\n{"b":2}\r\n{"c":3}')
  t.strictSame(
    events.map((event) => event.bare?.trim()),
    ['{"a":1}', '{"b":2}', '{"c":3}'],
  )
})

test("bare JSON over several lines is one event", async (t) => {
  const text = '{\n  "data": 1,\n  "b": {"c": 2}\n}\n'
  t.strictSame(words(decode(text)), [[text, undefined, undefined, undefined, text]])
})

test("no line behind the first one of bare JSON is a field", async (t) => {
  const text = '{"a":\ndata: 1\n'
  t.strictSame(words(decode(text)), [[text, undefined, undefined, undefined, text]])
})

test("a character that is cut is decoded once, and invalid UTF-8 ends nothing", async (t) => {
  const bytes = Buffer.from("data: é👋🏽\n\n")
  for (let cut = 0; cut <= bytes.length; cut++)
    t.strictSame(data(decode(bytes, [cut])), ["é👋🏽"], `cut at byte ${cut}`)
  t.strictSame(data(decode(Buffer.from([...Buffer.from("data: "), 0xff, 0x0a, 0x0a]))), ["\uFFFD"])
})

test("any stream, split anywhere, gives the same events, and their bytes are the stream", async () => {
  const piece = fc.constantFrom(
    "data: x",
    "data:é",
    "event: e",
    "error: z",
    ": c",
    "{}",
    '{"a":',
    "}",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\uFEFF",
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat(60), { maxLength: 4 }), (pieces, at) => {
      const bytes = Buffer.from(pieces.join(""))
      const cuts = at.filter((cut) => cut <= bytes.length).sort((a, b) => a - b)
      const whole = decode(bytes)
      const every = Array.from({ length: bytes.length }, (_, byte) => byte)
      const same = [cuts, every].every((split) => {
        return JSON.stringify(words(decode(bytes, split))) === JSON.stringify(words(whole))
      })
      return same && Buffer.concat(whole.map((event) => event.raw)).equals(bytes)
    }),
    { numRuns: 2_000 },
  )
})

test("an event that came whole is a view of the chunk, not a copy", async (t) => {
  const chunk = Buffer.from("data: a\n\ndata: b\n\n")
  const [first] = new SseDecoder().feed(chunk)
  t.equal(first?.raw.buffer, chunk.buffer)
})

test("an event over the limit ends the stream with an error, in one chunk or in many", async (t) => {
  const chunk = Buffer.alloc(1024 * 1024, "x")
  const many = new SseDecoder()
  for (let n = 0; n < EVENT_BYTES_MAX / chunk.length; n++) many.feed(chunk)
  t.throws(() => many.feed(chunk), { code: "event-too-large", source: "upstream" })
  const one = Buffer.concat([Buffer.alloc(EVENT_BYTES_MAX, "x"), Buffer.from("\n\n")])
  t.throws(() => new SseDecoder().feed(one), { code: "event-too-large" })
})

test("feeding byte by byte copies each byte a bounded number of times", async (t) => {
  const bytes = Buffer.from(`data: ${"x".repeat(300_000)}\n\n`)
  const every = Array.from({ length: bytes.length }, (_, byte) => byte)
  t.equal(decode(bytes, every)[0]?.data?.length, 300_000)
})

test("any Uint8Array can be fed", async (t) => {
  const decoder = new SseDecoder()
  t.strictSame(data(decoder.feed(new Uint8Array(Buffer.from("data: a\n\n")))), ["a"])
})
