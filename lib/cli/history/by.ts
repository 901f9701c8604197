/**
 * `llmproxy history stats --by team,tag,key`: sums over the flows of whoever asked, as the addon that named them said when
 * they did. Tokens are what is kept; they are priced here, each flow by the host that it asked and as of its day, and the sum says by which
 * table. A flow without a known price is counted as such: it costs an unknown sum, not nothing.
 */
import { didYouMean } from "../../base/did-you-mean.ts"
import { UsageError } from "../../base/errors.ts"
import { isObject, parseJson } from "../../base/json.ts"
import { printable } from "../../base/log.ts"
import type { Price, Prices } from "../../services/prices.ts"
import { CLIENT_NOTE } from "../../store/flow-record.ts"
import type { FlowRow } from "../../store/schema.ts"
import type { Paint } from "../terminal/paint.ts"

const DIMENSIONS = ["team", "tag", "key", "user", "model", "route"] as const
type Dimension = (typeof DIMENSIONS)[number]

const MICRO_DOLLARS = 1_000_000
/** Groups that are told apart; the rest is one. */
const GROUPS_MAX = 10_000
/** For what a flow does not say. */
const NONE = "-"

interface GroupSum {
  readonly names: readonly string[]
  requests: number
  failed: number
  inputTokens: number
  outputTokens: number
  microDollars: number
  /** Requests that used tokens for which no table has a price. */
  unpriced: number
}

interface Grouped {
  readonly sums: readonly GroupSum[]
  /** The tables that gave prices, with their days. */
  readonly tables: readonly string[]
}

/** Throws a UsageError. */
export function dimensionsOf(text: string): Dimension[] {
  const names = text.split(",").map((name) => name.trim())
  return names.map((name) => {
    const found = DIMENSIONS.find((one) => one === name)
    if (found === undefined)
      throw new UsageError(`--by ${name}: write some of ${DIMENSIONS.join(", ")}${didYouMean(name, DIMENSIONS)}`)
    return found
  })
}

/** A flow with two tags counts under both. */
export async function grouped(
  flows: AsyncIterable<FlowRow>,
  by: readonly Dimension[],
  prices: Prices,
): Promise<Grouped> {
  const sums = new Map<string, GroupSum>()
  const tables = new Set<string>()
  for await (const flow of flows) {
    if (flow.dialect === null) continue
    const price = priceOf(flow, prices)
    if (price !== undefined) tables.add(`${price.table} of ${price.date}`)
    for (const names of namesOf(flow, by)) {
      const id = JSON.stringify(names)
      const place = sums.has(id) || sums.size < GROUPS_MAX ? id : ""
      const sum = sums.get(place) ?? newSum(place === id ? names : by.map(() => "(others)"))
      sums.set(place, sum)
      const { input_tokens: input, output_tokens: output } = flow
      sum.requests += 1
      if (isFailed(flow)) sum.failed += 1
      sum.inputTokens += Number(input ?? 0)
      sum.outputTokens += Number(output ?? 0)
      if (price !== undefined) sum.microDollars += price.microDollars
      else if (Number(input ?? 0) + Number(output ?? 0) > 0) sum.unpriced += 1
    }
  }
  const ordered = [...sums.values()].sort(
    (one, other) => other.microDollars - one.microDollars || tokensOf(other) - tokensOf(one),
  )
  return { sums: ordered, tables: [...tables].sort() }
}

export function groupedText({ sums, tables }: Grouped, by: readonly Dimension[], paint: Paint): string {
  if (sums.length === 0) return "no flows\n"
  const number = (value: number) => value.toLocaleString("en-US")
  const rows = sums.map((sum) => [
    ...sum.names.map((name) => printable(name)),
    ...[sum.requests, sum.failed, sum.inputTokens, sum.outputTokens].map(number),
    costText(sum),
  ])
  const table = [[...by, "requests", "failed", "in", "out", "cost"], ...rows]
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? []
  const lines = table.map((row, index) => {
    const cells = row.map((text, column) =>
      column < by.length ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0),
    )
    return `${index === 0 ? paint("dim", cells.join("  ")) : cells.join("  ")}\n`
  })
  const isPartial = sums.some(({ unpriced }) => unpriced > 0)
  const ends = [
    tables.length === 0 ? "" : `prices: ${tables.join(", ")}\n`,
    isPartial ? "+?: and requests whose price is not known\n" : "",
  ].join("")
  return `${lines.join("")}${ends === "" ? "" : `\n${ends}`}`
}

function newSum(names: readonly string[]): GroupSum {
  return { names, requests: 0, failed: 0, inputTokens: 0, outputTokens: 0, microDollars: 0, unpriced: 0 }
}

function tokensOf({ inputTokens, outputTokens }: GroupSum): number {
  return inputTokens + outputTokens
}

function costText({ microDollars, unpriced }: GroupSum): string {
  if (microDollars === 0 && unpriced > 0) return "?"
  const dollars = microDollars / MICRO_DOLLARS
  return `$${dollars.toFixed(dollars < 1 ? 4 : 2)}${unpriced > 0 ? "+?" : ""}`
}

function isFailed({ error_code: error, llm_error_kind: llmError, status }: FlowRow): boolean {
  return error !== null || llmError !== null || status === null || status >= 400
}

function priceOf(flow: FlowRow, prices: Prices): Price | undefined {
  const model = flow.answered_model ?? flow.model
  if (model === null || flow.input_tokens === null || flow.output_tokens === null) return undefined
  const host = flow.route_url !== null && URL.canParse(flow.route_url) ? new URL(flow.route_url).host : flow.host
  const [inputTokens, outputTokens] = [Number(flow.input_tokens), Number(flow.output_tokens)]
  const cachedTokens = flow.cached_tokens === null ? undefined : Number(flow.cached_tokens)
  const totalTokens = inputTokens + outputTokens
  const usage = {
    inputTokens,
    outputTokens,
    totalTokens,
    cachedTokens,
    reasoningTokens: undefined,
    source: "provider",
  } as const
  return prices.of({ host, model, usage, at: Number(flow.started_at) })
}

/** One list of names for each of its tags, where tags are asked for. */
function namesOf(flow: FlowRow, by: readonly Dimension[]): string[][] {
  const noted = flow.metadata === null ? undefined : parseJson(flow.metadata)
  const told = isObject(noted) ? noted[CLIENT_NOTE] : undefined
  const client = isObject(told) ? told : {}
  const tags = Array.isArray(client.tags) ? [...new Set(client.tags.filter((tag) => typeof tag === "string"))] : []
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : NONE)
  const nameOf: Record<Exclude<Dimension, "tag">, () => string> = {
    team: () => text(client.team),
    key: () => text(client.label === undefined ? client.id : `${text(client.label)} (${text(client.id)})`),
    user: () => text(client.user ?? flow.client_id),
    model: () => text(flow.answered_model ?? flow.model),
    route: () => flow.route ?? "direct",
  }
  const each = by.includes("tag") && tags.length > 0 ? tags : [NONE]
  return each.map((tag) => by.map((dimension) => (dimension === "tag" ? tag : nameOf[dimension]())))
}
