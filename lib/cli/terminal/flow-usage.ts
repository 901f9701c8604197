/**
 * The tokens of a flow as people are shown them: the host's own numbers, and where it gave none (most streams, unless
 * the client asks for them) ours, which are marked as counted.
 */
import type { TokenService } from "../../api/addon.ts"
import type { Flow } from "../../api/flow.ts"
import { countUsage } from "../../api/usage.ts"

export interface ShownUsage {
  readonly input: number | undefined
  readonly output: number | undefined
  /** Whether a number of the two is our count. */
  readonly isCounted: boolean
}

export const NO_TOKENS: ShownUsage = { input: undefined, output: undefined, isCounted: false }

/** What the answer says of itself; undefined where it would have to be counted. */
export function knownUsage({ llm }: Flow): ShownUsage | undefined {
  const completion = llm?.completion
  if (completion === undefined) return NO_TOKENS
  const { inputTokens: input, outputTokens: output, source } = completion.usage
  return input === undefined || output === undefined ? undefined : { input, output, isCounted: source === "counted" }
}

/** The same with our count for what is missing. */
export async function countedUsage(flow: Flow, tokens: TokenService): Promise<ShownUsage> {
  if (flow.llm?.completion === undefined) return NO_TOKENS
  const { inputTokens: input, outputTokens: output } = await countUsage(flow, tokens)
  return { input, output, isCounted: true }
}

/** As much of it as the answer says of itself, where nothing can be counted. */
export function partlyKnownUsage({ llm }: Flow): ShownUsage {
  const { inputTokens: input, outputTokens: output } = llm?.completion?.usage ?? {}
  return { input, output, isCounted: false }
}
