/** Where commands write: what cannot be written is dropped and told, and nothing else suffers. */
import { readFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { PassThrough, Writable } from "node:stream"
import { test } from "tap"
import { main } from "../../../lib/cli/main.ts"
import { fileOutput, outputOf } from "../../../lib/cli/terminal/output.ts"
import { ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { RunningCommand } from "../../helpers/command-process.ts"
import { builtCommand } from "../../helpers/dist.ts"
import { jsonReply } from "../../helpers/hosts/chat-replies.ts"
import { FakeWorld } from "../../helpers/world.ts"

const coded = (code: string) => Object.assign(new Error(`${code}: said the system`), { code })

/** A stream whose writes fail with the codes, one each; undefined: it is written. It stays usable, as Node's standard ones. */
function failing(codes: (string | undefined)[]): { stream: Writable; written: string[] } {
  const written: string[] = []
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      const code = codes.shift()
      if (code === undefined) written.push(String(chunk))
      done(code === undefined ? undefined : coded(code))
    },
    destroy(error, done) {
      done(error)
      Reflect.get(stream, "_undestroy").call(stream)
    },
  })
  return { stream, written }
}

test("what is written after the reader has gone is dropped, and nothing is missing for it", async (t) => {
  let writes = 0
  const stream = new Writable({
    write(_chunk, _encoding, done) {
      writes += 1
      done(coded("EPIPE"))
    },
  })
  const output = outputOf(stream)
  output.write("a")
  await new Promise((resolve) => stream.on("close", resolve))
  output.write("b")
  t.equal(writes, 1)
  t.equal(await output.settled(), undefined)
})

for (const code of ["ENOSPC", "EIO", "EDQUOT"])
  test(`after ${code} the line is dropped, the next one is tried, and what is missing is told where it is missing`, async (t) => {
    const { stream, written } = failing([code, code])
    const output = outputOf(stream)
    for (const line of ["a\n", "b\n", "c\n", "d\n"]) {
      output.write(line)
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.same(written, ["c\n", `llmproxy: 2 writes are missing here: ${code}: said the system\n`, "d\n"])
    t.equal(await output.settled(), `${code}: said the system`)
  })

test("a stream that throws where it is written to loses the line alone", async (t) => {
  const stream = new PassThrough()
  let isFull = true
  const write = stream.write.bind(stream)
  Object.assign(stream, {
    write: (text: string, done: () => void) => {
      if (isFull) throw coded("ENOSPC")
      return write(text, done)
    },
  })
  const output = outputOf(stream)
  output.write("a\n")
  isFull = false
  output.write("b\n")
  t.equal(await output.settled(), "ENOSPC: said the system")
  t.equal(String(stream.read()), "b\nllmproxy: 1 write is missing here: ENOSPC: said the system\n")
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

test("a file is added to, and a full one loses lines without a word to those who write", async (t) => {
  const file = join(t.testdir(), "log")
  const output = fileOutput(file)
  output.write("a\n")
  output.write("b\n")
  t.equal(await output.settled(), undefined)
  output.close()
  t.equal(await readFile(file, "utf8"), "a\nb\n")
  t.throws(() => fileOutput(join(file, "below")), { code: "ENOTDIR" })
})

const FULL = process.platform === "linux" ? {} : { skip: "only Linux has /dev/full" }

test("a full file is told of, and does not throw", FULL, async (t) => {
  const output = fileOutput("/dev/full")
  output.write("a\n")
  t.match(await output.settled(), "ENOSPC")
  output.close()
})

test("a command whose output is not written whole fails; a proxy goes on", async (t) => {
  const world = new FakeWorld({ home: t.testdir() })
  world.out.lost = "ENOSPC"
  t.equal(await main(["env", "--help"], world), 1)
  t.match(world.err.text, "llmproxy: what is printed could not be written whole: ENOSPC")
  const proxy = new FakeWorld({ home: t.testdir() })
  proxy.out.lost = "ENOSPC"
  const ending = main(["-p", "0"], proxy)
  await proxy.err.until("listening on")
  proxy.signal("SIGTERM")
  t.equal(await ending, 0)
})

test("a proxy whose standard output and error are full serves on and ends with status 0", FULL, async (t) => {
  const origin = await ScriptedOrigin.start(jsonReply("Hello"))
  t.teardown(() => origin.close())
  const folder = t.testdir()
  const port = await freePort()
  const args = ["-p", String(port), "-v", "--base-upstream", `http://127.0.0.1:${origin.port}`]
  const script = 'exec "$0" "$@" >/dev/full 2>/dev/full'
  const command = new RunningCommand(t, ["sh", "-c", script, process.execPath, builtCommand(), ...args], { folder })
  for (let round = 0; round < 3; round++) {
    const answer = await untilAnswered(`http://127.0.0.1:${port}/v1/models`)
    t.equal(answer.status, 200)
    await answer.text()
  }
  command.signal("SIGTERM")
  t.equal((await command.outcome).status, 0)
})

test("a command that prints to a full disk fails", FULL, async (t) => {
  const script = 'exec "$0" "$@" >/dev/full'
  const command = new RunningCommand(t, ["sh", "-c", script, process.execPath, builtCommand(), "env", "--help"], {
    folder: t.testdir(),
  })
  const { status, stderr } = await command.outcome
  t.equal(status, 1)
  t.match(stderr, /could not be written whole: ENOSPC/)
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}

/** Asks until somebody listens; the test's time limit ends it else. */
async function untilAnswered(url: string): Promise<Response> {
  for (;;) {
    try {
      return await fetch(url)
    } catch {
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}
