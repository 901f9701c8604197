/**
 * Whether a key may have one more request: what it has used, what is reserved for those that run, and what this one wishes,
 * against its limits. Pure, and the one place where that is decided, whatever keeps the counts.
 */
import { KINDS, type Kind, type Limits, SPANS, type Span, spanAt, spanEnd } from "./limits.ts"

export type Amounts = Readonly<Record<Kind, number>>

/** What runs for a key, or has run. */
export interface Held {
  /** Epoch milliseconds of its start: what it uses is of the spans in which that is. */
  readonly at: number
  /** 1: it counts among those at a time. */
  readonly slots: number
  readonly tokens: number
  readonly money: number
}

export interface Wish extends Held {
  readonly limits: Limits
}

/** Of one limit. `retryMs`: undefined where waiting does not help. */
export interface Refused {
  readonly kind: Kind | "parallel"
  readonly span: Span | undefined
  readonly limit: number
  readonly used: number
  readonly wished: number
  readonly retryMs: number | undefined
}

/** How a key stands after a request was let in: of each kind the span in which least is left. */
export interface Standing {
  readonly kind: "requests" | "tokens"
  readonly limit: number
  readonly left: number
  readonly resetMs: number
}

/** Milliseconds after which a place may be free again. */
const PARALLEL_RETRY_MS = 1_000

/** `used`: by a span's name. `held` holds requests that run; their `requests` are counted in `used` already. */
export function judge(
  wish: Wish,
  used: (span: string) => Amounts,
  held: readonly Held[],
): Refused | readonly Standing[] {
  const { limits, at } = wish
  const running = held.reduce((sum, { slots }) => sum + slots, 0)
  if (limits.parallel !== undefined && wish.slots > 0 && running + wish.slots > limits.parallel)
    return {
      kind: "parallel",
      span: undefined,
      limit: limits.parallel,
      used: running,
      wished: wish.slots,
      retryMs: PARALLEL_RETRY_MS,
    }
  const standing: Standing[] = []
  for (const kind of KINDS) {
    const spans = limits[kind]
    if (spans === undefined) continue
    const wished = kind === "requests" ? 1 : wish[kind]
    let least: Standing | undefined
    for (const span of SPANS) {
      const limit = spans[span]
      if (limit === undefined) continue
      const name = spanAt(span, at)
      const before = used(name)[kind] + (kind === "requests" ? 0 : reserved(kind, span, name, held))
      const resetMs = spanEnd(span, at) - at
      if (before + wished > limit)
        return { kind, span, limit, used: before, wished, retryMs: wished > limit ? undefined : resetMs }
      const left = limit - before - wished
      if (kind !== "money" && (least === undefined || left < least.left)) least = { kind, limit, left, resetMs }
    }
    if (least !== undefined) standing.push(least)
  }
  return standing
}

function reserved(kind: "tokens" | "money", span: Span, name: string, held: readonly Held[]): number {
  return held.reduce((sum, one) => (spanAt(span, one.at) === name ? sum + one[kind] : sum), 0)
}
