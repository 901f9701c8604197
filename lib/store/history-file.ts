/**
 * The history as a file of SQLite's, below the seam: opened when something is to be stored, and looked after. A damaged one
 * gets another name, once, whichever programs meet it, and a new one begins; one that somebody has deleted, replaced or
 * emptied is left for what stands in its place.
 */
import type { HistoryDatabase } from "./database.ts"
import { migrate } from "./migrations.ts"
import type { Schema } from "./schema.ts"
import {
  fileIdOf,
  isDamage,
  type OpenDatabase,
  openSqlite,
  type SqliteSources,
  setAside,
  singleValue,
} from "./sqlite.ts"

/** Pages that one step gives back to the system. */
const STEP_PAGES_MAX = 256

/** Where flows are stored. */
export interface HistoryPlace {
  /** The database that is open. */
  readonly present: HistoryDatabase | undefined
  /** Does `work` on it, opened where it is not. */
  use<T>(work: (database: HistoryDatabase) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export interface HistoryFileOptions {
  readonly file: string
  /** Epoch milliseconds: part of the name of a damaged one. */
  now(): number
  /** Is told the name under which a damaged one is kept. */
  onDamage(other: string): void
  readonly sources?: SqliteSources | undefined
}

export class HistoryFile implements HistoryPlace {
  readonly #options: HistoryFileOptions
  #open: SqliteHistory | undefined

  constructor(options: HistoryFileOptions) {
    this.#options = options
  }

  /** The one that is open. */
  get present(): HistoryDatabase | undefined {
    return this.#open
  }

  /**
   * Does `work` on the file that stands in its place. Damage that shows meanwhile is what it is at the opening: the file gets
   * another name, unless another program has given it one, and the work a new file.
   */
  async use<T>(work: (database: HistoryDatabase) => Promise<T>): Promise<T> {
    const database = await this.#opened()
    try {
      return await work(database)
    } catch (thrown) {
      if (!isDamage(thrown)) throw thrown
      this.#open = undefined
      database.opened.abandon()
      this.#setAside(database.opened.fileId)
      return await work(await this.#opened())
    }
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.close()
  }

  async #opened(): Promise<SqliteHistory> {
    if (this.#open?.opened.isInPlace()) return this.#open
    this.#leave()
    const { file, sources } = this.#options
    const id = fileIdOf(file)
    try {
      this.#open = await openHistoryFile(file, sources)
    } catch (thrown) {
      if (!isDamage(thrown)) throw thrown
      this.#setAside(id)
      this.#open = await openHistoryFile(file, sources)
    }
    return this.#open
  }

  /** Another program has set the file aside, or somebody has removed it: what is stored there nobody finds. */
  #leave(): void {
    const opened = this.#open?.opened
    this.#open = undefined
    if (opened?.isEmptied() !== true) {
      opened?.leave()
      return
    }
    // Before it is closed, so that its log stays what may still be of use.
    this.#setAside(opened.fileId)
    opened.abandon()
  }

  #setAside(id: string | undefined): void {
    const other = setAside(this.#options.file, id, this.#options.now())
    if (other !== undefined) this.#options.onDamage(other)
  }
}

/** Opens a file, or makes it. Throws what SQLite says of a damaged one. */
export async function openHistoryFile(file: string, sources?: SqliteSources): Promise<SqliteHistory> {
  const opened = openSqlite(file, sources === undefined ? {} : { sources })
  try {
    await migrate(opened.db, file)
    return new SqliteHistory(opened)
  } catch (thrown) {
    opened.close()
    throw thrown
  }
}

class SqliteHistory implements HistoryDatabase {
  readonly opened: OpenDatabase<Schema>

  constructor(opened: OpenDatabase<Schema>) {
    this.opened = opened
  }

  get db() {
    return this.opened.db
  }

  async usedBytes(): Promise<number> {
    const value = (pragma: string) => Number(singleValue(this.opened.connection, `pragma ${pragma}`))
    return (value("page_count") - value("freelist_count")) * value("page_size")
  }

  async giveBack(): Promise<boolean> {
    const { connection } = this.opened
    if (Number(singleValue(connection, "pragma freelist_count")) < STEP_PAGES_MAX) return false
    // All rows are asked for: each of them is one page.
    connection.prepare(`pragma incremental_vacuum(${STEP_PAGES_MAX})`).all()
    return true
  }

  async close(): Promise<void> {
    this.opened.close()
  }
}
