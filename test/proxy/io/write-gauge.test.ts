import { Writable } from "node:stream"
import { test } from "tap"
import { WriteGauge } from "../../../lib/proxy/io/write-gauge.ts"

/** A stream that takes one write, and the next when it is told to. */
function slow() {
  const waiting: (() => void)[] = []
  const stream = new Writable({ write: (_bytes, _encoding, done) => void waiting.push(done) })
  return { stream, take: () => waiting.shift()?.() }
}

test("a queue is full of small writes long before its bytes are many", async (t) => {
  const { stream, take } = slow()
  const gauge = new WriteGauge(stream)
  for (let count = 0; count < 256; count++) {
    t.equal(gauge.full, false)
    gauge.count()
    stream.write("x")
  }
  t.equal(gauge.full, true)
  t.equal(stream.writableNeedDrain, false)
  let flushed = false
  const waiting = gauge.flushed().then(() => {
    flushed = true
  })
  for (let count = 0; count < 256; count++) {
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(flushed, false)
    take()
  }
  await new Promise((resolve) => setImmediate(resolve))
  take()
  await waiting
  t.equal(gauge.full, false)
})

test("a stream that closes lets nobody wait", async (t) => {
  const { stream } = slow()
  stream.on("error", () => {})
  const gauge = new WriteGauge(stream)
  gauge.count()
  stream.write("x")
  const waiting = gauge.flushed()
  stream.destroy()
  await waiting
  t.pass("it resolved")
})

test("a full stream is ready when it drains, or when as many writes as may wait have left, and not when it ends", async (t) => {
  const room = slow()
  t.equal(await new WriteGauge(room.stream).ready(), true)
  const large = Buffer.alloc(room.stream.writableHighWaterMark)
  const gauge = new WriteGauge(room.stream)
  room.stream.write(large)
  const drained = gauge.ready()
  room.take()
  t.equal(await drained, true)
  room.stream.write(large)
  const ended = gauge.ready(["close", "aborted"])
  room.stream.emit("aborted")
  t.equal(await ended, false)
  for (const name of ["drain", "close", "aborted"]) t.equal(room.stream.listenerCount(name), 0, name)
  const closed = gauge.ready()
  room.stream.destroy()
  t.equal(await closed, false)

  const many = slow()
  const writes = new WriteGauge(many.stream)
  for (let count = 0; count < 256; count++) {
    writes.count()
    many.stream.write("x")
  }
  const flushed = writes.ready()
  for (let count = 0; count < 257; count++) {
    many.take()
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(await flushed, true)
  t.equal(writes.full, false)
})
