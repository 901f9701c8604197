/**
 * How the tables come to be, one step a version, by kysely's Migrator: on SQLite now, on PostgreSQL as it is. A step that
 * was released is never changed; a change is a new step. A file of a newer llmproxy is refused, not guessed at.
 */
import { type Kysely, type Migration, type MigrationProvider, Migrator, sql } from "kysely"
import { messageOf, StartError } from "../base/errors.ts"

const TEXTS = [
  "dialect",
  "model",
  "answered_model",
  "finish_reason",
  "finish_raw",
  "error_source",
  "error_code",
  "error_message",
  "llm_error_kind",
  "llm_error_code",
  "llm_error_message",
  "route",
  "route_reason",
  "route_url",
  "usage_source",
  "metadata",
  "conversation",
  "parameters",
  "tools",
  "answer",
  "more_answers",
  "request_headers",
  "response_headers",
] as const
const INTEGERS = [
  "status",
  "streamed",
  "route_tokens",
  "input_tokens",
  "output_tokens",
  "total_tokens",
  "cached_tokens",
  "reasoning_tokens",
] as const
const DOUBLES = ["request_ms", "response_head_ms", "first_delta_ms", "end_ms"] as const

const first: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    let flows = db.schema
      .createTable("flows")
      .addColumn("id", "text", (column) => column.primaryKey())
      .addColumn("parent_id", "text")
      .addColumn("started_at", "bigint", (column) => column.notNull())
      .addColumn("client_id", "text", (column) => column.notNull())
      .addColumn("method", "text", (column) => column.notNull())
      .addColumn("url", "text", (column) => column.notNull())
      .addColumn("host", "text", (column) => column.notNull())
      .addColumn("request_bytes", "bigint", (column) => column.notNull())
      .addColumn("response_bytes", "bigint", (column) => column.notNull())
      .addColumn("incomplete", "integer", (column) => column.notNull())
    for (const name of TEXTS) flows = flows.addColumn(name, "text")
    for (const name of INTEGERS) flows = flows.addColumn(name, "bigint")
    for (const name of DOUBLES) flows = flows.addColumn(name, "double precision")
    await flows.execute()
    await db.schema.createIndex("flows_started").on("flows").columns(["started_at", "id"]).execute()
    await db.schema.createIndex("flows_parent").on("flows").column("parent_id").execute()
    await db.schema
      .createTable("turns")
      .addColumn("hash", "text", (column) => column.primaryKey())
      .addColumn("previous", "text", (column) => column.notNull())
      .addColumn("message", "text", (column) => column.notNull())
      .addColumn("position", "integer", (column) => column.notNull())
      .addColumn("refs", "bigint", (column) => column.notNull())
      .execute()
    await db.schema.createIndex("turns_previous").on("turns").column("previous").execute()
    await db.schema
      .createTable("contents")
      .addColumn("hash", "text", (column) => column.primaryKey())
      .addColumn("json", "text", (column) => column.notNull())
      .addColumn("refs", "bigint", (column) => column.notNull())
      .execute()
    // Where addons' records stood before there was a state.db, which takes them over (state/schema.ts).
    await db.schema
      .createTable("addon_records")
      .addColumn("addon", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("key", "text", (column) => column.notNull())
      .addColumn("value", "text", (column) => column.notNull())
      .addColumn("updated_at", "bigint", (column) => column.notNull())
      .addPrimaryKeyConstraint("addon_records_key", ["addon", "name", "key"])
      .execute()
  },
}

export type Steps = Readonly<Record<string, Migration>>

export const MIGRATIONS: Steps = { "0001-flows": first }

/** Steps from outside are for tests. */
function migratorFor<S>(db: Kysely<S>, steps: Steps, schema: string | undefined): Migrator {
  const provider: MigrationProvider = { getMigrations: async () => ({ ...steps }) }
  return new Migrator({ db, provider, ...(schema === undefined ? {} : { migrationTableSchema: schema }) })
}

/**
 * Brings the tables up to date. `schema`: of a database with several, the one that they are in; the migrator would else take
 * another's list of what has run for its own. Throws a StartError when that cannot be.
 */
export async function migrate<S>(db: Kysely<S>, place: string, steps = MIGRATIONS, schema?: string): Promise<void> {
  const { error } = await migratorFor(db, steps, schema).migrateToLatest()
  if (error === undefined) return
  if (/previously executed migration/.test(messageOf(error)))
    throw new StartError(`${place}: was written by a newer llmproxy; use that one, or move the file away`)
  throw error instanceof Error ? error : new Error(messageOf(error))
}

/** For those who only read: throws a StartError unless the tables are as this version expects them. */
export async function checkMigrated<S>(db: Kysely<S>, place: string, steps = MIGRATIONS): Promise<void> {
  const known = Object.keys(steps)
  const done = await executed(db)
  if (done.some((name) => !known.includes(name)))
    throw new StartError(`${place}: was written by a newer llmproxy; use that one to read it`)
  if (done.length < known.length)
    throw new StartError(`${place}: is of an older llmproxy; start llmproxy -s history once to bring it up to date`)
}

async function executed<S>(db: Kysely<S>): Promise<string[]> {
  try {
    const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db)
    return rows.map(({ name }) => name)
  } catch (thrown) {
    if (/no such table|^relation .* does not exist/.test(messageOf(thrown))) return []
    throw thrown
  }
}
