/**
 * What is printed of a flow beside its line: excerpts, whole messages, heads and bodies. Pure.
 */
import type { Flow, LlmFlow } from "../../api/flow.ts"
import type { Headers } from "../../base/headers.ts"
import { printable } from "../../base/log.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import { framingIn } from "../../llm/framing/framing.ts"
import { textOf } from "../../llm/message-text.ts"
import type { Completion, LlmRequest, Message, ToolCall } from "../../llm/model.ts"
import { clean } from "./flow-line.ts"
import { shownText } from "./live-text.ts"
import type { Paint } from "./paint.ts"
import { toolLines, toolNames } from "./tools-text.ts"
import { Wrapper } from "./wrap.ts"

/** Bytes of a body that are printed. */
export const BODY_BYTES_MAX = 65_536
/** Bytes that are kept for it: what follows tells whether a secret is cut where printing ends, be it one of many events. */
export const KEPT_BYTES_MAX = BODY_BYTES_MAX + 16_384
/** Characters of a message that an excerpt shows. */
const EXCERPT_CHARS_MAX = 200

const FORMS_ONLY = new Redactor()

const INDENT = "      "
/** Where a field of a head goes on. */
const FIELD_INDENT = `${INDENT}  `
/** Room for the names before texts: "assistant". */
const NAME_WIDTH = 9
/** Where a text stands whose name is before it. */
export const TEXT_INDENT = INDENT + " ".repeat(NAME_WIDTH + 2)

/** How a text is shown. */
export interface TextStyle {
  readonly paint: Paint
  /** Where lines are broken; undefined: nowhere but where they are. */
  readonly columns?: number | undefined
  /** Default: one that knows none of the program's secrets. */
  readonly redactor?: Redactor
}

/** The system prompt, the tools, the last message and the answer: a few words of each. Of a child, what its parent lacks. */
export function excerptText({ llm, parent }: Flow, style: TextStyle): string {
  if (llm === undefined) return ""
  const { paint, columns, redactor = FORMS_ONLY } = style
  const { completion } = llm
  const known = new Set(askedParts(parent?.llm?.request, redactor).map(([, text]) => text))
  const asked = askedParts(llm.request, redactor).filter(([, text]) => !known.has(text))
  const answer: Part[] = completion === undefined ? [] : [["answer", answerText(completion, redactor)]]
  return [...asked, ...answer].map(([name, text]) => named(name, excerpt(text, redactor), paint, columns)).join("")
}

type Part = readonly [name: string, text: string]

function askedParts(request: LlmRequest | undefined, redactor: Redactor): Part[] {
  if (request === undefined) return []
  const { system, tools = [], messages } = request
  const last = messages.at(-1)
  return [
    ...(system === undefined ? [] : [["system", system] as const]),
    ...(tools.length === 0 ? [] : [["tools", toolNames(tools.map(({ raw }) => raw))] as const]),
    ...(last === undefined || isSystem(last) ? [] : [[last.role, messageText(last, redactor)] as const]),
  ]
}

function excerpt(text: string, redactor: Redactor): string {
  return clean(text.replace(/\s+/g, " ").trim(), EXCERPT_CHARS_MAX, redactor)
}

/** Whether it is told as the system prompt. */
function isSystem({ role }: Message): boolean {
  return role === "system" || role === "developer"
}

/** All messages and tools, whole. Of a child, what its parent lacks. */
export function messagesText({ llm, parent }: LlmFlow, style: TextStyle): string {
  const { paint, columns, redactor = FORMS_ONLY } = style
  const known = new Set(allParts(parent?.llm?.request, redactor).map(([, text]) => text))
  return allParts(llm.request, redactor)
    .filter(([, text]) => !known.has(text))
    .map(([name, text]) => named(name, shownText(text.trimEnd(), TEXT_INDENT, redactor), paint, columns))
    .join("")
}

/** The tools stand behind the system prompt, in front of what is said. */
function allParts(request: LlmRequest | undefined, redactor: Redactor): Part[] {
  if (request === undefined) return []
  const { system, tools = [], messages } = request
  const first = messages.findIndex((message) => !isSystem(message))
  const begin = first < 0 ? messages.length : first
  const parts = messages.map((message): Part => [message.role, messageText(message, redactor)])
  return [
    ...(system === undefined || messages.some(isSystem) ? [] : [["system", system] as const]),
    ...parts.slice(0, begin),
    ...(tools.length === 0 ? [] : [["tools", toolLines(tools.map(({ raw }) => raw))] as const]),
    ...parts.slice(begin),
  ]
}

/** An answer, whole. */
export function completionText(completion: Completion, { paint, columns, redactor = FORMS_ONLY }: TextStyle): string {
  return named("answer", shownText(answerText(completion, redactor), TEXT_INDENT, redactor), paint, columns)
}

/** One name and what it names, with the line break. What is too long for a line hangs under its beginning. */
export function named(name: string, text: string, paint: Paint, columns?: number): string {
  const lines = new Wrapper(columns, TEXT_INDENT).feed(text)
  return `${INDENT}${paint("dim", clean(name).padEnd(NAME_WIDTH))}  ${lines}\n`
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
export function requestText(
  { request }: Flow,
  { columns, redactor = FORMS_ONLY }: Omit<TextStyle, "paint"> = {},
): string {
  const { method, path, version, headers } = request
  const bytes = readBytes(() => request.bytes)
  return headText(`${method} ${path} ${version}`, headers, redactor, columns) + bodyText(bytes, headers, redactor)
}

/** The response's head and body, as far as they were kept. */
export function responseText(
  { response }: Flow,
  { columns, redactor = FORMS_ONLY }: Omit<TextStyle, "paint"> = {},
): string {
  if (response === undefined) return ""
  const { status, reason, headers } = response
  const bytes = readBytes(() => response.bytes)
  return headText(`${status} ${reason}`, headers, redactor, columns) + bodyText(bytes, headers, redactor)
}

/** Bytes that were not collected are not there to be read. */
function readBytes(read: () => Buffer): Buffer {
  try {
    return read()
  } catch {
    return Buffer.alloc(0)
  }
}

/** Each field hangs under its name. */
function headText(first: string, headers: Headers, redactor: Redactor, columns: number | undefined): string {
  const lines = redactor.headers(headers).map(([name, value]) => `${name}: ${value}`)
  return [redactor.url(first), ...lines]
    .map((line) => `${INDENT}${new Wrapper(columns, FIELD_INDENT).feed(printable(line))}\n`)
    .join("")
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
