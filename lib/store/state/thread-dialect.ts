/**
 * The way of kysely's queries to the thread that has the database: a dialect that makes SQL here, as that database speaks it,
 * and has it run there.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  type QueryResult,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely"
import type { SqlLanguage } from "../places.ts"
import type { CallOptions } from "../record-calls.ts"
import { TransactionalAdapter } from "../sqlite.ts"
import type { StatementResult } from "./statements.ts"
import type { StateJob } from "./thread.ts"

/** Gives the thread a job. */
export type Ask = (job: StateJob, options?: CallOptions) => Promise<unknown>

/** That language's SQL, run by the thread. */
export class ThreadDialect implements Dialect {
  readonly #ask: Ask
  readonly #language: SqlLanguage

  constructor(ask: Ask, language: SqlLanguage) {
    this.#ask = ask
    this.#language = language
  }

  createDriver(): Driver {
    return new ThreadDriver(this.#ask)
  }

  createQueryCompiler(): QueryCompiler {
    return this.#language === "sqlite" ? new SqliteQueryCompiler() : new PostgresQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return this.#language === "sqlite" ? new TransactionalAdapter() : new PostgresAdapter()
  }

  createIntrospector(db: Kysely<unknown>): SqliteIntrospector | PostgresIntrospector {
    return this.#language === "sqlite" ? new SqliteIntrospector(db) : new PostgresIntrospector(db)
  }
}

/** Transactions of this process, in whatever kysely. */
let transactions = 0

/** As many connections as are asked for: the thread has one, and lets them take turns. */
class ThreadDriver implements Driver {
  readonly #ask: Ask

  constructor(ask: Ask) {
    this.#ask = ask
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<ThreadConnection> {
    return new ThreadConnection(this.#ask)
  }

  async beginTransaction(connection: ThreadConnection): Promise<void> {
    transactions += 1
    const transaction = transactions
    // Whether one was begun that nobody knows of does not matter: it is taken back.
    await this.#ask({ kind: "begin", transaction })
    connection.transaction = transaction
  }

  commitTransaction(connection: ThreadConnection): Promise<void> {
    return this.#end(connection, "commit")
  }

  rollbackTransaction(connection: ThreadConnection): Promise<void> {
    return this.#end(connection, "rollback")
  }

  async releaseConnection(): Promise<void> {}

  /** The thread is everybody's. */
  async destroy(): Promise<void> {}

  async #end(connection: ThreadConnection, how: "commit" | "rollback"): Promise<void> {
    const { transaction } = connection
    if (transaction === undefined) return
    connection.transaction = undefined
    await this.#ask({ kind: "end", transaction, how }, { isOnce: true })
  }
}

class ThreadConnection implements DatabaseConnection {
  transaction: number | undefined
  readonly #ask: Ask

  constructor(ask: Ask) {
    this.#ask = ask
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const job: StateJob = { kind: "statement", transaction: this.transaction, sql, parameters }
    const options = { isOnce: true, isPart: this.transaction !== undefined }
    const { rows, changes, insertId } = (await this.#ask(job, options)) as StatementResult
    return {
      rows: rows as Row[], // what the caller says that the statement gives
      ...(changes === undefined ? {} : { numAffectedRows: changes }),
      ...(insertId === undefined ? {} : { insertId }),
    }
  }

  /** All at once: an answer is bounded. */
  async *streamQuery<Row>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
    yield await this.executeQuery<Row>(query)
  }
}
