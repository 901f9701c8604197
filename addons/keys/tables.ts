/** The tables of keys and of what they use. SQL that SQLite and PostgreSQL run; times are epoch milliseconds. */
import type { Kysely } from "kysely"
import type { TableMigration } from "llmproxy"

export interface KeyRow {
  /** Public, as in "k_ab12cd34". */
  id: string
  /** SHA-256 of the key, in hex. */
  hash: string
  label: string
  owner: string | null
  team: string | null
  /** JSON: a list of texts. */
  tags: string
  /** 1: it may do what any key may. */
  admin: number
  /** JSON: globs of each kind. */
  scopes: string
  /** JSON: see limits.ts. */
  limits: string
  profile: string | null
  created_at: number
  expires_at: number | null
  revoked_at: number | null
  /** At most a minute old. */
  last_used_at: number | null
}

interface UsageRow {
  key_id: string
  /** See limits.ts. */
  span: string
  requests: number
  tokens: number
  /** Micro-dollars. */
  money: number
  /** When the row may go. */
  keep_until: number
}

export interface ReservationRow {
  /** The flow's. */
  id: string
  key_id: string
  process: string
  started_at: number
  lapses_at: number
  slots: number
  tokens: number
  money: number
}

interface LockRow {
  key_id: string
  turn: number
}

export interface Tables {
  keys: KeyRow
  usage: UsageRow
  reservations: ReservationRow
  locks: LockRow
}

export const MIGRATIONS: readonly TableMigration[] = [
  {
    name: "0001-keys",
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable("keys")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("hash", "text", (column) => column.notNull())
        .addColumn("label", "text", (column) => column.notNull())
        .addColumn("owner", "text")
        .addColumn("team", "text")
        .addColumn("tags", "text", (column) => column.notNull())
        .addColumn("admin", "integer", (column) => column.notNull())
        .addColumn("scopes", "text", (column) => column.notNull())
        .addColumn("limits", "text", (column) => column.notNull())
        .addColumn("profile", "text")
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("expires_at", "bigint")
        .addColumn("revoked_at", "bigint")
        .addColumn("last_used_at", "bigint")
        .execute()
      await db.schema.createIndex("keys_hash").on("keys").column("hash").unique().execute()
    },
  },
  {
    name: "0002-usage",
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable("usage")
        .addColumn("key_id", "text", (column) => column.notNull())
        .addColumn("span", "text", (column) => column.notNull())
        .addColumn("requests", "bigint", (column) => column.notNull())
        .addColumn("tokens", "bigint", (column) => column.notNull())
        .addColumn("money", "bigint", (column) => column.notNull())
        .addColumn("keep_until", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("usage_key", ["key_id", "span"])
        .execute()
      await db.schema
        .createTable("reservations")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("key_id", "text", (column) => column.notNull())
        .addColumn("process", "text", (column) => column.notNull())
        .addColumn("started_at", "bigint", (column) => column.notNull())
        .addColumn("lapses_at", "bigint", (column) => column.notNull())
        .addColumn("slots", "integer", (column) => column.notNull())
        .addColumn("tokens", "bigint", (column) => column.notNull())
        .addColumn("money", "bigint", (column) => column.notNull())
        .execute()
      await db.schema.createIndex("reservations_key").on("reservations").column("key_id").execute()
      await db.schema
        .createTable("locks")
        .addColumn("key_id", "text", (column) => column.primaryKey())
        .addColumn("turn", "bigint", (column) => column.notNull())
        .execute()
    },
  },
]
