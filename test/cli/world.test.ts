/** The real process, as commands see it. */
import { PassThrough, Writable } from "node:stream"
import { test } from "tap"
import { outputOf, processWorld } from "../../lib/cli/world.ts"

test("what is written after the reader has gone is dropped, and nobody fails", async (t) => {
  let writes = 0
  const stream = new Writable({
    write(_chunk, _encoding, done) {
      writes += 1
      done(Object.assign(new Error("gone"), { code: "EPIPE" }))
    },
  })
  const output = outputOf(stream)
  output.write("a")
  await new Promise((resolve) => stream.on("close", resolve))
  output.write("b")
  t.equal(writes, 1)
})

test("another failure of a stream is not hidden", async (t) => {
  const stream = new PassThrough()
  outputOf(stream)
  t.throws(() => stream.emit("error", new Error("disk full")), { message: "disk full" })
})

test("a terminal has columns, anything else has none", async (t) => {
  const plain = outputOf(new PassThrough())
  t.same([plain.isTerminal, plain.columns], [false, undefined])
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 91 })
  const output = outputOf(terminal)
  t.same([output.isTerminal, output.columns], [true, 91])
  terminal.columns = 60
  t.equal(output.columns, 60, "as wide as it is now")
})

test("signals are heard until nobody wants to", async (t) => {
  const world = processWorld()
  t.equal(world.nodeVersion, process.versions.node)
  const heard: string[] = []
  const before = process.listenerCount("SIGHUP")
  const stop = world.onSignal((signal) => heard.push(signal))
  process.emit("SIGHUP", "SIGHUP")
  stop()
  t.same(heard, ["SIGHUP"])
  t.equal(process.listenerCount("SIGHUP"), before)
})

test("exit ends the process", async (t) => {
  const { exit } = process
  const statuses: unknown[] = []
  Object.assign(process, { exit: (status: unknown) => statuses.push(status) })
  t.teardown(() => Object.assign(process, { exit }))
  processWorld().exit(3)
  t.same(statuses, [3])
})
