/**
 * Changes what an answer says it cost, where it says it: each number moves by as much as an addon has moved it, under
 * whatever names the provider has it, and every other count stays (cache writes, tiers, server tools).
 */
import { type JsonObject, numberOf, objectOf } from "../../base/json.ts"
import type { DialectName, Usage } from "../model.ts"

type Path = readonly string[]

const INPUT = ["prompt_tokens", "input_tokens", "prompt_eval_count", "tokens_evaluated", "prompt_n"]
const OUTPUT = ["completion_tokens", "output_tokens", "eval_count", "tokens_predicted", "predicted_n"]
const CACHED: readonly Path[] = [
  ["prompt_tokens_details", "cached_tokens"],
  ["input_tokens_details", "cached_tokens"],
  ["prompt_cache_hit_tokens"],
  ["cached_tokens"],
  ["cache_read_input_tokens"],
  ["cache_n"],
  ["timings", "cache_n"],
]
const REASONING: readonly Path[] = [
  ["completion_tokens_details", "reasoning_tokens"],
  ["output_tokens_details", "reasoning_tokens"],
  ["output_tokens_details", "thinking_tokens"],
  ["reasoning_tokens"],
]

/** Names of a dialect's own, for a number that did not come. */
interface Names {
  readonly input: string
  readonly output: string
  readonly total?: string
  readonly cached?: Path
  readonly reasoning?: Path
}

const CHAT: Names = {
  input: "prompt_tokens",
  output: "completion_tokens",
  total: "total_tokens",
  cached: ["prompt_tokens_details", "cached_tokens"],
  reasoning: ["completion_tokens_details", "reasoning_tokens"],
}

const RESPONSES: Names = {
  input: "input_tokens",
  output: "output_tokens",
  total: "total_tokens",
  cached: ["input_tokens_details", "cached_tokens"],
  reasoning: ["output_tokens_details", "reasoning_tokens"],
}

const NAMES: Readonly<Record<DialectName, Names>> = {
  "openai-chat": CHAT,
  "openai-completions": CHAT,
  "openai-responses": RESPONSES,
  "openai-realtime": RESPONSES,
  "anthropic-messages": {
    input: "input_tokens",
    output: "output_tokens",
    cached: ["cache_read_input_tokens"],
    reasoning: ["output_tokens_details", "thinking_tokens"],
  },
  ollama: { input: "prompt_eval_count", output: "eval_count" },
  llamacpp: { input: "tokens_evaluated", output: "tokens_predicted", cached: ["timings", "cache_n"] },
}

/**
 * Moves the counts in `holder` from `before`, what was told of them, to `after`. `earlier`: counts that earlier events
 * of the same answer told, on which these build.
 */
export function moveUsage(
  dialect: DialectName,
  holder: JsonObject,
  before: Usage | undefined,
  after: Usage,
  earlier: JsonObject = {},
): void {
  const by = (name: "inputTokens" | "outputTokens" | "cachedTokens" | "reasoningTokens") =>
    (after[name] ?? 0) - (before?.[name] ?? 0)
  const names = NAMES[dialect]
  const input = by("inputTokens")
  const cached = by("cachedTokens")
  const output = by("outputTokens")
  // Anthropic counts what comes from the cache apart.
  const apart = dialect === "anthropic-messages" ? input - cached : input
  const move = (paths: readonly Path[], step: number, own: Path | undefined) =>
    moveCounts(holder, paths, step, own, earlier)
  move(asPaths(INPUT), apart, [names.input])
  move(asPaths(OUTPUT), output, [names.output])
  move(CACHED, cached, names.cached)
  move([["prompt_cache_miss_tokens"]], input - cached, undefined)
  move(REASONING, by("reasoningTokens"), names.reasoning)
  const total = before?.totalTokens === after.totalTokens ? input + output : totalOf(after) - totalOf(before)
  move([["total_tokens"]], total, names.total === undefined ? undefined : [names.total])
}

function totalOf(usage: Usage | undefined): number {
  return usage?.totalTokens ?? (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0)
}

function asPaths(names: readonly string[]): Path[] {
  return names.map((name) => [name])
}

function moveCounts(
  holder: JsonObject,
  paths: readonly Path[],
  step: number,
  own: Path | undefined,
  earlier: JsonObject,
): void {
  if (step === 0) return
  const present = paths.filter((path) => countAt(holder, path) !== undefined)
  for (const path of present) setCount(holder, path, (countAt(holder, path) ?? 0) + step)
  if (present.length === 0 && own !== undefined) setCount(holder, own, (countAt(earlier, own) ?? 0) + step)
}

function countAt(holder: JsonObject, [name = "", inner]: Path): number | undefined {
  return numberOf(inner === undefined ? holder[name] : objectOf(holder[name])?.[inner])
}

function setCount(holder: JsonObject, [name = "", inner]: Path, count: number): void {
  const value = Math.max(0, count)
  if (inner === undefined) holder[name] = value
  else holder[name] = { ...objectOf(holder[name]), [inner]: value }
}
