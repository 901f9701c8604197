/**
 * The arguments of a tool call, between the two forms that providers give them: JSON text (OpenAI) and an object
 * (Anthropic, Ollama). Text that is no object is wrapped, never dropped: the program behind the client has to see it.
 */
import { isObject, type JsonObject, type JsonValue, parseJson, stringOf } from "../base/json.ts"

// Anthropic's own advice for arguments that the model got wrong (docs, fine-grained tool streaming, "invalid JSON").
const WRAPPED = "INVALID_JSON"

/** The object for `text`; `{}` for a call without arguments. */
export function argumentsObject(text: string): JsonObject {
  if (text.trim() === "") return {}
  const json = parseJson(text)
  return isObject(json) ? json : { [WRAPPED]: text }
}

/** The text for an object; what was wrapped is what it was. */
export function argumentsText(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return ""
  if (typeof value === "string") return value
  const wrapped = isObject(value) && Object.keys(value).length === 1 ? stringOf(value[WRAPPED]) : undefined
  return wrapped ?? JSON.stringify(value)
}

/** Whether `text` is an object with nothing missing: no piece of a call can follow. */
export function isWholeObject(text: string): boolean {
  return isObject(parseJson(text))
}
