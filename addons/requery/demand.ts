/**
 * What a request demands of its answer, as far as guards care: JSON of a certain form, and no question that was asked
 * before. GPT Pilot appends the form to the last user message, in a ```json fence: the properties alone, without a word
 * on which are required.
 */
import type { JsonObject, JsonValue, LlmRequest, Message } from "llmproxy"
import { isQuestion } from "./similarity.ts"
import { spoken } from "./spoken.ts"

/** Characters of a form that is read. */
const SCHEMA_CHARS_MAX = 100_000
/** Earlier questions that an answer is compared with. */
const QUESTIONS_MAX = 200

/** Keys of forms in which an empty list is an answer: the plan's end, and a report that lacks nothing. */
export const EMPTY_IS_FINE: readonly string[] = ["updated_current_task", "missing_data"]

export interface Demand {
  /** Whether the answer has to be JSON. */
  readonly json: boolean
  /** A JSON Schema for it. */
  readonly schema: JsonObject | undefined
  /** The keys at the schema's top level. */
  readonly keys: readonly string[]
  /** Questions that the model has asked in earlier turns. */
  readonly questions: readonly string[]
}

/** Undefined for a request that no guard looks at. */
export function demandOf(request: LlmRequest): Demand | undefined {
  const { body, messages, n } = request
  const isPlain = !body.logprobs && !body.top_logprobs && !body.store && !body.previous_response_id && !body.audio
  if (n > 1 || !isPlain) return undefined
  const format = formatIn(body.response_format)
  const embedded = format?.schema === undefined ? embeddedSchema(lastUserText(messages)) : undefined
  const schema = format?.schema ?? embedded
  return {
    json: format !== undefined || embedded !== undefined,
    schema,
    keys: isObject(schema?.properties) ? Object.keys(schema.properties) : [],
    questions: messages
      .filter(({ role }) => role === "assistant")
      .map((message) => spoken(textIn(message)))
      .filter(isQuestion)
      .slice(-QUESTIONS_MAX),
  }
}

function formatIn(format: JsonValue | undefined): { schema: JsonObject | undefined } | undefined {
  if (!isObject(format)) return undefined
  if (format.type === "json_object") return { schema: undefined }
  if (format.type !== "json_schema") return undefined
  const inner = isObject(format.json_schema) ? format.json_schema.schema : format.schema
  return { schema: isObject(inner) ? inner : undefined }
}

/** The form that stands in the last ```json fence of a text that says so. */
export function embeddedSchema(text: string): JsonObject | undefined {
  const said = text.lastIndexOf("schema for the expected JSON")
  const fence = said === -1 ? -1 : text.indexOf("```json", said)
  if (fence === -1) return undefined
  const start = fence + "```json".length
  const end = text.indexOf("```", start)
  if (end === -1 || end - start > SCHEMA_CHARS_MAX) return undefined
  const json = objectIn(text.slice(start, end))
  if (json === undefined) return undefined
  if (json.type === "object" && isObject(json.properties)) return json
  const values = Object.values(json)
  return values.length > 0 && values.every(isObject) ? { type: "object", properties: json } : undefined
}

function lastUserText(messages: readonly Message[]): string {
  const last = messages.findLast(({ role }) => role === "user")
  return last === undefined ? "" : textIn(last)
}

export function textIn({ content }: Message): string {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return ""
  return content.map((part) => (typeof part.text === "string" ? part.text : "")).join("\n")
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function objectIn(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
