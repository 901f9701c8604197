/**
 * Reads a history file while a proxy writes it: a connection that can only read, so that one program writes. What may be
 * large is read a page at a time; no answer needs the whole file in memory.
 */
import { existsSync } from "node:fs"
import { type Expression, type ExpressionBuilder, type Kysely, type SqlBool, sql } from "kysely"
import { StartError, UsageError } from "../base/errors.ts"
import { isObject, type JsonObject, type JsonValue, parseJson } from "../base/json.ts"
import { openReader } from "./database.ts"
import { isPostgresUrl } from "./places.ts"
import type { FlowRow, Schema } from "./schema.ts"

/** Flows that are read at once. */
const PAGE_FLOWS = 100
/** Characters of the last message that a list shows the beginning of. */
const EXCERPT_CHARS = 400

export interface FlowFilter {
  /** The model asked for or answering; `*` stands for anything. */
  readonly model?: string | undefined
  readonly route?: string | undefined
  readonly client?: string | undefined
  /** Epoch milliseconds: begun at or after. */
  readonly since?: number | undefined
  /** Begun before. */
  readonly until?: number | undefined
  readonly status?: StatusFilter | undefined
  /** A text within a message or the answer, upper and lower case alike. */
  readonly search?: string | undefined
  /** Whether attempts are wanted, too. Default: no. */
  readonly attempts?: boolean
}

/** A range of statuses, or whether the flow went well. */
export type StatusFilter = "ok" | "error" | { readonly from: number; readonly to: number }

export interface ListedFlow extends FlowRow {
  /** The beginning of the last message's JSON. */
  readonly excerpt: string | null
}

/** A flow with what was said. */
export interface Exchange {
  readonly flow: FlowRow
  readonly messages: readonly JsonObject[]
  /** The assistant's message; undefined without an answer. */
  readonly answer: JsonObject | undefined
  readonly tools: JsonValue | undefined
}

/** Sums over the flows of one model on one route. */
export interface UsageSum {
  readonly model: string
  readonly route: string
  readonly requests: number
  readonly failed: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedTokens: number
  readonly reasoningTokens: number
  /** Requests whose tokens are our count. */
  readonly counted: number
}

export class Reader {
  readonly #db: Kysely<Schema>
  readonly close: () => Promise<void>

  private constructor({ db, close }: Awaited<ReturnType<typeof openReader>>) {
    this.#db = db
    this.close = close
  }

  /** Throws a StartError when there is no history, or none that this version can read. */
  static async open(file: string): Promise<Reader> {
    if (!isPostgresUrl(file) && !existsSync(file))
      throw new StartError(`${file}: there is no history yet; llmproxy -s history keeps what passes`)
    return new Reader(await openReader(file))
  }

  /** The latest flows, newest first. */
  async list(filter: FlowFilter, limit: number): Promise<ListedFlow[]> {
    return await this.#matching(filter)
      .leftJoin("turns", "turns.hash", "flows.conversation")
      .leftJoin("contents", "contents.hash", "turns.message")
      .selectAll("flows")
      .select(sql<string | null>`substr(contents.json, 1, ${EXCERPT_CHARS})`.as("excerpt"))
      .orderBy("flows.id", "desc")
      .limit(limit)
      .execute()
  }

  /** All flows that match, oldest first, a page at a time; of more than `limit`, the latest. */
  async *flows(filter: FlowFilter, limit?: number): AsyncGenerator<FlowRow, void> {
    let after = await this.#start(filter, limit)
    for (;;) {
      let query = this.#matching(filter).selectAll("flows").orderBy("flows.id").limit(PAGE_FLOWS)
      if (after !== undefined) query = query.where("flows.id", ">", after)
      const page = await query.execute()
      yield* page
      after = page.at(-1)?.id
      if (page.length < PAGE_FLOWS) return
    }
  }

  /** The id behind which the last `limit` flows are. */
  async #start(filter: FlowFilter, limit: number | undefined): Promise<string | undefined> {
    if (limit === undefined) return undefined
    const query = this.#matching(filter).select("flows.id").orderBy("flows.id", "desc").offset(limit).limit(1)
    return (await query.executeTakeFirst())?.id
  }

  /** The flow whose id is `text`, or begins or ends so. Throws a UsageError when there is none, or several. */
  async flow(text: string): Promise<FlowRow> {
    const like = escapeLike(lower(text))
    const rows = await this.#db
      .selectFrom("flows")
      .selectAll()
      .where((eb) => eb.or([isLike(eb.ref("id"), `${like}%`), isLike(eb.ref("id"), `%${like}`)]))
      .limit(3)
      .execute()
    const [row] = rows
    if (row === undefined)
      throw new UsageError(`history show ${text}: no flow has this id; llmproxy history lists them`)
    if (rows.length > 1)
      throw new UsageError(`history show ${text}: more than one flow has such an id; write all of it`)
    return row
  }

  /** The attempts of a flow, in order. */
  async attempts(id: string): Promise<FlowRow[]> {
    return await this.#db.selectFrom("flows").selectAll().where("parent_id", "=", id).orderBy("id").execute()
  }

  /** What was said in a flow. */
  async exchange(flow: FlowRow): Promise<Exchange> {
    const [messages, answer, tools] = [
      await this.#conversation(flow.conversation),
      await this.content(flow.answer),
      await this.content(flow.tools),
    ]
    return { flow, messages, answer: isObject(answer) ? answer : undefined, tools }
  }

  /** A content by its hash; undefined when it is not there (any more). */
  async content(hash: string | null): Promise<JsonValue | undefined> {
    if (hash === null) return undefined
    const row = await this.#db.selectFrom("contents").select("json").where("hash", "=", hash).executeTakeFirst()
    return row === undefined ? undefined : parseJson(row.json)
  }

  /** Tokens by model and route, most first; and how many attempts there were. */
  async stats(filter: FlowFilter): Promise<{ sums: UsageSum[]; attempts: number }> {
    const sum = (column: "input_tokens" | "output_tokens" | "cached_tokens" | "reasoning_tokens") =>
      sql<number>`coalesce(sum(${sql.ref(`flows.${column}`)}), 0)`
    const count = (condition: Expression<unknown>) => sql<number>`sum(case when ${condition} then 1 else 0 end)`
    const rows = await this.#matching({ ...filter, attempts: false })
      .where("flows.dialect", "is not", null)
      .select((eb) => [
        sql<string>`coalesce(flows.answered_model, flows.model, '')`.as("model"),
        sql<string>`coalesce(flows.route, 'direct')`.as("route"),
        sql<number>`count(*)`.as("requests"),
        count(isFailed(eb)).as("failed"),
        sum("input_tokens").as("inputTokens"),
        sum("output_tokens").as("outputTokens"),
        sum("cached_tokens").as("cachedTokens"),
        sum("reasoning_tokens").as("reasoningTokens"),
        count(eb("flows.usage_source", "=", "counted")).as("counted"),
      ])
      .groupBy([sql`1`, sql`2`])
      .orderBy(sql`5`, "desc")
      .execute()
    const attempts = await this.#matching({ ...filter, attempts: true })
      .where("flows.parent_id", "is not", null)
      .select(sql<number>`count(*)`.as("count"))
      .executeTakeFirst()
    return { sums: rows, attempts: attempts?.count ?? 0 }
  }

  async #conversation(last: string | null): Promise<JsonObject[]> {
    if (last === null) return []
    const rows = await this.#db
      .withRecursive("chain", (db) =>
        db
          .selectFrom("turns")
          .select(["previous", "message", "position"])
          .where("hash", "=", last)
          .unionAll(
            db
              .selectFrom("turns")
              .innerJoin("chain", "chain.previous", "turns.hash")
              .select(["turns.previous", "turns.message", "turns.position"]),
          ),
      )
      .selectFrom("chain")
      .innerJoin("contents", "contents.hash", "chain.message")
      .select("contents.json")
      .orderBy("chain.position")
      .execute()
    return rows.map(({ json }) => parseJson(json)).filter(isObject)
  }

  #matching(filter: FlowFilter) {
    const { search } = filter
    const pattern = search === undefined ? undefined : `%${escapeLike(lower(JSON.stringify(search).slice(1, -1)))}%`
    const query = this.#db
      // One look at each content and each turn, however long the conversations are.
      .withRecursive("found", (db) =>
        db
          .selectFrom("turns")
          .innerJoin("contents", "contents.hash", "turns.message")
          .select("turns.hash")
          .where((eb) => (pattern === undefined ? eb.lit(false) : isLike(eb.ref("contents.json"), pattern)))
          .union(db.selectFrom("turns").innerJoin("found", "found.hash", "turns.previous").select("turns.hash")),
      )
      .selectFrom("flows")
    let result = query.where((eb) => conditions(eb, filter))
    if (pattern !== undefined)
      result = result.where((eb) =>
        eb.or([
          eb("flows.conversation", "in", eb.selectFrom("found").select("found.hash")),
          eb(
            "flows.answer",
            "in",
            eb
              .selectFrom("contents")
              .select("contents.hash")
              .where((inner) => isLike(inner.ref("contents.json"), pattern)),
          ),
        ]),
      )
    return result
  }
}

type FlowBuilder = ExpressionBuilder<Schema, "flows">

function conditions(eb: FlowBuilder, filter: FlowFilter): Expression<SqlBool> {
  const { model, route, client, since, until, status, attempts } = filter
  const all: Expression<SqlBool>[] = []
  if (attempts !== true) all.push(eb("flows.parent_id", "is", null))
  if (since !== undefined) all.push(eb("flows.started_at", ">=", since))
  if (until !== undefined) all.push(eb("flows.started_at", "<", until))
  if (client !== undefined) all.push(eb("flows.client_id", "=", client))
  if (route === "direct") all.push(eb("flows.route", "is", null))
  else if (route !== undefined) all.push(eb("flows.route", "=", route))
  if (model !== undefined) {
    const pattern = escapeLike(lower(model)).replaceAll("*", "%")
    all.push(eb.or([isLike(eb.ref("flows.model"), pattern), isLike(eb.ref("flows.answered_model"), pattern)]))
  }
  if (status === "error") all.push(isFailed(eb))
  else if (status === "ok") all.push(eb.not(isFailed(eb)))
  else if (status !== undefined) all.push(eb.between("flows.status", status.from, status.to))
  return eb.and(all)
}

/** Broken off, an error event, a status of 400 or more, or none at all. */
function isFailed(eb: FlowBuilder): Expression<SqlBool> {
  return eb.or([
    eb("flows.error_code", "is not", null),
    eb("flows.llm_error_kind", "is not", null),
    eb("flows.status", "is", null),
    eb("flows.status", ">=", 400),
  ])
}

/** LIKE without regard to case, which SQLite and PostgreSQL spell differently. `pattern` is in lower case. */
function isLike(value: Expression<string | null>, pattern: string): Expression<SqlBool> {
  return sql<SqlBool>`lower(${value}) like ${pattern} escape '!'`
}

/** As SQLite's lower(): of A to Z alone. */
function lower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

function escapeLike(text: string): string {
  return text.replace(/[!%_]/g, "!$&")
}
