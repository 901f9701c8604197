/**
 * What is kept once: contents and turns, by the hash of their text, counted by who refers to them. Every change runs in
 * the caller's transaction, so that a count is never wrong, whenever the process ends.
 */
import type { Transaction } from "kysely"
import { type Content, hashOf } from "./flow-record.ts"
import type { Schema } from "./schema.ts"

type Db = Transaction<Schema>

/** Hashes that are looked up with one statement. */
const LOOKUP_MAX = 64
/** Rows that are inserted with one statement. */
const ROWS_MAX = 64

/** Refers to each of the contents once more, and keeps those that are new. */
export async function keepContents(db: Db, contents: readonly Content[]): Promise<void> {
  const rows = new Map<string, { hash: string; json: string; refs: number }>()
  for (const { hash, json } of contents) {
    const row = rows.get(hash)
    if (row === undefined) rows.set(hash, { hash, json, refs: 1 })
    else row.refs += 1
  }
  for (const some of inParts([...rows.values()])) {
    await db
      .insertInto("contents")
      .values(some)
      .onConflict((conflict) =>
        conflict.column("hash").doUpdateSet((eb) => ({ refs: eb("contents.refs", "+", eb.ref("excluded.refs")) })),
      )
      .execute()
  }
}

function inParts<T>(rows: readonly T[]): T[][] {
  const parts: T[][] = []
  for (let from = 0; from < rows.length; from += ROWS_MAX) parts.push(rows.slice(from, from + ROWS_MAX))
  return parts
}

/** Takes one reference back; the last one takes the content with it. */
export async function dropContent(db: Db, hash: string): Promise<void> {
  await db
    .updateTable("contents")
    .set((eb) => ({ refs: eb("refs", "-", 1) }))
    .where("hash", "=", hash)
    .execute()
  await db.deleteFrom("contents").where("hash", "=", hash).where("refs", "<=", 0).execute()
}

/**
 * Refers to a conversation once more: the turns that are there already stay as they are, the others are added behind
 * them. Returns the hash of the last turn, null for no messages.
 */
export async function keepConversation(db: Db, messages: readonly Content[]): Promise<string | null> {
  const turns = chain(messages)
  const last = turns.at(-1)
  if (last === undefined) return null
  const known = await longestKnown(db, turns)
  const added = turns.slice(known)
  const contents = added.map(({ message }) => message)
  await keepContents(db, contents)
  // The one reference is the turn behind it, or this flow.
  const rows = added.map(({ message, ...turn }) => ({ ...turn, message: message.hash, refs: 1 }))
  for (const some of inParts(rows)) await db.insertInto("turns").values(some).execute()
  const joint = turns[known - 1]
  // What was known gets one more reference where the new turns begin, or for this flow if there are none.
  if (joint !== undefined) await addTurnRef(db, joint.hash, 1)
  return last.hash
}

interface Turn {
  readonly hash: string
  readonly previous: string
  readonly message: Content
  readonly position: number
}

/** Each turn's hash stands for all that was said up to it. */
function chain(messages: readonly Content[]): Turn[] {
  let previous = ""
  return messages.map((message, position) => {
    const turn = { hash: hashOf(`${previous}\n${message.hash}`), previous, message, position }
    previous = turn.hash
    return turn
  })
}

/** How many turns from the first are kept already. A turn that is there has all those before it. */
async function longestKnown(db: Db, turns: readonly Turn[]): Promise<number> {
  for (let end = turns.length; end > 0; end -= LOOKUP_MAX) {
    const some = turns.slice(Math.max(0, end - LOOKUP_MAX), end)
    const hashes = some.map(({ hash }) => hash)
    const rows = await db.selectFrom("turns").select("position").where("hash", "in", hashes).execute()
    if (rows.length > 0) return Math.max(...rows.map(({ position }) => position)) + 1
  }
  return 0
}

async function addTurnRef(db: Db, hash: string, count: number): Promise<void> {
  await db
    .updateTable("turns")
    .set((eb) => ({ refs: eb("refs", "+", count) }))
    .where("hash", "=", hash)
    .execute()
}

/**
 * Takes one reference to a turn back, and deletes the turns that nobody refers to any more, at most `turnsMax` of them.
 * Returns the turn where it had to stop, whose reference is still to be taken back, else null.
 */
export async function dropConversation(
  db: Db,
  last: string,
  turnsMax: number,
): Promise<{ rest: string | null; dropped: number }> {
  let hash = last
  for (let dropped = 0; dropped < turnsMax; dropped++) {
    await addTurnRef(db, hash, -1)
    const turn = await db
      .selectFrom("turns")
      .select(["previous", "message"])
      .where("hash", "=", hash)
      .where("refs", "<=", 0)
      .executeTakeFirst()
    if (turn === undefined) return { rest: null, dropped }
    await db.deleteFrom("turns").where("hash", "=", hash).execute()
    await dropContent(db, turn.message)
    if (turn.previous === "") return { rest: null, dropped: dropped + 1 }
    hash = turn.previous
  }
  return { rest: hash, dropped: turnsMax }
}
