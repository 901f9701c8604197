/**
 * Addons' own SQL in the thread that speaks to the database: single statements, and transactions that are told step by
 * step from the other side. A transaction that nobody goes on with is taken back after a while, because all others wait
 * for its end.
 */
import { CompiledQuery, type ControlledTransaction, type Kysely } from "kysely"
import type { Clock, Timer } from "../../base/clock.ts"
import type { StateSchema } from "./schema.ts"

/** Milliseconds that a transaction may stand without a statement. */
const TRANSACTION_IDLE_MS_MAX = 5_000
/** Rows that one answer holds. */
const RESULT_ROWS_MAX = 100_000

/** Transactions of which is remembered that they were taken back. */
const OVERDUE_MAX = 1_000

/** In SQL, as text: a transaction begun so would be everybody's, and nobody would know of it. */
const TRANSACTION_WORDS = /^(begin|commit|end|rollback|savepoint|release|start)$/i
/** What they set holds for all addons, and the store is made for the settings that it has: its log, its locks. */
const CONNECTION_WORDS = /^(pragma|attach|detach|vacuum|set|reset|discard|listen|unlisten|lock)$/i
/** What may stand before the first word of a statement. */
const BLANK = /\s+|;|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y
const WORD = /[a-z]*/iy

export interface Statement {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

export interface StatementResult {
  readonly rows: readonly unknown[]
  readonly changes: bigint | undefined
  readonly insertId: bigint | undefined
}

interface Open {
  readonly transaction: ControlledTransaction<StateSchema>
  /** Statements that are running. */
  running: number
  timer: Timer | undefined
}

export class Statements {
  readonly #db: Kysely<StateSchema>
  readonly #clock: Clock
  readonly #open = new Map<number, Open>()
  /** Transactions that were taken back, until they are told. */
  readonly #overdue = new Set<number>()

  constructor(db: Kysely<StateSchema>, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /** Runs a statement: in a transaction, or by itself once the open one has ended. */
  async run({ sql, parameters }: Statement, transaction?: number): Promise<StatementResult> {
    const word = firstWordOf(sql)
    if (TRANSACTION_WORDS.test(word))
      throw new Error("a transaction is begun and ended by db.transaction(): everybody shares the connection")
    if (CONNECTION_WORDS.test(word))
      throw new Error(`${word} is about the file and the connection, which is everybody's; leave it out`)
    const query = CompiledQuery.raw(sql, [...parameters])
    if (transaction === undefined) return resultOf(await this.#db.executeQuery(query))
    const open = this.#found(transaction)
    open.timer?.cancel()
    open.running += 1
    try {
      return resultOf(await open.transaction.executeQuery(query))
    } finally {
      open.running -= 1
      this.#watch(transaction, open)
    }
  }

  /** Begins a transaction once no other is open. */
  async begin(id: number): Promise<void> {
    const transaction = await this.#db.startTransaction().execute()
    const open: Open = { transaction, running: 0, timer: undefined }
    this.#open.set(id, open)
    this.#watch(id, open)
  }

  async end(id: number, how: "commit" | "rollback"): Promise<void> {
    if (how === "rollback" && this.#overdue.delete(id)) return
    const { transaction, timer } = this.#found(id)
    timer?.cancel()
    this.#open.delete(id)
    await (how === "commit" ? committed(transaction) : transaction.rollback().execute())
  }

  /** Takes back whatever is open. */
  async close(): Promise<void> {
    for (const id of [...this.#open.keys()]) await this.end(id, "rollback")
  }

  #found(id: number): Open {
    const open = this.#open.get(id)
    if (open !== undefined) return open
    if (this.#overdue.has(id))
      throw new Error(
        `the transaction was taken back: nothing was asked in it for ${TRANSACTION_IDLE_MS_MAX} ms, and all others wait ` +
          "for its end; within a transaction ask the transaction, and wait for nothing else",
      )
    throw new Error("the transaction was taken back: the store's thread ended meanwhile; try it again")
  }

  #watch(id: number, open: Open): void {
    if (this.#open.get(id) !== open || open.running > 0) return
    open.timer = this.#clock.after(TRANSACTION_IDLE_MS_MAX, () => {
      this.#open.delete(id)
      this.#overdue.add(id)
      const [oldest] = this.#overdue
      if (this.#overdue.size > OVERDUE_MAX && oldest !== undefined) this.#overdue.delete(oldest)
      // Whatever becomes of it: its connection is let go.
      open.transaction
        .rollback()
        .execute()
        .catch(() => {})
    })
  }
}

function firstWordOf(sql: string): string {
  let start = 0
  for (;;) {
    BLANK.lastIndex = start
    const blank = BLANK.exec(sql)
    if (blank === null) break
    start += blank[0].length
  }
  WORD.lastIndex = start
  return WORD.exec(sql)?.[0] ?? ""
}

/** A commit that fails leaves the transaction open, and everybody waiting. */
async function committed(transaction: ControlledTransaction<StateSchema>): Promise<void> {
  try {
    await transaction.commit().execute()
  } catch (thrown) {
    await transaction
      .rollback()
      .execute()
      .catch(() => {})
    throw thrown
  }
}

function resultOf({
  rows,
  numAffectedRows,
  insertId,
}: {
  rows: readonly unknown[]
  numAffectedRows?: bigint | undefined
  insertId?: bigint | undefined
}): StatementResult {
  if (rows.length > RESULT_ROWS_MAX)
    throw new Error(`the statement gives ${rows.length} rows, and an answer holds ${RESULT_ROWS_MAX}: ask with a limit`)
  return { rows, changes: numAffectedRows, insertId }
}
