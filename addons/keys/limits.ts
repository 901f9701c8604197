/**
 * How much a key may use, and of which span of time what it uses is. Spans are those of the clock (a minute, a day and a month
 * of UTC), so that processes agree about them without a word. Pure.
 */
import { isObject, UsageError } from "llmproxy"

export const SPANS = ["minute", "day", "month"] as const
export type Span = (typeof SPANS)[number]
export const KINDS = ["requests", "tokens", "money"] as const
export type Kind = (typeof KINDS)[number]

export type PerSpan = Readonly<Partial<Record<Span, number>>>

/** Money in micro-dollars. What is not named has no limit. */
export interface Limits extends Readonly<Partial<Record<Kind, PerSpan>>> {
  /** Requests at a time. */
  readonly parallel?: number
}

export const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
export const MICRO = 1_000_000

/** The name of the span in which `at` is, as in "d2026-11-30". */
export function spanAt(span: Span, at: number): string {
  if (span === "minute") return `m${Math.floor(at / MINUTE_MS)}`
  const date = new Date(at).toISOString()
  return span === "day" ? `d${date.slice(0, 10)}` : `M${date.slice(0, 7)}`
}

/** Epoch milliseconds at which that span ends. */
export function spanEnd(span: Span, at: number): number {
  if (span === "minute") return (Math.floor(at / MINUTE_MS) + 1) * MINUTE_MS
  if (span === "day") return (Math.floor(at / DAY_MS) + 1) * DAY_MS
  const date = new Date(at)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
}

export function isLimited(limits: Limits): boolean {
  return limits.parallel !== undefined || KINDS.some((kind) => limits[kind] !== undefined)
}

/** Whether what is used has to be known before an answer is there. */
export function isMeasured(limits: Limits): boolean {
  return limits.tokens !== undefined || limits.money !== undefined
}

/** Limits as they were written by us; what is not as it should be is not there. */
export function limitsOf(value: unknown): Limits {
  if (!isObject(value)) return {}
  const limits: Partial<Record<Kind, PerSpan>> = {}
  for (const kind of KINDS) {
    const given = value[kind]
    if (!isObject(given)) continue
    const spans = SPANS.flatMap((span) => {
      const most = given[span]
      return typeof most === "number" ? [[span, most] as const] : []
    })
    if (spans.length > 0) limits[kind] = Object.fromEntries(spans)
  }
  return typeof value.parallel === "number" ? { ...limits, parallel: value.parallel } : limits
}

/** "60/minute", "1000/day": of money in dollars. Throws a UsageError. */
export function parseSpans(flag: string, kind: Kind, texts: readonly string[]): PerSpan | undefined {
  const spans: Partial<Record<Span, number>> = {}
  for (const text of texts) {
    const [amount = "", unit = "", ...rest] = text.split("/")
    const span = SPANS.find((one) => one === unit)
    const most = /^\d{1,12}(\.\d{1,6})?$/.test(amount) ? Number(amount) : Number.NaN
    const isWhole = kind === "money" || Number.isInteger(most)
    if (span === undefined || rest.length > 0 || Number.isNaN(most) || !isWhole)
      throw new UsageError(
        `${flag} ${text}: write a number and a span, as in ${kind === "money" ? "2.50" : "100"}/day (minute, day, month)`,
      )
    spans[span] = kind === "money" ? Math.round(most * MICRO) : most
  }
  return Object.keys(spans).length > 0 ? spans : undefined
}

/** Limits for people: "60 requests/minute, $5/day, 4 at a time". */
export function limitsText(limits: Limits): string {
  const parts = KINDS.flatMap((kind) =>
    SPANS.flatMap((span) => {
      const most = limits[kind]?.[span]
      if (most === undefined) return []
      return [kind === "money" ? `$${most / MICRO}/${span}` : `${most} ${kind}/${span}`]
    }),
  )
  if (limits.parallel !== undefined) parts.push(`${limits.parallel} at a time`)
  return parts.join(", ")
}
