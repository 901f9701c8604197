import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { type Test, test } from "tap"
import { makeLogger } from "../../lib/log.ts"
import { StoreClient, type StoreClientOptions } from "../../lib/store/client.ts"
import { openSqlite, singleValue } from "../../lib/store/sqlite.ts"
import { bundled } from "../helpers/bundled.ts"
import { chat, START } from "../helpers/flow-snapshots.ts"

async function place(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-store-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** `script: undefined` starts the thread from its source, which takes seconds. */
async function clientIn(
  t: Test,
  options: { [K in keyof StoreClientOptions]?: StoreClientOptions[K] | undefined } = {},
) {
  const folder = await place(t)
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const { script, file = join(folder, "history.db"), limits = {} } = options
  const isSource = "script" in options && script === undefined
  const module = isSource ? {} : { script: script ?? (await bundled(t, "lib/store/client.ts")) }
  const client = new StoreClient({ file, log, limits, ...module })
  t.teardown(() => client.close())
  return { client, lines, folder, file }
}

function valueIn(file: string, sql: string): unknown {
  const open = openSqlite(file, { readOnly: true })
  try {
    return singleValue(open.connection, sql)
  } finally {
    open.close()
  }
}

test("a flow that was reported stored is on disk, while the program runs", async (t) => {
  const { client, file } = await clientIn(t, { script: undefined })
  const flows = Array.from({ length: 200 }, () => chat())
  const stored = await Promise.all(flows.map((flow) => client.history.record(flow)))
  t.ok(stored.every(Boolean))
  t.equal(valueIn(file, "select count(*) from flows"), 200)
  t.equal(valueIn(file, "pragma integrity_check"), "ok")
})

test("notes that are no data cost themselves, not the flow", async (t) => {
  const { client, file } = await clientIn(t)
  const metadata = { "a.fn": () => 1, "a.date": new Date(0), "a.list": [1, undefined, NaN], "a.text": "kept" }
  t.equal(await client.history.record(chat({}, { metadata })), true)
  t.equal(valueIn(file, "select metadata from flows"), '{"a.list":[1,null,null],"a.text":"kept"}')
})

test("a full queue drops flows, counts them and says so once at its begin and its end", async (t) => {
  const { client, lines } = await clientIn(t, { limits: { flows: 10 } })
  const stored = await Promise.all(Array.from({ length: 30 }, () => client.history.record(chat())))
  t.equal(stored.filter(Boolean).length, 10)
  t.strictSame(lines.length, 2)
  t.match(
    lines[0],
    /^warn history: flows are not recorded: flows come faster than the disk takes them; the traffic goes on$/,
  )
  t.match(lines[1], /^info history: recording again; 20 flows were not recorded$/)
  t.equal(await client.history.record(chat()), true)
  await client.close()
  t.match(lines[2], /^warn history: 20 flows were not recorded$/)
  t.equal(lines.length, 3)
})

test("a queue that holds too many bytes is full", async (t) => {
  const { client } = await clientIn(t, { limits: { bytes: 100_000 } })
  const long = () => chat({ messages: [{ role: "user", content: "x".repeat(60_000) }] })
  t.strictSame(await Promise.all([client.history.record(long()), client.history.record(long())]), [true, false])
})

test("a disk that cannot be written drops the recording, not the program", async (t) => {
  const folder = await place(t)
  await writeFile(join(folder, "file"), "")
  const { client, lines } = await clientIn(t, { file: join(folder, "file", "history.db") })
  t.equal(await client.history.record(chat()), false)
  t.equal(await client.history.record(chat()), false)
  t.match(lines, [/history: flows are not recorded: .*(ENOTDIR|EEXIST)/])
  t.equal(lines.length, 1)
  await t.rejects(client.records("a", "b").get("c"), /ENOTDIR|EEXIST/)
})

test("a full disk drops what does not fit, and what was stored stays", async (t) => {
  const { client, lines, file } = await clientIn(t, { script: await bundled(t, "test/fixtures/store/small-disk.ts") })
  const large = () => chat({ messages: [{ role: "user", content: "x".repeat(60_000) }] })
  t.equal(await client.history.record(large()), true)
  let stored = true
  while (stored)
    stored = await client.history.record(
      chat({ messages: [{ role: "user", content: randomBytes(30_000).toString("hex") }] }),
    )
  t.equal(await client.history.record(chat({ messages: [{ role: "user", content: "y".repeat(300_000) }] })), false)
  t.match(lines, [/^warn history: flows are not recorded: database or disk is full; the traffic goes on$/])
  t.equal(lines.length, 1, "said once")
  t.equal(await client.history.record(large()), true, "what is there already needs no room")
  t.match(lines[1], /^info history: recording again; 2 flows were not recorded$/)
  t.equal(valueIn(file, "pragma integrity_check"), "ok")
})

test("a thread that dies is started again, and what it had not stored is counted", async (t) => {
  const folder = await place(t)
  const script = join(folder, "thread.mjs")
  await writeFile(
    script,
    'import { parentPort } from "node:worker_threads"\nparentPort.on("message", () => process.exit(3))',
  )
  const { client, lines } = await clientIn(t, { script: pathToFileURL(script) })
  for (let round = 0; round < 5; round++) t.equal(await client.history.record(chat()), false)
  t.match(lines[0], /the store's thread ended \(exit status 3\)/)
  t.equal(lines.length, 1, "said once")
  await client.close()
  t.match(lines[1], /5 flows were not recorded/)
  t.equal(await client.history.record(chat()), false, "nothing is taken once it is closed")
})

test("limits that are set before the first flow hold", async (t) => {
  const { client, file } = await clientIn(t)
  client.history.retain({ maxAgeMs: 1_000, maxBytes: undefined })
  await client.history.record(chat({ start: START }))
  await client.history.record(chat({ start: Date.now() + 60_000 }))
  client.history.retain({ maxAgeMs: 2_000, maxBytes: undefined })
  await client.history.flush()
  await client.close()
  t.equal(valueIn(file, "select count(*) from flows"), 1, "the old flow is gone")
})

test("records of addons come back as they were given", async (t) => {
  const { client } = await clientIn(t)
  const records = client.records("conductor", "ratios")
  await records.set("gpt", { ratio: 1.25, seen: [1, 2] })
  await records.set("llama", "text")
  t.strictSame(await records.get("gpt"), { ratio: 1.25, seen: [1, 2] })
  t.equal(await records.get("none"), undefined)
  t.strictSame(await records.entries(), [
    ["gpt", { ratio: 1.25, seen: [1, 2] }],
    ["llama", "text"],
  ])
  await records.delete("gpt")
  t.strictSame(await records.entries("a"), [["llama", "text"]])
  t.strictSame(await client.records("other", "ratios").entries(), [])
})

test("whatever was reported stored survives the process being killed, at any moment", async (t) => {
  const folder = await place(t)
  const file = join(folder, "history.db")
  const script = fileURLToPath(await bundled(t, "test/fixtures/store/record-forever.ts"))
  const reported = new Set<string>()
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, [script, file], { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    const enough = 20 + round * 23
    let count = 0
    for await (const piece of child.stdout.setEncoding("utf8")) {
      text += piece
      const lines = text.split("\n")
      text = lines.pop() ?? ""
      for (const id of lines) {
        reported.add(id)
        count += 1
      }
      if (count >= enough) child.kill("SIGKILL")
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
    t.equal(child.signalCode, "SIGKILL")
    const open = openSqlite(file)
    try {
      t.equal(singleValue(open.connection, "pragma integrity_check"), "ok", `round ${round}`)
      const ids = new Set((await open.db.selectFrom("flows").select("id").execute()).map(({ id }) => id))
      t.strictSame(
        [...reported].filter((id) => !ids.has(id)),
        [],
        `round ${round}: ${reported.size} were reported`,
      )
      t.equal(
        singleValue(open.connection, "select count(*) from flows where conversation not in (select hash from turns)"),
        0,
        "every conversation is there",
      )
    } finally {
      open.close()
    }
  }
})
