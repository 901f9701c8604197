/**
 * PostgreSQL for kysely, below the seam: a pool of connections, each of which sees the schema that its kind of database has
 * (`llmproxy_state`, `llmproxy_history`), so that one database holds both as two files do. The driver is loaded with the
 * first that is opened. What it throws is sorted by errors.ts.
 */
import { Kysely, PostgresDialect, sql } from "kysely"
import type Pg from "pg"
import { StartError } from "../../base/errors.ts"
import { migrate, type Steps } from "../migrations.ts"
import { shownPlace } from "../places.ts"
import { PostgresColumnTypes } from "./column-types.ts"
import { postgresMessage, postgresTrouble } from "./errors.ts"

/** Connections of one process to each of the two: addons' transactions run beside each other. */
const CONNECTIONS_MAX = 8
/** Milliseconds that a connection may take to be there; then it counts as not reached. */
const CONNECT_MS_MAX = 5_000
/** Milliseconds that one statement may take, by the server's clock. */
const STATEMENT_MS_MAX = 30_000
/** Milliseconds that an idle connection is kept. */
const IDLE_MS = 30_000
/** Types by their number (pg_type.oid): what the driver gives as a text, as it may be too large to be a number. */
const INT8 = 20
const NUMERIC = 1700

/** Which of the two it is, as a schema of the database. */
type PostgresSchema = typeof STATE_SCHEMA | "llmproxy_history"

export const STATE_SCHEMA = "llmproxy_state"

export interface PostgresOptions {
  readonly url: string
  readonly schema: PostgresSchema
  readonly steps: Steps
  /** Default: true. Else it is only read, and has to be up to date: see `check`. */
  readonly migrates?: boolean
}

export interface OpenPostgres<S> {
  readonly db: Kysely<S>
  close(): Promise<void>
}

/** Opens it, and makes or brings up to date its tables. Rejects with a StartError for what will not pass by itself. */
export async function openPostgres<S>(options: PostgresOptions): Promise<OpenPostgres<S>> {
  const { url, schema, steps, migrates = true } = options
  const pool = await makePool(url, schema)
  const db = new Kysely<S>({ dialect: new PostgresDialect({ pool }), plugins: [new PostgresColumnTypes()] })
  try {
    if (migrates) {
      await makeSchema(db, schema)
      await migrate(db, shownPlace(url), steps, schema)
    }
    return { db, close: () => db.destroy() }
  } catch (thrown) {
    await db.destroy()
    if (thrown instanceof StartError || postgresTrouble(thrown) !== undefined) throw thrown
    throw new StartError(`${shownPlace(url)} cannot be opened: ${postgresMessage(thrown)}`)
  }
}

/** Two programs that start at once may both find it missing: the one that is late has what it wants all the same. */
async function makeSchema<S>(db: Kysely<S>, schema: PostgresSchema): Promise<void> {
  const found = await sql`select 1 from pg_namespace where nspname = ${schema}`.execute(db)
  if (found.rows.length > 0) return
  await db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(hashtext(${schema}))`.execute(transaction)
    await sql`create schema if not exists ${sql.id(schema)}`.execute(transaction)
  })
}

async function makePool(url: string, schema: PostgresSchema): Promise<Pg.Pool> {
  const { Pool, types } = await import("pg")
  const whole = (text: string) => Number(text)
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    idleTimeoutMillis: IDLE_MS,
    statement_timeout: STATEMENT_MS_MAX,
    application_name: schema.replace("_", " "),
    types: {
      getTypeParser: (oid, format) =>
        (oid === INT8 || oid === NUMERIC) && format !== "binary" ? whole : types.getTypeParser(oid, format),
    },
  })
  // Of one that nobody uses just now: the next who asks gets another one.
  pool.on("error", () => {})
  // Of one that is in use: whoever asked on it is told by what they asked.
  pool.on("connect", (client) => void client.on("error", () => {}))
  // Told to each connection, and not among its parameters, which a pooler between would not pass on.
  pool.on("connect", (client) => void client.query(`set search_path to ${schema}`).catch(() => {}))
  return pool
}
