/**
 * llama.cpp's /completion answers as we write them. A raw completion has no place for reasoning and tool calls, and no
 * client asks for them there. Source: llama.cpp, tools/server/README.md and server-task.cpp.
 */

import { isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import type { EncodeContext, StreamEncoder } from "../dialect.ts"
import type { Choice, Completion, Delta, FinishReason, FinishUnified, Usage } from "../model.ts"
import { dataEvent } from "../openai/write.ts"
import { mergeUsage } from "../usage.ts"
import { llamacppFinish } from "./read.ts"

/** For a cut or failed answer, too, "limit" is the word that says it is not whole. */
const STOP: Readonly<Record<FinishUnified, string>> = {
  stop: "eos",
  length: "limit",
  toolCalls: "eos",
  contentFilter: "eos",
  error: "limit",
  cut: "limit",
  other: "none",
}

/** Fields of an object that are ours to write, or that belong to that one object. */
const OWN_FIELDS = new Set([
  "index",
  "content",
  "tokens",
  "stop",
  "model",
  "stop_type",
  "tokens_evaluated",
  "tokens_predicted",
  "completion_probabilities",
  "prompt_progress",
  "error",
  "stopped_eos",
  "stopped_word",
  "stopped_limit",
])

export class LlamaCppEncoder implements StreamEncoder {
  /** Choices with their reasons to stop; undefined while nobody gave one. */
  readonly #choices = new Map<number, FinishReason | undefined>()
  #model: string
  #extra: JsonObject = {}
  /** What the last object that we read knows besides. */
  #last: JsonObject = {}
  #usage: Usage | undefined

  constructor(context: EncodeContext) {
    this.#model = context.model
  }

  adopt(json: JsonValue | undefined, sent = false): void {
    if (!isObject(json)) return
    this.#model = stringOf(json.model) || this.#model
    const extra = Object.fromEntries(Object.entries(json).filter(([key]) => !OWN_FIELDS.has(key)))
    if (json.stop === true) this.#last = extra
    else this.#extra = extra
    const index = numberOf(json.index) ?? 0
    if (sent && json.stop === true) this.#choices.set(index, llamacppFinish(json))
    else if (!this.#choices.has(index)) this.#choices.set(index, undefined)
  }

  delta(delta: Delta): string {
    switch (delta.type) {
      case "usage":
        this.#usage = mergeUsage(this.#usage, delta.usage)
        return ""
      case "finish":
        this.#choices.set(delta.index, delta.reason)
        return ""
      case "text":
      case "refusal":
        if (!this.#choices.has(delta.index)) this.#choices.set(delta.index, undefined)
        return dataEvent({ index: delta.index, content: delta.text, tokens: [], stop: false, ...this.#extra })
      case "other":
        return isObject(delta.raw) && delta.raw.prompt_progress ? dataEvent(delta.raw) : ""
      default:
        return ""
    }
  }

  /** The last object of every choice; the first of them tells the usage of all. */
  end(): string {
    if (this.#choices.size === 0) this.#choices.set(0, undefined)
    let text = ""
    let usage = this.#usage
    for (const [index, reason] of this.#choices) {
      const head = { index, content: "", tokens: [], ...this.#extra, model: this.#model }
      text += dataEvent({ ...head, ...this.#last, ...ending(reason, usage, this.#last) })
      usage = undefined
    }
    return text
  }
}

/** Another reason to stop, in the words that `json` has for it: flags before December 2024, a type since. */
export function setStopType(json: JsonObject, reason: FinishReason): void {
  const type = reason.raw === "word" ? "word" : STOP[reason.unified]
  const flags = ["eos", "word", "limit"].filter((word) => json[`stopped_${word}`] !== undefined)
  for (const word of flags) json[`stopped_${word}`] = word === type
  if (flags.length === 0 || json.stop_type !== undefined) json.stop_type = type
}

/** A list of prompts is answered by a list. */
export function writeLlamaCppAnswer(completion: Completion, context: EncodeContext): JsonValue {
  const model = completion.model ?? context.model
  const answers = completion.choices.map((choice, at) =>
    writeChoice(choice, model, at === 0 ? completion.usage : undefined),
  )
  const [only = { index: 0, content: "", tokens: [], model, ...ending(undefined, completion.usage, {}) }] = answers
  return answers.length > 1 ? answers : only
}

function writeChoice({ index, text, refusal, finishReason }: Choice, model: string, usage?: Usage): JsonObject {
  return { index, content: text + refusal, tokens: [], model, ...ending(finishReason, usage, {}) }
}

function ending(reason: FinishReason | undefined, usage: Usage | undefined, last: JsonObject): JsonObject {
  const json: JsonObject = {
    stop: true,
    stop_type: reason?.raw === "word" ? "word" : STOP[reason?.unified ?? "stop"],
    stopping_word: last.stopping_word ?? "",
    truncated: last.truncated ?? false,
    tokens_predicted: usage?.outputTokens ?? 0,
    tokens_evaluated: usage?.inputTokens ?? 0,
  }
  if (usage?.cachedTokens !== undefined) json.timings = { ...objectOf(last.timings), cache_n: usage.cachedTokens }
  return json
}
