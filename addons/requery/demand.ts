/**
 * What a request demands of its answer, as far as guards care: JSON of a certain form, and no question that was asked
 * before. GPT Pilot appends the form to the last user message, in a ```json fence: the properties alone, without a word
 * on which are required.
 */
import { isObject, type JsonObject, type JsonValue, type LlmRequest, type Message } from "llmproxy"
import { embeddedSchema, functionForm, isGptPilots } from "./gpt-pilot.ts"
import type { Repeats } from "./options.ts"
import { exampleIn, listsIn } from "./prose-form.ts"
import { isQuestion } from "./similarity.ts"
import { spoken } from "./spoken.ts"

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
  /** Those whose lists must not be empty: GPT Pilot's, in a form, an example in prose, or a function's arguments. */
  readonly lists: readonly string[]
  /** The function whose arguments are such a form. */
  readonly call: string | undefined
  /** Questions that the model has asked in earlier turns, and must not ask again. */
  readonly questions: readonly string[]
}

/** Undefined for a request that no guard looks at. `repeats`: whose questions are compared. */
export function demandOf(request: LlmRequest, repeats: Repeats = "gpt-pilot"): Demand | undefined {
  const { body, messages, n } = request
  const isPlain = !body.logprobs && !body.top_logprobs && !body.store && !body.previous_response_id && !body.audio
  if (n > 1 || !isPlain) return undefined
  const format = formatIn(body.response_format)
  const asked = lastUserText(messages)
  const embedded = format?.schema === undefined ? embeddedSchema(asked) : undefined
  const schema = format?.schema ?? embedded
  const form = functionForm(body)
  const example = schema === undefined ? exampleIn(asked) : undefined
  const steps = embedded === undefined ? (form?.keys ?? stepsIn(example)) : keysOf(embedded)
  return {
    json: format !== undefined || embedded !== undefined,
    schema,
    keys: keysOf(schema),
    lists: steps.some((key) => EMPTY_IS_FINE.includes(key)) ? [] : steps,
    call: form?.name,
    questions: repeats === "always" || isGptPilots(body) ? questionsIn(messages) : [],
  }
}

/** What an example in prose says of its lists: nothing, where an empty one may be an answer. */
function stepsIn(example: JsonObject | undefined): readonly string[] {
  return example === undefined || EMPTY_IS_FINE.some((key) => key in example) ? [] : listsIn(example)
}

function keysOf(schema: JsonObject | undefined): readonly string[] {
  return isObject(schema?.properties) ? Object.keys(schema.properties) : []
}

function questionsIn(messages: readonly Message[]): string[] {
  return messages
    .filter(({ role }) => role === "assistant")
    .slice(-QUESTIONS_MAX)
    .map((message) => spoken(textIn(message)))
    .filter(isQuestion)
}

function formatIn(format: JsonValue | undefined): { schema: JsonObject | undefined } | undefined {
  if (!isObject(format)) return undefined
  if (format.type === "json_object") return { schema: undefined }
  if (format.type !== "json_schema") return undefined
  const inner = isObject(format.json_schema) ? format.json_schema.schema : format.schema
  return { schema: isObject(inner) ? inner : undefined }
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
