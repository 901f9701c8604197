/**
 * OpenAI's answers as we write them, strictly, for both dialects: what openai-node and openai-python read without a
 * guess, and what line-by-line parsers (GPT Pilot's) read, too: `data: ` with a space, one JSON a line, an end mark.
 */

import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import type { EncodeContext, StreamEncoder } from "../dialect.ts"
import { isUnknownWord } from "../finish-words.ts"
import type { Delta, FinishReason, FinishUnified, Usage } from "../model.ts"
import { mergeUsage } from "../usage.ts"
import { readUsage } from "./read.ts"

/** What the two dialects do not share: how a choice of a chunk looks. */
export interface ChunkShape {
  readonly object: "chat.completion.chunk" | "text_completion"
  /** The finish reason of a choice that called tools. */
  readonly toolsWord: "tool_calls" | "function_call"
  /** The choice for a delta; `first`: the first of this choice. Undefined where the dialect has no place for it. */
  choice(delta: Delta, first: boolean): JsonObject | undefined
  /** The choice that ends with `reason`. */
  finish(index: number, reason: string, first: boolean): JsonObject
}

// SDKs know no word for "cut", "error" and words unknown to us: of theirs, "length" says that the answer is not whole.
const FINISH: Readonly<Record<Exclude<FinishUnified, "toolCalls">, string>> = {
  stop: "stop",
  length: "length",
  contentFilter: "content_filter",
  error: "length",
  cut: "length",
  other: "stop",
}

/** Fields of a chunk that are ours to write, or that belong to that one event. */
const OWN_FIELDS = new Set([
  "id",
  "object",
  "created",
  "model",
  "choices",
  "usage",
  "error",
  "obfuscation",
  "timings",
  "prompt_filter_results",
  "prompt_annotations",
])

/** The word of OpenAI's for a finish reason; `toolsWord` depends on whether the client asked with `functions`. */
export function finishWord(reason: FinishReason, toolsWord: ChunkShape["toolsWord"]): string {
  if (isUnknownWord(reason)) return FINISH.length
  return reason.unified === "toolCalls" ? toolsWord : FINISH[reason.unified]
}

/** Usage as OpenAI writes it. SDKs demand the three numbers, so an unknown one is 0 or follows from the others. */
export function writeUsage(usage: Usage): JsonObject {
  const input = usage.inputTokens ?? 0
  const output = usage.outputTokens ?? 0
  const json: JsonObject = {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: usage.totalTokens ?? input + output,
  }
  if (usage.cachedTokens !== undefined) json.prompt_tokens_details = { cached_tokens: usage.cachedTokens }
  if (usage.reasoningTokens !== undefined) json.completion_tokens_details = { reasoning_tokens: usage.reasoningTokens }
  return json
}

/** One event: `data: `, one line of JSON, a blank line. */
export function dataEvent(json: JsonValue): string {
  return `data: ${JSON.stringify(json)}\n\n`
}

/** A comment that readers skip. Line breaks would end it, so they become spaces. */
export function comment(note: string): string {
  return `: ${note.replaceAll(/[\r\n]+/g, " ")}\n\n`
}

interface ChoiceState {
  opened: boolean
  finished: boolean
  /** Finish reason where nobody gives one. */
  reason: string
}

export class OpenAiEncoder implements StreamEncoder {
  readonly #shape: ChunkShape
  readonly #includeUsage: boolean
  readonly #passUsage: boolean
  readonly #choices = new Map<number, ChoiceState>()
  #id: string
  #model: string
  #created: number
  #extra: JsonObject = {}
  #usage: Usage | undefined
  #usageSent = false

  constructor(context: EncodeContext, shape: ChunkShape) {
    this.#shape = shape
    this.#id = context.id
    this.#model = context.model
    this.#created = context.created
    this.#includeUsage = objectOf(context.request?.body.stream_options)?.include_usage === true
    this.#passUsage = context.passUsage === true
  }

  adopt(json: JsonValue | undefined, sent = false): void {
    if (!isObject(json)) return
    // Azure's first chunk has an empty id and model, and was created at 0.
    this.#id = stringOf(json.id) || this.#id
    this.#model = stringOf(json.model) || this.#model
    this.#created = numberOf(json.created) || this.#created
    this.#extra = Object.fromEntries(Object.entries(json).filter(([key]) => !OWN_FIELDS.has(key)))
    if (sent) this.#noteSent(json)
  }

  delta(delta: Delta): string {
    if (delta.type === "usage") {
      this.#usage = mergeUsage(this.#usage, delta.usage)
      return ""
    }
    if (delta.type === "other") return this.#other(delta.raw)
    const state = this.#state(delta.index)
    if (delta.type === "finish")
      return this.#finish(delta.index, state, finishWord(delta.reason, this.#shape.toolsWord))
    const choice = this.#shape.choice(delta, !state.opened)
    if (!choice) return ""
    state.opened = true
    if (delta.type === "toolCall") state.reason = this.#shape.toolsWord
    return this.#chunk([choice])
  }

  /** Every choice gets a finish reason, an answer without any choice one that is empty: SDKs demand both. */
  end(): string {
    if (this.#choices.size === 0) this.#state(0)
    let text = ""
    for (const [index, state] of this.#choices) {
      if (!state.finished) text += this.#finish(index, state, state.reason)
    }
    const wanted = this.#includeUsage || this.#passUsage
    if (wanted && this.#usage && this.#usage.source !== "none" && !this.#usageSent) {
      text += dataEvent({ ...this.#head(), choices: [], usage: writeUsage(this.#usage) })
    }
    return `${text}data: [DONE]\n\n`
  }

  #finish(index: number, state: ChoiceState, reason: string): string {
    const choice = this.#shape.finish(index, reason, !state.opened)
    state.opened = true
    state.finished = true
    return this.#chunk([choice])
  }

  /** A chunk of the same dialect that no other delta tells leaves as it was; another dialect's has no place here. */
  #other(raw: JsonValue): string {
    return isObject(raw) && Array.isArray(raw.choices) ? dataEvent(raw) : ""
  }

  #chunk(choices: JsonObject[]): string {
    return dataEvent({ ...this.#head(), choices, ...(this.#includeUsage ? { usage: null } : {}) })
  }

  #head(): JsonObject {
    return {
      id: this.#id,
      object: this.#shape.object,
      created: this.#created,
      model: this.#model,
      ...this.#extra,
    }
  }

  #state(index: number): ChoiceState {
    let state = this.#choices.get(index)
    if (!state) {
      state = { opened: false, finished: false, reason: "stop" }
      this.#choices.set(index, state)
    }
    return state
  }

  #noteSent(json: JsonObject): void {
    if (readUsage(json)) this.#usageSent = true
    for (const value of arrayOf(json.choices)) {
      const choice = objectOf(value)
      if (!choice) continue
      const state = this.#state(numberOf(choice.index) ?? 0)
      state.opened = true
      if (typeof choice.finish_reason === "string") state.finished = true
      if (objectOf(choice.delta)?.tool_calls) state.reason = this.#shape.toolsWord
    }
  }
}
