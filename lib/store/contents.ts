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

/**
 * Refers to each of the contents once more, and keeps those that are new. In the order of their hashes: two programs that
 * write to one database then wait for each other in one direction.
 */
export async function keepContents(db: Db, contents: readonly Content[]): Promise<void> {
  const rows = new Map<string, { hash: string; json: string; refs: number }>()
  for (const { hash, json } of contents) {
    const row = rows.get(hash)
    if (row === undefined) rows.set(hash, { hash, json, refs: 1 })
    else row.refs += 1
  }
  for (const some of inParts([...rows.values()].sort(byHash))) {
    await db
      .insertInto("contents")
      .values(some)
      .onConflict((conflict) =>
        conflict.column("hash").doUpdateSet((eb) => ({ refs: eb("contents.refs", "+", eb.ref("excluded.refs")) })),
      )
      .execute()
  }
}

function byHash(a: { readonly hash: string }, b: { readonly hash: string }): number {
  return a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0
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

/** What stands for a conversation: the hash of its last turn; null for no messages. */
export function conversationHash(messages: readonly Content[]): string | null {
  return chain(messages).at(-1)?.hash ?? null
}

/**
 * Refers to each of the conversations once more: the turns that are there already stay as they are, the others are added
 * behind them. Returns the messages of the turns that were added, whose contents are to be kept.
 */
export async function keepConversations(db: Db, conversations: readonly (readonly Content[])[]): Promise<Content[]> {
  const chains = conversations.map(chain).filter((turns) => turns.length > 0)
  const known = new Set<string>()
  const added = new Map<string, Turn>()
  for (const turns of chains) {
    const count = await longestKnown(db, turns)
    const joint = turns[count - 1]
    if (joint !== undefined) known.add(joint.hash)
    for (const turn of turns.slice(count)) added.set(turn.hash, turn)
  }
  const ends = chains.map((turns) => turns.at(-1)?.hash ?? "")
  const isNew = await insertTurns(db, [...added.values()], refsOf(ends, added.values()))
  // What was there before gets a reference for each turn that now goes on from it, and for each flow that ends there.
  const refs = refsOf(ends, [...added.values()].filter(isNew))
  const before = [...known, ...[...added.values()].filter((turn) => !isNew(turn)).map(({ hash }) => hash)]
  for (const hash of [...new Set(before)].sort()) {
    const more = refs.get(hash) ?? 0
    if (more > 0) await addTurnRef(db, hash, more)
  }
  return [...added.values()].filter(isNew).map(({ message }) => message)
}

/** References by hash: flows that end at a turn, and turns that go on from one. */
function refsOf(ends: readonly string[], turns: Iterable<Turn>): ReadonlyMap<string, number> {
  const refs = new Map<string, number>()
  const add = (hash: string) => refs.set(hash, (refs.get(hash) ?? 0) + 1)
  for (const hash of ends) add(hash)
  for (const { previous } of turns) if (previous !== "") add(previous)
  return refs
}

/** Adds turns, in the order of their hashes. Returns which of them another program had not added meanwhile. */
async function insertTurns(
  db: Db,
  turns: readonly Turn[],
  refs: ReadonlyMap<string, number>,
): Promise<(turn: Turn) => boolean> {
  const inserted = new Set<string>()
  const rows = turns.map(({ message, ...turn }) => ({
    ...turn,
    message: message.hash,
    refs: refs.get(turn.hash) ?? 0,
  }))
  for (const some of inParts(rows.sort(byHash))) {
    const done = await db
      .insertInto("turns")
      .values(some)
      .onConflict((conflict) => conflict.column("hash").doNothing())
      .returning("hash")
      .execute()
    for (const { hash } of done) inserted.add(hash)
  }
  return ({ hash }) => inserted.has(hash)
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
