import { mkdtemp, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import { openSqlite, singleValue } from "../../lib/store/sqlite.ts"
import type { StoreJob } from "../../lib/store/thread.ts"
import { chat, START } from "../helpers/flow-snapshots.ts"
import { servedAt } from "../helpers/served-store.ts"

async function served(t: Test, now: () => number = () => START, content?: string) {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-thread-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, "history.db")
  if (content !== undefined) await writeFile(file, content)
  return servedAt(t, file, { now })
}

/** Stores one flow, which says `text`. */
const store = (id: string, text = id): StoreJob => ({
  kind: "store",
  snapshots: [{ ...chat({ messages: [{ role: "user", content: text }] }), id }],
})

function idsIn(file: string): string {
  const { connection, close } = openSqlite(file, { readOnly: true })
  try {
    return String(singleValue(connection, "select group_concat(id, ' ') from (select id from flows order by id)"))
  } finally {
    close()
  }
}

test("every job gets its answer, in order", async (t) => {
  const { ask, isClosed } = await served(t)
  const replies = await Promise.all([
    ask({ kind: "retain", retention: { maxAgeMs: undefined, maxBytes: undefined } }),
    ask({ kind: "store", snapshots: [chat()] }),
    ask({ kind: "open" }),
  ])
  t.strictSame(
    replies.map((reply) => ("value" in reply ? reply.value : reply)),
    [undefined, new Map(), undefined],
  )
  await ask({ kind: "close" })
  t.ok(isClosed())
})

test("a job that fails says why, and the next one is done", async (t) => {
  const { ask } = await served(t)
  const bad = { kind: "store", snapshots: undefined } as unknown as StoreJob
  t.match(await ask(bad), { error: /not iterable/ })
  t.match(await ask({ kind: "store", snapshots: [chat()] }), { value: new Map() })
})

test("what is over its age goes without being asked for, step by step, while jobs come first", async (t) => {
  let now = START
  const { ask, file } = await served(t, () => now)
  const flows = Array.from({ length: 130 }, (_, i) =>
    chat({ start: START + i, messages: [{ role: "user", content: `${i}` }] }),
  )
  await ask({ kind: "store", snapshots: flows })
  now = START + 1_000_000
  await ask({ kind: "retain", retention: { maxAgeMs: 1_000, maxBytes: undefined } })
  await ask({ kind: "store", snapshots: [chat({ start: now })] })
  const { connection, close } = openSqlite(file, { readOnly: true })
  t.teardown(close)
  const left = () => Number(singleValue(connection, "select count(*) from flows"))
  while (left() > 1) await new Promise((resolve) => setImmediate(resolve))
  t.equal(singleValue(connection, "select started_at from flows"), now)
})

test("limits that cannot be kept are told of", async (t) => {
  const { ask, file, warnings } = await served(t)
  await ask({ kind: "store", snapshots: [chat({ start: START - 10_000 })] })
  const { connection, close } = openSqlite(file)
  connection.exec("drop table contents")
  close()
  await ask({ kind: "retain", retention: { maxAgeMs: 1, maxBytes: undefined } })
  while (warnings.length === 0) await new Promise((resolve) => setImmediate(resolve))
  t.match(warnings[0], /keeping the history within its limits failed: no such table/)
})

test("a damaged file is told of, and keeps a name that no other has", async (t) => {
  const noise = "this is no database ".repeat(300)
  const { ask, warnings, file } = await served(t, () => START, noise)
  t.match(await ask({ kind: "store", snapshots: [chat()] }), { value: new Map() })
  const first = nameIn(warnings[0] ?? "", file)
  t.equal(await readFile(first, "utf8"), noise)
  await writeFile(`${file}.other`, "not this one either ".repeat(300))
  await rename(`${file}.other`, file)
  for (const end of ["-wal", "-shm"]) await rm(file + end, { force: true })
  t.match(await ask({ kind: "store", snapshots: [chat()] }), { value: new Map() })
  t.equal(warnings.length, 2, "within the same second")
  t.not(nameIn(warnings[1] ?? "", file), first)
  t.equal(await readFile(first, "utf8"), noise, "the first is as it was")
})

test("damage that shows once the file is open is what it is at the opening: it is set aside, and the job is done", async (t) => {
  const { ask, warnings, file } = await served(t)
  t.match(await ask({ kind: "open" }), { value: undefined })
  t.match(await ask({ kind: "store", snapshots: [chat(), chat()] }), { value: new Map() })
  await damage(file)
  t.match(await ask({ kind: "store", snapshots: [chat()] }), { value: new Map() })
  t.equal(warnings.length, 1)
  nameIn(warnings[0] ?? "", file)
  const after = openSqlite(file, { readOnly: true })
  t.teardown(after.close)
  t.equal(singleValue(after.connection, "select count(*) from flows"), 1)
})

test("two programs that meet the same damage set it aside once, and go on in the same new file", async (t) => {
  const { ask, warnings, file } = await served(t)
  const other = servedAt(t, file)
  await ask(store("lost", "x".repeat(100_000)))
  t.match(await other.ask(store("lost too")), { value: new Map() })
  await damage(file)
  const { size } = await stat(file)
  t.match(await ask(store("a")), { value: new Map() })
  t.match(await other.ask(store("b")), { value: new Map() })
  t.match(await ask(store("c")), { value: new Map() })
  t.equal(idsIn(file), "a b c")
  const all = [...warnings, ...other.warnings]
  t.equal(all.length, 1)
  const kept = nameIn(all[0] ?? "", file)
  t.equal((await stat(kept)).size, size, "the damaged one is as long as it was")
  t.ok((await stat(`${kept}-wal`)).isFile(), "its log went along")
})

test("a file that another program has put away is left: what comes goes to the one in its place", async (t) => {
  const { ask, warnings, file } = await served(t)
  await ask(store("a"))
  for (const end of ["", "-wal", "-shm"]) await rename(file + end, `${file}.away${end}`)
  t.match(await ask(store("b")), { value: new Map() })
  t.strictSame(warnings, [])
  t.equal(idsIn(file), "b")
  t.equal(idsIn(`${file}.away`), "a")
})

/** Another program's hand: every page but the first is noise, and so is the log. */
async function damage(file: string): Promise<void> {
  const { connection, close } = openSqlite(file)
  connection.exec("pragma wal_checkpoint(truncate)")
  close()
  const { size } = await stat(file)
  const handle = await open(file, "r+")
  await handle.write(Buffer.alloc(size - 4_096, 0xa5), 0, size - 4_096, 4_096)
  await handle.close()
}

/** The name under which the damaged file was kept, by the warning. */
function nameIn(warning: string, file: string): string {
  const [, kept = ""] = /^(?:.* is damaged: it is kept as )(.*), and a new one begins$/.exec(warning) ?? []
  if (!/^\.damaged-20260101T000000-[0-9a-f]{12}$/.test(kept.slice(file.length))) throw new Error(warning)
  return kept
}

test("a job that fails for something that passes says so", async (t) => {
  const { ask, file } = await served(t)
  await ask({ kind: "open" })
  const { connection, close } = openSqlite(file)
  connection.exec("drop table contents")
  close()
  t.match(await ask({ kind: "store", snapshots: [chat()] }), { error: /no such table/, trouble: "lasting" })
})
