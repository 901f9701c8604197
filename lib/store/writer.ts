/**
 * The one writer of a history: batches of flows in one transaction each, and retention in small steps. It runs in the
 * history's thread, and in tests without one.
 */
import type { Transaction } from "kysely"
import type { FlowSnapshot } from "../api/flow.ts"
import { messageOf } from "../base/errors.ts"
import { Redactor } from "../base/secrets/redactor.ts"
import { conversationHash, dropContent, dropConversation, keepContents, keepConversations } from "./contents.ts"
import type { HistoryDatabase } from "./database.ts"
import { type ContentColumn, type FlowRecord, learnFrom, recordOf } from "./flow-record.ts"
import { CONTENT_COLUMNS, type FlowRow, type NewFlowRow, type Schema } from "./schema.ts"

/** Flows that one step of retention looks at, and turns that it deletes: some 10 ms. */
const STEP_FLOWS_MAX = 50
const STEP_TURNS_MAX = 500
/** Over the size, so much is deleted that the next flow is not over it again. */
const SIZE_GOAL = 0.95

/** What is kept for how long. */
export interface Retention {
  /** Milliseconds; undefined: no limit. */
  readonly maxAgeMs: number | undefined
  /** Bytes that the file may use; undefined: no limit. */
  readonly maxBytes: number | undefined
}

export class Writer {
  readonly #database: HistoryDatabase
  readonly #redactor = new Redactor()
  #retention: Retention = { maxAgeMs: undefined, maxBytes: undefined }
  /** Whether the size was exceeded and the goal is not reached yet. */
  #isShrinking = false

  constructor(database: HistoryDatabase) {
    this.#database = database
  }

  /**
   * Stores flows, all or none of those that can be stored; resolves to the others: what was wrong, by the flow's id.
   * `secrets`: of the program's own, which are in no flow's credentials.
   */
  async store(
    snapshots: readonly FlowSnapshot[],
    secrets: readonly string[] = [],
  ): Promise<ReadonlyMap<string, string>> {
    this.#redactor.know(secrets)
    const failed = new Map<string, string>()
    const records = new Map<string, FlowRecord>()
    const each = (work: (snapshot: FlowSnapshot) => void) => {
      for (const snapshot of snapshots) {
        try {
          if (!failed.has(snapshot.id)) work(snapshot)
        } catch (thrown) {
          failed.set(snapshot.id, messageOf(thrown))
        }
      }
    }
    // All credentials first: an attempt may end behind its parent, which repeats what it was answered.
    each((snapshot) => learnFrom(snapshot, this.#redactor))
    each((snapshot) => void records.set(snapshot.id, recordOf(snapshot, this.#redactor)))
    if (records.size > 0) await this.#database.db.transaction().execute((db) => storeFlows(db, records))
    return failed
  }

  retain(retention: Retention): void {
    this.#retention = retention
  }

  /** One step towards the limits. Resolves to whether there is more to do. */
  async step(now: number): Promise<boolean> {
    const { maxAgeMs, maxBytes } = this.#retention
    if (maxAgeMs !== undefined && (await this.#prune(now - maxAgeMs)).touched > 0) return true
    if (maxBytes !== undefined && (await this.#isOver(maxBytes))) {
      const isEnough = async () => !(await this.#isOver(maxBytes))
      if ((await this.#prune(undefined, isEnough)).touched > 0) return true
    }
    return await this.giveBack()
  }

  /** Deletes the oldest flows that began before `before`, a step's worth of them. Touches none when there are none left. */
  prune(before: number): Promise<Step> {
    return this.#prune(before)
  }

  /** Bytes that are in use; undefined: unknown, and then no size is kept within. */
  bytes(): Promise<number | undefined> {
    return this.#database.usedBytes()
  }

  close(): Promise<void> {
    return this.#database.close()
  }

  async #isOver(maxBytes: number): Promise<boolean> {
    const bytes = await this.bytes()
    if (bytes === undefined) return false
    this.#isShrinking = this.#isShrinking ? bytes > maxBytes * SIZE_GOAL : bytes > maxBytes
    return this.#isShrinking
  }

  async #prune(before: number | undefined, isEnough = async () => false): Promise<Step> {
    return this.#database.db.transaction().execute(async (db) => {
      let query = db
        .selectFrom("flows")
        .select(["id", "conversation", ...CONTENT_COLUMNS])
        .orderBy("started_at")
        .orderBy("id")
        .limit(STEP_FLOWS_MAX)
      if (before !== undefined) query = query.where("started_at", "<", before)
      const step = { touched: 0, deleted: 0 }
      let turns = STEP_TURNS_MAX
      for (const flow of await query.execute()) {
        if (turns <= 0 || (await isEnough())) break
        const { isDeleted, dropped } = await dropFlow(db, flow, turns)
        turns -= dropped
        step.touched += 1
        step.deleted += Number(isDeleted)
      }
      return step
    })
  }

  /** Gives back to the system what is free, a little. False: there is hardly any. */
  giveBack(): Promise<boolean> {
    return this.#database.giveBack()
  }
}

/** Flows, then turns, then contents, each in a fixed order: two programs that store never wait for each other in a circle. */
async function storeFlows(db: Transaction<Schema>, records: ReadonlyMap<string, FlowRecord>): Promise<void> {
  const ids = [...records.keys()].sort()
  const fresh: FlowRecord[] = []
  for (const id of ids) {
    const record = records.get(id)
    if (record === undefined) continue
    const { row, contents, messages } = record
    const references = Object.fromEntries(Object.entries(contents).map(([column, { hash }]) => [column, hash]))
    const inserted = await db
      .insertInto("flows")
      .values({ ...row, ...references, conversation: conversationHash(messages) })
      .onConflict((conflict) => conflict.column("id").doNothing())
      .returning("id")
      .executeTakeFirst()
    if (inserted !== undefined) fresh.push(record)
    else await addCounts(db, row)
  }
  const messages = await keepConversations(
    db,
    fresh.map((record) => record.messages),
  )
  await keepContents(db, [...fresh.flatMap(({ contents }) => Object.values(contents)), ...messages])
}

/** A flow that is there already gets the token counts that came later, and stays as it is otherwise. */
async function addCounts(db: Transaction<Schema>, row: NewFlowRow): Promise<void> {
  const { input_tokens, output_tokens, total_tokens, usage_source } = row
  if (usage_source === null || usage_source === "none") return
  await db
    .updateTable("flows")
    .set({ input_tokens, output_tokens, total_tokens, usage_source })
    .where("id", "=", row.id)
    .where("usage_source", "=", "none")
    .execute()
}

type PrunedFlow = Pick<FlowRow, "id" | "conversation" | ContentColumn>

/** What one step has done: flows that it looked at, and those that are gone. */
interface Step {
  readonly touched: number
  readonly deleted: number
}

/**
 * Deletes a flow with what only it refers to. A conversation that is too long for this step is shortened: the flow stays,
 * and refers to what is left of it. `dropped`: the turns that were deleted.
 */
async function dropFlow(
  db: Transaction<Schema>,
  flow: PrunedFlow,
  turnsMax: number,
): Promise<{ isDeleted: boolean; dropped: number }> {
  let dropped = 0
  if (flow.conversation !== null) {
    const done = await dropConversation(db, flow.conversation, turnsMax)
    dropped = done.dropped
    if (done.rest !== null) {
      await db.updateTable("flows").set({ conversation: done.rest, incomplete: 1 }).where("id", "=", flow.id).execute()
      return { isDeleted: false, dropped }
    }
  }
  for (const column of CONTENT_COLUMNS) {
    const hash = flow[column]
    if (hash !== null) await dropContent(db, hash)
  }
  await db.deleteFrom("flows").where("id", "=", flow.id).execute()
  return { isDeleted: true, dropped }
}
