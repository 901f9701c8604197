/**
 * Flows of the history as a person reads them in a terminal. Whatever comes from outside is made harmless here.
 */
import { isObject, type JsonObject, parseJson, stringOf } from "../../base/json.ts"
import { printable } from "../../base/log.ts"
import { textOf } from "../../llm/message-text.ts"
import { textWithCalls } from "../../store/exports.ts"
import type { Exchange, ListedFlow, UsageSum } from "../../store/reader.ts"
import type { FlowRow } from "../../store/schema.ts"
import { SHORT_ID_CHARS } from "../terminal/flow-line.ts"
import { shownText } from "../terminal/live-text.ts"
import type { Paint } from "../terminal/paint.ts"

const EXCERPT_CHARS_MAX = 60
const INDENT = "  "
const LOCAL = "local"

/** One line. */
export function listLine(flow: ListedFlow, paint: Paint): string {
  const parts = [
    paint("dim", timeText(flow.started_at)),
    flow.id.slice(-SHORT_ID_CHARS),
    paint("bold", modelText(flow)),
    flow.route === null ? "" : `→ ${printable(flow.route)}`,
    statusText(flow, paint),
    tokensText(flow),
    flow.end_ms === null ? "" : `${(flow.end_ms / 1_000).toFixed(1)} s`,
    excerptText(flow.excerpt, paint),
  ]
  return `${parts.filter((part) => part !== "").join("  ")}\n`
}

/** All that is kept of a flow. */
export function flowText({ flow, messages, answer }: Exchange, attempts: readonly FlowRow[], paint: Paint): string {
  const facts: [string, string | null][] = [
    ["id", flow.id],
    ["began", timeText(flow.started_at)],
    ["client", flow.client_id],
    ["request", `${flow.method} ${flow.url}`],
    ["status", flow.status === null ? null : String(flow.status)],
    ["model", flow.model === null ? null : modelText(flow)],
    ["route", flow.route === null ? null : [flow.route, flow.route_reason].filter(Boolean).join(": ")],
    ["tokens", usageText(flow)],
    ["times", timingsText(flow)],
    ["finish", flow.finish_reason],
    ["error", errorText(flow)],
    ["notes", flow.metadata],
    ["parent", flow.parent_id],
    ["contents", flow.incomplete === 0 ? null : "too large, not kept"],
  ]
  const width = Math.max(...facts.map(([name]) => name.length))
  const head = facts.filter(([, text]) => text !== null && text !== "")
  const rows = head.map(([name, text]) => `${paint("dim", name.padEnd(width))}  ${printable(text ?? "")}\n`)
  const tries = attempts.map((attempt) => `${INDENT}${attemptText(attempt, paint)}\n`)
  const said = [...messages, ...(answer === undefined ? [] : [answer])].map((message) => messageText(message, paint))
  const tried = tries.length === 0 ? "" : `\n${paint("bold", "attempts")}\n${tries.join("")}`
  return `${rows.join("")}${tried}${said.map((text) => `\n${text}`).join("")}`
}

/** Tokens by model and route, and what stayed local. */
export function statsText({ sums, attempts }: { sums: readonly UsageSum[]; attempts: number }, paint: Paint): string {
  if (sums.length === 0) return "no flows\n"
  const rows = sums.map((sum) => [
    printable(sum.model),
    printable(sum.route),
    number(sum.requests),
    number(sum.failed),
    about(sum, sum.inputTokens),
    about(sum, sum.outputTokens),
    number(sum.cachedTokens),
    number(sum.reasoningTokens),
  ])
  const table = [["model", "route", "requests", "failed", "in", "out", "cached", "reasoning"], ...rows]
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? []
  const lines = table.map((row, index) => {
    const line = row.map((text, column) =>
      column < 2 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0),
    )
    return `${index === 0 ? paint("dim", line.join("  ")) : line.join("  ")}\n`
  })
  const tokensOf = (some: readonly UsageSum[]) =>
    some.reduce((sum, { inputTokens, outputTokens }) => sum + inputTokens + outputTokens, 0)
  const all = tokensOf(sums)
  const local = tokensOf(sums.filter(({ route }) => route === LOCAL))
  const share = all === 0 ? 0 : Math.round((100 * local) / all)
  const sign = sums.some(({ counted }) => counted > 0) ? "~" : ""
  const ends = [
    `${number(sums.reduce((sum, { requests }) => sum + requests, 0))} requests, ${sign}${number(all)} tokens`,
    `kept local: ${sign}${number(local)} tokens (${share} %)`,
    attempts === 0 ? "" : `attempts besides: ${number(attempts)}`,
    sign === "" ? "" : "~: where a host gave no numbers, they are counted here",
  ]
  return `${lines.join("")}\n${ends
    .filter((line) => line !== "")
    .map((line) => `${line}\n`)
    .join("")}`
}

function timeText(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, "0")
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-")
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`
}

function modelText({ model, answered_model: answered, method, host }: FlowRow): string {
  if (model === null) return printable(`${method} ${host}`)
  return printable(answered === null || answered === model ? model : `${model} (${answered})`)
}

function statusText(flow: FlowRow, paint: Paint): string {
  const code = flow.error_code ?? flow.llm_error_kind
  const text = [flow.status ?? "", code ?? ""].filter((part) => part !== "").join(" ")
  return code !== null || (flow.status ?? 0) >= 400 ? paint("red", printable(text)) : text
}

function tokensText({ input_tokens: input, output_tokens: output, usage_source: source }: FlowRow): string {
  if (input === null && output === null) return ""
  const sign = source === "counted" ? "~" : ""
  return `in ${sign}${input ?? "?"} out ${sign}${output ?? "?"}`
}

function usageText(flow: FlowRow): string | null {
  const { cached_tokens: cached, reasoning_tokens: reasoning, usage_source: source } = flow
  if (source === null) return null
  const more = [
    cached === null ? "" : `cached ${cached}`,
    reasoning === null ? "" : `reasoning ${reasoning}`,
    source === "provider" ? "as the host says" : source === "counted" ? "counted here" : "nobody counted",
  ]
  return [tokensText(flow), ...more].filter((part) => part !== "").join(", ")
}

function timingsText({ response_head_ms: head, first_delta_ms: first, end_ms: end }: FlowRow): string {
  const times: [string, number | null][] = [
    ["head", head],
    ["first token", first],
    ["all", end],
  ]
  return times.flatMap(([name, ms]) => (ms === null ? [] : [`${name} ${Math.round(ms)} ms`])).join(", ")
}

function errorText(flow: FlowRow): string | null {
  if (flow.error_code !== null) return `${flow.error_source} ${flow.error_code}: ${flow.error_message}`
  return flow.llm_error_kind === null ? null : `${flow.llm_error_kind}: ${flow.llm_error_message}`
}

function attemptText(flow: FlowRow, paint: Paint): string {
  const error = errorText(flow)
  const parts = [flow.id.slice(-SHORT_ID_CHARS), printable(flow.url), statusText(flow, paint), tokensText(flow)]
  return [...parts, error === null ? "" : printable(error)].filter((part) => part !== "").join("  ")
}

function messageText(message: JsonObject, paint: Paint): string {
  const reasoning = stringOf(message.reasoning_content)
  const thought = reasoning ? `${paint("dim", shownText(reasoning, INDENT))}\n${INDENT}` : ""
  const role = printable(stringOf(message.role) ?? "?")
  return `${paint("bold", role)}\n${INDENT}${thought}${shownText(textWithCalls(message), INDENT)}\n`
}

/** The first words of the last message; its JSON may be cut. */
function excerptText(json: string | null, paint: Paint): string {
  if (json === null) return ""
  const parsed = parseJson(json)
  const cut = /"(?:content|text)":"((?:[^"\\]|\\.)*)/.exec(json)?.[1] ?? ""
  const text = isObject(parsed) ? textOf(parsed.content) : String(parseJson(`"${cut}"`) ?? cut)
  const line = printable(text).trim()
  if (line === "") return ""
  return paint("dim", line.length > EXCERPT_CHARS_MAX ? `${line.slice(0, EXCERPT_CHARS_MAX)}…` : line)
}

function number(value: number): string {
  return value.toLocaleString("en-US")
}

function about({ counted }: UsageSum, tokens: number): string {
  return `${counted > 0 ? "~" : ""}${number(tokens)}`
}
