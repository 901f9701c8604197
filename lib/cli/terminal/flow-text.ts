/**
 * What is printed of a flow beside its line: excerpts, whole messages, heads and bodies. Pure.
 */
import type { Flow, LlmFlow } from "../../api/flow.ts"
import type { Headers } from "../../base/headers.ts"
import { printable } from "../../base/log.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import { framingIn } from "../../llm/framing/framing.ts"
import { textOf } from "../../llm/message-text.ts"
import type { Completion, Message, ToolCall } from "../../llm/model.ts"
import { clean } from "./flow-line.ts"
import { shownText } from "./live-text.ts"
import type { Paint } from "./paint.ts"

/** Bytes of a body that are printed. */
export const BODY_BYTES_MAX = 65_536
/** Bytes that are kept for it: what follows tells whether a secret is cut where printing ends, be it one of many events. */
export const KEPT_BYTES_MAX = BODY_BYTES_MAX + 16_384
/** Characters of a message that an excerpt shows. */
const EXCERPT_CHARS_MAX = 200

const FORMS_ONLY = new Redactor()

const INDENT = "      "
/** Room for the names before texts: "assistant". */
const NAME_WIDTH = 9
/** Where a text stands whose name is before it. */
export const TEXT_INDENT = INDENT + " ".repeat(NAME_WIDTH + 2)

/** The last message and the answer, a line each. */
export function excerptText({ llm }: Flow, paint: Paint, redactor = FORMS_ONLY): string {
  if (llm === undefined) return ""
  const last = llm.request.messages.at(-1)
  const asked = last === undefined ? "" : named(last.role, excerpt(messageText(last, redactor), redactor), paint)
  const { completion } = llm
  return (
    asked +
    (completion === undefined ? "" : named("answer", excerpt(answerText(completion, redactor), redactor), paint))
  )
}

function excerpt(text: string, redactor: Redactor): string {
  return clean(text.replace(/\s+/g, " ").trim(), EXCERPT_CHARS_MAX, redactor)
}

/** All messages, whole. */
export function messagesText({ llm }: LlmFlow, paint: Paint, redactor = FORMS_ONLY): string {
  return llm.request.messages
    .map((message) => {
      const text = messageText(message, redactor).trimEnd()
      return named(message.role, shownText(text, TEXT_INDENT, redactor), paint)
    })
    .join("")
}

/** An answer, whole. */
export function completionText(completion: Completion, paint: Paint, redactor = FORMS_ONLY): string {
  return named("answer", shownText(answerText(completion, redactor), TEXT_INDENT, redactor), paint)
}

/** One name and what it names, with the line break. */
export function named(name: string, text: string, paint: Paint): string {
  return `${INDENT}${paint("dim", clean(name).padEnd(NAME_WIDTH))}  ${text}\n`
}

function messageText(message: Message, redactor: Redactor): string {
  const others = Array.isArray(message.content) ? message.content.filter(({ type }) => type !== "text") : []
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls : []
  const parts = [
    textOf(message.content),
    ...others.map(({ type }) => `[${type}]`),
    ...calls.map((call) => `tool call ${JSON.stringify(redactor.json(call))}`),
  ]
  return parts.filter((part) => part !== "").join("\n")
}

function answerText({ text, refusal, reasoning, toolCalls }: Completion, redactor: Redactor): string {
  const thought = reasoning === "" ? "" : `(${reasoning})`
  return [thought, text, refusal, ...toolCalls.map((call) => toolCallText(call, redactor))]
    .filter((part) => part !== "")
    .join("\n")
}

export function toolCallText(
  { name, arguments: given }: Pick<ToolCall, "name" | "arguments">,
  redactor = FORMS_ONLY,
): string {
  return `tool call ${name}(${redactor.body(given)})`
}

/** The request's head and body as they are now. */
export function requestText({ request }: Flow, redactor = FORMS_ONLY): string {
  const { method, path, version, headers } = request
  const bytes = readBytes(() => request.bytes)
  return headText(`${method} ${path} ${version}`, headers, redactor) + bodyText(bytes, headers, redactor)
}

/** The response's head and body, as far as they were kept. */
export function responseText({ response }: Flow, redactor = FORMS_ONLY): string {
  if (response === undefined) return ""
  const { status, reason, headers } = response
  const bytes = readBytes(() => response.bytes)
  return headText(`${status} ${reason}`, headers, redactor) + bodyText(bytes, headers, redactor)
}

/** Bytes that were not collected are not there to be read. */
function readBytes(read: () => Buffer): Buffer {
  try {
    return read()
  } catch {
    return Buffer.alloc(0)
  }
}

function headText(first: string, headers: Headers, redactor: Redactor): string {
  const lines = redactor.headers(headers).map(([name, value]) => `${name}: ${value}`)
  return [redactor.url(first), ...lines].map((line) => `${INDENT}${printable(line)}\n`).join("")
}

const TEXT_TYPE = /^(text\/|application\/(.*\+)?(json|xml|javascript|x-ndjson|x-www-form-urlencoded))/i

function bodyText(bytes: Buffer, headers: Headers, redactor: Redactor): string {
  if (bytes.length === 0) return ""
  const type = headers.get("content-type") ?? ""
  // An answer under a wrong label is one all the same.
  const isText = TEXT_TYPE.test(type) || framingIn(bytes) !== "none"
  if (!isText) return `\n${INDENT}(${bytes.length} bytes of ${clean(type) || "an unknown type"})\n`
  const cut = bytes.length > BODY_BYTES_MAX
  const chars = bytes.toString("utf8", 0, BODY_BYTES_MAX).length
  const text = redactor.wire(bytes.toString("utf8", 0, KEPT_BYTES_MAX), type, chars).trimEnd()
  return `\n${INDENT}${shownText(text, INDENT, redactor)}\n${cut ? `${INDENT}(${bytes.length} bytes, cut here)\n` : ""}`
}
