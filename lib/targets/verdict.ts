/**
 * What a failure means: whether somebody else is to be asked, and whether the host is to be left alone. Pure.
 * What is wrong with the question is wrong everywhere; what is wrong with a host, with its load, or with the key that the
 * server has for it, is not the client's affair.
 */
import type { AnswerFailure } from "../api/flow.ts"
import type { Headers } from "../base/headers.ts"
import type { LlmErrorKind } from "../llm/model.ts"
import { hasKey, type Target } from "./target.ts"

export interface Verdict {
  /** Whether the next target is asked. */
  readonly failsOver: boolean
  /** Whether it counts against the host. */
  readonly cools: boolean
  /** It is about the key that the server has for the host: the client can do nothing, and is told so. */
  readonly isKeyRefused: boolean
  /** Of failures of several hosts the client gets the greatest, and of those the last. */
  readonly rank: number
}

const OUR_KEY: ReadonlySet<number> = new Set([401, 402, 403])
/** Of an error event in an answer that began with 200. */
const OF_THE_QUESTION: ReadonlySet<LlmErrorKind | undefined> = new Set([
  "context_length",
  "invalid_request",
  "model_not_found",
])
/** A request that took too long to arrive there, and one that was too early: to be sent again (RFC 9110, RFC 8470). */
const AGAIN: ReadonlySet<number> = new Set([408, 425, 429])

const GOES_ON: Verdict = { failsOver: true, cools: true, isKeyRefused: false, rank: 1 }
const STAYS: Verdict = { failsOver: false, cools: false, isKeyRefused: false, rank: 4 }

export function judge({ kind, status, error }: AnswerFailure, target: Target): Verdict {
  if (kind === "addon") return STAYS // Another host is asked for nothing that an addon has stopped.
  if (kind === "connect") return GOES_ON
  if (kind === "cut") return { ...GOES_ON, rank: 2 }
  // A host that has nothing to say to this may have something to say to others.
  if (kind === "empty") return { ...GOES_ON, cools: false, rank: 2 }
  if (kind === "status") return judgeStatus(status, target, error?.kind)
  return OF_THE_QUESTION.has(error?.kind) ? STAYS : { ...GOES_ON, rank: 3 }
}

/** By the status of a head alone, or with what its body has said. */
export function judgeStatus(status: number, target: Target, kind?: LlmErrorKind): Verdict {
  if (OUR_KEY.has(status) && hasKey(target)) return { ...GOES_ON, isKeyRefused: status !== 402, rank: 2 }
  // Some hosts say so with a 500: a larger one may take it, and nothing is wrong with this one.
  if (status >= 500) return { ...GOES_ON, cools: kind !== "context_length", rank: 3 }
  return AGAIN.has(status) ? { ...GOES_ON, rank: 3 } : STAYS
}

/**
 * Milliseconds for which a host wants to be left alone: `retry-after-ms` (OpenAI's and Azure's), else Retry-After in seconds or
 * as a date (RFC 9110 section 10.2.3). 0: it does not say. `now`: epoch milliseconds.
 */
export function retryAfterMs(headers: Pick<Headers, "get">, now: number): number {
  const exact = headers.get("retry-after-ms")?.trim()
  if (exact !== undefined && /^\d{1,9}(?:\.\d{1,6})?$/.test(exact)) return Math.ceil(Number(exact))
  const said = headers.get("retry-after")?.trim()
  if (said === undefined || said === "") return 0
  if (/^\d{1,9}(?:\.\d{1,6})?$/.test(said)) return Math.ceil(Number(said) * 1_000)
  const date = Date.parse(said)
  return Number.isNaN(date) ? 0 : Math.max(0, date - now)
}
