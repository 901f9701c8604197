/**
 * Moves everything that is kept from one database to another, be it files or a server: flows, records, and addons' own
 * tables. Those have to be there: only the addon's migrations know how they are made, so that it is started once before.
 * What is written is read again and counted. Pages are small: no table has to fit into memory.
 */
import { existsSync } from "node:fs"
import { type Kysely, sql } from "kysely"
import { HISTORY_FILE, STATE_FILE } from "../../api/store.ts"
import { StartError } from "../../base/errors.ts"
import { openState } from "../database.ts"
import { openHistory } from "../history-place.ts"
import { isPostgresUrl, languageOf, placesIn, type SqlLanguage, shownPlace } from "../places.ts"
import type { Schema } from "../schema.ts"
import { stateSteps } from "../state/schema.ts"
import { ownTables } from "./status.ts"

/** Rows that are read and written at once. */
const PAGE_ROWS = 200
/** The program's own tables with what their rows are told apart by; `addon_records` of a history is an older one's. */
const HISTORY_TABLES: readonly Table[] = [
  { name: "contents", keys: ["hash"] },
  { name: "turns", keys: ["hash"] },
  { name: "flows", keys: ["id"] },
]
const STATE_TABLES: readonly Table[] = [{ name: "addon_records", keys: ["addon", "name", "key"] }]
/** Which migrations of addons have run is the target's own: its tables were made there. */
const MIGRATIONS_TABLE = "addon_migrations"

interface Table {
  readonly name: string
  readonly keys: readonly string[]
}

/** Tables of either database, by names that are known when they are read. */
type Tables = Schema & Record<string, Record<string, unknown>>

interface Side {
  readonly db: Kysely<Tables>
  readonly language: SqlLanguage
  close(): Promise<void>
}

/** What stands in a table, here and there. */
interface Copied {
  readonly table: string
  readonly rows: number
}

export interface CopyOptions {
  /** Folders (a confdir), or URLs. */
  readonly from: string
  readonly to: string
  /** Empties the tables of `to` before; else they have to be empty. */
  readonly replaces: boolean
  /** Is told of each table that is done. */
  copied(copied: Copied): void
}

/** Rejects with a StartError before anything is written where it cannot be done, or where the counts differ in the end. */
export async function copyAll({ from, to, replaces, copied }: CopyOptions): Promise<void> {
  if (from === to) throw new StartError("both are one database: nothing is to be copied")
  const { historyFile, stateFile } = placesIn(from)
  if (!isThere(historyFile) && !isThere(stateFile))
    throw new StartError(`${from}: there is no ${HISTORY_FILE} and no ${STATE_FILE}: nothing is to be copied`)
  for (const kind of ["state", "history"] as const) {
    const [source, target] = [await opened(kind, from, false), await opened(kind, to, true)]
    try {
      if (source === undefined || target === undefined) continue
      const tables = kind === "history" ? HISTORY_TABLES : [...STATE_TABLES, ...(await addonTables(source, target, to))]
      await makeEmpty(target, tables, replaces, to)
      for (const table of tables) copied({ table: table.name, rows: await copyTable(source, target, table) })
    } finally {
      await source?.close()
      await target?.close()
    }
  }
}

/** A server is asked when it is opened. */
function isThere(file: string): boolean {
  return isPostgresUrl(file) || existsSync(file)
}

/** Undefined: there is no such file, from which nothing comes. */
async function opened(kind: "state" | "history", place: string, isMade: boolean): Promise<Side | undefined> {
  const { historyFile, stateFile } = placesIn(place)
  const file = kind === "state" ? stateFile : historyFile
  if (!isMade && !isThere(file)) return undefined
  const language = languageOf(place)
  if (kind === "history") {
    const history = await openHistory(file)
    return { db: history.db.withTables<Tables>(), language, close: () => history.close() }
  }
  // Of an older history nothing is taken over here: what its program has noted there it takes over itself.
  const steps = stateSteps({ history: "", warn: () => {} })
  const { db, close } = await openState<Tables>({ file, steps })
  return { db, language, close }
}

/** Those that have rows to be copied, with their keys. Rejects where the target lacks one, or knows another version of it. */
async function addonTables(source: Side, target: Side, to: string): Promise<Table[]> {
  const [here, there] = [await ownTables(source.db), await ownTables(target.db)]
  const missing = here.filter((name) => !there.includes(name))
  const [first] = missing
  if (first !== undefined)
    throw new StartError(
      `${shownPlace(to)} has no table ${missing.join(", ")}: start llmproxy once with that addon, so that it makes ` +
        `${missing.length === 1 ? "it" : "them"} there, stop it, and copy again; nothing was copied`,
    )
  const [runHere, runThere] = [await migrationsOf(source), await migrationsOf(target)]
  const other = runHere.find((name) => !runThere.includes(name))
  if (other !== undefined)
    throw new StartError(`${shownPlace(to)}: the migration ${other} has not run there; nothing was copied`)
  return await Promise.all(here.map(async (name) => ({ name, keys: await columnsOf(source, name) })))
}

async function migrationsOf({ db }: Side): Promise<string[]> {
  const { rows } = await sql<{
    name: string
  }>`select addon || ' ' || name as name from ${sql.table(MIGRATIONS_TABLE)}`.execute(db)
  return rows.map(({ name }) => name)
}

/** All of them: rows that are alike in every column may change places. */
async function columnsOf({ db }: Side, table: string): Promise<string[]> {
  const tables = await db.introspection.getTables()
  return tables.find(({ name }) => name === table)?.columns.map(({ name }) => name) ?? []
}

async function makeEmpty(target: Side, tables: readonly Table[], replaces: boolean, to: string): Promise<void> {
  const full: string[] = []
  for (const { name } of tables) if ((await countIn(target, name)) > 0) full.push(name)
  if (full.length > 0 && !replaces)
    throw new StartError(
      `${shownPlace(to)}: ${full.join(", ")} ${full.length === 1 ? "is" : "are"} not empty; nothing was copied; ` +
        "--replace deletes what is there",
    )
  await target.db.transaction().execute(async (transaction) => {
    for (const name of full) await sql`delete from ${sql.table(name)}`.execute(transaction)
  })
}

async function countIn({ db }: Side, table: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from ${sql.table(table)}`.execute(db)
  return Number(rows[0]?.count ?? 0)
}

/** In the order of its keys, a page at a time, each in a transaction. Resolves to how many rows there are. */
async function copyTable(source: Side, target: Side, { name, keys }: Table): Promise<number> {
  const order = sql.join(keys.map((key) => sql.ref(key)))
  for (let offset = 0; ; offset += PAGE_ROWS) {
    const { rows } = await sql<Record<string, unknown>>`select * from ${sql.table(name)} order by ${order}
      limit ${PAGE_ROWS} offset ${offset}`.execute(source.db)
    if (rows.length > 0) await target.db.insertInto(name).values(rows).execute()
    if (rows.length < PAGE_ROWS) break
  }
  if (target.language === "postgres") await countOn(target, name)
  const [here, there] = [await countIn(source, name), await countIn(target, name)]
  if (here !== there)
    throw new StartError(`${name}: ${here} rows were to be copied, and ${there} are there: did llmproxy run meanwhile?`)
  return there
}

/** A column that counts itself up goes on behind what was copied. */
async function countOn({ db }: Side, table: string): Promise<void> {
  const { rows } = await sql<{ name: string }>`select column_name as name from information_schema.columns
    where table_schema = current_schema() and table_name = ${table} and is_identity = 'YES'`.execute(db)
  for (const { name } of rows)
    await sql`select setval(pg_get_serial_sequence(${`"${table}"`}, ${name}),
      (select coalesce(max(${sql.ref(name)}), 0) + 1 from ${sql.table(table)}), false)`.execute(db)
}
