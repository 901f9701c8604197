/**
 * Conversations in the database, each by its owner and its id. Who asks in one has its lease meanwhile, so that the requests of one
 * session come after each other in however many llmproxies; a lease of a program that is gone lapses.
 */
import type { Kysely, Transaction } from "kysely"
import { type Clock, isObject, type Message, textOf } from "llmproxy"
import type { Tables } from "./tables.ts"

/** Milliseconds that a lease counts without being renewed. */
export const LEASE_MS = 30_000
/** Messages that are read of one session: its first ones, and the newest. No model takes more. */
const FIRST_MAX = 8
const NEWEST_MAX = 2_000
/** Rows of one page, and of one statement. */
const PAGE = 1_000
const ROWS_MAX = 100
/** Sessions that are listed. */
const LISTED_MAX = 100_000
/** Characters of a first prompt that are a session's name, as Local-LLM-API has it. */
const NAME_CHARS = 30
/** Of a name that is imported. */
const NAME_CHARS_MAX = 200

export interface SessionId {
  readonly owner: string
  readonly id: string
}

export interface Listed {
  readonly id: string
  readonly name: string
  readonly updatedAt: number
  readonly length: number
}

/** Another has the session meanwhile: what was to be kept is not. */
export class LeaseLost extends Error {
  override name = "LeaseLost"
}

export class SessionStore {
  readonly #db: Kysely<Tables>
  readonly #clock: Clock

  constructor(db: Kysely<Tables>, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /** Takes the session for `lease`, and makes it where there is none. Resolves to whether it was free. */
  async take({ owner, id }: SessionId, lease: string): Promise<boolean> {
    const now = this.#clock.now()
    const row = { owner, id, name: "", created_at: now, updated_at: now, length: 0, lease: null, lease_until: 0 }
    await this.#db
      .insertInto("sessions")
      .values(row)
      .onConflict((conflict) => conflict.columns(["owner", "id"]).doNothing())
      .execute()
    const taken = await this.#db
      .updateTable("sessions")
      .set({ lease, lease_until: now + LEASE_MS })
      .where("owner", "=", owner)
      .where("id", "=", id)
      .where((or) => or.or([or("lease", "is", null), or("lease_until", "<=", now)]))
      .returning("id")
      .execute()
    return taken.length > 0
  }

  async renew({ owner, id }: SessionId, lease: string): Promise<void> {
    await this.#db
      .updateTable("sessions")
      .set({ lease_until: this.#clock.now() + LEASE_MS })
      .where("owner", "=", owner)
      .where("id", "=", id)
      .where("lease", "=", lease)
      .execute()
  }

  /** A session in which nothing was said is gone then. */
  async leave({ owner, id }: SessionId, lease: string): Promise<void> {
    const { rowsGone } = await this.#deleteEmpty({ owner, id }, lease)
    if (rowsGone) return
    await this.#db
      .updateTable("sessions")
      .set({ lease: null })
      .where("owner", "=", owner)
      .where("id", "=", id)
      .where("lease", "=", lease)
      .execute()
  }

  async #deleteEmpty({ owner, id }: SessionId, lease: string): Promise<{ rowsGone: boolean }> {
    const gone = await this.#db
      .deleteFrom("sessions")
      .where("owner", "=", owner)
      .where("id", "=", id)
      .where("lease", "=", lease)
      .where("length", "=", 0)
      .returning("id")
      .execute()
    return { rowsGone: gone.length > 0 }
  }

  /** What was said, in its order; of a very long session the first and the newest. */
  async messages({ owner, id }: SessionId): Promise<Message[]> {
    const read = this.#db
      .selectFrom("messages")
      .select(["position", "message"])
      .where("owner", "=", owner)
      .where("session_id", "=", id)
    const newest = await read.orderBy("position", "desc").limit(NEWEST_MAX).execute()
    const from = Number(newest.at(-1)?.position ?? 0)
    const first =
      from === 0 ? [] : await read.where("position", "<", from).orderBy("position").limit(FIRST_MAX).execute()
    return [...first, ...newest.reverse()].flatMap(({ message }) => messageIn(message))
  }

  /** All of it or nothing. Rejects with a LeaseLost where the session is another's by now. */
  async append({ owner, id }: SessionId, lease: string, messages: readonly Message[]): Promise<void> {
    const now = this.#clock.now()
    await this.#db.transaction().execute(async (transaction) => {
      const [session] = await transaction
        .updateTable("sessions")
        .set((row) => ({ length: row("length", "+", messages.length), updated_at: now, lease_until: now + LEASE_MS }))
        .where("owner", "=", owner)
        .where("id", "=", id)
        .where("lease", "=", lease)
        .returning(["length", "name"])
        .execute()
      if (session === undefined) throw new LeaseLost(`session ${id}: it was taken by another llmproxy meanwhile`)
      await insert(transaction, { owner, id }, messages, Number(session.length) - messages.length, now)
      if (session.name !== "") return
      await transaction
        .updateTable("sessions")
        .set({ name: nameOf(messages) })
        .where("owner", "=", owner)
        .where("id", "=", id)
        .execute()
    })
  }

  /** A session as a whole. Resolves to false, and changes nothing, where there is one. */
  async add({ owner, id }: SessionId, name: string, messages: readonly Message[]): Promise<boolean> {
    const now = this.#clock.now()
    const shown = clean(name).slice(0, NAME_CHARS_MAX) || nameOf(messages)
    const row = { owner, id, name: shown, created_at: now, updated_at: now, length: messages.length }
    return this.#db.transaction().execute(async (transaction) => {
      const made = await transaction
        .insertInto("sessions")
        .values({ ...row, lease: null, lease_until: 0 })
        .onConflict((conflict) => conflict.columns(["owner", "id"]).doNothing())
        .returning("id")
        .execute()
      if (made.length === 0) return false
      await insert(transaction, { owner, id }, messages, 0, now)
      return true
    })
  }

  /** By their ids, from behind `after`. */
  async list(owner: string, { after, limit = LISTED_MAX }: { after?: string; limit?: number } = {}): Promise<Listed[]> {
    const all: Listed[] = []
    let last = after
    while (all.length < limit) {
      const wanted = Math.min(PAGE, limit - all.length)
      const page = await this.#page(owner, last, wanted)
      all.push(...page)
      last = page.at(-1)?.id
      if (page.length < wanted) break
    }
    return all
  }

  async #page(owner: string, after: string | undefined, limit: number): Promise<Listed[]> {
    let query = this.#db
      .selectFrom("sessions")
      .select(["id", "name", "updated_at", "length"])
      .where("owner", "=", owner)
      .where("length", ">", 0)
    if (after !== undefined) query = query.where("id", ">", after)
    const rows = await query.orderBy("id").limit(limit).execute()
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      updatedAt: Number(row.updated_at),
      length: Number(row.length),
    }))
  }

  async owners(): Promise<string[]> {
    const rows = await this.#db.selectFrom("sessions").select("owner").distinct().orderBy("owner").execute()
    return rows.map(({ owner }) => owner)
  }

  /** Resolves to whether there was one. */
  async delete({ owner, id }: SessionId): Promise<boolean> {
    return this.#db.transaction().execute(async (transaction) => {
      const gone = await transaction
        .deleteFrom("sessions")
        .where("owner", "=", owner)
        .where("id", "=", id)
        .returning("id")
        .execute()
      await transaction.deleteFrom("messages").where("owner", "=", owner).where("session_id", "=", id).execute()
      return gone.length > 0
    })
  }
}

async function insert(
  transaction: Transaction<Tables>,
  { owner, id }: SessionId,
  messages: readonly Message[],
  from: number,
  at: number,
): Promise<void> {
  const rows = messages.map((message, index) => ({
    ...{ owner, session_id: id, position: from + index, at },
    message: JSON.stringify(message),
  }))
  for (let start = 0; start < rows.length; start += ROWS_MAX)
    await transaction
      .insertInto("messages")
      .values(rows.slice(start, start + ROWS_MAX))
      .execute()
}

function messageIn(text: string): Message[] {
  try {
    const value: unknown = JSON.parse(text)
    return isMessage(value) ? [value] : []
  } catch {
    return []
  }
}

function isMessage(value: unknown): value is Message {
  return isObject(value) && typeof value.role === "string"
}

function nameOf(messages: readonly Message[]): string {
  const first = messages.find(({ role }) => role === "user")
  return `${clean(textOf(first?.content ?? undefined)).slice(0, NAME_CHARS)}...`
}

/** On one line, and without what a database refuses. */
function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
  return text.slice(0, NAME_CHARS_MAX).replace(/[\u0000-\u001f\u007f]/g, " ")
}
