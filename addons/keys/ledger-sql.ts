/**
 * The ledger in the database. Calls that come while a transaction runs go together into the next one, so that a commit, which is a
 * write to the disk, is paid once for all of them. A transaction first takes the locks of its keys, in their order: whoever
 * checks a key is then alone with it, in whatever process. Within it there are as many statements as kinds of work, not as
 * many as requests.
 */
import type { Kysely, Transaction } from "kysely"
import type { Clock, Logger } from "llmproxy"
import { type Amounts, type Held, judge, type Refused, type Standing } from "./judge.ts"
import { type Ledger, NOTHING, type Reservation, type Settlement, sum } from "./ledger.ts"
import { MINUTE_MS, SPANS, type Span, spanAt, spanEnd } from "./limits.ts"
import type { ReservationRow, Tables } from "./tables.ts"

/** Calls in one transaction. */
const BATCH_MAX = 200
/** Milliseconds that what keys without limits use is collected, before it is written at once. */
const COLLECT_MS = 1_000
/** Milliseconds until what could not be written is tried again. */
const RETRY_MS = 1_000
/** Times that a transaction which met another one is run again at once (PostgreSQL's 40001 and 40P01). */
const CONFLICTS_MAX = 10
/** Settlements that wait for a database that is gone; beyond, the lease decides. */
const SETTLEMENTS_MAX = 100_000
/** Days that the sums of a span are kept once it is over. */
const KEPT_DAYS: Readonly<Record<Span, number>> = { minute: 1, day: 400, month: 4_000 }
const DAY_MS = 86_400_000

interface Reserving {
  readonly wish: Reservation
  resolve(verdict: Refused | readonly Standing[]): void
  reject(reason: unknown): void
}

interface Settling {
  readonly settlement: Settlement
  resolve(): void
}

export interface SqlLedgerOptions {
  readonly db: Kysely<Tables>
  readonly clock: Clock
  readonly log: Logger
  /** Names this process among those that share the database. */
  readonly process: string
  /** Milliseconds; as it is now. */
  lease(): number
}

export class SqlLedger implements Ledger {
  readonly #options: SqlLedgerOptions
  #reserving: Reserving[] = []
  #settling: Settling[] = []
  /** By key and minute. */
  #added = new Map<string, Added>()
  #running: Promise<void> | undefined
  #isCollecting = false
  /** What was collected has waited long enough. */
  #isDue = false
  #isClosed = false

  constructor(options: SqlLedgerOptions) {
    this.#options = options
  }

  reserve(wish: Reservation): Promise<Refused | readonly Standing[]> {
    return new Promise((resolve, reject) => {
      this.#reserving.push({ wish, resolve, reject })
      this.#start()
    })
  }

  settle(settlement: Settlement): Promise<void> {
    if (this.#settling.length >= SETTLEMENTS_MAX) return Promise.resolve()
    return new Promise((resolve) => {
      this.#settling.push({ settlement, resolve })
      this.#start()
    })
  }

  add(key: string, at: number, amounts: Amounts): void {
    this.#collect({ key, at, amounts })
    if (this.#isCollecting) return
    this.#isCollecting = true
    this.#options.clock.after(COLLECT_MS, () => {
      this.#isCollecting = false
      this.#isDue = true
      this.#start()
    })
  }

  async used(key: string, spans: readonly string[]): Promise<readonly Amounts[]> {
    const { db } = this.#options
    const rows = await db.selectFrom("usage").selectAll().where("key_id", "=", key).where("span", "in", spans).execute()
    return spans.map((span) => amountsOf(rows.find((row) => row.span === span)))
  }

  async renew(): Promise<void> {
    const { db, clock, process, lease, log } = this.#options
    try {
      const now = clock.now()
      await db
        .updateTable("reservations")
        .set({ lapses_at: now + lease() })
        .where("process", "=", process)
        .execute()
      await this.#transaction((transaction) => this.#lapse(transaction, now))
      await db.deleteFrom("usage").where("keep_until", "<", now).execute()
    } catch (thrown) {
      log.warn(`reservations could not be renewed: ${String(thrown)}`)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#start()
    while (this.#running !== undefined) await this.#running
  }

  #start(): void {
    if (this.#isPending) this.#running ??= this.#run()
  }

  /** What is only added waits for its time, or each request would begin a transaction. */
  get #isPending(): boolean {
    if (this.#reserving.length + this.#settling.length > 0) return true
    return this.#added.size > 0 && (this.#isDue || this.#isClosed)
  }

  async #run(): Promise<void> {
    try {
      while (this.#isPending && (await this.#runOne())) {}
    } finally {
      // At once, not a turn later: who is told of its verdict may come again before that.
      this.#running = undefined
    }
  }

  /** Resolves to whether it has gone well. Never rejects. */
  async #runOne(): Promise<boolean> {
    const reserving = this.#reserving.splice(0, BATCH_MAX)
    const settling = this.#settling.splice(0, BATCH_MAX)
    const added = this.#isDue || this.#isClosed ? this.#added : new Map<string, Added>()
    if (added === this.#added) this.#added = new Map()
    this.#isDue = false
    try {
      const verdicts = await this.#transaction((transaction) => this.#write(transaction, reserving, settling, added))
      for (const [index, { resolve }] of reserving.entries()) resolve(verdicts[index] ?? [])
      for (const { resolve } of settling) resolve()
      return true
    } catch (thrown) {
      for (const { reject } of reserving) reject(thrown)
      this.#putBack(settling, added, thrown)
      if (!this.#isClosed) this.#options.clock.after(RETRY_MS, () => this.#start())
      return false
    }
  }

  /** Cheap, as it is on the path of each request: what a span is called is told when it is written. */
  #collect({ key, at, amounts }: Added): void {
    const id = `${key} ${Math.floor(at / MINUTE_MS)}`
    const before = this.#added.get(id)
    this.#added.set(id, { key, at, amounts: before === undefined ? amounts : sum(before.amounts, amounts) })
  }

  #putBack(settling: readonly Settling[], added: ReadonlyMap<string, Added>, thrown: unknown): void {
    this.#options.log.warn(`what keys have used could not be written, and is tried again: ${String(thrown)}`)
    this.#settling = [...settling, ...this.#settling]
    for (const one of added.values()) this.#collect(one)
    if (added.size > 0) this.#isDue = true
    // Who waits for an ending waits for no database that is gone.
    for (const { resolve } of settling) resolve()
  }

  async #transaction<T>(run: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#options.db.transaction().execute(run)
      } catch (thrown) {
        if (tries >= CONFLICTS_MAX || !isConflict(thrown)) throw thrown
      }
    }
  }

  async #write(
    transaction: Transaction<Tables>,
    reserving: readonly Reserving[],
    settling: readonly Settling[],
    added: ReadonlyMap<string, Added>,
  ): Promise<(Refused | readonly Standing[])[]> {
    const wishes = reserving.map(({ wish }) => wish)
    const settlements = settling.map(({ settlement }) => settlement)
    await lock(
      transaction,
      [...wishes, ...settlements].map(({ key }) => key),
    )
    const sums = new Map<string, Addition>()
    for (const { key, at, amounts } of added.values()) addTo(sums, key, at, amounts)
    for (const { key, at, tokens, money } of await settled(transaction, settlements))
      addTo(sums, key, at, { requests: 0, tokens, money })
    const verdicts = wishes.length === 0 ? [] : await this.#judge(transaction, wishes, sums)
    await write(transaction, sums)
    return verdicts
  }

  /** Puts what is let in among the reservations and, as requests, into `sums`, which are not written yet. */
  async #judge(
    transaction: Transaction<Tables>,
    wishes: readonly Reservation[],
    sums: Map<string, Addition>,
  ): Promise<(Refused | readonly Standing[])[]> {
    const { clock, process, lease } = this.#options
    const now = clock.now()
    const keys = [...new Set(wishes.map(({ key }) => key))]
    const spans = [...new Set(wishes.flatMap(({ at }) => SPANS.map((span) => spanAt(span, at))))]
    const rows = await transaction
      .selectFrom("usage")
      .selectAll()
      .where("key_id", "in", keys)
      .where("span", "in", spans)
      .execute()
    const usage = new Map(rows.map((row) => [`${row.key_id} ${row.span}`, amountsOf(row)]))
    const held = await heldBy(transaction, keys, now)
    const entered: ReservationRow[] = []
    const verdicts = wishes.map((wish) => {
      const { id, key, at, slots, tokens, money } = wish
      const used = (span: string) =>
        sum(usage.get(`${key} ${span}`) ?? NOTHING, sums.get(`${key} ${span}`)?.amounts ?? NOTHING)
      const running = held.get(key) ?? []
      const verdict = judge(wish, used, running)
      if ("retryMs" in verdict) return verdict
      held.set(key, [...running, wish])
      addTo(sums, key, at, { requests: 1, tokens: 0, money: 0 })
      entered.push({ id, key_id: key, process, started_at: at, lapses_at: now + lease(), slots, tokens, money })
      return verdict
    })
    if (entered.length > 0) await transaction.insertInto("reservations").values(entered).execute()
    return verdicts
  }

  /** What others have left behind is counted as it was reserved: what it came to nobody can tell any more. */
  async #lapse(transaction: Transaction<Tables>, now: number): Promise<void> {
    const rows = await transaction.selectFrom("reservations").selectAll().where("lapses_at", "<=", now).execute()
    if (rows.length === 0) return
    await lock(
      transaction,
      rows.map(({ key_id }) => key_id),
    )
    const left = rows.map(({ id, key_id, started_at, tokens, money }) => ({
      id,
      key: key_id,
      at: Number(started_at),
      tokens: Number(tokens),
      money: Number(money),
    }))
    const sums = new Map<string, Addition>()
    for (const { key, at, tokens, money } of await settled(transaction, left))
      addTo(sums, key, at, { requests: 0, tokens, money })
    await write(transaction, sums)
    this.#options.log.warn(`${rows.length} requests of a llmproxy that is gone are counted as they were reserved`)
  }
}

/** What keys without limits have used in a minute. */
interface Added {
  readonly key: string
  readonly at: number
  readonly amounts: Amounts
}

/** What is to be added to the sums of a key in a span. */
interface Addition {
  readonly key: string
  readonly span: string
  readonly keepUntil: number
  readonly amounts: Amounts
}

function addTo(sums: Map<string, Addition>, key: string, at: number, amounts: Amounts): void {
  for (const span of SPANS) {
    const name = spanAt(span, at)
    const id = `${key} ${name}`
    const before = sums.get(id)
    const keepUntil = spanEnd(span, at) + KEPT_DAYS[span] * DAY_MS
    sums.set(id, { key, span: name, keepUntil, amounts: sum(before?.amounts ?? NOTHING, amounts) })
  }
}

async function lock(transaction: Transaction<Tables>, keys: readonly string[]): Promise<void> {
  const rows = [...new Set(keys)].sort().map((key_id) => ({ key_id, turn: 0 }))
  if (rows.length === 0) return
  await transaction
    .insertInto("locks")
    .values(rows)
    .onConflict((conflict) => conflict.column("key_id").doUpdateSet((eb) => ({ turn: eb("locks.turn", "+", 1) })))
    .execute()
}

/** Those that were reserved still: what is settled already is gone. */
async function settled(transaction: Transaction<Tables>, all: readonly Settlement[]): Promise<readonly Settlement[]> {
  if (all.length === 0) return []
  const ids = all.map(({ id }) => id)
  const rows = await transaction.deleteFrom("reservations").where("id", "in", ids).returning("id").execute()
  const gone = new Set(rows.map(({ id }) => id))
  return all.filter(({ id }) => gone.delete(id))
}

async function heldBy(
  transaction: Transaction<Tables>,
  keys: readonly string[],
  now: number,
): Promise<Map<string, Held[]>> {
  const rows = await transaction
    .selectFrom("reservations")
    .select(["key_id", "started_at", "slots", "tokens", "money"])
    .where("key_id", "in", keys)
    .where("lapses_at", ">", now)
    .execute()
  const held = new Map<string, Held[]>()
  for (const { key_id, started_at, slots, tokens, money } of rows) {
    const one = { at: Number(started_at), slots: Number(slots), tokens: Number(tokens), money: Number(money) }
    held.set(key_id, [...(held.get(key_id) ?? []), one])
  }
  return held
}

/** In one order, so that no two transactions wait for each other. */
async function write(transaction: Transaction<Tables>, sums: ReadonlyMap<string, Addition>): Promise<void> {
  const rows = [...sums]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, { key, span, keepUntil, amounts }]) => ({ key_id: key, span, keep_until: keepUntil, ...amounts }))
  if (rows.length === 0) return
  await transaction
    .insertInto("usage")
    .values(rows)
    .onConflict((conflict) =>
      conflict.columns(["key_id", "span"]).doUpdateSet((eb) => ({
        requests: eb("usage.requests", "+", eb.ref("excluded.requests")),
        tokens: eb("usage.tokens", "+", eb.ref("excluded.tokens")),
        money: eb("usage.money", "+", eb.ref("excluded.money")),
      })),
    )
    .execute()
}

function amountsOf(row: Amounts | undefined): Amounts {
  if (row === undefined) return NOTHING
  return { requests: Number(row.requests), tokens: Number(row.tokens), money: Number(row.money) }
}

function isConflict(thrown: unknown): boolean {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? thrown.code : undefined
  return code === "40001" || code === "40P01"
}
