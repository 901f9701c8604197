/**
 * Requests as GPT Pilot writes them. Its lists of steps and its questions are judged because it is known what becomes of
 * them there: an empty plan is taken for a finished program, a question that comes again for a new one. What other
 * programs mean by an empty list or a question asked twice, nobody knows.
 */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"

/** Characters of a form that is read. */
const SCHEMA_CHARS_MAX = 100_000
/** Fields of every request of its, with the values that they always have. */
const CONSTANT: Readonly<Record<string, JsonValue>> = {
  n: 1,
  top_p: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  stream: true,
}
/** What else it sends; its earlier versions ask for JSON by a function. `stream_options` is an addon's, which asks for usage. */
const OTHER = ["model", "messages", "temperature", "max_tokens", "functions", "function_call", "stream_options"]
/** Kinds of steps in its list of tasks. */
const STEPS = ["command", "save_file", "human_intervention"]

/** Whether a request has the fields that GPT Pilot sends, all of them and no other but `stream_options`. */
export function isGptPilots(body: JsonObject): boolean {
  const names = Object.keys(body)
  return (
    Object.entries(CONSTANT).every(([name, value]) => body[name] === value) &&
    typeof body.temperature === "number" &&
    names.every((name) => name in CONSTANT || OTHER.includes(name))
  )
}

/** The form that stands in the last ```json fence of a text that says so, in GPT Pilot's words. */
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

export interface FunctionForm {
  readonly name: string
  /** The keys of its arguments. */
  readonly keys: readonly string[]
}

/** The function that GPT Pilot wants called, where its lists are of GPT Pilot's kind. */
export function functionForm(body: JsonObject): FunctionForm | undefined {
  const { functions, function_call: call } = body
  if (!isGptPilots(body) || !Array.isArray(functions) || !isObject(call)) return undefined
  const wanted = functions.filter(isObject).find(({ name }) => name === call.name)
  const { name, parameters } = wanted ?? {}
  if (typeof name !== "string" || !isObject(parameters) || !isObject(parameters.properties)) return undefined
  const { properties } = parameters
  return hasSteps(properties) ? { name, keys: Object.keys(properties) } : undefined
}

/** `plan` is a list of descriptions, `tasks` one of steps of a kind. */
function hasSteps({ plan, tasks }: JsonObject): boolean {
  const step = itemOf(plan)?.description
  const kind = itemOf(tasks)?.type
  return isObject(step) || (isObject(kind) && Array.isArray(kind.enum) && kind.enum.some(isStep))
}

function isStep(kind: JsonValue): boolean {
  return typeof kind === "string" && STEPS.includes(kind)
}

function itemOf(list: JsonValue | undefined): JsonObject | undefined {
  const item = isObject(list) && list.type === "array" && isObject(list.items) ? list.items : undefined
  return item !== undefined && isObject(item.properties) ? item.properties : undefined
}

function objectIn(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
