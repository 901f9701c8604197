/** What clients are told that get nothing: in their dialect, with the fields by which OpenAI's SDKs wait; and how often, by the reason. */
import type { Counter, Metrics, Reply } from "llmproxy"
import type { Refused, Standing } from "./judge.ts"
import { MICRO } from "./limits.ts"

/**
 * Why somebody got nothing. `unknown`: no key that is one, or none; `slowed`: too many of those; `scope`: the key may not; `ambiguous`: it
 * is not sure what is asked for; `price`: not known; `database`: not there; the others are limits.
 */
export type Reason = Refused["kind"] | "unknown" | "slowed" | "scope" | "ambiguous" | "price" | "database"

/** The replies, each counted as it is made. */
export class Refusals {
  readonly #counter: Counter<"reason">

  /** To be made in `setup`. */
  constructor(metrics: Metrics) {
    const help = "Requests and tunnels that got nothing from keys, by the reason."
    this.#counter = metrics.counter({ name: "keys_refusals_total", help, labels: ["reason"] })
  }

  count(reason: Reason): void {
    this.#counter.add(1, { reason })
  }

  limitReached(refused: Refused): Reply {
    this.count(refused.kind)
    return limitReached(refused)
  }

  forbidden(message: string): Reply {
    this.count("scope")
    return { status: 403, error: { code: "insufficient_permissions", message } }
  }

  ambiguousModel(): Reply {
    this.count("ambiguous")
    const message = "the body names its model more than once; name it once, as model"
    return { status: 400, error: { code: "invalid_value", message } }
  }

  databaseLost(): Reply {
    this.count("database")
    const message = "what this key uses cannot be counted now; try again in a few seconds"
    return { status: 503, headers: { "Retry-After": "5" }, error: { code: "ledger_unavailable", message } }
  }

  priceUnknown(model: string): Reply {
    this.count("price")
    const message =
      `the price of ${model} is not known, and this key has a limit of money; ` +
      "name the price in keys.pricesFile, or set keys.unknownPrice to allow"
    return { status: 403, error: { code: "price_unknown", message } }
  }
}

/** A limit is reached. */
function limitReached({ kind, span, limit, used, wished, retryMs }: Refused): Reply {
  const headers: Record<string, string> = {}
  if (retryMs !== undefined) headers["Retry-After"] = String(Math.max(1, Math.ceil(retryMs / 1_000)))
  if (kind === "requests" || kind === "tokens") {
    headers[`x-ratelimit-limit-${kind}`] = String(limit)
    headers[`x-ratelimit-remaining-${kind}`] = String(Math.max(0, limit - used))
    if (retryMs !== undefined) headers[`x-ratelimit-reset-${kind}`] = durationText(retryMs)
  }
  const code = kind === "money" ? "insufficient_quota" : "rate_limit_exceeded"
  return { status: 429, headers, error: { code, type: kind === "money" ? code : kind, message: reason() } }

  function reason(): string {
    if (kind === "parallel")
      return `This key may have ${limit} requests at a time, and ${used} run. Try again when one has ended.`
    const show = (amount: number) =>
      kind === "money" ? `$${(amount / MICRO).toFixed(6).replace(/0{1,4}$/, "")}` : String(amount)
    const what = kind === "money" ? "spend" : "use"
    const most = `This key may ${what} ${show(limit)}${kind === "money" ? "" : ` ${kind}`} a ${span}`
    if (wished > limit)
      return `${most}, and this request alone may come to ${show(wished)}. Make it smaller, or lower its max_tokens.`
    const again = retryMs === undefined ? "" : ` Try again in ${durationText(retryMs)}.`
    return `${most}: ${show(used)} are used or reserved, and this request may come to ${show(wished)}.${again}`
  }
}

/** The fields of an answer that was let in. */
export function standingFields(standing: readonly Standing[]): [string, string][] {
  return standing.flatMap(({ kind, limit, left, resetMs }): [string, string][] => [
    [`x-ratelimit-limit-${kind}`, String(limit)],
    [`x-ratelimit-remaining-${kind}`, String(left)],
    [`x-ratelimit-reset-${kind}`, durationText(resetMs)],
  ])
}

/** As OpenAI writes it: "6m0s", "1s", "120ms". */
function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 1_000)
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)]
  return `${hours > 0 ? `${hours}h` : ""}${hours + minutes > 0 ? `${minutes}m` : ""}${seconds % 60}s`
}
