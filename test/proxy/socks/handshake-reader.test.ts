/** A socket as messages: pieces, what is put back, and what a peer can make us hold. */
import { connect, createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { HandshakeReader, type Read } from "../../../lib/proxy/socks/handshake-reader.ts"
import { eventually } from "../../helpers/test-proxy.ts"

const GONE = new FlowError("client", "gone", "gone")

/** Both ends of a connection. */
async function ends(t: Test): Promise<[near: Socket, far: Socket]> {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const near = new Promise<Socket>((resolve) => server.once("connection", resolve))
  const far = connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1")
  const both: [Socket, Socket] = [await near, far]
  for (const socket of both) socket.on("error", () => {})
  t.teardown(() => {
    for (const socket of both) socket.destroy()
    server.close()
  })
  return both
}

const bytesOf =
  (size: number) =>
  (bytes: Buffer): Read<string> | undefined =>
    bytes.length < size ? undefined : { value: bytes.toString("latin1", 0, size), size }

test("messages are taken one by one, and what is behind them is put back", async (t) => {
  const [near, far] = await ends(t)
  const reader = new HandshakeReader(near, GONE)
  far.write("on")
  const first = reader.read(bytesOf(3))
  await eventually(() => near.bytesRead === 2)
  far.write("e22rest")
  t.equal(await first, "one")
  t.equal(await reader.read(bytesOf(2)), "22")
  reader.stop()
  t.ok(near.isPaused())
  const rest = new Promise((resolve) => near.once("data", resolve))
  near.resume()
  t.same(await rest, Buffer.from("rest"))
})

test("between two messages nothing is read beyond one chunk of the socket", async (t) => {
  const [near, far] = await ends(t)
  const reader = new HandshakeReader(near, GONE)
  far.write(Buffer.alloc(8_000_000, "x"))
  t.equal(await reader.read(bytesOf(1)), "x")
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  // One chunk here, and what Node had read when the socket was paused.
  t.ok(near.bytesRead <= 4 * 65_536, `${near.bytesRead} bytes were read`)
  reader.stop()
})

test("a peer that leaves, a reader that is ended, and a broken message end the reading", async (t) => {
  const [near, far] = await ends(t)
  const reader = new HandshakeReader(near, GONE)
  far.end("x")
  await t.rejects(reader.read(bytesOf(2)), GONE)
  await t.rejects(reader.read(bytesOf(2)), GONE, "for good")
  t.equal(await reader.read(bytesOf(1)), "x", "what had come whole is still read")
  reader.stop()
  near.destroy()
  await t.rejects(new HandshakeReader(near, GONE).read(bytesOf(1)), GONE)
  const [other] = await ends(t)
  const ended = new HandshakeReader(other, GONE)
  const late = new FlowError("client", "late", "late")
  const reading = ended.read(bytesOf(1))
  ended.end(late)
  ended.end(GONE)
  await t.rejects(reading, late)
  const broken = new HandshakeReader(other, GONE).read(() => {
    throw late
  })
  await t.rejects(broken, late)
})
