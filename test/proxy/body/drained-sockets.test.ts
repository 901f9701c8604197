/** Answers that are read on without their clients, by what happens on the sockets. */
import { once } from "node:events"
import { connect as connectHttp2, constants } from "node:http2"
import { connect, type Socket } from "node:net"
import { type Test, test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import type { ProxySettings } from "../../../lib/proxy/settings.ts"
import { baseTo, eventually, startOrigin, startProxy } from "../../helpers/test-proxy.ts"

const BODY = JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "Hi" }] })
const HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
const TAIL = 'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

/** A proxy whose flows are drained, and the socket of its origin once it was asked. */
async function draining(t: Test, settings: Partial<ProxySettings> = {}) {
  const told: string[] = []
  let asked: (socket: Socket) => void = () => {}
  const upstream = new Promise<Socket>((resolve) => {
    asked = (socket) => resolve(socket)
  })
  const origin = await startOrigin(t, (_, socket) => asked(socket as Socket))
  const proxy = await startProxy(t, {
    settings: { ...baseTo(origin), ...settings },
    hooks: {
      requestHeaders: (flow: Flow) => {
        flow.onClientGone = "drain"
      },
      llmResponse: (_flow, { text, finishReason }) => void told.push(`${text} ${finishReason.unified}`),
      response: () => void told.push("response"),
      error: (_flow, { code }) => void told.push(code),
    },
  })
  return { proxy, told, upstream }
}

function send(socket: Socket, port: number): void {
  const fields = `Host: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}`
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\n${fields}\r\n\r\n${BODY}`)
}

/** Resolves when nothing has left the socket for many turns of the event loop, in which all ends of it run. */
async function stalled(socket: Socket): Promise<void> {
  for (let left = socket.writableLength, still = 0; still < 1_000; still++) {
    await new Promise((resolve) => setImmediate(resolve))
    if (socket.writableLength !== left) still = 0
    left = socket.writableLength
  }
}

test("a client that has read nothing and leaves holds nothing up, and its connection counts no longer", async (t) => {
  const { proxy, told, upstream } = await draining(t, { drainLimit: 134_217_728 })
  const client = connect(proxy.port, "127.0.0.1")
  client.on("error", () => {})
  client.pause()
  send(client, proxy.port)
  const socket = await upstream
  socket.write(`${HEAD}\r\n`)
  // A comment that readers skip, longer than all that lies between.
  const comment = Buffer.from(`: ${"x".repeat(1_048_574)}\n\n`)
  for (let sent = 0; socket.write(comment) || sent < 32; sent++) if (sent > 64) break
  await stalled(socket)
  t.ok(socket.writableLength > 0, "it is held up while the client is there")
  t.strictSame(told, [])
  t.equal(proxy.server.clients, 1)
  client.destroy()
  await eventually(() => proxy.server.clients === 0)
  t.strictSame(told, [], "the answer is still read")
  socket.end(TAIL)
  await eventually(() => told.length === 2)
  t.strictSame(told, ["x stop", "client-gone"])
})

test("over HTTP/2 the stream alone is gone, and the session goes on", async (t) => {
  const { proxy, told, upstream } = await draining(t)
  const session = connectHttp2(`http://127.0.0.1:${proxy.port}`)
  t.teardown(() => session.destroy())
  const stream = session.request({
    ":method": "POST",
    ":path": "/v1/chat/completions",
    "content-type": "application/json",
  })
  stream.on("error", () => {})
  stream.end(BODY)
  const socket = await upstream
  socket.write(`${HEAD}Connection: close\r\n\r\n`)
  socket.write(": waiting\n\n")
  await once(stream, "data")
  stream.close(constants.NGHTTP2_CANCEL)
  await once(stream, "close")
  const ping = new Promise((resolve, reject) => {
    session.ping((error) => (error === null ? resolve(undefined) : reject(error)))
  })
  await ping // The proxy has read the reset.
  t.strictSame(told, [])
  socket.end(TAIL)
  await eventually(() => told.length === 2)
  t.strictSame(told, ["x stop", "client-gone"])
  t.equal(session.destroyed, false)
})

test("what is upgraded is not read on", async (t) => {
  const { proxy, told, upstream } = await draining(t)
  const client = connect(proxy.port, "127.0.0.1")
  client.on("error", () => {})
  const fields =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
  client.write(`GET /v1/realtime HTTP/1.1\r\nHost: 127.0.0.1:${proxy.port}\r\n${fields}\r\n\r\n`)
  const socket = await upstream
  client.destroy()
  await eventually(() => proxy.server.clients === 0)
  const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${accept}\r\n\r\n`)
  await eventually(() => told.length === 1)
  t.strictSame(told, ["client-gone"])
})
