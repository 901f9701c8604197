/**
 * The seam between what is kept and the database that keeps it. Whoever stands above it has a kysely and these words, all
 * promises, and writes SQL that both databases run: texts, whole numbers, doubles, bytes and null. A place is SQLite's, a
 * file in the confdir, or PostgreSQL's, a URL; whatever is the one's or the other's alone is below here (sqlite.ts, postgres/).
 * Both are opened in threads: a statement of SQLite's blocks, and hashes and redaction take their time before either.
 */
import type { Kysely } from "kysely"
import { messageOf, StartError } from "../base/errors.ts"
import { checkMigrated, MIGRATIONS, migrate, type Steps } from "./migrations.ts"
import { isPostgresUrl, shownPlace } from "./places.ts"
import { postgresMessage, postgresTrouble } from "./postgres/errors.ts"
import { openPostgres, STATE_SCHEMA } from "./postgres/open.ts"
import type { Schema } from "./schema.ts"
import { isDamage, isPassing as isPassingInSqlite, openSqlite, type SqliteSources, singleValue } from "./sqlite.ts"

/** Where the database's program comes from; tests give others. */
export type DatabaseSources = SqliteSources

/** What was thrown by a database: what is kept is damaged. */
export { isDamage } from "./sqlite.ts"

/**
 * What was thrown by a database. passing: nothing was done, and it may succeed later. unknown: the connection is gone, and
 * nobody knows whether it was done. lasting: it will not succeed.
 */
export type Trouble = "passing" | "unknown" | "lasting"

export function troubleIn(thrown: unknown): Trouble {
  if (isPassingInSqlite(thrown)) return "passing"
  return postgresTrouble(thrown) ?? "lasting"
}

/** What was thrown, in one line. */
export function troubleMessage(thrown: unknown): string {
  return thrown instanceof AggregateError ? postgresMessage(thrown) : messageOf(thrown)
}

export interface Database<Tables> {
  readonly db: Kysely<Tables>
  /** Rejects with a StartError where what is written would not be found again. To be asked before each job. */
  check(): Promise<void>
  close(): Promise<void>
}

/** Flows, kept within a size. */
export interface HistoryDatabase {
  readonly db: Kysely<Schema>
  /** Bytes that are in use; undefined: a server of PostgreSQL's does not say what of its tables is. */
  usedBytes(): Promise<number | undefined>
  /** Gives a little of what is free back to the system. False: there is hardly any. */
  giveBack(): Promise<boolean>
  close(): Promise<void>
}

export interface StateDatabaseOptions {
  /** A file, or a URL. */
  readonly file: string
  /** How its tables come to be. */
  readonly steps: Steps
  readonly sources?: SqliteSources | undefined
}

/**
 * Opens what may not be lost: each commit is on the disk before it is reported. Rejects with a StartError where the file is
 * damaged, which then stays as it is and where it is.
 */
export async function openState<Tables>({ file, steps, sources }: StateDatabaseOptions): Promise<Database<Tables>> {
  if (isPostgresUrl(file)) {
    const open = await openPostgres<Tables>({ url: file, schema: STATE_SCHEMA, steps })
    return { ...open, check: async () => {} }
  }
  try {
    const open = openSqlite<Tables>(file, { isDurable: true, ...(sources === undefined ? {} : { sources }) })
    try {
      const found = String(singleValue(open.connection, "pragma quick_check(1)")).replace(/\s+/g, " ")
      if (found !== "ok") throw new StartError(damaged(file, found))
      await migrate(open.db, file, steps)
    } catch (thrown) {
      open.abandon()
      throw thrown
    }
    const check = async () => {
      if (open.isInPlace()) return
      throw new StartError(
        `${file}: was deleted or replaced while llmproxy runs; stop llmproxy, put the file in its place, start again`,
      )
    }
    return { db: open.db, check, close: async () => (open.isInPlace() ? open.close() : open.leave()) }
  } catch (thrown) {
    throw isDamage(thrown) ? new StartError(damaged(file, messageOf(thrown))) : thrown
  }
}

/** Opens a state to look at it: nothing is made or brought up to date. Rejects with a StartError where it is of another version. */
export async function openStateReader<Tables>({
  file,
  steps,
}: StateDatabaseOptions): Promise<Omit<Database<Tables>, "check">> {
  let close = (): void | Promise<void> => {}
  try {
    const open = isPostgresUrl(file)
      ? await openPostgres<Tables>({ url: file, schema: STATE_SCHEMA, steps, migrates: false })
      : openSqlite<Tables>(file, { readOnly: true })
    close = open.close
    await checkMigrated(open.db, shownPlace(file), steps)
    return { db: open.db, close: async () => open.close() }
  } catch (thrown) {
    await close()
    throw stateFailure(file, thrown)
  }
}

/** Opens a history that another program may be writing, to read it. Rejects with a StartError where it cannot be read. */
export async function openReader(file: string): Promise<Pick<HistoryDatabase, "db" | "close">> {
  if (isPostgresUrl(file)) return await readPostgres(file)
  let close = () => {}
  try {
    const open = openSqlite(file, { readOnly: true })
    close = open.close
    await checkMigrated(open.db, file)
    return { db: open.db, close: async () => open.close() }
  } catch (thrown) {
    close()
    throw readFailure(file, thrown)
  }
}

async function readPostgres(url: string): Promise<Pick<HistoryDatabase, "db" | "close">> {
  const open = await openPostgres<Schema>({ url, schema: "llmproxy_history", steps: MIGRATIONS, migrates: false })
  try {
    await checkMigrated(open.db, shownPlace(url))
    return open
  } catch (thrown) {
    await open.close()
    throw readFailure(url, thrown)
  }
}

/** What reading a history threw, in words that say what to do: damage may show at the first page or at any later one. */
export function readFailure(file: string, thrown: unknown): unknown {
  if (isPostgresUrl(file) && !(thrown instanceof StartError))
    return new StartError(`${shownPlace(file)} cannot be read: ${postgresMessage(thrown)}`)
  if (!isDamage(thrown)) return thrown
  return new StartError(
    `${file}: is no history, or is damaged (${messageOf(thrown)}); llmproxy sets it aside once it cannot write to it, ` +
      `and sqlite3 ${file} .recover | sqlite3 saved.db saves what is whole`,
  )
}

/** What a job threw, in words that say what to do. */
export function stateFailure(file: string, thrown: unknown): unknown {
  return isDamage(thrown) ? new StartError(damaged(file, messageOf(thrown))) : thrown
}

function damaged(file: string, what: string): string {
  return (
    `${file} is damaged (${what}): it holds what addons keep, so nothing begins in its place by itself; ` +
    `stop llmproxy, delete ${file}-wal and ${file}-shm, and put a copy of yours there, or what ` +
    `sqlite3 ${file} .recover | sqlite3 state-new.db saves; or move it away, and addons begin with nothing`
  )
}
