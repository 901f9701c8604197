/**
 * Errors as OpenAI and the servers that imitate it write them, read from any shape and written in the one that SDKs
 * read: `{"error":{"message","type","param","code"}}` with all four keys (OpenAI's openapi.yaml, schema Error).
 */

import { isObject, type JsonObject, type JsonValue, objectOf, parseJson, stringOf } from "../../base/json.ts"
import { contextOverflow } from "../context-errors.ts"
import { errorKind } from "../error-kind.ts"
import type { LlmError } from "../model.ts"

/** A message longer than this is cut: it goes to a terminal line and a log. */
const MESSAGE_CHARS_MAX = 2_000

/** An error to be written. `type` and `param` have OpenAI's defaults. */
export interface ErrorToWrite {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly type?: string
  readonly param?: string
}

/** The meaning of an error body: JSON of any shape, HTML, text or nothing. */
export function readErrorBody(status: number, body: string): LlmError {
  const json = parseJson(body)
  if (json !== undefined) return readErrorJson(status, json)
  const text = body.trim()
  return llmError(status, { message: text.startsWith("<") ? htmlTitle(text) : text, raw: undefined })
}

/** The meaning of an error's JSON, the whole body or event. `status` is 200 inside a stream. */
export function readErrorJson(status: number, json: JsonValue): LlmError {
  // Gemini's OpenAI endpoint wraps its error in an array.
  const body = Array.isArray(json) ? json[0] : json
  if (!isObject(body)) return llmError(status, { message: String(body ?? ""), raw: json })
  const inner = objectOf(body.error)
  const fields = inner ?? body
  return llmError(status, {
    message: messageIn(fields) ?? stringOf(body.error) ?? stringOf(body.message) ?? JSON.stringify(json),
    code: scalar(fields.code) ?? (inner ? scalar(body.code) : undefined),
    type: stringOf(fields.type) ?? stringOf(fields.status),
    raw: json,
  })
}

/** Whether the JSON of an answer or event is an error: `error` is there and truthy, or vLLM's old flat form. */
export function isErrorJson(json: JsonObject): boolean {
  return Boolean(json.error) || json.object === "error"
}

export function writeErrorJson(error: ErrorToWrite): JsonObject {
  const { status, code, message } = error
  return { error: { message, type: error.type ?? typeFor(status, code), param: error.param ?? null, code } }
}

interface Found {
  readonly message: string
  readonly code?: string | undefined
  readonly type?: string | undefined
  readonly raw: JsonValue | undefined
}

function llmError(status: number, found: Found): LlmError {
  const trimmed = found.message.trim()
  const message = trimmed === "" ? `status ${status} without a message` : trimmed.slice(0, MESSAGE_CHARS_MAX)
  const words = { message, code: found.code, type: found.type, raw: found.raw }
  const kind = errorKind(status, words)
  const overflow = kind === "context_length" ? contextOverflow(words, status) : undefined
  const hasNumbers = overflow?.requested !== undefined || overflow?.limit !== undefined
  return { kind, status, ...words, ...(hasNumbers ? { overflow } : {}) }
}

/** The sentence: `message`, FastAPI's `detail` (text, or a list of `{msg}`), or a nested `error`. */
function messageIn(fields: JsonObject): string | undefined {
  const detail = Array.isArray(fields.detail) ? stringOf(objectOf(fields.detail[0])?.msg) : stringOf(fields.detail)
  return stringOf(fields.message) ?? detail
}

/** Codes are strings at OpenAI, numbers at vLLM, llama.cpp and OpenRouter. */
function scalar(value: JsonValue | undefined): string | undefined {
  return typeof value === "number" ? String(value) : stringOf(value)
}

/** The title of a gateway's error page ("502 Bad Gateway"), or the start of the page. */
function htmlTitle(html: string): string {
  const lower = html.slice(0, MESSAGE_CHARS_MAX).toLowerCase()
  const start = lower.indexOf("<title>")
  const end = lower.indexOf("</title>", start)
  return start === -1 || end === -1 ? html : html.slice(start + "<title>".length, end)
}

function typeFor(status: number, code: string): string {
  if (code === "insufficient_quota") return "insufficient_quota"
  if (status === 429) return "rate_limit_error"
  return status >= 500 ? "server_error" : "invalid_request_error"
}
