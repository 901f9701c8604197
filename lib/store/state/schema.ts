/**
 * The tables of state.db that are the program's: addons' records, and which migrations of addons' own tables have run.
 * Those tables' names have an addon's name and two underscores before them (prefix.ts), and none of these has two.
 */
import type { Kysely, Migration } from "kysely"
import type { Steps } from "../migrations.ts"
import { oldRecords, type TakeOver } from "./take-over.ts"

/** Records that are taken over at once. */
const BATCH_RECORDS = 500

/** What addons keep for themselves, by key: a whole number, so that it can be counted up, or JSON. */
export interface AddonRecordTable {
  addon: string
  name: string
  key: string
  /** Null where it is a whole number. */
  value: string | null
  count: number | null
  /** Epoch milliseconds from which on it is as if it were not there; null: never. */
  expires_at: number | null
  /** Epoch milliseconds. */
  updated_at: number
}

interface AddonMigrationTable {
  addon: string
  name: string
  /** In its addon's list, from 0. */
  position: number
  /** Epoch milliseconds. */
  applied_at: number
}

export interface StateSchema {
  addon_records: AddonRecordTable
  addon_migrations: AddonMigrationTable
}

/** The steps of state.db. A step that was released is never changed. */
export function stateSteps(takeOver: TakeOver): Steps {
  const first: Migration = {
    async up(db: Kysely<StateSchema>): Promise<void> {
      await db.schema
        .createTable("addon_records")
        .addColumn("addon", "text", (column) => column.notNull())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("key", "text", (column) => column.notNull())
        .addColumn("value", "text")
        .addColumn("count", "bigint")
        .addColumn("expires_at", "bigint")
        .addColumn("updated_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("addon_records_key", ["addon", "name", "key"])
        .execute()
      await db.schema.createIndex("addon_records_expiry").on("addon_records").column("expires_at").execute()
      await db.schema
        .createTable("addon_migrations")
        .addColumn("addon", "text", (column) => column.notNull())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("position", "bigint", (column) => column.notNull())
        .addColumn("applied_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("addon_migrations_key", ["addon", "name"])
        .execute()
      const records = (await oldRecords(takeOver)).map(({ value, ...record }) => {
        return { ...record, ...columnsFor(value), expires_at: null }
      })
      for (let at = 0; at < records.length; at += BATCH_RECORDS)
        await db
          .insertInto("addon_records")
          .values(records.slice(at, at + BATCH_RECORDS))
          .execute()
    },
  }
  return { "0001-records": first }
}

/** JSON as it is kept. */
export function columnsFor(json: string): Pick<AddonRecordTable, "value" | "count"> {
  const isWhole = /^-?\d{1,16}$/.test(json) && Number.isSafeInteger(Number(json))
  return isWhole ? { value: null, count: Number(json) } : { value: json, count: null }
}
