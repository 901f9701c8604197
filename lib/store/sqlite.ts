/**
 * SQLite for kysely: Node's own where it is there and new enough, else @photostructure/sqlite, which has the same API.
 * New enough means without the fault by which SQLite up to 3.51.2 could corrupt a file in WAL mode that several
 * connections write (https://sqlite.org/wal.html#walresetbug). Both are loaded with the first file that is opened.
 */
import { randomBytes } from "node:crypto"
import { chmodSync, closeSync, openSync, renameSync, rmSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname } from "node:path"
import { Kysely, SqliteAdapter, SqliteDialect } from "kysely"
import { messageOf, StartError, systemCodeOf } from "../base/errors.ts"
import { makeFolder } from "../base/folders.ts"
import type { Schema } from "./schema.ts"

/** The oldest SQLite that is used. */
export const SQLITE_MIN = [3, 51, 3] as const
/** Milliseconds that a connection waits for another program's transaction. */
export const BUSY_TIMEOUT_MS = 5_000
/** Pages of 4 KiB after which what was written moves from the log into the file. */
const CHECKPOINT_PAGES = 1_000
/** Bytes that the log may keep once it was moved. */
const WAL_BYTES_MAX = 16 * 1024 * 1024
/** Statements that are kept ready: a program has a few dozen. */
const STATEMENTS_MAX = 128
/** SQLite's own error numbers: https://sqlite.org/rescode.html */
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_NOMEM = 7
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
const SQLITE_NOTADB = 26

export interface Statement {
  all(...parameters: unknown[]): unknown[]
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  iterate(...parameters: unknown[]): IterableIterator<unknown>
  columns(): unknown[]
}

export interface Connection {
  prepare(sql: string): Statement
  exec(sql: string): void
  close(): void
}

export type Connector = new (path: string, options?: { readOnly?: boolean }) => Connection

/** Where SQLite may come from; tests give others. */
export interface SqliteSources {
  /** The version that Node brings; undefined: none. */
  readonly nodeVersion: string | undefined
  load(module: "node:sqlite" | "@photostructure/sqlite"): unknown
}

/** This program's. */
export const SOURCES: SqliteSources = { nodeVersion: process.versions.sqlite, load: createRequire(import.meta.url) }

/** The connector of the first source that will do. Throws a StartError when there is none. */
export function findSqlite(sources: SqliteSources = SOURCES): Connector {
  if (sources.nodeVersion !== undefined && isNewEnough(sources.nodeVersion)) {
    const own = quietly(() => connectorIn(() => sources.load("node:sqlite")))
    if (typeof own === "function") return own
  }
  const packaged = connectorIn(() => sources.load("@photostructure/sqlite"))
  if (typeof packaged === "function") return packaged
  throw new StartError(`the history needs SQLite: @photostructure/sqlite cannot be loaded (${packaged}); install again`)
}

export function isNewEnough(version: string): boolean {
  const parts = version.split(".").map(Number)
  for (const [index, least] of SQLITE_MIN.entries()) {
    const part = parts[index] ?? 0
    if (part !== least) return part > least
  }
  return true
}

/** What a source has, or why it has none. */
export function connectorIn(load: () => unknown): Connector | string {
  try {
    const loaded = load()
    const found = typeof loaded === "object" && loaded !== null && "DatabaseSync" in loaded && loaded.DatabaseSync
    return typeof found === "function" ? (found as Connector) : "it has no DatabaseSync"
  } catch (thrown) {
    return messageOf(thrown)
  }
}

/** Without the warning by which Node says that its SQLite is young. */
function quietly<T>(work: () => T): T {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return work()
  } finally {
    process.emitWarning = emitWarning
  }
}

export interface OpenOptions {
  /** Default: false. */
  readonly readOnly?: boolean
  /** Each commit survives the machine's losing power, too, and takes as long as the disk needs. Default: false. */
  readonly isDurable?: boolean
  readonly sources?: SqliteSources
}

export interface OpenDatabase<S = Schema> {
  readonly db: Kysely<S>
  /** For what is SQLite's alone: pragmas. */
  readonly connection: Connection
  /** Of the file that was opened (`fileIdOf`), which may get another name. */
  readonly fileId: string | undefined
  close(): void
  /** Closes without moving the log into the file, which cannot be trusted. */
  abandon(): void
  /** Whether what is written is found: the file stands in its place, and so does its log. Somebody may have deleted them. */
  isInPlace(): boolean
  /** Whether somebody has emptied the file, in its place. */
  isEmptied(): boolean
  /**
   * Closes what is not in its place. What stands in a log that is still there, or that nobody else can open, goes into the
   * file that it was written for, whatever its name is by now; the log goes, as it would be taken for the next file's.
   */
  leave(): void
}

/** Opens a file, and makes it where it may be written. Throws what SQLite says, or a StartError. */
export function openSqlite<S = Schema>(file: string, options: OpenOptions = {}): OpenDatabase<S> {
  const { readOnly = false, isDurable = false, sources = SOURCES } = options
  const Database = findSqlite(sources)
  if (!readOnly) makePrivate(file)
  // Before it is opened: of a file that is replaced meanwhile, this one says too little and never too much.
  const fileId = fileIdOf(file)
  const connection = new Database(file, { readOnly })
  try {
    checkVersion(connection)
    connection.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`)
    if (!readOnly) prepareForWriting(connection, isDurable)
  } catch (thrown) {
    connection.close()
    throw thrown
  }
  const statements = new Statements(connection)
  const db = new Kysely<S>({
    dialect: new Sqlite({ database: { prepare: (sql) => statements.get(sql), close: () => {} } }),
  })
  let isOpen = true
  const close = () => {
    if (!isOpen) return
    isOpen = false
    try {
      // Not left to SQLite, which waits for the last statement to be collected as garbage.
      if (!readOnly) connection.exec("pragma wal_checkpoint(truncate)")
    } finally {
      connection.close()
    }
  }
  const abandon = () => {
    if (isOpen) connection.close()
    isOpen = false
  }
  const logs = new Map([`${file}-wal`, `${file}-shm`].map((log) => [log, fileIdOf(log)]))
  const isInPlace = () => {
    const [[log, logId] = ["", undefined]] = logs
    return fileId === fileIdOf(file) && !isEmpty(file) && (logId === undefined || logId === fileIdOf(log))
  }
  const isEmptied = () => fileId === fileIdOf(file) && isEmpty(file)
  const leave = () => {
    const isOwnFile = fileId === fileIdOf(file)
    const own = [...logs].filter(([log, id]) => id !== undefined && id === fileIdOf(log)).map(([log]) => log)
    try {
      if (isOpen && (isOwnFile || own.length > 0)) connection.exec("pragma wal_checkpoint(passive)")
    } catch {
      // Of a file that nobody finds there is nobody to tell; what comes is stored in another one.
    }
    abandon()
    if (!isOwnFile) for (const log of own) rmSync(log, { force: true })
  }
  return { db, connection, fileId, close, abandon, isInPlace, isEmptied, leave }
}

function isEmpty(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.size === 0
}

/** SQLite can take back what a step of a migration did to the tables, which kysely does not count on. */
class Sqlite extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new TransactionalAdapter()
  }
}

export class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

function checkVersion(connection: Connection): void {
  const version = String(singleValue(connection, "select sqlite_version()"))
  if (isNewEnough(version)) return
  throw new StartError(`SQLite ${version} can corrupt files; the history needs ${SQLITE_MIN.join(".")} or newer`)
}

/**
 * People's conversations: nobody else's to read. SQLite gives the log and its index the mode of the file. One that is there
 * is not opened: to close it again would drop the locks of every connection that this process has to it (SQLite, "How To
 * Corrupt An SQLite Database File", 2.2).
 */
function makePrivate(file: string): void {
  makeFolder(dirname(file), 0o700)
  try {
    closeSync(openSync(file, "ax", 0o600))
  } catch (thrown) {
    if (systemCodeOf(thrown) !== "EEXIST") throw thrown
  }
  if (process.platform !== "win32") chmodSync(file, 0o600)
}

function prepareForWriting(connection: Connection, isDurable: boolean): void {
  // Before the first table: freed pages can be given back to the system a few at a time.
  connection.exec("pragma auto_vacuum = incremental")
  connection.exec("pragma journal_mode = wal")
  // "normal" survives the end of the process at any moment; the last commits may be lost when the machine loses power.
  connection.exec(`pragma synchronous = ${isDurable ? "full" : "normal"}`)
  connection.exec(`pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  connection.exec(`pragma journal_size_limit = ${WAL_BYTES_MAX}`)
  // What is deleted is gone from the file as well.
  connection.exec("pragma secure_delete = fast")
  // The first look makes the log.
  singleValue(connection, "select count(*) from sqlite_schema")
}

/** The one value of a statement that gives one. */
export function singleValue(connection: Connection, sql: string): unknown {
  const [row] = connection.prepare(sql).all()
  return typeof row === "object" && row !== null ? Object.values(row)[0] : undefined
}

interface KyselyStatement {
  readonly reader: boolean
  all(parameters: readonly unknown[]): unknown[]
  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  iterate(parameters: readonly unknown[]): IterableIterator<unknown>
}

/** Statements in the form that kysely wants, kept ready: compiling one takes longer than running it. */
class Statements {
  readonly #connection: Connection
  readonly #ready = new Map<string, KyselyStatement>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** A transaction takes the lock at once: one that finds out in its middle that another writes can only fail. */
  get(asked: string): KyselyStatement {
    const sql = asked === "begin" ? "begin immediate" : asked
    const ready = this.#ready.get(sql)
    if (ready !== undefined) return ready
    const statement = this.#connection.prepare(sql)
    const made: KyselyStatement = {
      reader: statement.columns().length > 0,
      all: (parameters) => statement.all(...parameters),
      run: (parameters) => (sql === "rollback" ? rolledBack(statement) : statement.run(...parameters)),
      iterate: (parameters) => statement.iterate(...parameters),
    }
    if (this.#ready.size >= STATEMENTS_MAX) this.#ready.clear()
    this.#ready.set(sql, made)
    return made
  }
}

/** A full disk has rolled the transaction back already; to say so would hide that it was full. */
function rolledBack(statement: Statement): ReturnType<Statement["run"]> {
  try {
    return statement.run()
  } catch (thrown) {
    if (messageOf(thrown).includes("no transaction is active")) return { changes: 0, lastInsertRowid: 0 }
    throw thrown
  }
}

/** Whether what was thrown says that the file is damaged or was never a database. */
export function isDamage(thrown: unknown): boolean {
  const code = sqliteCodeOf(thrown)
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB
}

const PASSING_CODES: ReadonlySet<number | undefined> = new Set([
  SQLITE_BUSY,
  SQLITE_LOCKED,
  SQLITE_NOMEM,
  SQLITE_IOERR,
  SQLITE_FULL,
  SQLITE_CANTOPEN,
])
const PASSING_SYSTEM_CODES: ReadonlySet<string | undefined> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOSPC",
  "EDQUOT",
  "EIO",
  "EAGAIN",
  "EBUSY",
  "ENOMEM",
])

/** Whether what was thrown may be over the next time: others hold the file, or the system is out of something. */
export function isPassing(thrown: unknown): boolean {
  return PASSING_CODES.has(sqliteCodeOf(thrown)) || PASSING_SYSTEM_CODES.has(systemCodeOf(thrown))
}

/** SQLite's own words for its numbers (sqlite3_errstr): @photostructure/sqlite leaves out the number in some places. */
const CODES_BY_MESSAGE: ReadonlyMap<string, number> = new Map([
  ["database is locked", SQLITE_BUSY],
  ["database table is locked", SQLITE_LOCKED],
  ["out of memory", SQLITE_NOMEM],
  ["disk I/O error", SQLITE_IOERR],
  ["database disk image is malformed", SQLITE_CORRUPT],
  ["database or disk is full", SQLITE_FULL],
  ["unable to open database file", SQLITE_CANTOPEN],
  ["file is not a database", SQLITE_NOTADB],
])

/** SQLite's primary error number; the rest of what it gives says more precisely what. */
function sqliteCodeOf(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error)) return undefined
  if ("errcode" in thrown) return Number(thrown.errcode) & 0xff
  return systemCodeOf(thrown) === "ERR_SQLITE_ERROR" ? CODES_BY_MESSAGE.get(thrown.message) : undefined
}

/** Which file stands at a path, whatever its name: undefined where none does. */
export function fileIdOf(file: string): string | undefined {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

/**
 * Gives a damaged file and its log another name, one that no file has, so that nothing is lost. Returns that name, or
 * undefined when what stands at the path is not the file `id`: another program has set it aside, and may have begun anew.
 */
export function setAside(file: string, id: string | undefined, now: number): string | undefined {
  const stamp = new Date(now).toISOString().replace(/[-:]/g, "").slice(0, 15)
  const other = `${file}.damaged-${stamp}-${randomBytes(6).toString("hex")}`
  // In one go: what another program does in between would fall on its new file.
  if (id === undefined || fileIdOf(file) !== id || !renamed(file, other)) return undefined
  for (const end of ["-wal", "-shm"]) renamed(file + end, other + end)
  return other
}

/** False: there is none, or another program was faster. */
function renamed(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch (thrown) {
    if (systemCodeOf(thrown) !== "ENOENT") throw thrown
    return false
  }
}
