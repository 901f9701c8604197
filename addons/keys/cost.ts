/** What a flow of a key with limits of tokens or money came to, whatever its end, and how that is known. */
import { countUsage, type Flow, isObject, type Prices, type TokenService, type Usage } from "llmproxy"

/** In a flow's record, under "keys.usage". A type and no interface, so that it is data that can be kept. */
export type UsageNote = {
  readonly tokens: number
  /** Undefined: no table has a price for it. */
  readonly microDollars: number | undefined
  /** The price's table, and of which day that is. */
  readonly table?: string
  readonly date?: string
  /**
   * "provider" and "counted": whose numbers they are, of a whole answer. Where the client has left: "aborted" (up to there), "drained" (the answer was read
   * to its end) or "estimated" (what was reserved). "cut": the upstream has broken off. "unsent": nothing has reached a model.
   */
  readonly how: "provider" | "counted" | "aborted" | "drained" | "estimated" | "cut" | "unsent" | "unmeasured"
}

export interface CostOptions {
  /** Tokens of the request, as they were counted. */
  readonly input: number
  readonly at: number
  readonly prices: Prices | undefined
  readonly tokens: TokenService
  readonly policy: "abort" | "drain" | "estimate"
}

/** Rejects when tokens cannot be counted now. */
export async function costOf(flow: Flow, { input, at, prices, tokens, policy }: CostOptions): Promise<UsageNote> {
  const { llm, error } = flow
  const completion = llm?.completion
  const isGone = error?.code === "client-gone"
  const { model, usage } =
    completion === undefined
      ? otherUsage(flow)
      : { model: completion.model ?? llm?.request.model, usage: await countUsage(flow, tokens) }
  if (usage === undefined) {
    const isAsked = flow.server !== undefined && error !== undefined && llm?.error === undefined
    // The answer's head never came; a model may have read what it was asked all the same.
    const used = isAsked && isGone ? input : 0
    return priced(flow, { inputTokens: used, outputTokens: 0 }, llm?.request.model, used > 0 ? "aborted" : "unsent")
  }
  const whole = usage.source === "provider" ? "provider" : "counted"
  // Read to its end, or to where that was given up.
  const drained = policy === "drain" && completion?.finishReason.unified !== "cut"
  return priced(flow, usage, model, isGone ? (drained ? "drained" : "aborted") : error === undefined ? whole : "cut")

  function priced(
    { server, routed, request }: Flow,
    { inputTokens = 0, outputTokens = 0, cachedTokens }: Partial<Usage>,
    named: string | undefined,
    how: UsageNote["how"],
  ): UsageNote {
    const used = inputTokens + outputTokens
    if (prices === undefined || named === undefined)
      return { tokens: used, microDollars: prices === undefined ? undefined : 0, how }
    const host =
      routed?.url === undefined
        ? hostText(server?.host ?? request.host, server?.port ?? request.port)
        : new URL(routed.url).host
    const counted = {
      inputTokens,
      outputTokens,
      totalTokens: used,
      cachedTokens,
      reasoningTokens: undefined,
      source: "counted",
    } as const
    const price = prices.of({ host, model: named, usage: counted, at })
    if (price === undefined) return { tokens: used, microDollars: undefined, how }
    const { microDollars, table, date } = price
    return { tokens: used, microDollars, table, date, how }
  }
}

function hostText(host: string, port: number): string {
  return port === 443 || port === 80 ? host : `${host}:${port}`
}

/** Of an answer in no dialect, as of embeddings: what its JSON says of usage. */
function otherUsage({ dialect, response }: Flow): { model: string | undefined; usage: Usage | undefined } {
  const none = { model: undefined, usage: undefined }
  if (dialect !== undefined || response === undefined || response.status >= 400 || response.truncated) return none
  let json: unknown
  try {
    json = response.json()
  } catch {
    return none // No JSON, or nothing was kept of it.
  }
  const usage = isObject(json) && isObject(json.usage) ? json.usage : undefined
  if (usage === undefined) return none
  const [input, total] = [usage.prompt_tokens ?? usage.input_tokens, usage.total_tokens]
  const inputTokens = typeof input === "number" ? input : typeof total === "number" ? total : undefined
  if (inputTokens === undefined) return none
  const output = usage.completion_tokens ?? usage.output_tokens
  const outputTokens = typeof output === "number" ? output : 0
  const model = isObject(json) && typeof json.model === "string" ? json.model : undefined
  const totalTokens = inputTokens + outputTokens
  return {
    model,
    usage: {
      inputTokens,
      outputTokens,
      totalTokens,
      cachedTokens: undefined,
      reasoningTokens: undefined,
      source: "provider",
    },
  }
}
