/**
 * What an attempt has cost: as its host says, else as it is counted. Whoever asked for the answer pays for each of them,
 * so the flow's usage is their sum; what its client is told is the accepted answer's own.
 */
import { type Completion, countUsage, type LlmFlow, type TokenService, type Usage } from "llmproxy"

/** Of an answer that came whole. Undefined where it cannot be counted now: an answer is worth more than its count. */
export async function costOf(
  { llm, routed }: LlmFlow,
  completion: Completion,
  tokens: TokenService,
): Promise<Usage | undefined> {
  try {
    return await countUsage({ llm: { ...llm, request: llm.request, completion }, routed }, tokens)
  } catch {
    return undefined
  }
}

/** Of an answer that broke off or was stopped: `said` is as far as it came. */
export async function costOfPart(
  { llm, routed }: LlmFlow,
  said: string,
  tokens: TokenService,
): Promise<Usage | undefined> {
  try {
    const inputTokens = routed?.tokens ?? (await tokens.countRequest(llm.request)).tokens
    const outputTokens = said === "" ? 0 : await tokens.countText(said, llm.request.model)
    const unknown = { cachedTokens: undefined, reasoningTokens: undefined }
    return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, ...unknown, source: "counted" }
  } catch {
    return undefined
  }
}
