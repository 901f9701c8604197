/**
 * The meaning of Ollama's answers: JSON lines, of which the last says `done`; a whole answer is one such line. The text
 * stands in `message` (/api/chat) or `response` (/api/generate), tool calls come whole, errors are a text.
 * Source: Ollama, docs/api.md and api/types.go.
 */

import { isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import type { StreamDecoder, StreamEvent } from "../dialect.ts"
import { finishReasonOf } from "../finish-words.ts"
import { NdjsonDecoder, type NdjsonLine } from "../framing/ndjson.ts"
import { IN_STREAM_STATUS } from "../framing/sse-json.ts"
import type { Delta, FinishReason, Usage } from "../model.ts"
import { isErrorJson, readErrorJson } from "../openai/errors.ts"
import { ToolCallTracker } from "../openai/tool-calls.ts"
import { readCounts } from "../usage.ts"

/** An answer has one choice. */
const CHOICE = 0
const NO_DELTAS: readonly Delta[] = Object.freeze([])

/** Reads the lines of one answer, one after the other. */
export class OllamaReader {
  readonly #calls = new ToolCallTracker(CHOICE)
  #called = false

  read(json: JsonObject): Delta[] {
    const message = objectOf(json.message)
    const deltas: Delta[] = []
    pushText(deltas, "reasoning", message?.thinking ?? json.thinking)
    pushText(deltas, "text", message?.content ?? json.response)
    const calls = this.#calls.readCalls(message?.tool_calls ?? json.tool_calls)
    this.#called ||= calls.length > 0
    deltas.push(...calls)
    if (json.done === true) deltas.push({ type: "finish", index: CHOICE, reason: this.#finish(json) })
    const usage = readOllamaUsage(json)
    if (usage) deltas.push({ type: "usage", usage })
    const known = message !== undefined || typeof json.response === "string" || json.done !== undefined
    return known ? deltas : [{ type: "other", raw: json }]
  }

  /** Ollama says "stop" for an answer that calls tools. */
  #finish(json: JsonObject): FinishReason {
    const { unified, raw } = ollamaFinish(stringOf(json.done_reason))
    return { unified: unified === "stop" && this.#called ? "toolCalls" : unified, raw }
  }
}

/** Before 0.1.38 Ollama gave no reason. */
export function ollamaFinish(raw: string | undefined): FinishReason {
  return { unified: finishReasonOf(raw ?? "stop").unified, raw }
}

export class OllamaDecoder implements StreamDecoder {
  readonly #lines = new NdjsonDecoder()
  readonly #reader = new OllamaReader()

  feed(bytes: Uint8Array): StreamEvent[] {
    return this.#lines.feed(bytes).map((line) => this.#read(line))
  }

  finish(): StreamEvent[] {
    return this.#lines.finish().map((line) => this.#read(line))
  }

  #read({ raw, json }: NdjsonLine): StreamEvent {
    if (!isObject(json)) return { raw, deltas: NO_DELTAS, error: undefined, done: false, json }
    if (isErrorJson(json))
      return { raw, deltas: NO_DELTAS, error: readErrorJson(IN_STREAM_STATUS, json), done: false, json }
    return { raw, deltas: this.#reader.read(json), error: undefined, done: json.done === true, json }
  }
}

/** The prompt's count is missing where the prompt came from the cache. */
function readOllamaUsage(json: JsonObject): Usage | undefined {
  const inputTokens = numberOf(json.prompt_eval_count)
  const outputTokens = numberOf(json.eval_count)
  if (inputTokens === undefined && outputTokens === undefined) return readCounts(objectOf(json.usage) ?? json)
  return {
    inputTokens,
    outputTokens,
    totalTokens: inputTokens === undefined || outputTokens === undefined ? undefined : inputTokens + outputTokens,
    cachedTokens: undefined,
    reasoningTokens: undefined,
    source: "provider",
  }
}

function pushText(deltas: Delta[], type: "text" | "reasoning", text: JsonValue | undefined): void {
  if (typeof text === "string" && text !== "") deltas.push({ type, index: CHOICE, text })
}
