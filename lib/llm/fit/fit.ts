/**
 * Which messages of a conversation are kept where it is longer than a model takes: the system's and the first of the user's,
 * the last turn whatever it is, and of what is between them the newest whole turns, without a gap. Pure: it takes counts
 * and gives indexes.
 */
import type { Message } from "../model.ts"
import { callIdsOf, type Turns, turnsOf } from "./turns.ts"

export interface Fit {
  /** Whether what is kept is within the limit. Where not, it is the least that can be kept. */
  readonly fits: boolean
  /** Indexes of the messages that are kept, rising. */
  readonly kept: readonly number[]
  /** Indexes of the others, rising. */
  readonly dropped: readonly number[]
  /** Tokens of what is kept, and of the others. */
  readonly keptTokens: number
  readonly droppedTokens: number
  /** Tokens of the least that can be kept. */
  readonly leastTokens: number
}

/**
 * `counts`: each message's tokens. `limit`: the tokens that all kept ones may be together; what a request has besides (tools,
 * a system prompt apart, the answer) is taken off before. Throws a RangeError for counts that are not the messages', or no
 * numbers from 0 on.
 */
export function fitMessages(messages: readonly Message[], counts: readonly number[], limit: number): Fit {
  if (counts.length !== messages.length || counts.some((count) => !(count >= 0 && Number.isFinite(count))))
    throw new RangeError(`fitMessages: ${messages.length} messages need as many counts, each a number from 0 on`)
  const all = turnsOf(messages)
  const { system, firstUser, turns } = all
  const kept = new Set<number>(system)
  let tokens = 0
  const costOf = (indexes: readonly number[]) =>
    indexes.reduce((sum, index) => (kept.has(index) ? sum : sum + (counts[index] ?? 0)), 0)
  const keep = (indexes: readonly number[]) => {
    tokens += costOf(indexes)
    for (const index of indexes) kept.add(index)
  }
  for (const index of system) tokens += counts[index] ?? 0
  if (firstUser !== undefined) keep(firstOf(messages, all, firstUser))
  keep(turns.at(-1) ?? [])
  const leastTokens = tokens
  for (const turn of turns.slice(0, -1).reverse()) {
    if (tokens + costOf(turn) > limit) break
    keep(turn)
  }
  const indexes = messages.map((_, index) => index)
  const dropped = indexes.filter((index) => !kept.has(index))
  return {
    fits: tokens <= limit,
    kept: indexes.filter((index) => kept.has(index)),
    dropped,
    keptTokens: tokens,
    droppedTokens: dropped.reduce((sum, index) => sum + (counts[index] ?? 0), 0),
    leastTokens,
  }
}

/** The first message of a user's; one that brings what came of a tool goes with the call. */
function firstOf(messages: readonly Message[], { turns }: Turns, firstUser: number): readonly number[] {
  const message = messages[firstUser]
  if (message === undefined || callIdsOf(message).length === 0) return [firstUser]
  return turns.find((turn) => turn.includes(firstUser)) ?? [firstUser]
}
