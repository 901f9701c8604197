/**
 * What of a stream an edit cannot read, and so must not let pass: it may say anything. That is data that is no JSON (NaN,
 * Infinity and raw control characters in strings included), an event that is not whole, lines that are no field, and
 * events of another dialect that tell a text or a call where the stream's own tells none. Comments, end marks, empty
 * data and objects that say nothing in any dialect are readable: they have nothing to edit.
 */

import { isObject, type JsonObject, parseJson, withoutBom } from "../../base/json.ts"
import { anthropicMessages } from "../anthropic/messages.ts"
import { isContent } from "../assemble.ts"
import type { Dialect, StreamEvent } from "../dialect.ts"
import type { StreamFraming } from "../framing/framing.ts"
import { decoderFor } from "../framing/reframe.ts"
import { llamacpp } from "../llamacpp/llamacpp.ts"
import type { DialectName } from "../model.ts"
import { ollama } from "../ollama/ollama.ts"
import { openaiChat } from "../openai/chat.ts"
import { openaiResponses } from "../responses/responses.ts"

const END_MARK = "[DONE]"
/** The fields of SSE, a comment's empty name, and llama.cpp's `error`. */
const FIELDS: ReadonlySet<string> = new Set(["", "data", "event", "id", "retry", "error"])

const OTHERS: readonly Dialect[] = [openaiChat, openaiResponses, anthropicMessages, ollama, llamacpp]
const OTHER_THAN_CHAT = OTHERS.filter((other) => other !== openaiChat)
const FOREIGN: ReadonlyMap<DialectName, readonly Dialect[]> = new Map<DialectName, readonly Dialect[]>([
  ...OTHERS.map(({ name }) => [name, OTHERS.filter((other) => other.name !== name)] as const),
  ["openai-completions", OTHER_THAN_CHAT],
  ["openai-realtime", []],
])
/** Where Ollama's texts stand beside a message. */
const OLLAMA: readonly string[] = ["response", "thinking"]
const DATA = "data:"
const LF = 0x0a
const CR = 0x0d

/** Why `event` cannot be edited; undefined where it can, or has nothing to edit. `first`: of the stream. */
export function unreadIn(
  dialect: Dialect,
  framing: StreamFraming,
  event: StreamEvent,
  first: boolean,
): string | undefined {
  const { raw, error, json, deltas } = event
  if (error !== undefined || raw.length === 0) return undefined
  const isRead = framing === "lines" ? json !== undefined || isReadable(decoded(raw, first)) : areReadable(event, first)
  // Not a word of it: the client may read this.
  if (!isRead) return "an event that is no JSON"
  if (!isObject(json) || deltas.some(isContent)) return undefined
  const other = foreignTo(dialect).find((known) => mayTell(known, json, raw) && tells(known, framing, raw))
  return other === undefined ? undefined : `an event of another dialect (${other.name})`
}

function decoded(raw: Buffer, first: boolean): string {
  const text = raw.toString("utf8")
  return first ? withoutBom(text) : text
}

function isReadable(text: string): boolean {
  const trimmed = text.trim()
  return trimmed === "" || trimmed === END_MARK || parseJson(text) !== undefined
}

/** Every field is one of SSE, and its data JSON: all of it, or each line of it. Not parsed again where the decoder has. */
function areReadable({ raw, json }: StreamEvent, first: boolean): boolean {
  if (json !== undefined && isOneLine(raw)) return true
  const data: string[] = []
  const lines = decoded(raw, first).split(/\r\n|\r|\n/)
  for (const [at, line] of lines.entries()) {
    if (line.startsWith("{")) return data.length === 0 && isReadable(lines.slice(at).join("\n"))
    const colon = line.indexOf(":")
    const name = colon === -1 ? line : line.slice(0, colon)
    if (!FIELDS.has(name)) return false
    if (name === "data" && colon !== -1) data.push(line.slice(colon + 1))
  }
  if (json !== undefined && data.length === 1) return true
  return isReadable(data.join("\n")) || data.every(isReadable)
}

/** One line of data and nothing else, as most events are. */
function isOneLine(raw: Buffer): boolean {
  if (raw.toString("latin1", 0, DATA.length) !== DATA) return false
  let end = raw.length
  while (raw[end - 1] === LF || raw[end - 1] === CR) end--
  const cr = raw.indexOf(CR)
  return raw.indexOf(LF) >= end && (cr === -1 || cr >= end)
}

/** Dialects that share a reader, or events, with the stream's own are not foreign to it. */
function foreignTo({ name }: Dialect): readonly Dialect[] {
  return FOREIGN.get(name) ?? OTHERS
}

/** Whether `dialect` has texts or calls in events of this form; where it has none its decoder need not be asked. */
function mayTell({ name }: Dialect, json: JsonObject, raw: Buffer): boolean {
  switch (name) {
    case "openai-chat":
      return Array.isArray(json.choices)
    case "llamacpp":
      return typeof json.content === "string"
    case "ollama":
      return (
        isObject(json.message) ||
        OLLAMA.some((field) => typeof json[field] === "string") ||
        Array.isArray(json.tool_calls)
      )
    default:
      // Without a type, the name of the event is its kind.
      if (typeof json.type !== "string") return raw.includes("event")
      return name === "openai-responses" ? json.type.startsWith("response.") : json.type.startsWith("content_block_")
  }
}

function tells(dialect: Dialect, framing: StreamFraming, raw: Buffer): boolean {
  const decoder = decoderFor(dialect, framing)
  return [...decoder.feed(raw), ...decoder.finish()].some((event) => event.deltas.some(isContent))
}
