import { PassThrough } from "node:stream"
import { test } from "tap"
import { SocketWriter } from "../../../lib/proxy/io/socket-writer.ts"

/** A socket that keeps what is written until it is let through; `calls` counts system calls, as it were. */
class Slow extends PassThrough {
  readonly written: Buffer[] = []
  calls = 0
  #pending: (() => void)[] = []

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.calls++
    this.written.push(chunk)
    this.#pending.push(done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.calls++
    this.written.push(...chunks.map(({ chunk }) => chunk))
    this.#pending.push(done)
  }

  drainAll(): void {
    for (const done of this.#pending.splice(0)) done()
  }

  get text(): string {
    return Buffer.concat(this.written).toString("latin1")
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test("what is written in one turn leaves in one call", async (t) => {
  const socket = new Slow()
  const writer = new SocketWriter(socket)
  writer.text("HEAD é\r\n\r\n")
  writer.bytes(Buffer.from("body"))
  writer.chunk("3\r\n", Buffer.from("abc"))
  t.equal(socket.calls, 0)
  await turn()
  t.equal(socket.calls, 1)
  t.equal(socket.text, "HEAD é\r\n\r\nbody3\r\nabc\r\n")
  socket.drainAll()
  writer.text("next")
  await turn()
  t.equal(socket.calls, 2)
})

test("chunks of every size are framed alike", async (t) => {
  for (const size of [1, 8_191, 8_192, 8_193, 100_000]) {
    const socket = new Slow()
    const body = Buffer.alloc(size, "x")
    new SocketWriter(socket).chunk(`${size.toString(16)}\r\n`, body)
    await turn()
    t.equal(socket.text, `${size.toString(16)}\r\n${body}\r\n`, `${size} bytes`)
  }
})

test("a full socket says wait, and ready() resolves once it has drained", async (t) => {
  const socket = new Slow()
  const writer = new SocketWriter(socket)
  t.equal(writer.bytes(Buffer.alloc(65_535)), true)
  t.equal(writer.bytes(Buffer.alloc(1)), false)
  let ready = false
  const waiting = writer.ready().then(() => {
    ready = true
  })
  await turn()
  t.equal(ready, false)
  socket.drainAll()
  await waiting
  t.equal(socket.listenerCount("close") <= 2, true)
  await writer.ready()
})

test("ready() rejects when the socket closes first, and when it has closed", async (t) => {
  const socket = new Slow()
  const writer = new SocketWriter(socket)
  writer.bytes(Buffer.alloc(70_000))
  const waiting = writer.ready()
  socket.destroy()
  await t.rejects(waiting, { code: "connection-closed" })
  await t.rejects(writer.ready(), { code: "connection-closed" })
  const ended = new Slow()
  ended.end()
  await t.rejects(new SocketWriter(ended).ready(), { code: "connection-closed" })
})
