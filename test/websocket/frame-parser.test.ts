/**
 * Frames read and written (RFC 6455, 5): every split, every limit, and what has to be refused.
 */
import fc from "fast-check"
import { test } from "tap"
import { everySplit } from "../../lib/testing/every-split.ts"
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, writeFrame } from "../../lib/websocket/frame.ts"
import { type FrameEvent, FrameParser } from "../../lib/websocket/frame-parser.ts"
import { FrameCollector } from "../../lib/websocket/message.ts"
import { WebSocketViolation } from "../../lib/websocket/violation.ts"

const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d])

interface Seen {
  /** Whole messages and control frames, in the order in which they ended. */
  readonly units: { kind: string; payload: Buffer; raw: Buffer }[]
}

/** Puts the events together again. */
function gather(events: Iterable<FrameEvent>, seen: Seen, open: { message?: FrameCollector; fin?: boolean }): void {
  for (const event of events) {
    if (event.type === "control") {
      seen.units.push({ kind: `control ${event.opcode}`, payload: event.payload, raw: event.raw })
    } else if (event.type === "head") {
      if (event.head.opcode !== CONTINUATION) open.message = new FrameCollector(event.head)
      open.fin = event.head.fin
      open.message?.head(event.head, event.raw)
    } else if (event.type === "data") open.message?.data(event.raw)
    else if (event.type === "end" && open.fin === true && open.message !== undefined) {
      const { type, compressed, raw } = open.message
      const kind = `${type}${compressed ? " compressed" : ""}`
      seen.units.push({ kind, payload: open.message.payload(), raw: Buffer.concat(raw) })
    }
  }
}

function parse(from: "client" | "server", chunks: readonly Buffer[], deflate = false): Seen["units"] {
  const parser = new FrameParser({ from, deflate })
  const seen: Seen = { units: [] }
  const open = {}
  for (const chunk of chunks) gather(parser.feed(chunk), seen, open)
  return seen.units
}

test("the longest frame that an integer counts is read", async (t) => {
  const parser = new FrameParser({ from: "server", deflate: false })
  const [head] = [...parser.feed(Buffer.from("817f001fffffffffffff", "hex"))]
  t.match(head, { type: "head", head: { length: Number.MAX_SAFE_INTEGER } })
})

/** A frame of a fragmented message. */
function fragment(opcode: number, fin: boolean, payload: string, mask?: Buffer, rsv1 = false): Buffer {
  const frame = writeFrame(TEXT, Buffer.from(payload), mask)
  frame[0] = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode
  return frame
}

/** One direction with everything in it: each length form, fragments with control frames between them, empty frames. */
function corpus(mask: Buffer | undefined): Buffer {
  return Buffer.concat([
    writeFrame(TEXT, Buffer.from("Hello"), mask),
    writeFrame(PING, Buffer.alloc(0), mask),
    fragment(BINARY, false, "one ", mask),
    writeFrame(PONG, Buffer.from("between"), mask),
    fragment(CONTINUATION, false, "", mask),
    fragment(CONTINUATION, true, "two", mask),
    writeFrame(TEXT, Buffer.alloc(0), mask),
    writeFrame(BINARY, Buffer.alloc(126, 1), mask),
    writeFrame(PING, Buffer.alloc(125, 2), mask),
    writeFrame(CLOSE, Buffer.from([0x03, 0xe8]), mask),
  ])
}

test("every split of a stream gives the same frames, and their bytes are the stream", async (t) => {
  for (const [from, mask] of [
    ["client", MASK],
    ["server", undefined],
  ] as const) {
    const bytes = corpus(mask)
    const whole = parse(from, [bytes])
    t.same(
      whole.map(({ kind, payload }) => `${kind} ${payload.length < 20 ? payload.toString("latin1") : payload.length}`),
      [
        "text Hello",
        "control 9 ",
        "control 10 between",
        "binary one two",
        "text ",
        "binary 126",
        "control 9 125",
        "control 8 \x03\xe8",
      ],
    )
    for (const [before, after] of everySplit(bytes)) {
      const split = parse(from, [before, after])
      if (JSON.stringify(split) !== JSON.stringify(whole)) t.fail(`${from}: cut at byte ${before.length}`)
    }
    const single = parse(
      from,
      [...bytes].map((byte) => Buffer.of(byte)),
    )
    t.same(single, whole, "byte by byte")
    t.equal(
      single.reduce((sum, { raw }) => sum + raw.length, 0),
      bytes.length,
    )
  }
})

test("RFC 6455's own examples (5.7) are read", async (t) => {
  const hello = Buffer.from("Hello")
  const read = (from: "client" | "server", hex: string) => parse(from, [Buffer.from(hex, "hex")])[0]?.payload
  t.same(read("server", "810548656c6c6f"), hello)
  t.same(read("client", "818537fa213d7f9f4d5158"), hello)
  t.same(read("server", "010348656c80026c6f"), hello)
  t.same(read("server", "890548656c6c6f"), hello)
  t.same(writeFrame(TEXT, hello, MASK), Buffer.from("818537fa213d7f9f4d5158", "hex"))
})

test("what is written is read again: any opcode, length and mask, in any pieces", async (t) => {
  const frame = fc.record({
    opcode: fc.constantFrom(TEXT, BINARY),
    payload: fc.uint8Array({ maxLength: 300 }),
    mask: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  })
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 6 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      (frames, size, masked) => {
        const written = frames.map(({ opcode, payload, mask }) =>
          writeFrame(opcode, Buffer.from(payload), masked ? Buffer.from(mask) : undefined),
        )
        const bytes = Buffer.concat(written)
        const chunks: Buffer[] = []
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
        const units = parse(masked ? "client" : "server", chunks)
        const same = units.every(({ payload, raw }, i) => {
          return payload.equals(Buffer.from(frames[i]?.payload ?? [])) && raw.equals(written[i] ?? bytes)
        })
        return same && units.length === frames.length
      },
    ),
    { numRuns: 500 },
  )
  t.pass("500 streams")
})

test("lengths at the borders of their forms are written in the shortest one, and longer ones are refused", async (t) => {
  for (const [length, head] of [
    [125, 2],
    [126, 4],
    [65_535, 4],
    [65_536, 10],
  ] as const) {
    const frame = writeFrame(BINARY, Buffer.alloc(length), undefined)
    t.equal(frame.length, head + length)
    t.equal(parse("server", [frame])[0]?.payload.length, length)
  }
})

test("what breaks the protocol is refused, wherever it is cut", async (t) => {
  const cases: [string, "client" | "server", string, RegExp][] = [
    ["a client without a mask", "client", "8100", /not masked/],
    ["a server with a mask", "server", "818000000000", /is masked/],
    ["RSV1 without an extension", "server", "c100", /RSV1/],
    ["RSV2", "server", "a100", /RSV2 or RSV3/],
    ["RSV3", "server", "9100", /RSV2 or RSV3/],
    ["a reserved data opcode", "server", "8300", /opcode 0x3/],
    ["a reserved control opcode", "server", "8b00", /opcode 0xb/],
    ["a fragmented ping", "server", "0900", /control frame is fragmented/],
    ["a compressed ping", "server", "c900", /RSV1 is set in a control frame/],
    ["a long ping", "server", "897e0080", /more than 125/],
    ["a continuation of nothing", "server", "8000", /continues nothing/],
    ["a second start", "server", "01008100", /before the one before it/],
    ["a length of 125 in 16 bits", "server", "817e007d", /shortest/],
    ["a length of 65535 in 64 bits", "server", "817f000000000000ffff", /shortest/],
    ["a length with the highest bit", "server", "817f8000000000000000", /out of range/],
    ["a length beyond 2^53", "server", "817f0020000000000000", /out of range/],
  ]
  for (const [name, from, hex, message] of cases) {
    const bytes = Buffer.from(hex, "hex")
    for (const [before, after] of everySplit(bytes)) {
      t.throws(() => parse(from, [before, after]), { name: "WebSocketViolation", closeCode: 1002, message }, name)
    }
  }
  const deflated = Buffer.concat([
    fragment(TEXT, false, "x", undefined, true),
    fragment(CONTINUATION, true, "", undefined, true),
  ])
  t.throws(() => parse("server", [deflated], true), /RSV1/, "RSV1 belongs to the first frame")
  t.equal(parse("server", [fragment(TEXT, true, "x", undefined, true)], true)[0]?.kind, "text compressed")
})

test("a reader of random bytes throws violations and nothing else, and holds at most a control frame", async (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), fc.boolean(), (chunks, deflate) => {
      try {
        parse(
          "server",
          chunks.map((chunk) => Buffer.from(chunk)),
          deflate,
        )
        return true
      } catch (thrown) {
        return thrown instanceof WebSocketViolation
      }
    }),
    { numRuns: 2_000 },
  )
  const parser = new FrameParser({ from: "server", deflate: false })
  t.same([...parser.feed(Buffer.from([0x82, 0x7f]))], [])
  t.same(
    [...parser.feed(Buffer.from([0, 0, 0, 0xff, 0, 0, 0, 0]))].map(({ type }) => type),
    ["head"],
  )
  for (let n = 0; n < 100; n++) t.equal([...parser.feed(Buffer.alloc(10_000))].length, 1)
})

test("a message's cost counts empty frames as well", async (t) => {
  const head = { opcode: TEXT, fin: false, compressed: false, length: 0, mask: undefined } as const
  const collector = new FrameCollector(head)
  for (let n = 0; n < 1_000; n++) collector.head(head, Buffer.alloc(2))
  t.ok(collector.cost >= 100_000)
})

test("a message that comes byte by byte is held in few pieces, and is whole", (t) => {
  const mask = Buffer.from([1, 2, 3, 4])
  const payload = Buffer.from(Array.from({ length: 30_000 }, (_, index) => index % 253))
  const wire = writeFrame(BINARY, payload, mask)
  const parser = new FrameParser({ from: "client", deflate: false })
  let message: FrameCollector | undefined
  for (let at = 0; at < wire.length; at++)
    for (const event of parser.feed(wire.subarray(at, at + 1))) {
      if (event.type === "head") {
        message = new FrameCollector(event.head)
        message.head(event.head, event.raw)
      } else if (event.type === "data") message?.data(event.raw)
    }
  t.ok((message?.raw.length ?? 0) < 30)
  t.ok(Buffer.concat([...(message?.raw ?? [])]).equals(wire))
  t.ok(message?.payload().equals(payload))
  t.end()
})
