import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { type Test, test } from "tap"
import { gated, NativeGate } from "../../lib/store/native-gate.ts"
import { findSqlite, SOURCES, singleValue } from "../../lib/store/sqlite.ts"
import { bundled } from "../helpers/bundled.ts"

/** A thread that goes in, says so, stays until it is let out, and goes in again. */
async function visitor(t: Test) {
  const gate = new NativeGate()
  const door = new Int32Array(new SharedArrayBuffer(4))
  const script = await bundled(t, "test/fixtures/store/goes-in-twice.ts")
  const worker = new Worker(script, { workerData: { gate: gate.memory, door }, execArgv: [] })
  t.teardown(() => worker.terminate())
  const [said] = await once(worker, "message")
  t.equal(said, "inside")
  return { gate, door, worker }
}

test("who is inside is waited for, and never goes in again", async (t) => {
  const { gate, door, worker } = await visitor(t)
  const heard: unknown[] = []
  worker.on("message", (message) => heard.push(message))
  t.notOk(gate.shutNow(0), "the thread is inside")
  Atomics.store(door, 0, 1)
  Atomics.notify(door, 0)
  t.ok(await gate.shut(60_000))
  t.ok(gate.shutNow(0), "it is outside for good")
  await worker.terminate()
  t.strictSame(heard, ["outside"])
})

test("a thread that has ended inside is outside", async (t) => {
  const { gate, worker } = await visitor(t)
  t.notOk(gate.shutNow(0))
  const waiting = gate.shut(60_000)
  await worker.terminate()
  gate.ended()
  t.ok(await waiting, "who waits is told")
  t.ok(gate.shutNow(0))
})

test("a gate that nobody shuts is passed at every call, nested ones too", (t) => {
  const gate = new NativeGate()
  t.equal(
    gate.run(() => gate.run(() => 7)),
    7,
  )
  t.throws(
    () =>
      gate.run(() => {
        throw new Error("full")
      }),
    { message: "full" },
  )
  t.equal(
    gate.run(() => 8),
    8,
    "a call that threw has left",
  )
  t.ok(gate.shutNow(0))
  t.end()
})

test("SQLite behind the gate is the same SQLite", (t) => {
  const Database = findSqlite(gated(SOURCES, new NativeGate()))
  const connection = new Database(":memory:")
  connection.exec("create table numbers (n)")
  const insert = connection.prepare("insert into numbers values (?)")
  t.equal(Number(insert.run(1).changes), 1)
  insert.run(2)
  const select = connection.prepare("select n from numbers where n > ? order by n")
  t.equal(select.columns().length, 1)
  t.strictSame(select.all(0).length, 2)
  t.strictSame([...select.iterate(0)].length, 2)
  t.equal(singleValue(connection, "select sum(n) from numbers"), 3)
  connection.close()
  t.throws(() => connection.exec("select 1"))
  t.end()
})

test("a source that has no SQLite is told as before", (t) => {
  const none = { nodeVersion: undefined, load: () => ({}) }
  t.throws(() => findSqlite(gated(none, new NativeGate())), { message: /it has no DatabaseSync/ })
  t.end()
})

test("a process that ends while SQLite waits for a lock has its own status, whichever way it ends", async (t) => {
  const script = fileURLToPath(await bundled(t, "test/fixtures/store/ends-while-locked.ts"))
  for (const way of ["exit", "close"]) {
    const folder = await mkdtemp(join(tmpdir(), "llmproxy-exit-"))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    const { status, signal, stderr } = spawnSync(process.execPath, [script, join(folder, "history.db"), way], {
      encoding: "utf8",
    })
    t.strictSame({ status, signal, stderr }, { status: 3, signal: null, stderr: "" }, way)
  }
})
