/**
 * Bytes that come in frames of one byte each: what they cost is in proportion to the bytes, not to their number.
 */
import { type Test, test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import { block, END, FRAME, frame, startFrameOrigin, WHOLE } from "../../helpers/hosts/h2-origin.ts"
import { baseTo, eventually, startOrigin, startProxy, type TestProxy } from "../../helpers/test-proxy.ts"
import { data, FLAG, FrameWire, headers, request, windowUpdate } from "../../helpers/wire/h2-frames.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const MB = 1_000_000
/** Streams of one connection, and the bytes that each may send before somebody reads them. */
const STREAMS = 6
const WINDOW_BYTES = 262_144

/** Bytes in use, garbage taken away where that can be asked for. */
function used(): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function open(t: Test, proxy: TestProxy): Promise<FrameWire> {
  const wire = await FrameWire.open(proxy.port)
  t.teardown(() => wire.socket.destroy())
  return wire
}

test("a request body in frames of one byte that nobody reads costs what its bytes do", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
  })
  let go = () => {}
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  const proxy = await startProxy(t, {
    settings: baseTo(origin),
    hooks: { requestHeaders: (flow) => (flow.request.path === "/held" ? gate : undefined) },
  })
  const wire = await open(t, proxy)
  const ids = Array.from({ length: STREAMS }, (_, index) => index * 2 + 1)
  for (const id of ids) wire.write(headers(id, request("/held", [], "POST"), FLAG.END_HEADERS))
  await wire.pong()
  const before = used()
  for (const id of ids) {
    const tiny = Buffer.concat(Array.from({ length: WINDOW_BYTES / 64 }, () => data(id, "x")))
    for (let count = 0; count < 64; count++) wire.write(tiny)
    await wire.pong()
  }
  const grown = used() - before
  // As they came they would be 28 MB a stream.
  t.ok(grown < STREAMS * 4 * WINDOW_BYTES + 20 * MB, `${Math.round(grown / MB)} MB`)
  const other = await open(t, proxy)
  other.write(headers(1, request("/other")))
  t.equal(await other.status(1), 200)
  for (const id of ids) wire.write(data(id, "", FLAG.END_STREAM))
  go()
  await eventually(() => origin.requests.length === STREAMS + 1)
  t.strictSame(
    origin.requests
      .filter(({ target }) => target === "/held")
      .map(({ body }) => body.equals(Buffer.alloc(WINDOW_BYTES, "x"))),
    ids.map(() => true),
  )
})

test("an answer in frames of one byte that a client does not read costs what its bytes do", async (t) => {
  const window = 524_288
  const origin = await startFrameOrigin(t, (socket, id) => {
    socket.write(frame(FRAME.headers, WHOLE, id, block([[":status", "200"]])))
    const tiny = Buffer.concat(Array.from({ length: window / 64 }, () => frame(FRAME.data, 0, id, Buffer.from("x"))))
    for (let count = 0; count < 64; count++) socket.write(tiny)
    socket.write(frame(FRAME.data, END, id))
  })
  const certain = { kind: "reverse", to: { scheme: "http", host: "127.0.0.1", port: origin.port, base: "/" } } as const
  const proxy = await startProxy(t, { mode: certain })
  const wire = await FrameWire.open(proxy.port, 0)
  t.teardown(() => wire.socket.destroy())
  await wire.pong()
  const before = used()
  const ids = Array.from({ length: STREAMS }, (_, index) => index * 2 + 1)
  for (const id of ids) wire.write(headers(id, request("/", [], "GET", `127.0.0.1:${origin.port}`)))
  for (const id of ids) t.equal(await wire.status(id), 200)
  await eventually(() => origin.connections.every(({ socket }) => socket.writableLength === 0))
  await wire.pong()
  const grown = used() - before
  t.ok(grown < STREAMS * 4 * window + 40 * MB, `${Math.round(grown / MB)} MB`)
  wire.write(windowUpdate(1, window + 1), windowUpdate(0, window + 1))
  await wire.until((one) => one.id === 1 && (one.flags & FLAG.END_STREAM) !== 0)
  t.equal(wire.body(1).length, window)
})

test("a body that is collected from chunks of one byte costs what its bytes do", async (t) => {
  const size = 400_000
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
  })
  let collected = 0
  const collect = async (flow: Flow) => {
    await flow.request.collect()
    collected = flow.request.bytes.length
  }
  const proxy = await startProxy(t, { settings: baseTo(origin), hooks: { requestHeaders: collect } })
  const wire = await Wire.connect(proxy.port)
  t.teardown(() => wire.socket.destroy())
  const before = used()
  wire.write(`POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n`)
  for (let count = 0; count < 100; count++) wire.write("1\r\nx\r\n".repeat(size / 100))
  await eventually(() => proxy.server.core.memory.used === size)
  const grown = used() - before
  // As they came they would be 40 MB and more.
  t.ok(grown < 20 * MB, `${Math.round(grown / MB)} MB`)
  wire.write("0\r\n\r\n")
  t.equal((await wire.response()).status, 200)
  t.equal(collected, size)
})
