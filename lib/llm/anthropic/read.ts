/**
 * The meaning of Anthropic's answers, streamed and whole. A message is a list of blocks; a stream opens, fills and
 * closes one after the other. Blocks that the server works on itself (searches, redacted thinking) are "other".
 * Source: Anthropic's API reference, "Streaming messages" and "Create a message"; SDK types, messages.ts.
 */

import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { finishReasonOf } from "../finish-words.ts"
import type { EventMeaning } from "../framing/sse-json.ts"
import type { Delta } from "../model.ts"
import { TOOL_CALLS_MAX, tooManyCalls } from "../openai/tool-calls.ts"
import { argumentsText } from "../tool-arguments.ts"
import { readCounts } from "../usage.ts"

/** Anthropic's own words. A turn that pauses has not ended: the client sends it back to go on. */
const STOP_REASONS = new Set([
  "end_turn",
  "stop_sequence",
  "max_tokens",
  "model_context_window_exceeded",
  "tool_use",
  "refusal",
  "pause_turn",
])

/** A message has one choice. */
const CHOICE = 0

interface OpenCall {
  readonly number: number
  /** Its arguments have come: in pieces, or with its start. */
  told: boolean
  /** They came whole with its start, as no server but a translating one sends them. */
  readonly whole: boolean
}

/** Reads the events of one stream, or one whole message. */
export class MessageReader {
  readonly #calls = new Map<number, OpenCall>()
  /** Blocks that no delta of ours tells: their pieces are "other", too. */
  readonly #opaque = new Set<number>()
  #callCount = 0
  #usage: JsonObject = {}

  event(json: JsonObject, name: string | undefined): EventMeaning {
    switch (stringOf(json.type) ?? name) {
      case "ping":
        return { silent: true }
      case "message_start":
        return { deltas: this.#usageDeltas(objectOf(json.message)?.usage) }
      case "content_block_start":
        return { deltas: this.#block(numberOf(json.index) ?? 0, json.content_block, json) }
      case "content_block_delta":
        return { deltas: this.#piece(numberOf(json.index) ?? 0, objectOf(json.delta) ?? {}, json) }
      case "content_block_stop":
        return { deltas: this.#stop(numberOf(json.index) ?? 0) }
      case "message_delta":
        return { deltas: [...finishDeltas(objectOf(json.delta)?.stop_reason), ...this.#usageDeltas(json.usage)] }
      case "message_stop":
        return { done: true }
      case "error":
        return {}
      default:
        return { deltas: [{ type: "other", raw: json }] }
    }
  }

  /** The deltas of a whole message. */
  message(json: JsonObject): Delta[] {
    const blocks = arrayOf(json.content).flatMap((block, index) => [
      ...this.#block(index, block, block),
      ...this.#stop(index),
    ])
    return [...blocks, ...finishDeltas(json.stop_reason), ...this.#usageDeltas(json.usage)]
  }

  #block(index: number, value: JsonValue | undefined, raw: JsonValue): Delta[] {
    const block = objectOf(value)
    switch (block?.type) {
      case "text":
        return textDeltas("text", block.text)
      case "thinking":
        return textDeltas("reasoning", block.thinking)
      case "tool_use":
        return this.#openCall(index, block)
      default:
        this.#opaque.add(index)
        return [{ type: "other", raw }]
    }
  }

  #piece(index: number, delta: JsonObject, raw: JsonObject): Delta[] {
    if (this.#opaque.has(index)) return [{ type: "other", raw }]
    switch (delta.type) {
      case "text_delta":
        return textDeltas("text", delta.text)
      case "thinking_delta":
        return textDeltas("reasoning", delta.thinking)
      case "input_json_delta":
        return this.#argumentsPiece(index, stringOf(delta.partial_json) ?? "")
      default:
        return [{ type: "other", raw }]
    }
  }

  #openCall(index: number, block: JsonObject): Delta[] {
    const whole = isObject(block.input) && Object.keys(block.input).length > 0
    const call = this.#newCall(index, whole)
    const json = whole ? argumentsText(block.input) : ""
    return [callDelta(call, json, stringOf(block.id) || undefined, stringOf(block.name) || undefined)]
  }

  #argumentsPiece(index: number, json: string): Delta[] {
    const call = this.#calls.get(index) ?? this.#newCall(index, false)
    if (json === "" || call.whole) return []
    call.told = true
    return [callDelta(call, json)]
  }

  /** A call without arguments has the input `{}` and no piece of it: for other dialects it has to be said. */
  #stop(index: number): Delta[] {
    const call = this.#calls.get(index)
    if (!call || call.told) return []
    call.told = true
    return [callDelta(call, "{}")]
  }

  #newCall(index: number, whole: boolean): OpenCall {
    if (this.#callCount === TOOL_CALLS_MAX) throw tooManyCalls(CHOICE)
    const call = { number: this.#callCount++, told: whole, whole }
    this.#calls.set(index, call)
    return call
  }

  /** The start tells the input, the end the output and perhaps the input again: each report is the whole so far. */
  #usageDeltas(value: JsonValue | undefined): Delta[] {
    if (!isObject(value)) return []
    this.#usage = withCounts(this.#usage, value)
    const usage = readCounts(this.#usage)
    return usage ? [{ type: "usage", usage }] : []
  }
}

/** `counts` with those of a later report; null is no count, and a 0 takes no number's place. */
export function withCounts(counts: JsonObject, later: JsonObject): JsonObject {
  const told = Object.entries(later).filter(([name, count]) => count !== null && (count !== 0 || !counts[name]))
  return { ...counts, ...Object.fromEntries(told) }
}

/** Whether `raw` is a word of Anthropic's for the end of an answer. */
export function isStopReason(raw: string | undefined): raw is string {
  return raw !== undefined && STOP_REASONS.has(raw)
}

function finishDeltas(value: JsonValue | undefined): Delta[] {
  const raw = stringOf(value)
  return raw ? [{ type: "finish", index: CHOICE, reason: finishReasonOf(raw) }] : []
}

function textDeltas(type: "text" | "reasoning", text: JsonValue | undefined): Delta[] {
  return typeof text === "string" && text !== "" ? [{ type, index: CHOICE, text }] : []
}

function callDelta(call: OpenCall, json: string, id?: string, name?: string): Delta {
  return { type: "toolCall", index: CHOICE, call: call.number, id, name, arguments: json }
}
