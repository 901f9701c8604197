/**
 * The objects of OpenAI's Responses as we write them: the response itself, its items, its end and its errors.
 * Source: openai-node, resources/responses/responses.ts (Response, ResponseOutputItem, ResponseErrorEvent).
 */

import { type JsonObject, objectOf, stringOf } from "../../base/json.ts"
import type { EncodeContext } from "../dialect.ts"
import { isUnknownWord } from "../finish-words.ts"
import type { FinishReason, FinishUnified, LlmRequest, Usage } from "../model.ts"
import { type ErrorToWrite, writeErrorJson } from "../openai/errors.ts"
import { CALLS } from "./items.ts"

/** Why an answer is not whole. Clients know no word for "cut" and "error": the same as for a limit. */
const INCOMPLETE: ReadonlyMap<FinishUnified | undefined, string> = new Map([
  ["length", "max_output_tokens"],
  ["error", "max_output_tokens"],
  ["cut", "max_output_tokens"],
  ["contentFilter", "content_filter"],
])

interface Known {
  readonly id?: string | undefined
  readonly model?: string | undefined
  readonly created_at?: number | undefined
}

/** A response without its output and end. What a response repeats of its request is taken from there. */
export function responseHead({ id, model, created, request }: EncodeContext, known: Known): JsonObject {
  const body = request?.body ?? {}
  return {
    id: known.id ?? id,
    object: "response",
    created_at: known.created_at ?? created,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    model: known.model ?? model,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    temperature: body.temperature ?? null,
    tool_choice: body.tool_choice ?? "auto",
    tools: body.tools ?? [],
    top_p: body.top_p ?? null,
  }
}

/** How the response ended: its status, the reason where it is not whole, its usage. */
export function ending(reason: FinishReason | undefined, usage: Usage | undefined): JsonObject & { status: string } {
  const unknown = reason !== undefined && isUnknownWord(reason)
  const why = INCOMPLETE.get(unknown ? "length" : reason?.unified)
  return {
    status: why === undefined ? "completed" : "incomplete",
    incomplete_details: why === undefined ? null : { reason: why },
    usage: usage && usage.source !== "none" ? writeResponsesUsage(usage) : null,
  }
}

/** SDKs demand all numbers, so an unknown one is 0 or follows from the others. */
export function writeResponsesUsage(usage: Usage): JsonObject {
  const input = usage.inputTokens ?? 0
  const output = usage.outputTokens ?? 0
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: usage.cachedTokens ?? 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens ?? 0 },
    total_tokens: usage.totalTokens ?? input + output,
  }
}

export function messageItem(id: string): JsonObject {
  return { id, type: "message", status: "in_progress", role: "assistant", content: [] }
}

export function reasoningItem(id: string): JsonObject {
  return { id, type: "reasoning", summary: [] }
}

/** A client answers a call by its `call_id`, so one that the server did not name gets one. */
export function callItem(type: string, suffix: string, id: string | undefined, name: string): JsonObject {
  const field = CALLS.get(type)?.field ?? "arguments"
  const prefix = type === "function_call" ? "fc" : "ctc"
  return {
    id: `${prefix}_${suffix}`,
    type,
    status: "in_progress",
    call_id: id ?? `call_${suffix}`,
    name,
    [field]: "",
  }
}

/** The types of the items that call the client's custom tools, by the tool's name. */
export function toolTypes(request: LlmRequest | undefined): ReadonlyMap<string, string> {
  const tools = (request?.tools ?? []).map(({ raw }) => raw)
  const custom = tools.filter((tool) => tool.type === "custom")
  return new Map(custom.map((tool) => [stringOf(tool.name) ?? "", "custom_tool_call"]))
}

/** OpenAI documents the words in the event and sends them in `error`, which makes its SDK throw: we write both. */
export function writeErrorEvent(error: ErrorToWrite): JsonObject {
  const json = writeErrorJson(error)
  const { code, message, param } = objectOf(json.error) ?? {}
  return { type: "error", sequence_number: 0, code, message, param, ...json }
}
