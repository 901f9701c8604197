/**
 * The history on a server of PostgreSQL's: opened when something is to be stored. The pool makes new connections in the place of lost
 * ones, so that it is never opened again. What is deleted is the server's to use again (its autovacuum), and no size is known.
 */
import type { HistoryDatabase } from "../database.ts"
import { MIGRATIONS } from "../migrations.ts"
import type { Schema } from "../schema.ts"
import { openPostgres } from "./open.ts"

export async function openPostgresHistory(url: string): Promise<HistoryDatabase> {
  const open = await openPostgres<Schema>({ url, schema: "llmproxy_history", steps: MIGRATIONS })
  return { ...open, usedBytes: async () => undefined, giveBack: async () => false }
}
