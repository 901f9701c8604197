/**
 * Connections that say little or nothing: how many there may be, and what one costs before it has said who it is.
 */
import { connect, type Socket } from "node:net"
import { type Test, test } from "tap"
import { eventually, startProxy } from "../../helpers/test-proxy.ts"

const MB = 1_000_000

async function open(t: Test, port: number): Promise<{ socket: Socket; closed: Promise<void> }> {
  const socket = connect(port, "127.0.0.1")
  t.teardown(() => socket.destroy())
  socket.on("error", () => {})
  socket.resume()
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  await new Promise<void>((resolve) => socket.once("connect", resolve))
  return { socket, closed }
}

test("clients above the limit are closed, with one line a minute, and those that are there are served", async (t) => {
  const mode = { kind: "socks5" } as const
  const proxy = await startProxy(t, { mode, settings: { clientConnections: 3 } })
  const clients = [await open(t, proxy.port), await open(t, proxy.port), await open(t, proxy.port)]
  await eventually(() => proxy.server.clients === 3)
  for (let count = 0; count < 20; count++) await (await open(t, proxy.port)).closed
  const lines = () => proxy.lines.filter((line) => line.includes("3 client connections are open, the limit"))
  t.equal(lines().length, 1)
  t.match(lines()[0], /^warn 127\.0\.0\.1: closed: .* --client-connections$/)
  const answer = new Promise<Buffer>((resolve) => clients[0]?.socket.once("data", resolve))
  clients[0]?.socket.write(Buffer.of(5, 1, 0))
  t.strictSame(await answer, Buffer.of(5, 0))
  proxy.clock.advance(20_000)
  clients[1]?.socket.destroy()
  await eventually(() => proxy.server.clients === 2)
  await open(t, proxy.port)
  await eventually(() => proxy.server.clients === 3)
  proxy.clock.advance(60_000)
  await Promise.all(clients.map(({ closed }) => closed))
})

test("handshakes that are never whole cost little each, and end with the header timeout", async (t) => {
  const count = 300
  const user = { name: "u", secret: { kind: "password", text: "p" } } as const
  const proxy = await startProxy(t, { mode: { kind: "socks5" }, settings: { proxyUsers: [user] } })
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  const clients = await Promise.all(Array.from({ length: count }, () => open(t, proxy.port)))
  // The greeting, then as much of endless credentials as the kernel takes.
  for (const { socket } of clients) socket.write(Buffer.concat([Buffer.of(5, 1, 2, 1, 255), Buffer.alloc(100)]))
  await eventually(() => proxy.server.clients === count)
  t.ok(process.memoryUsage().rss - before < 100 * MB)
  proxy.clock.advance(30_001)
  await Promise.all(clients.map(({ closed }) => closed))
  await eventually(() => proxy.server.clients === 0)
})
