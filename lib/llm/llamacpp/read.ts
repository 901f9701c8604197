/**
 * The meaning of llama.cpp's /completion answers, streamed and whole: flat objects with `content` and `stop`, numbered
 * by `index` where there were several prompts. No end mark: the object that says `stop` ends a choice.
 * Source: llama.cpp, tools/server/README.md and server-task.cpp.
 */

import { type JsonObject, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { finishReasonOf } from "../finish-words.ts"
import type { EventMeaning } from "../framing/sse-json.ts"
import type { Delta, FinishReason, Usage } from "../model.ts"
import { CHOICES_MAX } from "../openai/read.ts"
import { readCounts } from "../usage.ts"

// Before December 2024, reasons were flags.
const OLD_FLAGS = ["stopped_limit", "stopped_word", "stopped_eos"]

/** Reads the objects of one answer, one after the other. */
export class LlamaCppReader {
  /** Choices that have begun and not ended. */
  readonly #open = new Set<number>()
  #usage: Usage | undefined

  event(json: JsonObject): EventMeaning {
    const index = numberOf(json.index) ?? 0
    const text = stringOf(json.content)
    const numbered = Number.isInteger(index) && index >= 0 && index < CHOICES_MAX
    // While a prompt is read, `return_progress` sends objects that hold no text.
    if (text === undefined || !numbered) return json.error ? {} : { deltas: [{ type: "other", raw: json }] }
    const deltas: Delta[] = text === "" ? [] : [{ type: "text", index, text }]
    if (json.stop !== true) {
      this.#open.add(index)
      return { deltas }
    }
    this.#open.delete(index)
    deltas.push({ type: "finish", index, reason: llamacppFinish(json) })
    const usage = readLlamaCppUsage(json)
    if (usage) {
      this.#usage = this.#usage ? sumOf(this.#usage, usage) : usage
      deltas.push({ type: "usage", usage: this.#usage })
    }
    return { deltas, done: this.#open.size === 0 }
  }
}

export function llamacppFinish(json: JsonObject): FinishReason {
  const raw = stringOf(json.stop_type) ?? OLD_FLAGS.find((flag) => json[flag] === true)
  return { unified: finishReasonOf(raw ?? "").unified, raw }
}

/** `tokens_evaluated` is the whole prompt. `tokens_cached` is not what its name says: the length of the slot. */
function readLlamaCppUsage(json: JsonObject): Usage | undefined {
  const inputTokens = numberOf(json.tokens_evaluated)
  const outputTokens = numberOf(json.tokens_predicted)
  if (!inputTokens && !outputTokens) return readCounts(objectOf(json.usage) ?? json)
  return {
    inputTokens,
    outputTokens,
    totalTokens: sum(inputTokens, outputTokens),
    cachedTokens: numberOf(objectOf(json.timings)?.cache_n),
    reasoningTokens: undefined,
    source: "provider",
  }
}

/** Several prompts are several runs, each with its own counts. */
function sumOf(a: Usage, b: Usage): Usage {
  return {
    ...b,
    inputTokens: sum(a.inputTokens, b.inputTokens),
    outputTokens: sum(a.outputTokens, b.outputTokens),
    totalTokens: sum(a.totalTokens, b.totalTokens),
    cachedTokens: sum(a.cachedTokens, b.cachedTokens),
  }
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b
}
