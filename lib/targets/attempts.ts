/**
 * What became of each attempt to have a flow answered: a note on the flow, which records keep.
 */
import type { Flow } from "../api/flow.ts"

/** The note's name in `flow.metadata`. */
export const ATTEMPTS = "targets.attempts"
/** Of what a host said so much stands in a note or a reason. */
const REASON_CHARS_MAX = 300

/**
 * `pending`: it is under way. `answered`: its answer is the client's, be it an error that is the client's own. `failed`: another
 * one was asked, or all have failed. `skipped`: it was not asked. `left`: it is not known, as the client has
 * left, or another addon has answered in its place, or sent the flow elsewhere.
 */
export type AttemptResult = "pending" | "answered" | "failed" | "skipped" | "left"

export interface Attempt {
  /** The target's name. */
  readonly target: string
  result: AttemptResult
  /** For people: why it failed or was skipped. */
  reason?: string
  /** Of the answer's head, where one came. */
  status?: number
  /** Milliseconds in its line. */
  waitedMs: number
  /** Milliseconds from when it was asked to when that was known: its head, or its first word where others might follow. */
  ms?: number
}

/** The attempts that were noted on the flow, in their order. */
export function attemptsOf({ metadata }: Pick<Flow, "metadata">): readonly Readonly<Attempt>[] {
  const noted = metadata[ATTEMPTS]
  return Array.isArray(noted) ? noted : []
}

/** Notes one more. What is set in it later stands in the note. */
export function note({ metadata }: Pick<Flow, "metadata">, attempt: Attempt): Attempt {
  const noted = metadata[ATTEMPTS]
  if (Array.isArray(noted)) noted.push(attempt)
  else metadata[ATTEMPTS] = [attempt]
  return attempt
}

/** The name in `flow.metadata` of the tokens that the target takes which is being asked. */
export const CONTEXT = "targets.context"

/** Of what is asked now for the flow, or by it for its parent: the tokens that its target takes; undefined: not known. */
export function contextOf({ metadata, parent }: Pick<Flow, "metadata" | "parent">): number | undefined {
  const noted = metadata[CONTEXT] ?? parent?.metadata[CONTEXT]
  return typeof noted === "number" && noted > 0 ? noted : undefined
}

/** What a host said, short enough for a note. */
export function shortReason(said: string): string {
  return said.length > REASON_CHARS_MAX ? `${said.slice(0, REASON_CHARS_MAX)}...` : said
}

/** Why the flow did not go where it would have gone first; "" where it did. */
export function whyElsewhere(flow: Pick<Flow, "metadata">): string {
  return attemptsOf(flow)
    .filter(({ result }) => result === "failed" || result === "skipped")
    .map(({ target, reason = "" }) => `${target}: ${reason}`)
    .join("; ")
}
