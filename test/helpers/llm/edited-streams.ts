/** Streams that are edited as an addon's `transformDeltas` edits them, and what may differ afterwards. */
import { readdirSync, readFileSync } from "node:fs"
import { isObject, type JsonValue, parseJson } from "../../../lib/base/json.ts"
import type { Dialect, StreamEvent } from "../../../lib/llm/dialect.ts"
import type { EditDelta } from "../../../lib/llm/edit/pieces.ts"
import { StreamEditor } from "../../../lib/llm/edit/stream-edit.ts"
import { framingOf } from "../../../lib/llm/framing/reframe.ts"
import type { Completion, Delta } from "../../../lib/llm/model.ts"
import { assembled, contextFor, decodeAll } from "./dialect-fixtures.ts"

/** `edit` may call `stop`, as an addon calls `end`. */
export type StoppingEdit = (delta: Delta, stop: () => void) => readonly Delta[]

/** The stream that leaves when `bytes` comes, in the pieces that `cuts` make. */
export function editStream(dialect: Dialect, bytes: Buffer, edit: StoppingEdit, cuts: readonly number[] = []): string {
  const decoder = dialect.decoder()
  const editor: StreamEditor = new StreamEditor(
    dialect,
    { ...contextFor(dialect), passUsage: true },
    framingOf(dialect),
    (delta) => edit(delta, () => editor.stop()),
  )
  const out: Buffer[] = []
  const take = (events: readonly StreamEvent[]) => out.push(...events.map((event) => editor.rewrite(event)))
  const ends = [...cuts, bytes.length]
  for (const [at, end] of ends.entries()) take(decoder.feed(bytes.subarray(ends[at - 1] ?? 0, end)))
  // The editor refuses an end that is not whole; what was made before it is what is compared here.
  for (const event of decoder.finish()) {
    const isWhole = event.json !== undefined || event.done || event.error !== undefined
    out.push(isWhole ? editor.rewrite(event) : event.raw)
  }
  return Buffer.concat([...out, editor.end()]).toString("utf8")
}

/** Every stream in test/fixtures/llm of one dialect. */
export function fixtureStreams(dialect: Dialect): { name: string; bytes: Buffer }[] {
  const folder = new URL(`../../fixtures/llm/${dialect.name}/`, import.meta.url)
  const names = readdirSync(folder).filter((name) => !name.endsWith(".json"))
  return names.map((name) => ({ name, bytes: readFileSync(new URL(name, folder)) }))
}

/** What a stream tells. */
export interface Told {
  readonly completion: Completion
  readonly done: boolean
  readonly failed: boolean
  /** How many "other" deltas. */
  readonly others: number
}

export function told(dialect: Dialect, text: string): Told {
  const events = decodeAll(dialect, Buffer.from(text))
  const assembler = assembled(events)
  const others = events.flatMap(({ deltas }) => deltas).filter(({ type }) => type === "other").length
  return { completion: assembler.finish(false), done: assembler.done, failed: assembler.error !== undefined, others }
}

/** Each line of a stream, the JSON of it parsed. */
export function linesOf(text: string): (JsonValue | string)[] {
  return text.split(/\r\n|\r|\n/).map((line) => parseJson(line.replace(/^(?:\uFEFF)?data: */, "")) ?? line)
}

/** The values that differ between two JSON texts of the same shape, as "path: before -> after". */
function differences(before: JsonValue | undefined, after: JsonValue | undefined, path = ""): string[] {
  if (isObject(before) && isObject(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)])
    return [...names].flatMap((name) => differences(before[name], after[name], `${path}.${name}`))
  }
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length)
    return before.flatMap((value, at) => differences(value, after[at], `${path}[${at}]`))
  const [was, is] = [JSON.stringify(before), JSON.stringify(after)]
  return was === is ? [] : [`${path}: ${was} -> ${is}`]
}

/** Line by line what differs between two streams of as many lines. */
export function changes(before: string, after: string): string[] {
  const [lines, others] = [linesOf(before), linesOf(after)]
  if (lines.length !== others.length) return [`${lines.length} lines became ${others.length}`]
  return lines.flatMap((line, at) => differences(line, others[at]).map((change) => `${at}${change}`))
}

/** Server-sent events of JSON, as OpenAI writes them; a text is a line as it is. */
export function dataLines(...events: (object | string)[]): string {
  return events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join("")
}

/** Each text and each call's arguments with every "secret" blanked out. */
export const redacts: EditDelta = (delta) => {
  if ("text" in delta) return [{ ...delta, text: redacted(delta.text) }]
  return [delta.type === "toolCall" ? { ...delta, arguments: redacted(delta.arguments) } : delta]
}

export function redacted(text: string): string {
  return text.replaceAll("secret", "***")
}

/**
 * Blanks out a "secret" that is cut in pieces: holds back what may be the beginning of one, and lets it go with the next
 * piece of its kind, or before what is of another. Behind a thought that may be its signature, too.
 */
export function redactsAcross(): EditDelta {
  const held = new Map<string, Delta & { text: string }>()
  const letGo = (types: readonly string[], index: number | undefined): Delta[] =>
    types.flatMap((type) => {
      const keys = [...held.keys()].filter((key) => key.startsWith(`${type} ${index ?? ""}`))
      const rest = keys.flatMap((key) => held.get(key) ?? [])
      for (const key of keys) held.delete(key)
      return rest
    })
  return (delta) => {
    if (delta.type !== "text" && delta.type !== "reasoning")
      return [...letGo(delta.type === "other" ? ["reasoning"] : ["reasoning", "text"], undefined), delta]
    const others = letGo([delta.type === "text" ? "reasoning" : "text"], delta.index)
    const key = `${delta.type} ${delta.index}`
    const text = redacted((held.get(key)?.text ?? "") + delta.text)
    const out = text.slice(0, Math.max(0, text.length - 5))
    held.set(key, { ...delta, text: text.slice(out.length) })
    return out === "" ? others : [...others, { ...delta, text: out }]
  }
}

/** All that is told of a choice comes at its end, in one piece. */
export function holdsAll(): EditDelta {
  const held: Delta[] = []
  return (delta) => {
    if (delta.type === "text") held.push(delta)
    if (delta.type === "finish") return [...held.splice(0), delta]
    return delta.type === "text" ? [] : [delta]
  }
}
