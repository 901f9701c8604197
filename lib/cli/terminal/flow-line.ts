/**
 * One flow as one line: time of day and id, method, host and path, model, route and why, tokens in and out, status, time
 * to first token, total time. Pure. What stands in it comes from strangers, so every piece is made harmless first.
 */
import type { Flow } from "../../api/flow.ts"
import { printable } from "../../base/log.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import type { ShownUsage } from "./flow-usage.ts"
import type { Colour, Paint } from "./paint.ts"
import { Wrapper, widthOf } from "./wrap.ts"

/** Characters of a path, a reason or an error message that a line repeats. */
const PIECE_CHARS_MAX = 200
/** Between two fields. */
const GAP = "  "
/** Before the continuation of a line that is longer than the terminal is wide. */
const INDENT = "     "
/** Characters of an id that find its flow in the history: the last ones, as the first are the time. */
export const SHORT_ID_CHARS = 8
// biome-ignore lint/suspicious/noControlCharactersInRegex: a colour is an escape sequence
const COLOURS = /\u001b\[\d+m/g

/** Before the line of a flow that an addon has sent. */
export const CHILD_LEAD = "  ↳ "

const FORMS_ONLY = new Redactor()

interface Field {
  readonly text: string
  readonly colour?: Colour
}

export interface LineOptions {
  readonly paint: Paint
  /** Where the line is broken, between fields; undefined: never. */
  readonly columns: number | undefined
  /** Default: one that knows none of the program's secrets. */
  readonly redactor?: Redactor
}

/** The line of a flow that has ended, with its line break. */
export function flowLine(
  flow: Flow,
  usage: ShownUsage,
  { paint, columns, redactor = FORMS_ONLY }: LineOptions,
): string {
  const fields = fieldsOf(flow, usage, (text) => clean(text, PIECE_CHARS_MAX, redactor)).filter(
    ({ text }) => text !== "",
  )
  const painted = fields.map(({ text, colour }) => (colour === undefined ? text : paint(colour, text)))
  return fold(painted, columns, flow.parent === undefined ? "" : CHILD_LEAD)
}

/** Fields on one line, or on as many as the columns ask for; colours take no room. */
export function fold(fields: readonly string[], columns: number | undefined, lead = ""): string {
  const indent = " ".repeat(lead.length) + INDENT
  let result = lead
  let width = lead.length
  for (const [i, field] of fields.entries()) {
    const wide = widthOf(field.replace(COLOURS, ""))
    const gap = i === 0 ? "" : GAP
    if (columns === undefined || i === 0 || width + gap.length + wide <= columns) {
      result += gap + field
      width += gap.length + wide
      continue
    }
    const lines = hung(field, columns, indent)
    result += `\n${indent}${lines.join(`\n${indent}`)}`
    width = indent.length + widthOf((lines.at(-1) ?? "").replace(COLOURS, ""))
  }
  return `${result}\n`
}

/** A field that may be longer than a line, each of its lines in its colour. */
function hung(field: string, columns: number, indent: string): string[] {
  const colours = field.match(COLOURS) ?? []
  const [before = "", after = ""] = field.startsWith("\u001b") ? [colours[0], colours.at(-1)] : []
  const text = new Wrapper(columns, indent).feed(field.replace(COLOURS, ""))
  return text.split(`\n${indent}`).map((line) => before + line + after)
}

/** Makes a piece of a line harmless. */
type Clean = (text: string) => string

function fieldsOf(flow: Flow, usage: ShownUsage, clean: Clean): Field[] {
  const { llm, routed, timings, client } = flow
  const isLlm = llm !== undefined
  const place: Field = { text: clean(rawTargetOf(flow)) }
  return [
    { text: markOf(flow), colour: "dim" },
    isLlm ? { ...place, colour: "bold" } : { ...place, colour: "dim" },
    // Without an address it is no client's: an addon has sent it.
    { text: client.address === "" ? clean(client.id) : "", colour: "dim" },
    { text: modelOf(flow, clean), colour: "cyan" },
    { text: routeOf(flow, clean), colour: routed?.name === "local" ? "green" : "magenta" },
    { text: tokensOf(usage) },
    statusOf(flow, clean),
    { text: timings.firstDeltaMs === undefined ? "" : `first ${duration(timings.firstDeltaMs)}`, colour: "dim" },
    { text: timings.endMs === undefined ? "" : duration(timings.endMs), colour: "dim" },
  ]
}

/** `06:31:07 3f2a9c1b`: when the request came, in this machine's time, and the id that `history show` takes. */
export function markOf({ timings, id }: Pick<Flow, "timings" | "id">): string {
  const start = new Date(timings.start)
  const time = [start.getHours(), start.getMinutes(), start.getSeconds()].map((n) => String(n).padStart(2, "0"))
  return `${time.join(":")} ${id.slice(-SHORT_ID_CHARS)}`
}

/** The request as the client made it, without its query: that may hold anything. */
export function targetOf(flow: Flow, redactor = FORMS_ONLY): string {
  return clean(rawTargetOf(flow), PIECE_CHARS_MAX, redactor)
}

function rawTargetOf({ original: { method, url } }: Flow): string {
  const [place = ""] = url.replace(/^https?:\/\//, "").split("?", 1)
  return `${method} ${place}`
}

function modelOf({ llm }: Flow, clean: Clean): string {
  if (llm === undefined) return ""
  const { model } = llm.request
  const answered = llm.completion?.model
  // "gpt-4o-2024-08-06" is what "gpt-4o" means, not another model.
  const isSame = answered?.startsWith(model) && /^(-\d[\d-]*)?$/.test(answered.slice(model.length))
  if (answered === undefined || answered === "" || isSame) return clean(model)
  return clean(model === "" ? answered : `${model} → ${answered}`)
}

function routeOf({ routed }: Flow, clean: Clean): string {
  if (routed?.name === undefined) return ""
  return clean(routed.reason === undefined ? routed.name : `${routed.name}: ${routed.reason}`)
}

function tokensOf({ input, output, isCounted }: ShownUsage): string {
  const about = isCounted ? "~" : ""
  const parts = [input === undefined ? "" : `in ${about}${input}`, output === undefined ? "" : `out ${about}${output}`]
  return parts.filter((text) => text !== "").join(GAP)
}

function statusOf(flow: Flow, clean: Clean): Field {
  const { response, error, llm, unparsed, routed } = flow
  const status = response?.status
  const shown = status === undefined ? "" : String(status)
  if (error !== undefined) {
    const what = error.code === "client-gone" ? "client left" : `${shown === "" ? "failed" : "cut"}: ${error.message}`
    return { text: clean(shown === "" ? what : `${shown} ${what}`), colour: "red" }
  }
  if (llm?.error !== undefined) {
    const more = unsaid(llm.error.message, routed?.reason)
    return { text: clean(`${shown} ${llm.error.kind}${more === "" ? "" : `: ${more}`}`), colour: "red" }
  }
  if (llm?.completion?.finishReason.unified === "length") return { text: `${shown} length`, colour: "yellow" }
  if (unparsed !== undefined) return { text: clean(`${shown} not read: ${unparsed}`), colour: "yellow" }
  if (status !== undefined && status >= 400) return { text: shown, colour: "red" }
  return { text: shown, colour: "green" }
}

/** What an error says beside the reason of the route, which stands in the same line: what to do, mostly. */
function unsaid(message: string, reason = ""): string {
  const known = [reason, reason.replace(/; [^;]*$/, "")].find((text) => text !== "" && message.includes(text))
  if (known === undefined) return message
  return message.slice(message.indexOf(known) + known.length).replace(/^[\s.;,]+/, "")
}

/** "85 ms", "1.2 s", "75 s", "3 min 5 s". */
export function duration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  const seconds = ms / 1_000
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

/** One line's worth of a text from outside: no control bytes, no secrets, not endless. */
export function clean(text: string, chars = PIECE_CHARS_MAX, redactor = FORMS_ONLY): string {
  // Cut first, so that a huge text costs little; what is cut in two by that is no whole secret.
  const cut = text.length > 4 * chars ? text.slice(0, 4 * chars) : text
  const shown = printable(redactor.text(cut))
  return shown.length > chars ? `${shown.slice(0, chars - 1)}…` : shown
}
