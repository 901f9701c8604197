/**
 * What several answers cost together. Pure.
 */
import type { Usage } from "./model.ts"

/** A number that only one of them tells is that one's; one count of ours makes the whole "counted". */
export function sumOfUsage(one: Usage, other: Usage): Usage {
  if (other.source === "none") return one
  if (one.source === "none") return other
  return {
    inputTokens: sum(one.inputTokens, other.inputTokens),
    outputTokens: sum(one.outputTokens, other.outputTokens),
    totalTokens: sum(one.totalTokens, other.totalTokens),
    cachedTokens: sum(one.cachedTokens, other.cachedTokens),
    reasoningTokens: sum(one.reasoningTokens, other.reasoningTokens),
    source: one.source === "counted" || other.source === "counted" ? "counted" : "provider",
  }
}

function sum(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined ? other : one + (other ?? 0)
}
