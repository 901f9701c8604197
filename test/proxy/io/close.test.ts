import { connect, createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import { breakConnection, closeGently, resetGently } from "../../../lib/proxy/io/close.ts"
import { relay } from "../../../lib/proxy/io/tunnel.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { eventually } from "../../helpers/test-proxy.ts"
import { duplexPair } from "../../helpers/wire/duplex-pair.ts"
import { Wire } from "../../helpers/wire/wire.ts"

async function connection(t: Test): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" ? (address?.port ?? 0) : 0
  const far = connect({ host: "127.0.0.1", port, allowHalfOpen: true })
  const near = await new Promise<Socket>((resolve) => server.once("connection", resolve))
  for (const socket of [near, far]) socket.on("error", () => {})
  server.close()
  t.teardown(() => {
    near.destroy()
    far.destroy()
  })
  return { near, far }
}

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test("a gentle close lets the peer read everything, and throws away what it still sends", async (t) => {
  const { near, far } = await connection(t)
  const clock = new ManualClock()
  const wire = new Wire(far)
  near.write("last words")
  far.write(Buffer.alloc(100_000))
  closeGently(near, clock)
  t.equal(await wire.ended, "end")
  t.equal(wire.text, "last words")
  far.end()
  await eventually(() => near.closed && clock.pending === 0)
  closeGently(near, clock)
  t.equal(clock.pending, 0, "what has closed is left alone")
})

test("a peer that does not close in turn is given 2 s, one that does not read 60 s", async (t) => {
  const idle = await connection(t)
  const clock = new ManualClock()
  closeGently(idle.near, clock)
  await eventually(() => idle.near.writableFinished)
  clock.advance(1_999)
  t.notOk(idle.near.destroyed)
  clock.advance(1)
  t.ok(idle.near.destroyed)
  const stalled = await connection(t)
  stalled.far.pause()
  stalled.near.write(Buffer.alloc(64 * 1_048_576))
  closeGently(stalled.near, clock)
  await turns(50)
  clock.advance(59_999)
  t.notOk(stalled.near.destroyed)
  clock.advance(1)
  t.ok(stalled.near.destroyed)
  t.equal(clock.pending, 0)
})

test("a peer that ended first and reads slowly still gets everything", async (t) => {
  const { near, far } = await connection(t)
  const size = 16 * 1_048_576
  near.write(Buffer.alloc(size, "x"))
  far.end()
  near.resume()
  await eventually(() => near.readableEnded)
  closeGently(near, new ManualClock())
  let got = 0
  far.on("data", (bytes) => {
    got += bytes.length
  })
  await new Promise((resolve) => far.once("end", resolve))
  t.equal(got, size)
})

test("a gentle reset sends what is queued first, and does not wait for ever", async (t) => {
  const { near, far } = await connection(t)
  const clock = new ManualClock()
  const wire = new Wire(far)
  near.write("so far")
  resetGently(near, near, clock)
  t.equal(await wire.ended, "reset")
  t.equal(clock.pending, 0)
  resetGently(near, near, clock)
  const stalled = await connection(t)
  stalled.far.pause()
  stalled.near.write(Buffer.alloc(64 * 1_048_576))
  resetGently(stalled.near, stalled.near, clock)
  t.notOk(stalled.near.destroyed)
  clock.advance(2_000)
  t.ok(stalled.near.destroyed)
})

test("breaking a connection off resets TCP, and destroys what has no reset", async (t) => {
  const { near, far } = await connection(t)
  const wire = new Wire(far)
  breakConnection(near)
  breakConnection(near)
  t.equal(await wire.ended, "reset")
  const [memory] = duplexPair()
  breakConnection(memory)
  t.equal(memory.destroyed, true)
})

test("a relay of what has closed already breaks the other side off", async (t) => {
  const { near, far } = await connection(t)
  const wire = new Wire(far)
  const [gone] = duplexPair()
  gone.destroy()
  await relay(gone, near, new ManualClock(), 1_000)
  t.equal(await wire.ended, "reset")
})
