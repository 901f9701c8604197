/** What is written to is what was named: nothing is put in the place of a FIFO, a device or a link. */
import { spawnSync } from "node:child_process"
import { EventEmitter, once } from "node:events"
import { chmod, lstat, readdir, readFile, readlink, stat, symlink } from "node:fs/promises"
import { join } from "node:path"
import { text as textOf } from "node:stream/consumers"
import type { TLSSocket } from "node:tls"
import { fileURLToPath } from "node:url"
import { test } from "tap"
import { writeWhole } from "../../certs/files.ts"
import { beginFile, openForAppending, openStream, outputPlace } from "../../lib/base/output-place.ts"
import { fileOutput } from "../../lib/cli/terminal/output.ts"
import { KEYLOG_WAITING_MAX, KeyLog } from "../../lib/proxy/tls/keylog.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { bundled } from "../helpers/bundled.ts"
import { interpreterWith, noInterpreter } from "../helpers/clients/python.ts"
import { makeFifo, readFifo } from "../helpers/fifo.ts"

const POSIX = process.platform === "win32" ? { skip: "Windows has no FIFO, and links need rights" } : {}

test("a file, a link to one, nothing, a folder, a FIFO, a device: each is told apart", POSIX, async (t) => {
  const folder = t.testdir({ file: "text" })
  const file = join(folder, "file")
  await chmod(file, 0o640)
  await symlink("file", join(folder, "link"))
  await symlink("nothing", join(folder, "dangling"))
  t.strictSame(await outputPlace(file), { kind: "file", path: file, mode: 0o640 })
  t.strictSame(await outputPlace(join(folder, "link")), { kind: "file", path: file, mode: 0o640 })
  t.strictSame(await outputPlace(join(folder, "new")), { kind: "file", path: join(folder, "new"), mode: undefined })
  await t.rejects(outputPlace(join(folder, "dangling")), { message: /a link to a file that is not there/ })
  await t.rejects(outputPlace(folder), { message: "it is a folder" })
  await t.rejects(outputPlace(join(file, "below")), { code: "ENOTDIR" })
  const fifo = makeFifo(folder)
  t.strictSame(await outputPlace(fifo), { kind: "stream", path: fifo, isFifo: true })
  t.match(await outputPlace("/dev/null"), { kind: "stream", isFifo: false })
  t.match(await outputPlace("/dev/stdout"), { kind: "stream" })
})

test("a file that is replaced keeps its mode, and a planted partial name is not followed", POSIX, async (t) => {
  const folder = t.testdir({ file: "old", victim: "safe" })
  const file = join(folder, "file")
  await chmod(file, 0o644)
  await symlink("victim", join(folder, "file.part"))
  const place = await outputPlace(file)
  if (place.kind !== "file") throw new Error("no file")
  const partial = await beginFile(place)
  await partial.write("new")
  t.equal(await readFile(file, "utf8"), "old", "until it is whole")
  await partial.end()
  t.equal(await readFile(file, "utf8"), "new")
  t.equal((await stat(file)).mode & 0o777, 0o644)
  t.equal(await readFile(join(folder, "victim"), "utf8"), "safe")
  const second = await beginFile(place)
  await second.write("half")
  await second.abandon()
  t.equal(await readFile(file, "utf8"), "new")
  t.strictSame((await readdir(folder)).sort(), ["file", "file.part", "victim"], "nothing is left beside it")
})

test("a file of ours behind a link is replaced, and not the link; a FIFO in its place is refused", POSIX, async (t) => {
  const folder = t.testdir({ real: "old" })
  await symlink("real", join(folder, "link"))
  await writeWhole(join(folder, "link"), "new", 0o600)
  t.equal(await readlink(join(folder, "link")), "real")
  t.equal(await readFile(join(folder, "real"), "utf8"), "new")
  await t.rejects(writeWhole(makeFifo(folder), "text", 0o600), { message: /it is no regular file/ })
  await symlink("nothing", join(folder, "dangling"))
  await t.rejects(writeWhole(join(folder, "dangling"), "text", 0o600), {
    message: /a link to a file that is not there/,
  })
})

test("a FIFO without a reader is refused at once, by all that append", POSIX, async (t) => {
  const fifo = makeFifo(t.testdir({}))
  await t.rejects(openStream({ kind: "stream", path: fifo, isFifo: true }), { code: "ENXIO" })
  t.throws(() => openForAppending(fifo), { code: "ENXIO", message: /nobody reads this FIFO/ })
  t.throws(() => fileOutput(fifo), { code: "ENXIO" })
  const told: string[] = []
  const log = new KeyLog(fifo, (message) => told.push(message))
  const socket = new EventEmitter()
  log.watch(socket as unknown as TLSSocket)
  socket.emit("keylog", Buffer.from("CLIENT_RANDOM\n"))
  t.match(told, [/write TLS secrets to .*nobody reads this FIFO/])
})

test(
  "a FIFO with a reader gets all, more than a pipe holds, too; a reader that leaves is an error",
  POSIX,
  async (t) => {
    const fifo = makeFifo(t.testdir({}))
    const reading = textOf(readFifo(fifo))
    const stream = await openStream({ kind: "stream", path: fifo, isFifo: true })
    const text = "0123456789abcdef".repeat(20_000)
    await stream.write(text)
    await stream.close()
    t.equal((await reading).length, text.length)
    const second = readFifo(fifo)
    const broken = await openStream({ kind: "stream", path: fifo, isFifo: true })
    second.destroy()
    await once(second, "close")
    await t.rejects(broken.write(text), { code: "EPIPE" })
    await t.rejects(broken.write("more"), { code: "EPIPE" })
    broken.abandon()
  },
)

test("a device is written to as it is", POSIX, async (t) => {
  const stream = await openStream({ kind: "stream", path: "/dev/null", isFifo: false })
  await stream.write("text")
  await stream.close()
  stream.abandon()
  t.notOk((await lstat("/dev/null")).isFile())
})

test("a device that takes no more for now is waited for, and gets all in order", POSIX, async (t) => {
  const fifo = makeFifo(t.testdir({}))
  const reader = readFifo(fifo)
  const clock = new ManualClock()
  // A FIFO stands for a terminal: it, too, says EAGAIN when it is full.
  const stream = await openStream({ kind: "stream", path: fifo, isFifo: false }, clock)
  const text = Array.from({ length: 50_000 }, (_, index) => `${index}\n`).join("")
  let isWritten = false
  const writing = stream.write(text).then(() => {
    isWritten = true
  })
  while (clock.pending === 0) await new Promise(setImmediate)
  t.notOk(isWritten, "nobody has read yet")
  const reading = textOf(reader)
  while (!isWritten) {
    clock.advance(1_000)
    await new Promise(setImmediate)
  }
  await writing
  await stream.close()
  t.ok((await reading) === text)
})

test("a device that takes nothing any more keeps nobody from leaving", POSIX, async (t) => {
  const fifo = makeFifo(t.testdir({}))
  const reader = readFifo(fifo)
  t.teardown(() => reader.destroy())
  const clock = new ManualClock()
  const stream = await openStream({ kind: "stream", path: fifo, isFifo: false }, clock)
  const writing = stream.write("x".repeat(200_000))
  while (clock.pending === 0) await new Promise(setImmediate)
  stream.abandon()
  await t.rejects(writing, { message: "it was closed before all was written" })
  t.equal(clock.pending, 0, "no timer is left")
  await t.rejects(stream.write("more"), { message: "it was closed before all was written" })
})

test(
  "a key log's FIFO that is full gets the lines later; what no longer waits is told of, and later lines come again",
  POSIX,
  async (t) => {
    const fifo = makeFifo(t.testdir({}))
    const reader = readFifo(fifo)
    const clock = new ManualClock()
    const told: string[] = []
    const log = new KeyLog(fifo, (message) => told.push(message), clock)
    const socket = new EventEmitter()
    log.watch(socket as unknown as TLSSocket)
    const lineOf = (index: number) => `CLIENT_RANDOM ${String(index).padStart(8, "0")} ${"a".repeat(176)}\n`
    let sent = 0
    const send = () => socket.emit("keylog", Buffer.from(lineOf(sent++)))
    while (clock.pending === 0) send()
    const full = sent
    for (let size = 200; size + 200 <= KEYLOG_WAITING_MAX; size += 200) send()
    t.strictSame(told, [], "so much waits")
    const kept = sent
    for (let count = 0; count < 10; count++) send()
    t.strictSame(told, [`TLS secrets are missing in ${fifo} (SSLKEYLOGFILE): its reader is too slow`], "once")
    t.ok(kept > full)
    let text = ""
    const read = async (until: string) => {
      while (!text.endsWith(until)) {
        clock.advance(1_000)
        text += reader.read() ?? ""
        await new Promise(setImmediate)
      }
    }
    reader.on("readable", () => {})
    await read(lineOf(kept - 1))
    send()
    await read(lineOf(sent - 1))
    const whole = [...Array.from({ length: kept }, (_, index) => index), sent - 1].map(lineOf).join("")
    t.ok(text === whole, "every line is whole and in its place")
    log.close()
    t.equal(clock.pending, 0)
    reader.destroy()
  },
)

const PTY = interpreterWith("pty")

test("a terminal that reads slowly gets all", PTY === undefined ? { skip: noInterpreter("pty") } : {}, async (t) => {
  const text = `${"x".repeat(300_000)}\n`
  const script = await bundled(t, "test/fixtures/write-to-terminal.ts")
  const python = [
    "import os, pty, subprocess, sys",
    "reader, terminal = pty.openpty()",
    `process = subprocess.Popen([${JSON.stringify(process.execPath)}, sys.argv[1], "300000"], stdout=terminal)`,
    "os.close(terminal)",
    "seen = 0",
    "while seen < 300002:", // A terminal makes two characters of a line's end.
    "    seen += len(os.read(reader, 1024))",
    "print(seen, process.wait())",
  ].join("\n")
  const { stdout, stderr } = spawnSync(PTY ?? "", ["-c", python, fileURLToPath(script)], { encoding: "utf8" })
  t.strictSame({ stdout, stderr }, { stdout: `${text.length + 1} 0\n`, stderr: "" })
})
