/**
 * Anthropic's words as we write them: reasons to stop, usage, kinds of error. Shared by streams and whole answers.
 * Source: Anthropic's API reference, "Handling stop reasons" and "Errors".
 */

import type { JsonObject } from "../../base/json.ts"
import { contextOverflow } from "../context-errors.ts"
import { errorKind } from "../error-kind.ts"
import { isUnknownWord } from "../finish-words.ts"
import type { FinishReason, FinishUnified, LlmErrorKind, Usage } from "../model.ts"
import type { ErrorToWrite } from "../openai/errors.ts"
import { readCounts } from "../usage.ts"
import { isStopReason } from "./read.ts"

// Clients know no word for "cut", "error" and words unknown to us: of theirs, "max_tokens" says that the answer is not whole.
const STOP: Readonly<Record<FinishUnified, string>> = {
  stop: "end_turn",
  length: "max_tokens",
  toolCalls: "tool_use",
  contentFilter: "refusal",
  error: "max_tokens",
  cut: "max_tokens",
  other: "end_turn",
}

const ERROR_TYPE: Readonly<Record<LlmErrorKind, string>> = {
  context_length: "invalid_request_error",
  rate_limit: "rate_limit_error",
  quota: "billing_error",
  auth: "authentication_error",
  model_not_found: "not_found_error",
  loading: "overloaded_error",
  overloaded: "overloaded_error",
  invalid_request: "invalid_request_error",
  other: "api_error",
}

/** Types that say more than our kind of error does. */
const ERROR_TYPE_BY_STATUS: ReadonlyMap<number, string> = new Map([
  [403, "permission_error"],
  [404, "not_found_error"],
  [413, "request_too_large"],
])

/** What clients look for to shorten a conversation. */
const OVERFLOW_PHRASE = "prompt is too long: "

/** A client runs the tools only if the reason says so, and some servers say "stop" all the same. */
export function stopWord(reason: FinishReason | undefined, calls: boolean): string {
  if (isStopReason(reason?.raw)) return reason.raw
  const unified = reason?.unified ?? "stop"
  if (!calls && reason !== undefined && isUnknownWord(reason)) return STOP.length
  return calls && (unified === "stop" || unified === "other") ? STOP.toolCalls : STOP[unified]
}

/** The SDKs demand both numbers, so one that is unknown is 0. */
export function writeMessageUsage(usage: Usage | undefined): JsonObject {
  const cached = usage?.cachedTokens ?? 0
  const json: JsonObject = {
    input_tokens: Math.max(0, (usage?.inputTokens ?? 0) - cached),
    output_tokens: usage?.outputTokens ?? 0,
  }
  if (usage?.cachedTokens !== undefined) json.cache_read_input_tokens = cached
  if (usage?.reasoningTokens !== undefined) json.output_tokens_details = { thinking_tokens: usage.reasoningTokens }
  return json
}

/** The provider's own counts where `usage` is still theirs: they say more, and clients add up what several events say. */
export function usageAsTold(counts: JsonObject, usage: Usage | undefined): JsonObject {
  const told = readCounts(counts)
  const same = told?.inputTokens === usage?.inputTokens && told?.outputTokens === usage?.outputTokens
  if (told && same) return counts
  const written = counts.cache_creation_input_tokens === undefined ? {} : { cache_creation_input_tokens: 0 }
  return { ...written, ...writeMessageUsage(usage) }
}

/** `{"type":"error","error":{"type","message"}}`. There is no place for a code: its kind becomes the type. */
export function writeMessageError(error: ErrorToWrite): JsonObject {
  const words = { message: error.message, code: error.code, type: error.type, raw: undefined }
  const kind = errorKind(error.status, words)
  const type = kind === "invalid_request" || kind === "auth" ? ERROR_TYPE_BY_STATUS.get(error.status) : undefined
  const says = contextOverflow({ ...words, code: undefined, type: undefined }) !== undefined
  const phrase = kind === "context_length" && !says ? OVERFLOW_PHRASE : ""
  return { type: "error", error: { type: type ?? ERROR_TYPE[kind], message: phrase + error.message } }
}
