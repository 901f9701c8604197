/**
 * An addon's own tables, on its side of the thread: a kysely that makes the SQL here and has it run there, with the addon's
 * prefix (prefix.ts), given out once the addon's migrations have run. A transaction that another one was in the way of is run
 * again: PostgreSQL takes one of the two back, SQLite lets one in at a time.
 */
import { Kysely, sql, type Transaction, type TransactionBuilder } from "kysely"
import type { TableMigration } from "../../api/store.ts"
import { messageOf, StartError, UsageError } from "../../base/errors.ts"
import type { SqlLanguage } from "../places.ts"
import { PostgresColumnTypes } from "../postgres/column-types.ts"
import { StoreTrouble } from "../thread-link.ts"
import { TablePrefix } from "./prefix.ts"
import { type Ask, ThreadDialect } from "./thread-dialect.ts"

/** Times that a transaction is run when others are in its way. */
const TRANSACTION_TRIES_MAX = 10

/** Of a migration's name. */
const NAME_CHARS_MAX = 200

export interface TablesOptions {
  readonly addon: string
  readonly migrations: readonly TableMigration[]
  readonly ask: Ask
  /** Whose SQL the database speaks. */
  readonly language: SqlLanguage
  now(): number
}

/** Rejects with a UsageError that names the addon and the migration, or a StartError when the database cannot be opened. */
export async function openTables<Tables>(options: TablesOptions): Promise<Kysely<Tables>> {
  const { addon, migrations, ask, language, now } = options
  const told = (text: string) => new UsageError(`addon "${addon}": tables: ${text}`)
  checkNames(migrations, told)
  try {
    await ask({ kind: "open" })
  } catch (thrown) {
    throw new StartError(messageOf(thrown))
  }
  const types = language === "postgres" ? [new PostgresColumnTypes()] : []
  const config = { dialect: new ThreadDialect(ask, language), plugins: [new TablePrefix(addon), ...types] }
  const db = new AddonTables<unknown>(config)
  checkOrder(await doneIn(db, addon), migrations, told)
  for (const [position, migration] of migrations.entries()) {
    const { name } = migration
    try {
      await db.transaction().execute(async (transaction) => {
        // First, so that another program that runs it at this moment is waited for.
        const { rows } = await sql`insert into addon_migrations (addon, name, position, applied_at)
          values (${addon}, ${name}, ${position}, ${now()}) on conflict (addon, name) do nothing
          returning name`.execute(transaction)
        if (rows.length > 0) await migration.up(transaction)
      })
    } catch (thrown) {
      throw told(`migration "${name}" failed and is taken back: ${messageOf(thrown)}`)
    }
  }
  checkOrder(await doneIn(db, addon), migrations, told)
  return new AddonTables<Tables>(config)
}

class AddonTables<Tables> extends Kysely<Tables> {
  override transaction(): TransactionBuilder<Tables> {
    const builder = super.transaction()
    const once = builder.execute.bind(builder)
    return Object.assign(builder, {
      execute: async <T>(work: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> => {
        for (let tries = 1; ; tries++) {
          try {
            return await once(work)
          } catch (thrown) {
            const isInTheWay = thrown instanceof StoreTrouble && thrown.kind === "passing"
            if (!isInTheWay || tries >= TRANSACTION_TRIES_MAX) throw thrown
          }
        }
      },
    })
  }
}

type Told = (text: string) => UsageError

function checkNames(migrations: readonly TableMigration[], told: Told): void {
  const names = new Set<string>()
  for (const { name } of migrations) {
    if (!/^[\w.-]+$/.test(name) || name.length > NAME_CHARS_MAX)
      throw told(`"${name}" is no name of a migration: letters, digits, dots and hyphens, as in "0001-votes"`)
    if (names.has(name)) throw told(`two migrations are named "${name}"`)
    names.add(name)
  }
}

/** The names of those that have run, in their order. Written as text: of a table that is the program's, not the addon's. */
async function doneIn(db: Kysely<unknown>, addon: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`select name from addon_migrations where addon = ${addon}
    order by position`.execute(db)
  return rows.map(({ name }) => name)
}

/** What has run is the begin of the list, or the tables are not what the addon takes them for. */
function checkOrder(done: readonly string[], migrations: readonly TableMigration[], told: Told): void {
  for (const [position, name] of done.entries()) {
    const listed = migrations[position]?.name
    if (listed === name) continue
    if (!migrations.some((migration) => migration.name === name))
      throw told(
        `"${name}" has run and is not in the list: the tables are of a newer version of the addon; use that one`,
      )
    throw told(`"${listed}" stands before "${name}", which has run already; a new migration stands at the end`)
  }
}
