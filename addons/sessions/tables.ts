/** The tables of sessions and of what was said in them. SQL that SQLite and PostgreSQL run; times are epoch milliseconds. */
import type { Kysely } from "kysely"
import type { TableMigration } from "llmproxy"

interface SessionRow {
  /** Whose it is: sessions of two owners have nothing to do with each other, whatever their ids. */
  owner: string
  id: string
  name: string
  created_at: number
  updated_at: number
  /** Messages that it has; 0: nothing was said in it yet, and nobody is shown it. */
  length: number
  /** Who is asking in it now, and until when that counts. */
  lease: string | null
  lease_until: number
}

interface MessageRow {
  owner: string
  session_id: string
  /** From 0, without a gap. */
  position: number
  at: number
  /** JSON, as OpenAI's chat has it. */
  message: string
}

export interface Tables {
  sessions: SessionRow
  messages: MessageRow
}

export const MIGRATIONS: readonly TableMigration[] = [
  {
    name: "0001-sessions",
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable("sessions")
        .addColumn("owner", "text", (column) => column.notNull())
        .addColumn("id", "text", (column) => column.notNull())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("updated_at", "bigint", (column) => column.notNull())
        .addColumn("length", "bigint", (column) => column.notNull())
        .addColumn("lease", "text")
        .addColumn("lease_until", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("sessions_key", ["owner", "id"])
        .execute()
      await db.schema
        .createTable("messages")
        .addColumn("owner", "text", (column) => column.notNull())
        .addColumn("session_id", "text", (column) => column.notNull())
        .addColumn("position", "bigint", (column) => column.notNull())
        .addColumn("at", "bigint", (column) => column.notNull())
        .addColumn("message", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("messages_key", ["owner", "session_id", "position"])
        .execute()
    },
  },
]
