import type { Socket } from "node:net"
import { test } from "tap"
import { block, END, FRAME, frame, setting, startFrameOrigin, WHOLE, words } from "../../helpers/hosts/h2-origin.ts"
import { eventually } from "../../helpers/test-proxy.ts"
import { bodyOf, failureOf, get, plainTarget, sendHead, startPool } from "../../helpers/wire/h2-pool.ts"

/** `:status: 200` of the static table. */
const OK = Buffer.from([0x88])
const text = (value: string) => Buffer.from(value, "latin1")

/** Answers with a head and a part of a body, then with what is given. */
function partly(...rest: ((stream: number) => Buffer)[]) {
  return (socket: Socket, stream: number) => {
    const head = [frame(FRAME.headers, WHOLE, stream, OK), frame(FRAME.data, 0, stream, text("part"))]
    socket.write(Buffer.concat([...head, ...rest.map((make) => make(stream))]))
  }
}

const CUTS: [string, ReturnType<typeof partly>, RegExp][] = [
  ["a reset with NO_ERROR", partly((id) => frame(FRAME.reset, 0, id, words(0))), /NO_ERROR/],
  ["a reset with CANCEL", partly((id) => frame(FRAME.reset, 0, id, words(8))), /CANCEL/],
  ["a reset with INTERNAL_ERROR", partly((id) => frame(FRAME.reset, 0, id, words(2))), /INTERNAL_ERROR/],
  [
    "a reset with REFUSED_STREAM behind the head",
    partly((id) => frame(FRAME.reset, 0, id, words(7))),
    /REFUSED_STREAM/,
  ],
  ["a GOAWAY with an error", partly((id) => frame(FRAME.goaway, 0, 0, words(id, 2))), /GOAWAY with INTERNAL_ERROR/],
  [
    "the end of the connection",
    (socket, id) =>
      socket.end(Buffer.concat([frame(FRAME.headers, WHOLE, id, OK), frame(FRAME.data, 0, id, text("part"))])),
    /127\.0\.0\.1:\d+ /,
  ],
  ["a window that grows by nothing", partly(() => frame(FRAME.windowUpdate, 0, 0, words(0))), /rotocol/],
  ["trailers with a pseudo-header", partly((id) => frame(FRAME.headers, WHOLE | END, id, OK)), /127\.0\.0\.1:\d+ /],
]

for (const [what, script, message] of CUTS) {
  test(`${what} in the middle of an answer is a cut, and never its end`, async (t) => {
    const { upstream } = await startPool(t)
    const origin = await startFrameOrigin(t, script)
    const stream = await upstream.open(plainTarget(origin.port))
    sendHead(stream)
    const failure = await failureOf(stream.head().then(() => bodyOf(stream)))
    t.match(failure, { code: "cut", status: 502, source: "upstream", message })
    t.equal(stream.processed, "yes")
  })
}

test("a reset of the whole connection is a cut", async (t) => {
  const { upstream, disconnected } = await startPool(t)
  const origin = await startFrameOrigin(t, partly())
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  await stream.head()
  t.equal(String(await stream.body.read()), "part")
  origin.connections[0]?.socket.resetAndDestroy()
  t.match(await failureOf(bodyOf(stream)), { code: "cut" })
  await eventually(() => disconnected.length === 1)
  t.equal(upstream.size, 0)
})

test("an answer that came whole can be read after the server has closed the connection", async (t) => {
  const { upstream } = await startPool(t)
  const pieces = Array.from({ length: 20 }, () => Buffer.alloc(16_000, 0x61))
  const origin = await startFrameOrigin(t, (socket, id) => {
    const last = pieces.length - 1
    const body = pieces.map((piece, index) => frame(FRAME.data, index === last ? END : 0, id, piece))
    socket.end(Buffer.concat([frame(FRAME.headers, WHOLE, id, OK), ...body]))
  })
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  await stream.head()
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.equal((await bodyOf(stream)).length, 320_000)
  await eventually(() => upstream.size === 0)
})

test("a whole answer is whole, also when a reset follows it", async (t) => {
  const { upstream } = await startPool(t)
  const origin = await startFrameOrigin(
    t,
    partly(
      (id) => frame(FRAME.data, END, id, text(" whole")),
      (id) => frame(FRAME.reset, 0, id, words(0)),
    ),
  )
  t.equal(await get(await upstream.open(plainTarget(origin.port))), "part whole")
  // The answer may come before the request has been sent; what is left of that is given up.
  const early = await upstream.open(plainTarget(origin.port))
  sendHead(early, { method: "POST" }, { length: 100, hasBody: true })
  await early.head()
  t.equal(await bodyOf(early), "part whole")
  t.equal(early.write(text("late")), true)
  early.end()
})

const MALFORMED: [string, Buffer, number][] = [
  ["no status", block([["a", "b"]]), END],
  ["two statuses", Buffer.concat([OK, OK]), END],
  ["the status 101", block([[":status", "101"]]), END],
  ["an upper-case name", Buffer.concat([OK, block([["Upper", "b"]])]), END],
  ["a connection field", Buffer.concat([OK, block([["connection", "close"]])]), END],
  [
    "a repeated content-type",
    Buffer.concat([
      OK,
      block([
        ["content-type", "a"],
        ["content-type", "b"],
      ]),
    ]),
    END,
  ],
  [
    "a repeated content-length",
    Buffer.concat([
      OK,
      block([
        ["content-length", "0"],
        ["content-length", "0"],
      ]),
    ]),
    END,
  ],
  ["a content-length that is no number", Buffer.concat([OK, block([["content-length", "+1"]])]), 0],
  ["too many fields", Buffer.concat([OK, ...Array.from({ length: 300 }, (_, n) => block([[`a${n}`, "b"]]))]), END],
]

for (const [what, bytes, flags] of MALFORMED) {
  test(`an answer with ${what} is refused, and costs its own stream only`, async (t) => {
    const { upstream } = await startPool(t)
    const good = Buffer.concat([OK, block([["content-length", "0"]])])
    const origin = await startFrameOrigin(t, (socket, stream) => {
      socket.write(frame(FRAME.headers, WHOLE | (stream === 1 ? flags : END), stream, stream === 1 ? bytes : good))
    })
    const stream = await upstream.open(plainTarget(origin.port))
    sendHead(stream)
    t.match(await failureOf(stream.head()), { status: 502, source: "upstream" })
    t.equal(await get(await upstream.open(plainTarget(origin.port))), "")
    t.equal(origin.connections.length, 1)
  })
}

test("a field with a line break in it never comes through", async (t) => {
  for (const value of ["b\nc: d", "b\r\nc: d", "b\rc", "b\0c"]) {
    const { upstream } = await startPool(t)
    const head = Buffer.concat([OK, block([["a", value]]), block([["last", "1"]])])
    const origin = await startFrameOrigin(t, (socket, id) => void socket.write(frame(FRAME.headers, 5, id, head)))
    const stream = await upstream.open(plainTarget(origin.port))
    sendHead(stream)
    const { headers } = await stream.head() // nghttp2 leaves it out, as RFC 9113 section 8.1.1 lets it.
    t.same(headers.lines(), ["last: 1"])
  }
})

test("a body that is longer or shorter than its content-length is a cut", async (t) => {
  for (const length of ["3", "30"]) {
    const { upstream } = await startPool(t)
    const origin = await startFrameOrigin(t, (socket, stream) => {
      const head = Buffer.concat([OK, block([["content-length", length]])])
      socket.write(frame(FRAME.headers, WHOLE, stream, head))
      socket.write(frame(FRAME.data, END, stream, text("partial")))
    })
    const stream = await upstream.open(plainTarget(origin.port))
    sendHead(stream)
    t.match(await failureOf(stream.head().then(() => bodyOf(stream))), { code: "cut", message: /PROTOCOL_ERROR/ })
  }
})

test("trailers that would change what was said before are refused", async (t) => {
  const { upstream } = await startPool(t)
  const late = block([["content-length", "4"]])
  const origin = await startFrameOrigin(
    t,
    partly((id) => frame(FRAME.headers, WHOLE | END, id, late)),
  )
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  t.match(await failureOf(stream.head().then(() => bodyOf(stream))), { status: 502 })
})

test("GOAWAY without an error lets streams finish, and those above its last one were not processed", async (t) => {
  const { upstream, disconnected } = await startPool(t)
  const origin = await startFrameOrigin(t, (socket, stream, connection) => {
    if (connection > 1) socket.write(frame(FRAME.headers, WHOLE | END, stream, OK))
    else if (stream === 1) partly()(socket, stream)
    else socket.write(frame(FRAME.goaway, 0, 0, words(1, 0)))
  })
  const old = await upstream.open(plainTarget(origin.port))
  sendHead(old)
  await old.head()
  const above = await upstream.open(plainTarget(origin.port))
  sendHead(above)
  t.match(await failureOf(above.head()), { code: "refused", message: /GOAWAY.*not processed/ })
  t.equal(above.processed, "no")
  t.equal(await get(await upstream.open(plainTarget(origin.port))), "", "another connection serves what comes")
  t.equal(origin.connections.length, 2)
  origin.connections[0]?.socket.write(frame(FRAME.data, END, 1, text(" whole")))
  t.equal(await bodyOf(old), "part whole")
  await eventually(() => disconnected.length === 1)
})

test("GOAWAY with an error: what it had taken is cut, what lies above was not processed", async (t) => {
  const { upstream } = await startPool(t)
  const origin = await startFrameOrigin(t, (socket, stream) => {
    if (stream === 3) socket.write(frame(FRAME.goaway, 0, 0, words(1, 11)))
  })
  const [first, second] = [await upstream.open(plainTarget(origin.port)), await upstream.open(plainTarget(origin.port))]
  sendHead(first)
  sendHead(second)
  const [below, above] = await Promise.all([failureOf(first.head()), failureOf(second.head())])
  t.match(below, { code: "cut", message: /GOAWAY with ENHANCE_YOUR_CALM/ })
  t.equal(first.processed, "maybe")
  t.match(above, { code: "refused" })
  t.equal(second.processed, "no")
})

test("a refused stream was not processed", async (t) => {
  const { upstream } = await startPool(t)
  const origin = await startFrameOrigin(t, (socket, id) => void socket.write(frame(FRAME.reset, 0, id, words(7))))
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  t.match(await failureOf(stream.head()), { code: "refused", message: /REFUSED_STREAM/ })
  t.equal(stream.processed, "no")
})

test("a silent session is asked whether it lives; one that does not answer is dead", async (t) => {
  const { upstream, clock } = await startPool(t)
  const origin = await startFrameOrigin(t, () => {})
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  const failed = failureOf(stream.head())
  const { frames = [], socket } = origin.connections[0] ?? {}
  const pings = (flags: number) => frames.filter((one) => one.type === FRAME.ping && one.flags === flags)
  await eventually(() => frames.some(({ type }) => type === FRAME.headers))
  clock.advance(30_000)
  await eventually(() => pings(0).length === 1)
  const timers = clock.made
  socket?.write(frame(FRAME.ping, 1, 0, pings(0)[0]?.payload))
  await eventually(() => clock.made > timers)
  socket?.write(frame(FRAME.ping, 0, 0, Buffer.alloc(8))) // A sign of life; it is answered.
  await eventually(() => pings(1).length === 1)
  clock.advance(30_000)
  clock.advance(29_999)
  t.equal(pings(0).length, 1)
  clock.advance(1)
  await eventually(() => pings(0).length === 2)
  clock.advance(15_000)
  t.match(await failed, { code: "ping-timeout", status: 504, message: /PING within 15 s/ })
  t.equal(stream.processed, "maybe")
})

test("a frame that is too large costs its connection, at the latest when a PING is not answered", async (t) => {
  const { upstream, clock } = await startPool(t)
  const origin = await startFrameOrigin(
    t,
    partly((id) => frame(FRAME.data, 0, id, Buffer.alloc(20_000))),
  )
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  const failed = failureOf(stream.head().then(() => bodyOf(stream)))
  const { frames = [] } = origin.connections[0] ?? {}
  await eventually(() => frames.some(({ type }) => type === FRAME.goaway))
  for (let round = 0; round < 3; round++) clock.advance(30_000)
  t.match(await failed, { code: "ping-timeout", status: 504 })
  await eventually(() => upstream.size === 0)
})

test("a flood of settings and pings costs its connection at most", async (t) => {
  const { upstream } = await startPool(t)
  const flood = Buffer.concat(Array.from({ length: 20_000 }, () => frame(FRAME.settings, 0, 0, setting(3, 100))))
  const origin = await startFrameOrigin(t, (socket) => void socket.end(flood))
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  t.match(await failureOf(stream.head()), { status: 502 })
  await eventually(() => upstream.size === 0)
})
