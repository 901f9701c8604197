/**
 * Texts that stand where no delta tells them: in a second place beside the one that the reader looks in (`text` beside
 * `delta`), in an event that is to say nothing yet, or in another dialect's words. An addon that edits a stream has not
 * seen them, so that they do not pass; what stands there is emptied. What is told as "other" is told.
 */

import { isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import type { StreamEvent } from "../dialect.ts"
import type { Delta, DialectName } from "../model.ts"
import { EventDraft } from "./event-draft.ts"
import { isPiece, pieceText } from "./pieces.ts"
import { dropTokens } from "./repeats.ts"

/** Where the dialects tell texts. A string there is one of the model's. */
const TEXTS: ReadonlySet<string> = new Set([
  "text",
  "content",
  "delta",
  "response",
  "thinking",
  "reasoning",
  "reasoning_content",
  "refusal",
  "summary",
  "arguments",
  "input",
  "partial_json",
])
const DETAILS = "reasoning_details"
/** What holds them. A string there is none: the words of an error, a name. */
const HOLDERS: ReadonlySet<string> = new Set([
  "choices",
  "message",
  DETAILS,
  "function",
  "custom",
  "content_block",
  "item",
  "part",
  "output",
  "__verbose", // llama-server --verbose: its own form of the chunk, beside OpenAI's
])
const CALLS: ReadonlySet<string> = new Set(["tool_calls", "function_call"])
const CALL_TYPES: ReadonlySet<string> = new Set(["tool_use", "function_call", "custom_tool_call"])
const ARGUMENTS: ReadonlySet<string> = new Set(["arguments", "input"])
/** What the model says stands less deep than this. */
const DEPTH_MAX = 16
const OPEN_BRACE = 0x7b

/** Members that deltas tell, by the object that holds them. */
export class Read {
  readonly #names = new Map<JsonObject, Set<string>>()
  readonly #whole = new Set<JsonObject>()

  add(holder: JsonObject, ...names: string[]): this {
    const known = this.#names.get(holder)
    if (known === undefined) this.#names.set(holder, new Set(names))
    else for (const name of names) known.add(name)
    return this
  }

  /** All that it holds is told, or nobody's text. */
  addWhole(holder: JsonObject): void {
    this.#whole.add(holder)
  }

  has(holder: JsonObject, name: string): boolean {
    return this.#whole.has(holder) || this.#names.get(holder)?.has(name) === true
  }

  knows(holder: JsonValue): boolean {
    return isObject(holder) && (this.#whole.has(holder) || this.#names.has(holder))
  }
}

/** Empties what of `json` stands where texts do and is not `read`. True: there was something. */
export function dropUntold(json: JsonObject, read: Read, depth = 0): boolean {
  let dropped = false
  for (const [name, value] of Object.entries(json)) {
    const isText = TEXTS.has(name)
    if ((!isText && !HOLDERS.has(name) && !CALLS.has(name)) || read.has(json, name)) continue
    const left = CALLS.has(name) ? withoutCalls(value, read) : withoutText(name, value)
    if (left !== value) {
      json[name] = left
      dropped = true
    }
    if (typeof left !== "object" || left === null) continue
    if (depth >= DEPTH_MAX) json[name] = null
    dropped = depth >= DEPTH_MAX || dropWithin(left, isText || name === DETAILS, read, depth + 1) || dropped
  }
  if (dropped) dropTokens(json)
  return dropped
}

/** Of a list of parts or blocks goes what holds such a text: without it they are refused where they are sent back. */
function dropWithin(value: JsonObject | JsonValue[], isText: boolean, read: Read, depth: number): boolean {
  if (!Array.isArray(value)) return dropUntold(value, read, depth)
  const before = value.length
  let dropped = false
  for (const [at, one] of [...value.entries()].reverse()) {
    if (isObject(one)) {
      const isHeld = dropUntold(one, read, depth)
      dropped ||= isHeld
      if (!read.knows(one) && (isCall(one) || (isHeld && isText))) value.splice(at, 1)
    } else if (Array.isArray(one) || (isText && typeof one === "string" && one !== "")) value.splice(at, 1)
  }
  return dropped || value.length < before
}

function isCall(value: JsonObject): boolean {
  return CALL_TYPES.has(stringOf(value.type) ?? "")
}

function withoutText(name: string, value: JsonValue | undefined): JsonValue | undefined {
  if (typeof value === "string") return TEXTS.has(name) ? "" : value
  return ARGUMENTS.has(name) && isObject(value) && Object.keys(value).length > 0 ? {} : value
}

/** A call that nobody was told of is none; its name alone would be one. */
function withoutCalls(value: JsonValue | undefined, read: Read): JsonValue | undefined {
  if (!Array.isArray(value)) return isObject(value) && !read.knows(value) ? undefined : value
  return value.every((call) => read.knows(call)) ? value : value.filter((call) => read.knows(call))
}

/** Whether more may stand in `json` than `deltas` tell. Counts alone: what is told has come from one of these places. */
export function holdsMore(json: JsonValue | undefined, deltas: readonly Delta[]): boolean {
  if (Array.isArray(json)) return json.length > 0
  if (!isObject(json) || deltas.some((delta) => delta.type === "other" && delta.raw === json)) return false
  const count = { chars: 0, calls: 0 }
  countIn(json, count, 0)
  for (const delta of deltas) {
    if (isPiece(delta)) count.chars -= pieceText(delta).length
    if (delta.type === "toolCall") count.calls--
  }
  return count.chars > 0 || count.calls > 0
}

interface Count {
  chars: number
  calls: number
}

function countIn(json: JsonObject, count: Count, depth: number): void {
  for (const name in json) {
    const value = json[name]
    if (value === undefined || value === null || value === "") continue
    if (TEXTS.has(name) && typeof value === "string") count.chars += value.length
    else if (TEXTS.has(name) || HOLDERS.has(name) || CALLS.has(name)) countWithin(value, name, count, depth)
  }
}

function countWithin(value: JsonValue, name: string, count: Count, depth: number): void {
  if (typeof value !== "object" || value === null) return
  if (depth > DEPTH_MAX) count.chars = Number.POSITIVE_INFINITY
  else if (Array.isArray(value)) {
    for (const one of value) {
      if (isObject(one)) countEntry(one, name, count, depth)
      else if (Array.isArray(one)) count.chars = Number.POSITIVE_INFINITY
      else if (typeof one === "string" && TEXTS.has(name)) count.chars += one.length
    }
  } else if (ARGUMENTS.has(name) ? Object.keys(value).length > 0 : CALLS.has(name))
    count.chars = Number.POSITIVE_INFINITY
  else if (!ARGUMENTS.has(name)) countIn(value, count, depth + 1)
}

function countEntry(entry: JsonObject, name: string, count: Count, depth: number): void {
  if (CALLS.has(name)) count.calls++
  else if (isCall(entry)) count.chars = Number.POSITIVE_INFINITY
  countIn(entry, count, depth + 1)
}

/** Empties what is not `read` in a document that is an answer or a list of them. */
export function dropUntoldIn(document: JsonValue, read: Read): boolean {
  const answers = Array.isArray(document) ? document : [document]
  return answers.filter((answer) => isObject(answer) && dropUntold(answer, read)).length > 0
}

/** An event of blocks or items, or one that tells nothing, without what stands beside what it tells. */
export function withoutUntold(dialect: DialectName, event: StreamEvent): StreamEvent {
  const { json, deltas, raw } = event
  // Its events say every text again, and are written anew from the first change on (anew-edit.ts).
  if (dialect === "openai-realtime") return event
  if (json !== undefined && !holdsMore(json, deltas)) return event
  if (!raw.includes(OPEN_BRACE)) return event
  const draft = EventDraft.of(raw)
  let dropped = false
  for (const { value } of draft.documents) {
    if (!isObject(value)) continue
    const type = stringOf(value.type) ?? draft.name ?? ""
    const read = json === undefined ? new Read() : readIn(dialect, type, value, deltas)
    dropped = dropUntold(value, read) || dropped
  }
  if (!dropped) return event
  return { ...event, raw: draft.bytes(), json: json === undefined ? undefined : draft.documents[0]?.value }
}

/** What is told of an event of Anthropic's or of a response, or is looked through by its editor. */
function readIn(dialect: DialectName, type: string, json: JsonObject, deltas: readonly Delta[]): Read {
  const read = new Read()
  if (dialect === "openai-responses") return read.add(json, ...readInResponse(type, json))
  const holder = objectOf(type === "content_block_start" ? json.content_block : json.delta)
  const field = dialect === "anthropic-messages" && holder ? MESSAGE_FIELDS.get(stringOf(holder.type) ?? "") : undefined
  const isForm =
    field !== undefined && (field === "input" ? isObject(holder?.input) : typeof holder?.[field] === "string")
  // Arguments that come in pieces although their call came whole are the editor's: it knows whether they are the same.
  if (holder && isForm && (deltas.some(isPiece) || field === "partial_json")) read.add(holder, field)
  return read
}

const MESSAGE_FIELDS: ReadonlyMap<string, string> = new Map([
  ["text", "text"],
  ["thinking", "thinking"],
  ["tool_use", "input"],
  ["text_delta", "text"],
  ["thinking_delta", "thinking"],
  ["input_json_delta", "partial_json"],
])

const RESPONSE_FIELDS: ReadonlyMap<string, string> = new Map([
  ["response.refusal", "refusal"],
  ["response.function_call_arguments", "arguments"],
  ["response.custom_tool_call_input", "input"],
])

function readInResponse(type: string, json: JsonObject): string[] {
  const objects = (name: string) => (isObject(json[name]) ? [name] : [])
  if (/^response\.output_item\.(?:added|done)$/.test(type)) return objects("item")
  if (/^response\.(?:content_part|reasoning_summary_part)\.(?:added|done)$/.test(type)) return objects("part")
  const delta = type.endsWith(".delta") && typeof json.delta === "string"
  if (
    /^response\.(?:output_text|refusal|reasoning_text|reasoning_summary_text|function_call_arguments|custom_tool_call_input)\.(?:delta|done)$/.test(
      type,
    )
  )
    return [delta ? "delta" : (RESPONSE_FIELDS.get(type.slice(0, type.lastIndexOf("."))) ?? "text")]
  return objects("response")
}
