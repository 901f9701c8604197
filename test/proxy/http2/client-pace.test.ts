import { createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import { call, openSession } from "../../helpers/clients/h2-client.ts"
import { always, baseTo, eventually, ok, startOrigin, startProxy, type TestProxy } from "../../helpers/test-proxy.ts"
import { data, FLAG, FrameWire, headers, request, TYPE, windowUpdate } from "../../helpers/wire/h2-frames.ts"

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
const INTERNAL_ERROR = 2
const CANCEL = 8

const inClear = (t: Test, proxy: TestProxy) => openSession(t, `http://127.0.0.1:${proxy.port}`)

async function open(t: Test, proxy: TestProxy): Promise<FrameWire> {
  const wire = await FrameWire.open(proxy.port)
  t.teardown(() => wire.socket.destroy())
  return wire
}

/** An origin that is given its sockets unread, and the settings that lead to it. */
async function unread(t: Test, serve: (socket: Socket) => void) {
  const sockets: Socket[] = []
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
    sockets.push(socket)
    socket.on("error", () => {}) // Resets are part of what is tested.
    serve(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { sockets, settings: { baseUpstream: new URL(`http://127.0.0.1:${port}`) } }
}

/** Writes without end, and counts what was taken. */
function gush(socket: Socket): { readonly taken: () => number } {
  const piece = Buffer.alloc(65_536, "x")
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n`)
  const more = () => {
    while (socket.writable && socket.write(piece)) {}
  }
  socket.on("drain", more)
  more()
  return { taken: () => socket.bytesWritten - socket.writableLength }
}

/** Resolves when `value` has stopped growing: it is the same after many turns of the event loop. */
async function settled(value: () => number): Promise<number> {
  for (let last = -1, same = 0; ; ) {
    const now = value()
    same = now === last ? same + 1 : 0
    last = now
    if (same > 200) return now
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test("a client that reads nothing of one answer holds its upstream up, and its other streams run", async (t) => {
  let flow: { taken(): number } | undefined
  const origin = await startOrigin(t, ({ target }, socket) => {
    if (target === "/endless") flow = gush(socket)
    else socket.write(ok("x".repeat(100_000)))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await inClear(t, proxy)
  const stalled = session.request({ ":path": "/endless" })
  stalled.on("error", () => {}) // It is reset at the end of this test.
  await new Promise((resolve) => stalled.once("response", resolve))
  stalled.pause()
  const bytes = await settled(() => flow?.taken() ?? 0)
  t.ok(bytes < 20_000_000, `${bytes} bytes were taken from the upstream, kernel buffers included`)
  for (let round = 0; round < 20; round++) t.equal((await call(session, { ":path": "/short" })).body.length, 100_000)
  stalled.resume()
  await eventually(() => (flow?.taken() ?? 0) > bytes + 1_000_000)
  stalled.close(CANCEL)
  await eventually(() => origin.open === 1)
})

test("an upload that nobody reads fills one window, and not memory", async (t) => {
  const origin = await unread(t, () => {})
  const proxy = await startProxy(t, { settings: origin.settings })
  const session = await inClear(t, proxy)
  const stream = session.request({ ":path": "/", ":method": "POST" })
  stream.on("error", () => {}) // It is reset at the end of this test.
  const piece = Buffer.alloc(65_536, "x")
  let written = 0
  const more = () => {
    do written += piece.length
    while (stream.write(piece))
  }
  stream.on("drain", more)
  more()
  await eventually(() => origin.sockets.length === 1)
  const bytes = await settled(() => written)
  t.ok(bytes < 20_000_000, `${bytes} bytes were taken from the client, kernel buffers included`)
  stream.close(CANCEL)
})

test("before anybody reads a body, no more of it is taken than its window", async (t) => {
  let go = () => {}
  const held = new Promise<void>((resolve) => {
    go = resolve
  })
  const origin = await startOrigin(t, always(ok("done")))
  const proxy = await startProxy(t, { settings: baseTo(origin), hooks: { requestHeaders: () => held } })
  const wire = await open(t, proxy)
  await wire.until(({ type, flags }) => type === TYPE.SETTINGS && flags === 0)
  const piece = "x".repeat(16_384)
  const pieces = Array.from({ length: 15 }, () => data(1, piece))
  wire.write(headers(1, request("/", [], "POST"), FLAG.END_HEADERS), ...pieces)
  await wire.pong()
  const updated = () => wire.frames.some(({ type, id }) => type === TYPE.WINDOW_UPDATE && id === 1)
  t.notOk(updated(), "the stream's window is not opened again")
  go()
  await eventually(updated)
  wire.write(data(1, "end", FLAG.END_STREAM))
  t.equal(await wire.status(1), 200)
  t.equal(origin.requests[0]?.body.length, 15 * piece.length + 3)
})

test("what came before a cut arrives before the reset, though the client is slow", async (t) => {
  const part = "x".repeat(200_000)
  const origin = await startOrigin(t, (_, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${part}`, () => socket.destroy())
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const wire = await open(t, proxy)
  wire.write(headers(1, request("/")))
  await eventually(() => wire.body(1).length === 65_535)
  wire.write(windowUpdate(1, 1_000_000), windowUpdate(0, 1_000_000))
  t.equal(await wire.resetOf(1), INTERNAL_ERROR)
  t.equal(wire.body(1).length, part.length)
  t.notOk(wire.ended(1))
})

test("a slow client has two seconds for what came before a cut", async (t) => {
  let upstream: Socket | undefined
  const origin = await startOrigin(t, (_, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(40_000)}`)
    upstream = socket
  })
  let failed = false
  const error = () => {
    failed = true
  }
  const proxy = await startProxy(t, { settings: baseTo(origin), hooks: { error } })
  const wire = await open(t, proxy)
  wire.write(headers(1, request("/")))
  await eventually(() => wire.body(1).length === 40_000)
  upstream?.write("x".repeat(50_000), () => upstream?.destroy())
  await eventually(() => wire.body(1).length === 65_535 && failed)
  proxy.clock.advance(2_001)
  t.equal(await wire.resetOf(1), INTERNAL_ERROR)
})

test("a killed flow is cancelled, before its answer and in it", async (t) => {
  const origin = await startOrigin(t, always(`${CHUNKED}4\r\nsome\r\n`))
  const proxy = await startProxy(t, {
    settings: baseTo(origin),
    hooks: {
      requestHeaders: (flow) => {
        if (flow.request.path.endsWith("/first")) flow.kill()
      },
      responseHeaders: (flow) => {
        flow.response?.transform((bytes: Buffer) => {
          flow.kill()
          return bytes
        })
      },
    },
  })
  const wire = await open(t, proxy)
  wire.write(headers(1, request("/first")))
  t.equal(await wire.resetOf(1), CANCEL)
  t.notOk(wire.frames.some(({ type, id }) => id === 1 && type === TYPE.HEADERS))
  wire.write(headers(3, request("/second")))
  t.equal(await wire.resetOf(3), CANCEL)
  t.notOk(wire.ended(3))
})

test("a body that stops arriving is given up, and the connection lives", async (t) => {
  const { settings, sockets } = await unread(t, (socket) => socket.resume())
  const proxy = await startProxy(t, { settings })
  const wire = await open(t, proxy)
  wire.write(headers(1, request("/", [], "POST"), FLAG.END_HEADERS), data(1, "some"))
  await eventually(() => sockets.length === 1 && (sockets[0]?.bytesRead ?? 0) > 0)
  for (let passed = 0; passed < 360_000; passed += 30_000) {
    await wire.pong()
    proxy.clock.advance(30_000)
  }
  t.equal(await wire.status(1), 408)
  await wire.pong()
})

test("a client that takes nothing of its answer for the stall timeout is given up", async (t) => {
  const origin = await startOrigin(t, (_, socket) => void gush(socket))
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), stallTimeoutMs: 100_000 } })
  const wire = await open(t, proxy)
  wire.write(headers(1, request("/")))
  await eventually(() => wire.body(1).length === 65_535)
  for (let passed = 0; passed < 180_000; passed += 30_000) {
    await wire.pong()
    proxy.clock.advance(30_000)
  }
  t.equal(await wire.resetOf(1), CANCEL)
  await eventually(() => origin.open === 0)
})

test("a client that does not answer PING is gone, unless bytes still wait for it", async (t) => {
  const origin = await startOrigin(t, ({ target }, socket) => {
    if (target === "/slow") gush(socket)
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const [mute, slow] = [await open(t, proxy), await open(t, proxy)]
  for (const wire of [mute, slow]) wire.answersPings = false
  mute.write(headers(1, request("/")))
  slow.write(headers(1, request("/slow")))
  await eventually(() => slow.body(1).length === 65_535)
  await origin.received(2)
  proxy.clock.advance(30_001)
  await mute.until(({ type }) => type === TYPE.PING)
  proxy.clock.advance(30_001)
  await mute.closed
  await slow.pong()
  t.notOk(slow.over)
})
