/**
 * What of a stream an edit cannot read, and so must not let pass: it may say anything. That is data that is no JSON (NaN,
 * Infinity and raw control characters in strings included), an event that is not whole, lines that are no field, and
 * events of another dialect that tell a text or a call where the stream's own tells none. Comments, end marks, empty
 * data and objects that say nothing in any dialect are readable: they have nothing to edit.
 */
import { anthropicMessages } from "../anthropic-messages.ts"
import { isContent } from "../assemble.ts"
import type { Dialect, StreamEvent } from "../dialect.ts"
import type { StreamFraming } from "../framing.ts"
import { isObject, parseJson, withoutBom } from "../json.ts"
import { llamacpp } from "../llamacpp.ts"
import { ollama } from "../ollama.ts"
import { openaiChat } from "../openai-chat.ts"
import { openaiResponses } from "../openai-responses.ts"
import { decoderFor } from "../reframe.ts"

const END_MARK = "[DONE]"
/** The fields of SSE, a comment's empty name, and llama.cpp's `error`. */
const FIELDS: ReadonlySet<string> = new Set(["", "data", "event", "id", "retry", "error"])

const OTHERS: readonly Dialect[] = [openaiChat, openaiResponses, anthropicMessages, ollama, llamacpp]

/** Why `event` cannot be edited; undefined where it can, or has nothing to edit. `first`: of the stream. */
export function unreadIn(
  dialect: Dialect,
  framing: StreamFraming,
  event: StreamEvent,
  first: boolean,
): string | undefined {
  const { raw, error, json, deltas } = event
  if (error !== undefined || raw.length === 0) return undefined
  const text = raw.toString("utf8")
  const source = first ? withoutBom(text) : text
  const isRead = framing === "lines" ? isReadable(source) : areReadable(source)
  // Not a word of it: the client may read this.
  if (!isRead) return "an event that is no JSON"
  if (!isObject(json) || deltas.some(isContent)) return undefined
  const other = foreignTo(dialect).find((known) => tells(known, framing, raw))
  return other === undefined ? undefined : `an event of another dialect (${other.name})`
}

function isReadable(text: string): boolean {
  const trimmed = text.trim()
  return trimmed === "" || trimmed === END_MARK || parseJson(text) !== undefined
}

/** Every field is one of SSE, and its data JSON: all of it, or each line of it. */
function areReadable(source: string): boolean {
  const data: string[] = []
  const lines = source.split(/\r\n|\r|\n/)
  for (const [at, line] of lines.entries()) {
    if (line.startsWith("{")) return data.length === 0 && isReadable(lines.slice(at).join("\n"))
    const colon = line.indexOf(":")
    const name = colon === -1 ? line : line.slice(0, colon)
    if (!FIELDS.has(name)) return false
    if (name === "data" && colon !== -1) data.push(line.slice(colon + 1))
  }
  return isReadable(data.join("\n")) || data.every(isReadable)
}

/** Dialects that share a reader, or events, with the stream's own are not foreign to it. */
function foreignTo({ name }: Dialect): Dialect[] {
  if (name === "openai-realtime") return []
  const own = name === "openai-completions" ? "openai-chat" : name
  return OTHERS.filter((other) => other.name !== own)
}

function tells(dialect: Dialect, framing: StreamFraming, raw: Buffer): boolean {
  const decoder = decoderFor(dialect, framing)
  return [...decoder.feed(raw), ...decoder.finish()].some((event) => event.deltas.some(isContent))
}
