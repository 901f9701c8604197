/**
 * What addons can keep: flows in the history, records and tables of their own in the state. Interfaces, and the one that
 * keeps nothing; lib/store does the work, in threads, loaded with the first thing that is kept.
 */
import type { Kysely } from "kysely"
import type { JsonValue } from "../base/json.ts"
import type { FlowSnapshot } from "./flow.ts"

/** Where flows are kept, in the confdir. A damaged one is set aside, and a new one begins. */
export const HISTORY_FILE = "history.db"
/** Where addons' records and tables are kept, in the confdir. A damaged one stays where it is, and stops the start. */
export const STATE_FILE = "state.db"

/** Flows on disk: `history.db` in the confdir, which `llmproxy history` reads. */
export interface FlowHistory {
  /**
   * Opens the file, and makes it where there is none. To be awaited in a recorder's `load`, which is before the port
   * opens: the first flow is then on disk as soon as all others. Resolves when it is open, or when that has failed, which
   * the log says; recording tries again.
   */
  open(): Promise<void>
  /**
   * Hands a flow over to be stored; what looks like a secret is blanked out first. Resolves to true once it is on disk,
   * so that it survives the end of the process, and to false when it was dropped: the queue or the disk is full, or the
   * file cannot be written. What passes (a locked file, a full disk) is tried again while the queue has room. Never
   * rejects, and no hook has to wait for it. A flow that is there already only gets the token counts that it had none of.
   */
  record(snapshot: FlowSnapshot): Promise<boolean>
  /** Says how long flows are kept. The oldest go first, a few at a time. */
  retain(limits: HistoryLimits): void
  /** Resolves when whatever was handed over is stored or dropped. */
  flush(): Promise<void>
}

export interface HistoryLimits {
  /** Milliseconds; undefined: no limit. */
  readonly maxAgeMs: number | undefined
  /** Bytes on disk; undefined: no limit. */
  readonly maxBytes: number | undefined
}

/**
 * An addon's own records: JSON by key, kept over restarts in `state.db`. Once a call has resolved, what it wrote is on the
 * disk, whatever becomes of the process or the machine. Every call is a transaction; an addon's calls are done one after the
 * other, in their order, and several programs on one file do not lose what the others write. Records are kept as they are,
 * secrets too: who notes what others said takes those out first (`Redactor`). Every method rejects with an Error when the
 * file cannot be read or written.
 */
export interface Records {
  get(key: string): Promise<JsonValue | undefined>
  /** `value`: at most 16 Mi characters of JSON. */
  set(key: string, value: JsonValue): Promise<void>
  delete(key: string): Promise<void>
  /** In the order of their keys, from behind `after`; at most 1,000. */
  entries(after?: string): Promise<[string, JsonValue][]>
  /**
   * Puts in place of a record what `change` makes of it, unless somebody else has changed it meanwhile: then `change` runs
   * again with what is there now, so it only computes. It gets undefined where there is none, and leaves what is there by
   * returning undefined. Resolves to what is there then. Rejects after 100 tries.
   */
  update(key: string, change: (value: JsonValue | undefined) => JsonValue | undefined): Promise<JsonValue | undefined>
  /**
   * Counts up by a whole number (default 1; it may be below 0), in one statement, and resolves to the new count. With
   * `expires`, milliseconds, a counter that begins now begins anew after that time; until then further calls do not
   * lengthen it, and from then on it is gone for `get` and `entries`, too. `set` makes it a record without an end. Rejects
   * where the record is no whole number. A call that rejects because the thread died may have counted.
   */
  increment(key: string, by?: number, options?: IncrementOptions): Promise<number>
}

export interface IncrementOptions {
  /** Milliseconds from now. Default: it never begins anew. */
  readonly expires?: number
}

/** A step of an addon's own tables. One that was released is never changed: a change is a new step at the end of the list. */
export interface TableMigration {
  /** Of letters, digits, dots and hyphens, as in "0001-votes"; recorded, so that it runs once. */
  readonly name: string
  /** Runs in a transaction: all of it is done, or nothing. Table names are the addon's own, without its prefix. */
  up(db: Kysely<unknown>): Promise<void>
}

/**
 * Opens an addon's own tables in `state.db`, once all migrations have run that have not yet, each in a transaction of its own.
 * Asked for in `setup`, the addon is loaded only when they have: a migration that fails stops its load, and so does a list in
 * which one that has run is missing or stands elsewhere. Programs that start at once run each of them once.
 *
 * What comes is a kysely (https://kysely.dev), whose SQL is to be such that SQLite and PostgreSQL run it: texts, integers,
 * doubles and bytes, and no name of the one alone. The addon's name stands before the name of each table and index in the
 * database, as in `my_addon__votes`; kysely's own builders, `sql.table` and `sql.ref` put it there, a name that is written
 * into the text of `sql` is taken as it is. A transaction in which nothing is asked for 5 s is taken back, as everybody
 * waits for its end; an answer holds at most 100,000 rows. Numbers that SQLite gives are numbers, and no booleans.
 */
export type OpenTables = <Tables>(migrations: readonly TableMigration[]) => Promise<Kysely<Tables>>

/** What the program gives to its addons. */
export interface StoreService {
  readonly history: FlowHistory
  /** The records `name` of an addon. */
  records(addon: string, name: string): Records
  tables<Tables>(addon: string, migrations: readonly TableMigration[]): Promise<Kysely<Tables>>
  /** Resolves when the state is open, where addons have asked for theirs and it is there. Rejects with a StartError if it is damaged. */
  ready(): Promise<void>
  /** Stores what waits, for a while, and ends. */
  close(): Promise<void>
}

const nowhere = () => Promise.reject(new Error("this program keeps no records"))

/** For programs that keep nothing. */
export const NO_STORE: StoreService = {
  history: {
    open: () => Promise.resolve(),
    record: () => Promise.resolve(false),
    retain() {},
    flush: () => Promise.resolve(),
  },
  records: () => ({
    get: nowhere,
    set: nowhere,
    delete: nowhere,
    entries: nowhere,
    update: nowhere,
    increment: nowhere,
  }),
  tables: nowhere,
  ready: () => Promise.resolve(),
  close: () => Promise.resolve(),
}
