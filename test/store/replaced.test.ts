/** The history's file or folder is deleted or replaced under a running program: real files, a real SQLite. */
import { cp, mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import { HistoryClient } from "../../lib/store/history-client.ts"
import { openSqlite, SOURCES, type SqliteSources, singleValue } from "../../lib/store/sqlite.ts"
import type { StoreJob, StoreReply } from "../../lib/store/thread.ts"
import { bundled } from "../helpers/bundled.ts"
import { chat } from "../helpers/flow-snapshots.ts"
import { servedAt } from "../helpers/served-store.ts"

/** The package's, and Node's own where that one is new enough. */
const DRIVERS: Readonly<Record<string, SqliteSources>> = {
  "@photostructure/sqlite": { nodeVersion: undefined, load: createRequire(import.meta.url) },
  "this Node's choice": SOURCES,
}

interface Served {
  readonly folder: string
  readonly file: string
  readonly warnings: string[]
  ask(job: StoreJob): Promise<StoreReply>
}

async function served(t: Test, sources: SqliteSources): Promise<Served> {
  const above = await mkdtemp(join(tmpdir(), "llmproxy-replaced-"))
  const folder = join(above, "confdir")
  const file = join(folder, "history.db")
  t.teardown(() => rm(above, { recursive: true, force: true }))
  return { folder, ...servedAt(t, file, { sources }) }
}

function idsIn(file: string, sources: SqliteSources): string {
  const { connection, close } = openSqlite(file, { readOnly: true, sources })
  try {
    return String(singleValue(connection, "select group_concat(id, ' ') from (select id from flows order by id)"))
  } finally {
    close()
  }
}

const store = (id: string): StoreJob => ({
  kind: "store",
  snapshots: [{ ...chat({ messages: [{ role: "user", content: id }] }), id }],
})

/** What somebody does, and the flows that are in the file then, beside what comes. */
const HANDS: Readonly<Record<string, readonly [work: (one: Served) => Promise<void>, kept: string]>> = {
  "deletes the file": [({ file }) => rm(file), ""],
  "deletes the file with its log": [
    async ({ file }) => {
      for (const end of ["", "-wal", "-shm"]) await rm(file + end)
    },
    "",
  ],
  "deletes the folder": [({ folder }) => rm(folder, { recursive: true }), ""],
  "puts another folder in its place": [
    async ({ folder }) => {
      await rename(folder, `${folder}.away`)
      await mkdir(folder)
    },
    "",
  ],
  "puts the copy of before in its place": [({ file }) => rename(`${file}.copy`, file), "a "],
  "deletes all and puts the copy there": [
    async ({ file }) => {
      for (const end of ["", "-wal", "-shm"]) await rm(file + end)
      await cp(`${file}.copy`, file)
    },
    "a ",
  ],
  "writes the copy over it": [async ({ file }) => writeFile(file, await readFile(`${file}.copy`)), "a b "],
  "empties it": [({ file }) => truncate(file), ""],
  "deletes its log alone": [({ file }) => rm(`${file}-wal`), "a b "],
}

test("what is recorded once the file was deleted or replaced stands in a file at the same place", {
  skip: process.platform === "win32",
}, async (t) => {
  for (const [driver, sources] of Object.entries(DRIVERS))
    for (const [what, [work, kept]] of Object.entries(HANDS)) {
      const one = await served(t, sources)
      const { file, ask, warnings } = one
      t.match(await ask(store("a")), { value: Object })
      const { connection, close } = openSqlite(file, { sources })
      connection.exec(`vacuum into '${file}.copy'`)
      close()
      t.match(await ask(store("b")), { value: Object })
      await work(one)
      for (const id of ["c", "d"]) t.match(await ask(store(id)), { value: Object })
      t.equal(warnings.length, what === "empties it" ? 1 : 0, "what is set aside is told of")
      const shown = () => {
        try {
          return idsIn(file, sources)
        } catch (thrown) {
          return String(thrown)
        }
      }
      t.equal(shown(), `${kept}c d`, `${driver}: somebody ${what}`)
      await ask({ kind: "close" })
      t.equal(shown(), `${kept}c d`, `${driver}: somebody ${what}, and the program ends`)
    }
})

test("where no file can be made in its place, one warning says so, and one line when it can be again", async (t) => {
  const folder = join(t.testdir({}), "confdir")
  const file = join(folder, "history.db")
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const client = new HistoryClient({ file, log, script: await bundled(t, "lib/store/thread-link.ts") })
  t.teardown(() => client.close())
  t.equal(await client.history.record(chat()), true)
  await rename(folder, `${folder}.away`)
  await writeFile(folder, "no folder")
  for (let flow = 0; flow < 3; flow++) t.equal(await client.history.record(chat()), false)
  t.match(lines, [/^warn history: flows are not recorded: .*(ENOTDIR|EEXIST)/])
  t.equal(lines.length, 1)
  await rm(folder)
  t.equal(await client.history.record({ ...chat(), id: "again" }), true)
  t.match(lines[1], /^info history: recording again/)
  t.equal(idsIn(file, SOURCES), "again")
})
