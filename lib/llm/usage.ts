/**
 * What an answer cost, as providers tell it: two sets of names (`prompt_tokens`, `input_tokens`) that gateways mix, and
 * several places for the part that came from a cache. One reader for every dialect. Pure.
 */
import { type JsonObject, numberOf, objectOf } from "../base/json.ts"
import type { Usage } from "./model.ts"

/** Undefined where there is no count but 0: no answer costs nothing, so somebody wrote it who did not know. */
export function readCounts(usage: JsonObject): Usage | undefined {
  const input = firstCount(usage.prompt_tokens, wholeInput(usage))
  const output = firstCount(usage.completion_tokens, usage.output_tokens)
  if (!input && !output) return undefined
  const inputDetails = objectOf(usage.prompt_tokens_details) ?? objectOf(usage.input_tokens_details)
  const outputDetails = objectOf(usage.completion_tokens_details) ?? objectOf(usage.output_tokens_details)
  return {
    inputTokens: input,
    outputTokens: output,
    totalTokens: firstCount(usage.total_tokens) || sumOf(input, output),
    cachedTokens: firstCount(
      inputDetails?.cached_tokens,
      usage.prompt_cache_hit_tokens, // DeepSeek
      usage.cached_tokens, // Moonshot
      usage.cache_read_input_tokens, // Anthropic, LiteLLM
    ),
    reasoningTokens: firstCount(
      outputDetails?.reasoning_tokens,
      outputDetails?.thinking_tokens, // Anthropic
      usage.reasoning_tokens,
    ),
    source: "provider",
  }
}

/** Anthropic counts the cached part of a prompt apart from `input_tokens`; ours is the whole prompt, as elsewhere. */
function wholeInput(usage: JsonObject): number | undefined {
  const fresh = firstCount(usage.input_tokens)
  if (fresh === undefined) return undefined
  return fresh + (numberOf(usage.cache_read_input_tokens) ?? 0) + (numberOf(usage.cache_creation_input_tokens) ?? 0)
}

/** A later report replaces an earlier one number by number, but a 0 takes no number's place. */
export function mergeUsage(earlier: Usage | undefined, later: Usage): Usage {
  if (!earlier) return { ...later }
  const inputTokens = later.inputTokens || (earlier.inputTokens ?? later.inputTokens)
  const outputTokens = later.outputTokens || (earlier.outputTokens ?? later.outputTokens)
  const asTold = inputTokens === later.inputTokens && outputTokens === later.outputTokens
  const total = asTold ? later.totalTokens : undefined
  return {
    inputTokens,
    outputTokens,
    totalTokens: total || (sumOf(inputTokens, outputTokens) ?? later.totalTokens ?? earlier.totalTokens),
    cachedTokens: later.cachedTokens || (earlier.cachedTokens ?? later.cachedTokens),
    reasoningTokens: later.reasoningTokens || (earlier.reasoningTokens ?? later.reasoningTokens),
    source: later.source,
  }
}

/** The first that is above 0, else the first that is a number. */
function firstCount(...values: unknown[]): number | undefined {
  const counts = values.map(numberOf).filter((count) => count !== undefined)
  return counts.find((count) => count > 0) ?? counts[0]
}

function sumOf(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b
}
