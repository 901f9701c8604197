import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import { checkMigrated, MIGRATIONS, migrate } from "../../lib/store/migrations.ts"
import {
  fileIdOf,
  findSqlite,
  isDamage,
  isNewEnough,
  isPassing,
  openSqlite,
  SQLITE_MIN,
  type SqliteSources,
  setAside,
  singleValue,
} from "../../lib/store/sqlite.ts"

const require = createRequire(import.meta.url)

async function place(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-sqlite-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return join(folder, "deep", "history.db")
}

test("the SQLite in use is without the fault that corrupts files in WAL mode", async (t) => {
  const { connection, close } = openSqlite(await place(t))
  t.teardown(close)
  t.ok(isNewEnough(String(singleValue(connection, "select sqlite_version()"))), `at least ${SQLITE_MIN.join(".")}`)
  t.equal(singleValue(connection, "pragma journal_mode"), "wal")
  t.equal(singleValue(connection, "pragma auto_vacuum"), 2)
})

test("versions are compared as numbers", async (t) => {
  for (const version of ["3.51.3", "3.53.0", "3.52", "4.0.0", "3.51.10"]) t.ok(isNewEnough(version), version)
  for (const version of ["3.51.2", "3.9.99", "3.40.1", "2.99.99", "", "3.51"]) t.notOk(isNewEnough(version), version)
})

test("Node's own SQLite is used where it is there and new enough, else the package's", async (t) => {
  class Own {}
  class Packaged {}
  const asked: string[] = []
  const sources = (nodeVersion: string | undefined, own: unknown): SqliteSources => ({
    nodeVersion,
    load(module) {
      asked.push(module)
      if (module === "node:sqlite") process.emitWarning("SQLite is an experimental feature", "ExperimentalWarning")
      return module === "node:sqlite" ? own : { DatabaseSync: Packaged }
    },
  })
  const warnings: unknown[] = []
  const onWarning = (warning: unknown) => warnings.push(warning)
  process.on("warning", onWarning)
  t.equal(findSqlite(sources("3.52.0", { DatabaseSync: Own })), Own)
  t.equal(findSqlite(sources("3.46.0", { DatabaseSync: Own })), Packaged, "too old")
  t.equal(findSqlite(sources(undefined, undefined)), Packaged, "none")
  t.equal(findSqlite(sources("3.52.0", {})), Packaged, "another API")
  t.strictSame(asked, [
    "node:sqlite",
    "@photostructure/sqlite",
    "@photostructure/sqlite",
    "node:sqlite",
    "@photostructure/sqlite",
  ])
  await new Promise((resolve) => setImmediate(resolve))
  process.off("warning", onWarning)
  t.strictSame(warnings, [], "and Node does not warn of its own")
  const broken: SqliteSources = {
    nodeVersion: undefined,
    load: () => {
      throw new Error("wrong ELF class")
    },
  }
  t.throws(() => findSqlite(broken), /the history needs SQLite: .*wrong ELF class/)
})

test("a SQLite that is too old for what it claims is not used", async (t) => {
  const { DatabaseSync } = require("@photostructure/sqlite")
  class Old extends DatabaseSync {
    prepare(sql: string) {
      return super.prepare(sql.replace("sqlite_version()", "'3.40.1'"))
    }
  }
  const sources = { nodeVersion: undefined, load: () => ({ DatabaseSync: Old }) }
  const file = await place(t)
  t.throws(
    () => openSqlite(file, { sources }),
    /SQLite 3\.40\.1 can corrupt files; the history needs 3\.51\.3 or newer/,
  )
})

test("tables are made once, and a file of a newer version is refused", async (t) => {
  const file = await place(t)
  const { db, close } = openSqlite(file)
  t.teardown(close)
  await t.rejects(checkMigrated(db, file), /is of an older llmproxy; start llmproxy -s history once/)
  await migrate(db, file)
  await migrate(db, file)
  await checkMigrated(db, file)
  const newer = { ...MIGRATIONS, "0002-more": { up: async () => {} } }
  await migrate(db, file, newer)
  await t.rejects(migrate(db, file), /was written by a newer llmproxy; use that one, or move the file away/)
  await t.rejects(checkMigrated(db, file), /was written by a newer llmproxy; use that one to read it/)
})

test("a step that fails leaves the tables as they were", async (t) => {
  const file = await place(t)
  const { db, connection, close } = openSqlite(file)
  t.teardown(close)
  const up = () => Promise.reject(new Error("no such thing"))
  await t.rejects(migrate(db, file, { ...MIGRATIONS, "0002-broken": { up } }), /no such thing/)
  t.equal(singleValue(connection, "select count(*) from sqlite_master where name = 'flows'"), 0)
  await migrate(db, file)
})

test("what passes is told apart from what lasts", async (t) => {
  const sqlite = (errcode: number) => Object.assign(new Error("said SQLite"), { errcode })
  const system = (code: string) => Object.assign(new Error("said the system"), { code })
  for (const thrown of [sqlite(5), sqlite(6), sqlite(261), sqlite(10), sqlite(13), sqlite(14), sqlite(7)])
    t.equal(isPassing(thrown), true, String(thrown.errcode))
  // Without a number there are SQLite's words.
  const worded = (message: string) => Object.assign(new Error(message), { code: "ERR_SQLITE_ERROR" })
  t.equal(isPassing(worded("database is locked")), true)
  t.equal(isPassing(new Error("database is locked")), false, "anybody else's words")
  t.equal(isDamage(worded("database disk image is malformed")), true)
  t.equal(isDamage(worded("database is locked")), false)
  for (const code of ["EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "EIO"]) t.equal(isPassing(system(code)), true, code)
  for (const thrown of [
    sqlite(1),
    sqlite(11),
    sqlite(19),
    sqlite(26),
    system("EACCES"),
    system("ENOTDIR"),
    "text",
    null,
  ])
    t.equal(isPassing(thrown), false, JSON.stringify(thrown))
})

test("only the file that was seen to be damaged is set aside, never the one that stands in its place by now", (t) => {
  const folder = t.testdir({ "history.db": "damaged", "history.db-wal": "its log" })
  const file = join(folder, "history.db")
  const id = fileIdOf(file)
  writeFileSync(`${file}.new`, "begun anew")
  renameSync(file, `${file}.old`)
  t.equal(setAside(file, id, 0), undefined, "nothing is there")
  renameSync(`${file}.new`, file)
  t.equal(setAside(file, id, 0), undefined, "another is there")
  t.equal(setAside(file, undefined, 0), undefined, "none was seen")
  t.strictSame(readdirSync(folder).sort(), ["history.db", "history.db-wal", "history.db.old"])
  const kept = setAside(file, fileIdOf(file), 0) ?? ""
  t.match(kept, /history\.db\.damaged-19700101T000000-[0-9a-f]{12}$/)
  t.equal(readFileSync(kept, "utf8"), "begun anew")
  t.equal(readFileSync(`${kept}-wal`, "utf8"), "its log")
  t.end()
})

const LOCKS = process.platform === "linux" ? {} : { skip: "only /proc/locks says which locks there are" }

test("to open a file again leaves the locks of the connection that has it", LOCKS, async (t) => {
  const file = await place(t)
  const first = openSqlite(file)
  singleValue(first.connection, "select count(*) from sqlite_schema")
  const { ino } = statSync(file)
  const locks = () =>
    readFileSync("/proc/locks", "utf8")
      .split("\n")
      .filter((line) => line.includes(` ${process.pid} `) && line.includes(`:${ino} `))
  const before = locks()
  t.ok(before.length > 0)
  openSqlite(file).close()
  t.same(
    locks().map((line) => line.replace(/^\d+/, "")),
    before.map((line) => line.replace(/^\d+/, "")),
  )
  first.close()
})
