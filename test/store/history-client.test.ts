import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { type Test, test } from "tap"
import { systemClock } from "../../lib/base/clock.ts"
import { makeLogger } from "../../lib/base/log.ts"
import { HistoryClient, type HistoryClientOptions } from "../../lib/store/history-client.ts"
import { openSqlite, singleValue } from "../../lib/store/sqlite.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
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
  options: { [K in keyof HistoryClientOptions]?: HistoryClientOptions[K] | undefined } = {},
) {
  const folder = await place(t)
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const { script, file = join(folder, "history.db"), limits = {}, clock = systemClock } = options
  const isSource = "script" in options && script === undefined
  const module = isSource ? {} : { script: script ?? (await bundled(t, "lib/store/thread-link.ts")) }
  const client = new HistoryClient({ file, log, limits, clock, ...module })
  t.teardown(() => client.close())
  const until = async (pattern: RegExp) => {
    while (!lines.some((line) => pattern.test(line))) await turn()
  }
  return { client, lines, folder, file, until }
}

/** Knows when a promise is settled. */
function over(work: Promise<unknown>): { readonly isOver: boolean } {
  const state = { isOver: false }
  work.finally(() => {
    state.isOver = true
  })
  return state
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Waits until somebody waits for the clock, and turns it on. */
async function nextTry(clock: ManualClock): Promise<void> {
  for (let turns = 0; clock.pending === 0 && turns < 10_000; turns++) await turn()
  clock.advance(5_000)
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
})

const large = (text = randomBytes(30_000).toString("hex")) => chat({ messages: [{ role: "user", content: text }] })

test("a full disk is waited for, and what waited is stored once there is room", async (t) => {
  const clock = new ManualClock()
  const { client, file, until } = await clientIn(t, {
    script: await bundled(t, "test/fixtures/store/small-disk.ts"),
    clock,
  })
  t.equal(await client.history.record(large()), true)
  const stored = Array.from({ length: 20 }, () => client.history.record(large()))
  await until(/^warn history: not written yet: database or disk is full; it is tried again, the traffic goes on$/)
  for (let tries = 0; tries < 3; tries++) await nextTry(clock)
  await writeFile(`${file}.room`, "")
  const all = Promise.all(stored)
  while (valueIn(file, "select count(*) from flows") !== 21) await nextTry(clock)
  t.ok((await all).every(Boolean))
  await until(/^info history: recording again; nothing was lost$/)
  t.equal(valueIn(file, "pragma integrity_check"), "ok")
})

test("while the disk is full the queue fills, and what comes then is dropped and counted", async (t) => {
  const clock = new ManualClock()
  const { client, lines, file, until } = await clientIn(t, {
    script: await bundled(t, "test/fixtures/store/small-disk.ts"),
    limits: { flows: 20 },
    clock,
  })
  const waiting = Array.from({ length: 20 }, () => client.history.record(large()))
  await until(/not written yet/)
  t.equal(await client.history.record(large()), false)
  t.match(lines[1], /^warn history: flows are not recorded: flows come faster than the disk takes them/)
  const closing = over(client.close())
  while (!closing.isOver) await nextTry(clock)
  t.equal((await Promise.all(waiting)).filter(Boolean).length, 0, "none of the batch")
  t.match(lines.at(-1), /^warn history: 21 flows were not recorded$/)
  t.equal(valueIn(file, "pragma integrity_check"), "ok")
})

test("a thread that dies is started again, three times with one batch, and what is lost is counted", async (t) => {
  const folder = await place(t)
  const script = join(folder, "thread.mjs")
  await writeFile(
    script,
    'import { parentPort } from "node:worker_threads"\nparentPort.on("message", () => process.exit(3))',
  )
  const clock = new ManualClock()
  const { client, lines } = await clientIn(t, { script: pathToFileURL(script), clock })
  const stored = Promise.all([client.history.record(chat()), client.history.record(chat())])
  const storing = over(stored)
  while (!storing.isOver) await nextTry(clock)
  t.strictSame(await stored, [false, false])
  t.match(lines[0], /not written yet: the store's thread ended \(exit status 3\)/)
  t.match(lines[1], /flows are not recorded: the store's thread ended \(exit status 3\)/)
  t.equal(lines.length, 2, "said once")
  await client.close()
  t.match(lines[2], /2 flows were not recorded/)
  t.equal(await client.history.record(chat()), false, "nothing is taken once it is closed")
})

test("a thread that dies once loses nothing", async (t) => {
  const clock = new ManualClock()
  const { client, file, until } = await clientIn(t, {
    script: await bundled(t, "test/fixtures/store/dies-once.ts"),
    clock,
  })
  const stored = client.history.record(chat())
  await until(/not written yet: the store's thread ended/)
  const storing = over(stored)
  while (!storing.isOver) await nextTry(clock)
  t.equal(await stored, true)
  t.equal(valueIn(file, "select count(*) from flows"), 1)
})

test("a batch in which one flow kills the thread falls to single flows: that one alone is lost", async (t) => {
  const clock = new ManualClock()
  const { client, file } = await clientIn(t, {
    script: await bundled(t, "test/fixtures/store/dies-of-poison.ts"),
    clock,
  })
  const flows = ["a", "poison", "b", "c"].map((content) => chat({ messages: [{ role: "user", content }] }))
  const stored = Promise.all(flows.map((flow) => client.history.record(flow)))
  const storing = over(stored)
  while (!storing.isOver) await nextTry(clock)
  t.strictSame(await stored, [true, false, true, true])
  t.equal(valueIn(file, "select count(*) from flows"), 3)
})

test("opening makes the file before the first flow, and a place that cannot be one is told of and no more", async (t) => {
  const { client, file } = await clientIn(t)
  await client.history.open()
  t.equal(valueIn(file, "select count(*) from flows"), 0)
  const folder = await place(t)
  await writeFile(join(folder, "file"), "")
  const { client: other, lines } = await clientIn(t, { file: join(folder, "file", "history.db") })
  await other.history.open()
  t.match(lines, [/^warn history: .*history\.db cannot be opened: .*(ENOTDIR|EEXIST).*; the traffic goes on$/])
})

test("four programs that start at once on one file all record", async (t) => {
  const folder = await place(t)
  const file = join(folder, "history.db")
  const script = await bundled(t, "lib/store/thread-link.ts")
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const clients = Array.from({ length: 4 }, () => new HistoryClient({ file, log, script }))
  t.teardown(() => Promise.all(clients.map((client) => client.close())))
  const shared = Array.from({ length: 50 }, (_, i) => ({ role: "user", content: `turn ${i}` }))
  const stored = await Promise.all(
    clients.flatMap((client, who) =>
      Array.from({ length: 60 }, (_, i) => {
        const own = { role: "user", content: `${who} ${i}` }
        return client.history.record(chat({ messages: [...shared.slice(0, (i * 7) % 50), own] }))
      }),
    ),
  )
  t.equal(stored.filter(Boolean).length, 240)
  t.notMatch(lines.join("\n"), /not recorded/)
  t.equal(valueIn(file, "pragma integrity_check"), "ok")
  t.equal(valueIn(file, "select count(*) from flows"), 240)
  t.equal(valueIn(file, "select count(*) from turns"), 240 + 49, "each own turn, and the shared ones once")
  const wrong = `select count(*) from turns where refs <> (select count(*) from turns as next where next.previous = turns.hash)
    + (select count(*) from flows where flows.conversation = turns.hash)`
  t.equal(valueIn(file, wrong), 0, "every turn knows who refers to it")
  t.equal(valueIn(file, "select count(*) from turns where message not in (select hash from contents)"), 0)
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

test("the end of the program ends the wait for opening the file again", async (t) => {
  const clock = new ManualClock()
  const script = pathToFileURL(join(await place(t), "thread.mjs"))
  await writeFile(
    script,
    'import { parentPort } from "node:worker_threads"\nparentPort.on("message", () => process.exit(3))\n',
  )
  const { client, lines } = await clientIn(t, { script, clock })
  const opening = client.history.open()
  while (clock.pending === 0) await turn()
  await client.close()
  await opening
  t.match(lines, [/^warn history: .*history\.db cannot be opened: the store's thread ended/])
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
