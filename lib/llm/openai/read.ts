/**
 * The meaning of OpenAI's answers, chunk or whole, for both dialects: `chat.completion(.chunk)` and `text_completion`.
 * Lenient: a choice may have `delta`, `message` or `text`, or none (Azure); `usage` may be null, "" or in the choice;
 * what is not understood becomes an "other" delta. Which event of a stream this came from is stream.ts.
 */

import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { finishReasonOf } from "../finish-words.ts"
import type { Delta, FinishReason, Usage } from "../model.ts"
import { readCounts } from "../usage.ts"
import { ToolCallTracker } from "./tool-calls.ts"

/** A choice's index is below this: choices are remembered to the end. OpenAI allows 128, a list of prompts gives more. */
export const CHOICES_MAX = 2_048

/** What a message may hold without being "other": read here, or empty of meaning. */
const KNOWN_FIELDS = new Set([
  "role",
  "content",
  "reasoning_content",
  "reasoning",
  "reasoning_details",
  "refusal",
  "tool_calls",
  "function_call",
])

/** Reads the chunks of one answer, one after the other; remembers which tool calls have begun. */
export class ChunkReader {
  readonly #calls = new Map<number, ToolCallTracker>()

  /** The deltas of one chunk or whole answer. Empty for a chunk that only opens a choice (role, `content: ""`). */
  read(json: JsonValue): Delta[] {
    if (!isObject(json)) return [{ type: "other", raw: json }]
    const deltas: Delta[] = []
    let understood = 0
    let choices = 0
    for (const value of arrayOf(json.choices)) {
      const choice = objectOf(value)
      choices++
      if (choice && this.#readChoice(choice, deltas)) understood++
    }
    const usage = readUsage(json)
    if (usage) deltas.push({ type: "usage", usage })
    if (deltas.length === 0 && understood === 0) deltas.push({ type: "other", raw: json })
    else if (deltas.length > 0 && understood < choices) deltas.push(...besideDeltas(json))
    return deltas
  }

  /** Appends the deltas of a choice. False when it holds something that no delta tells, or is none of ours to number. */
  #readChoice(choice: JsonObject, deltas: Delta[]): boolean {
    const index = numberOf(choice.index) ?? 0
    if (!Number.isInteger(index) || index < 0 || index >= CHOICES_MAX) return false
    const message = objectOf(choice.delta) ?? objectOf(choice.message)
    if (message) this.#readMessage(index, message, deltas)
    else if (choice.text) pushText(deltas, "text", index, choice.text)
    const reason = choiceFinish(choice)
    if (reason) deltas.push({ type: "finish", index, reason })
    if (message) return Object.keys(message).every((key) => KNOWN_FIELDS.has(key))
    return typeof choice.text === "string"
  }

  #readMessage(index: number, message: JsonObject, deltas: Delta[]): void {
    // vLLM and OpenRouter send the same text under both names.
    pushText(deltas, "reasoning", index, message.reasoning_content || message.reasoning || textOfDetails(message))
    readContent(index, message.content, deltas)
    pushText(deltas, "refusal", index, message.refusal)
    if (message.tool_calls) deltas.push(...this.#tracker(index).readCalls(message.tool_calls))
    if (message.function_call) deltas.push(...this.#tracker(index).readFunctionCall(message.function_call))
  }

  #tracker(index: number): ToolCallTracker {
    let tracker = this.#calls.get(index)
    if (!tracker) {
      tracker = new ToolCallTracker(index)
      this.#calls.set(index, tracker)
    }
    return tracker
  }
}

/** Members of `reasoning_details` that say text, with what holds them. OpenRouter says it elsewhere too, MiniMax does not. */
export function detailsOf(message: JsonObject): [detail: JsonObject, name: string][] {
  return arrayOf(message.reasoning_details).flatMap((value) => {
    const detail = objectOf(value)
    const name = detail && detailName(detail)
    return detail === undefined || name === undefined ? [] : [[detail, name]]
  })
}

export function detailName(detail: JsonObject): string | undefined {
  return ["text", "summary"].find((field) => stringOf(detail[field]))
}

/** All that `reasoning_details` say. */
export function textOfDetails(message: JsonObject): string {
  if (!Array.isArray(message.reasoning_details)) return ""
  return detailsOf(message)
    .map(([detail, name]) => stringOf(detail[name]) ?? "")
    .join("")
}

/** The fields of a message that no delta tells, but those that say nothing. */
export function unknownFields(message: JsonObject): string[] {
  return Object.keys(message).filter((key) => !KNOWN_FIELDS.has(key) && saysSomething(message[key]))
}

/** Whether a value is more than an empty place for one. */
export function saysSomething(value: JsonValue | undefined): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (isObject(value)) return Object.keys(value).length > 0
  return value !== undefined && value !== null && value !== ""
}

/** What stands beside the texts of a chunk, as a chunk of its own. */
function besideDeltas(json: JsonObject): Delta[] {
  const choices = arrayOf(json.choices).flatMap((value) => {
    const choice = objectOf(value) ?? {}
    const message = objectOf(choice.delta) ?? objectOf(choice.message) ?? {}
    const names = unknownFields(message)
    if (names.length === 0) return []
    const delta = Object.fromEntries(names.map((name) => [name, message[name]]))
    return [{ index: choice.index ?? 0, delta, finish_reason: null }]
  })
  if (choices.length === 0) return []
  const { usage: _, choices: __, ...head } = json
  return [{ type: "other", raw: { ...head, choices } }]
}

/** A choice that failed says so in `error`, whatever its finish reason is (OpenRouter). */
export function choiceFinish(choice: JsonObject): FinishReason | undefined {
  const raw = stringOf(choice.finish_reason) || undefined
  if (choice.error) return { unified: "error", raw }
  return raw === undefined ? undefined : finishReasonOf(raw)
}

/** Content is text, or a list of parts, in which reasoning is a part with `thinking` (Mistral) or `summary` (Databricks). */
function readContent(index: number, content: JsonValue | undefined, deltas: Delta[]): void {
  pushText(deltas, "text", index, content)
  for (const value of arrayOf(content)) {
    const part = objectOf(value)
    pushText(deltas, "text", index, part?.text)
    for (const thought of thoughtsOf(part)) pushText(deltas, "reasoning", index, objectOf(thought)?.text)
  }
}

/** What holds the texts of a part that is reasoning. */
export function thoughtsOf(part: JsonObject | undefined): readonly JsonValue[] {
  return Array.isArray(part?.thinking) ? part.thinking : arrayOf(part?.summary)
}

function pushText(
  deltas: Delta[],
  type: "text" | "reasoning" | "refusal",
  index: number,
  text: JsonValue | undefined,
): void {
  if (typeof text === "string" && text !== "") deltas.push({ type, index, text })
}

/**
 * Usage as reported: at the top, in the choice (Moonshot) or in `x_groq`; else llama.cpp's `timings`, if they tell how
 * much of the prompt came from its cache (without `cache_n`, `prompt_n` is less than the prompt).
 */
export function readUsage(json: JsonObject): Usage | undefined {
  const usage = objectOf(json.usage) ?? objectOf(objectOf(json.x_groq)?.usage) ?? choiceUsage(json)
  if (!usage) return usageOfTimings(objectOf(json.timings))
  return readCounts(usage)
}

function choiceUsage(json: JsonObject): JsonObject | undefined {
  for (const choice of arrayOf(json.choices)) {
    const usage = objectOf(objectOf(choice)?.usage)
    if (usage !== undefined) return usage
  }
  return undefined
}

function usageOfTimings(timings: JsonObject | undefined): Usage | undefined {
  const cachedTokens = numberOf(timings?.cache_n)
  const inputTokens = sum(cachedTokens, numberOf(timings?.prompt_n))
  const outputTokens = numberOf(timings?.predicted_n)
  if (inputTokens === undefined || outputTokens === undefined) return undefined
  const totalTokens = inputTokens + outputTokens
  return { inputTokens, outputTokens, totalTokens, cachedTokens, reasoningTokens: undefined, source: "provider" }
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b
}
