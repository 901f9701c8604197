/**
 * A reader that stalls stops its sender: the bytes that were taken from the sender stay bounded, whatever the size of
 * the body. What is bounded are bytes, so nothing here looks at a clock but the clock that is turned.
 */
import { createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import { eventually, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const PIECE = Buffer.alloc(65_536, "x")
const BODY_BYTES = 256 * 1_048_576
/** What the kernel (four buffers, which grow by themselves) and our own queues may hold. */
const HELD_BYTES_MAX = 96 * 1_048_576

async function server(t: Test, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const listener = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    serve(socket)
  })
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  const address = listener.address()
  return typeof address === "object" ? (address?.port ?? 0) : 0
}

/** Writes until `total` bytes are out, as fast as the socket takes them; counts what the socket has taken. */
function pour(socket: Socket, total: number): { taken: () => number } {
  let queued = 0
  const more = () => {
    while (queued < total && !socket.destroyed) {
      queued += PIECE.length
      if (!socket.write(PIECE)) {
        socket.once("drain", more)
        return
      }
    }
  }
  more()
  return { taken: () => queued - socket.writableLength }
}

/** Resolves when the count has not grown for many turns of the event loop, in which everything ready was done. */
async function settled(count: () => number): Promise<number> {
  for (let quiet = 0, last = -1; quiet < 300; quiet++) {
    await new Promise((resolve) => setImmediate(resolve))
    if (count() !== last) quiet = 0
    last = count()
  }
  return count()
}

test("a client that stops reading stops the upstream", async (t) => {
  let poured = { taken: () => 0 }
  const port = await server(t, (socket) => {
    socket.once("data", () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`)
      poured = pour(socket, BODY_BYTES)
    })
  })
  for (const version of ["1.1", "1.0"]) {
    const proxy = await startProxy(t)
    const client = await Wire.connect(proxy.port)
    client.socket.pause()
    client.write(`GET http://127.0.0.1:${port}/ HTTP/${version}\r\nHost: x\r\n\r\n`)
    await eventually(() => poured.taken() > 0)
    const held = await settled(() => poured.taken())
    t.ok(held < HELD_BYTES_MAX, `${held} bytes were taken from the upstream`)
    client.socket.destroy()
    await eventually(() => proxy.server.clients === 0)
    poured = { taken: () => 0 }
  }
})

test("an upstream that stops reading stops the client, in every framing", async (t) => {
  const sockets: Socket[] = []
  const port = await server(t, (socket) => {
    sockets.push(socket)
    socket.pause()
  })
  const proxy = await startProxy(t)
  const client = await Wire.connect(proxy.port)
  client.write(`POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`)
  const poured = pour(client.socket, BODY_BYTES)
  await eventually(() => poured.taken() > 0)
  const held = await settled(poured.taken)
  t.ok(held < HELD_BYTES_MAX, `${held} bytes were taken from the client`)
  for (const socket of sockets) socket.destroy()
  client.socket.destroy()
})

test("a tunnel holds back as well, both ways", async (t) => {
  let fromServer = { taken: () => 0 }
  const port = await server(t, (socket) => {
    socket.pause()
    fromServer = pour(socket, BODY_BYTES)
  })
  const proxy = await startProxy(t, { settings: { ignoreHosts: [/./] } })
  const client = await Wire.tunnel(proxy.port, `127.0.0.1:${port}`)
  client.socket.pause()
  const fromClient = pour(client.socket, BODY_BYTES)
  const held = await settled(() => fromServer.taken() + fromClient.taken())
  t.ok(held < 2 * HELD_BYTES_MAX, `${held} bytes were taken`)
  client.socket.destroy()
})

test("a body that the upstream does not take is not the client's fault", async (t) => {
  const port = await server(t, (socket) => socket.pause())
  const proxy = await startProxy(t, { settings: { idleTimeoutMs: 1_000, stallTimeoutMs: 60_000 } })
  const client = await Wire.connect(proxy.port)
  client.write(`POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`)
  const poured = pour(client.socket, BODY_BYTES)
  await settled(poured.taken)
  proxy.clock.advance(30_000)
  await settled(poured.taken)
  t.notOk(client.socket.destroyed)
  t.equal(client.count, 0, "no 408")
  proxy.clock.advance(30_000)
  t.equal((await client.response()).status, 504, "but a stalled exchange ends")
  client.socket.destroy()
})

test("a client that never reads its answer is broken off after stallTimeoutMs", async (t) => {
  const settings = { idleTimeoutMs: 1_000, stallTimeoutMs: 5_000 }
  // Short enough that the upstream is done with it, long enough that the client's kernel does not take it all.
  const size = 24 * 1_048_576
  let socket: Socket | undefined
  const port = await server(t, (accepted) => {
    socket = accepted
    accepted.once("data", () => {
      accepted.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      pour(accepted, size)
    })
  })
  const proxy = await startProxy(t, { settings })
  const client = await Wire.connect(proxy.port)
  client.socket.pause()
  client.write(`GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  await eventually(() => socket !== undefined && socket.bytesWritten > 1_048_576)
  await settled(() => socket?.bytesWritten ?? 0)
  for (let second = 0; second < 4; second++) proxy.clock.advance(1_000)
  t.equal(proxy.server.clients, 1)
  await eventually(() => {
    proxy.clock.advance(1_000)
    return proxy.server.clients === 0
  })
  client.socket.destroy()
})

test("pipelined bytes are kept up to a bound while an answer is outstanding", async (t) => {
  const port = await server(t, (socket) => socket.resume())
  const proxy = await startProxy(t)
  const client = await Wire.connect(proxy.port)
  client.write(`GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  const poured = pour(client.socket, BODY_BYTES)
  const held = await settled(poured.taken)
  t.ok(held < HELD_BYTES_MAX, `${held} bytes were taken from the client`)
  client.socket.destroy()
})
