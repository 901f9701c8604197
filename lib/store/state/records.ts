/**
 * Addons' records in the database: each call is one statement, so that two programs on one database never lose what the
 * other one writes. Values are JSON texts here; who makes them is client.ts.
 */
import { type Expression, type ExpressionBuilder, type Kysely, type SqlBool, sql } from "kysely"
import { type AddonRecordTable, columnsFor, type StateSchema } from "./schema.ts"

/** Entries that one answer holds. */
const ENTRIES_MAX = 1_000
/** Milliseconds between two looks for counters that have run out, while some are counted. */
const SWEEP_MS = 60_000

export interface RecordPlace {
  readonly addon: string
  readonly name: string
}

type Builder = ExpressionBuilder<StateSchema, "addon_records">

export class Records {
  readonly #db: Kysely<StateSchema>
  readonly #now: () => number
  #nextSweep = 0

  constructor(db: Kysely<StateSchema>, now: () => number) {
    this.#db = db
    this.#now = now
  }

  /** The record's JSON. */
  async get({ addon, name }: RecordPlace, key: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom("addon_records")
      .select(["value", "count"])
      .where("addon", "=", addon)
      .where("name", "=", name)
      .where("key", "=", key)
      .where((eb) => isLive(eb, this.#now()))
      .executeTakeFirst()
    return row === undefined ? undefined : jsonOf(row)
  }

  async set({ addon, name }: RecordPlace, key: string, json: string): Promise<void> {
    const fields = { ...columnsFor(json), expires_at: null, updated_at: this.#now() }
    await this.#db
      .insertInto("addon_records")
      .values({ addon, name, key, ...fields })
      .onConflict((conflict) => conflict.columns(["addon", "name", "key"]).doUpdateSet(fields))
      .execute()
  }

  async delete({ addon, name }: RecordPlace, key: string): Promise<void> {
    await this.#db
      .deleteFrom("addon_records")
      .where("addon", "=", addon)
      .where("name", "=", name)
      .where("key", "=", key)
      .execute()
  }

  /** In the order of their keys, from behind `after`. */
  async entries({ addon, name }: RecordPlace, after: string): Promise<[string, string][]> {
    const rows = await this.#db
      .selectFrom("addon_records")
      .select(["key", "value", "count"])
      .where("addon", "=", addon)
      .where("name", "=", name)
      .where("key", ">", after)
      .where((eb) => isLive(eb, this.#now()))
      .orderBy("key")
      .limit(ENTRIES_MAX)
      .execute()
    return rows.map((row) => [row.key, jsonOf(row)])
  }

  /** Puts `json` in the place of `seen`, what `get` has given. False: it is another one by now. */
  async swap({ addon, name }: RecordPlace, key: string, seen: string | undefined, json: string): Promise<boolean> {
    const now = this.#now()
    const fields = { ...columnsFor(json), expires_at: null, updated_at: now }
    if (seen === undefined) {
      // There is none, or one that has run out.
      const row = await this.#db
        .insertInto("addon_records")
        .values({ addon, name, key, ...fields })
        .onConflict((conflict) =>
          conflict.columns(["addon", "name", "key"]).doUpdateSet(fields).where("addon_records.expires_at", "<=", now),
        )
        .returning("key")
        .executeTakeFirst()
      return row !== undefined
    }
    const { value, count } = columnsFor(seen)
    const row = await this.#db
      .updateTable("addon_records")
      .set(fields)
      .where("addon", "=", addon)
      .where("name", "=", name)
      .where("key", "=", key)
      .where((eb) => (count === null ? eb("value", "=", value) : eb("count", "=", count)))
      .where((eb) => isLive(eb, now))
      .returning("key")
      .executeTakeFirst()
    return row !== undefined
  }

  /**
   * Counts up in one statement, from 0 where there is nothing or where the time of what is there has run out. Resolves to
   * the new count; to undefined where it is no whole number that could be counted, or would be too large to be one.
   */
  async increment(
    { addon, name }: RecordPlace,
    key: string,
    by: number,
    expires: number | undefined,
  ): Promise<number | undefined> {
    const now = this.#now()
    const fresh = { value: null, count: by, expires_at: expires === undefined ? null : now + expires, updated_at: now }
    const row = await this.#db
      .insertInto("addon_records")
      .values({ addon, name, key, ...fresh })
      .onConflict((conflict) =>
        conflict
          .columns(["addon", "name", "key"])
          .doUpdateSet((eb) => ({
            value: null,
            count: eb.case().when(isOver(eb, now)).then(by).else(sum(by)).end(),
            expires_at: eb
              .case()
              .when(isOver(eb, now))
              .then(fresh.expires_at)
              .else(eb.ref("addon_records.expires_at"))
              .end(),
            updated_at: now,
          }))
          .where((eb) =>
            eb.or([
              isOver(eb, now),
              sql<SqlBool>`${sum(by)} between ${sql.lit(Number.MIN_SAFE_INTEGER)} and ${sql.lit(Number.MAX_SAFE_INTEGER)}`,
            ]),
          ),
      )
      .returning("count")
      .executeTakeFirst()
    // Whatever becomes of it: what is counted is counted, and must not be tried again.
    await this.#sweep(now).catch(() => {})
    return row === undefined || row.count === null ? undefined : Number(row.count)
  }

  /** Deletes counters that have run out, now and then: one a client and minute is a lot in a year. */
  async #sweep(now: number): Promise<void> {
    if (now < this.#nextSweep) return
    this.#nextSweep = now + SWEEP_MS
    await this.#db.deleteFrom("addon_records").where("expires_at", "<=", now).execute()
  }
}

function isLive(eb: Builder, now: number): Expression<SqlBool> {
  return eb.or([eb("addon_records.expires_at", "is", null), eb("addon_records.expires_at", ">", now)])
}

function isOver(eb: Pick<Builder, "ref">, now: number): Expression<SqlBool> {
  return sql<SqlBool>`coalesce(${eb.ref("addon_records.expires_at")} <= ${now}, ${sql.lit(1)} = ${sql.lit(0)})`
}

function sum(by: number): Expression<number> {
  return sql<number>`${sql.ref("addon_records.count")} + ${by}`
}

function jsonOf({ value, count }: Pick<AddonRecordTable, "value" | "count">): string {
  return count === null ? (value ?? "null") : String(count)
}
