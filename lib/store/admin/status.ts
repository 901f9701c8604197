/** What is kept, and whether its tables are those of this version: for people, and before a new version is rolled out. */
import { existsSync } from "node:fs"
import { type Kysely, sql } from "kysely"
import { StartError } from "../../base/errors.ts"
import { openReader, openState, openStateReader } from "../database.ts"
import { openHistory } from "../history-place.ts"
import { isPostgresUrl, type StorePlaces } from "../places.ts"
import { STATE_SCHEMA } from "../postgres/open.ts"
import { stateSteps } from "../state/schema.ts"

export interface PlaceStatus {
  readonly name: "state" | "history"
  /** For people. */
  readonly state: string
  readonly tables: readonly { readonly table: string; readonly rows: number }[]
}

type Looked = Pick<PlaceStatus, "state" | "tables">

/** `migrates`: makes what is missing and brings up to date what is old; else nothing is changed. Rejects where it cannot be opened. */
export async function lookAt({ historyFile, stateFile }: StorePlaces, migrates: boolean): Promise<PlaceStatus[]> {
  return [
    { name: "history", ...(await looked(historyFile, migrates, history)) },
    { name: "state", ...(await looked(stateFile, migrates, state)) },
  ]
}

async function looked(
  file: string,
  migrates: boolean,
  look: (file: string, migrates: boolean) => Promise<Looked["tables"]>,
): Promise<Looked> {
  if (!migrates && !isPostgresUrl(file) && !existsSync(file)) return { state: "not made yet", tables: [] }
  try {
    return { state: "up to date", tables: await look(file, migrates) }
  } catch (thrown) {
    if (migrates || !(thrown instanceof StartError)) throw thrown
    return { state: thrown.message, tables: [] }
  }
}

async function history(file: string, migrates: boolean): Promise<Looked["tables"]> {
  const database = migrates ? await openHistory(file) : await openReader(file)
  try {
    return await counts(database.db, ["flows", "turns", "contents"])
  } finally {
    await database.close()
  }
}

async function state(file: string, migrates: boolean): Promise<Looked["tables"]> {
  const options = { file, steps: stateSteps({ history: "", warn: () => {} }) }
  const { db, close } = await (migrates ? openState(options) : openStateReader(options))
  try {
    return await counts(db, ["addon_records", ...(await ownTables(db))])
  } finally {
    await close()
  }
}

/** Addons' own, sorted: the program's have no two underscores. */
export async function ownTables<S>(db: Kysely<S>): Promise<string[]> {
  const tables = await db.introspection.getTables()
  return tables
    .filter(({ name, schema, isView }) => !isView && name.includes("__") && (schema ?? STATE_SCHEMA) === STATE_SCHEMA)
    .map(({ name }) => name)
    .sort()
}

async function counts<S>(db: Kysely<S>, names: readonly string[]): Promise<{ table: string; rows: number }[]> {
  const counted: { table: string; rows: number }[] = []
  for (const table of names) {
    const { rows } = await sql<{ count: number }>`select count(*) as count from ${sql.table(table)}`.execute(db)
    counted.push({ table, rows: Number(rows[0]?.count ?? 0) })
  }
  return counted
}
