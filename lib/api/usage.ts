/**
 * What an answer cost, in tokens: the host's own numbers, and ours for what it did not say (most streams, and all that
 * were cut). The source says which: one number of ours makes the whole "counted".
 */

import { NO_USAGE } from "../llm/model.ts"
import type { TokenService } from "./addon.ts"
import type { Flow, Usage } from "./flow.ts"

/** The usage of a flow whose answer is there; without one, no usage. Rejects when tokens cannot be counted now. */
export async function countUsage(flow: Pick<Flow, "llm" | "routed">, tokens: TokenService): Promise<Usage> {
  const { llm, routed } = flow
  const completion = llm?.completion
  if (llm === undefined || completion === undefined) return { ...NO_USAGE }
  const { usage, text, reasoning, refusal, toolCalls } = completion
  if (usage.inputTokens !== undefined && usage.outputTokens !== undefined) return usage
  const said = [reasoning, text, refusal, ...toolCalls.flatMap((call) => [call.name, call.arguments])].join("\n").trim()
  const [inputTokens, outputTokens] = await Promise.all([
    usage.inputTokens ?? routed?.tokens ?? tokens.countRequest(llm.request).then((count) => count.tokens),
    usage.outputTokens ?? (said === "" ? 0 : tokens.countText(said, completion.model ?? llm.request.model)),
  ])
  return { ...usage, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, source: "counted" }
}
