/**
 * A request in Ollama's own API, made of the same request in OpenAI's form. Only there can be said that a prompt which is
 * too long is to be refused and not cut, and how long an answer may be in the window that the model runs with. Pure.
 * Source: Ollama, docs/api.md and api/types.go.
 */
import { isObject, type JsonObject, type JsonValue, type LlmRequest, type Message, textOf } from "llmproxy"
import { isSet, objectIn, objectsOf } from "./json.ts"
import { type LocalRequest, picked, stopsIn } from "./local-request.ts"

const DATA_IMAGE = /^data:image\/[\w.+-]+;base64,/
const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant", "tool"])

/** Whether /api/chat can carry the request: not tools that have to be called, nor images that would have to be fetched. */
export function fitsOllama({ body, messages, n }: LlmRequest): boolean {
  if (n > 1 || isSet(body.functions) || isSet(body.logprobs) || isSet(body.top_logprobs) || isSet(body.audio))
    return false
  if (isSet(body.tools) && !(body.tool_choice === undefined || isFree(body.tool_choice))) return false
  return messages.every(isSayable)
}

function isFree(choice: JsonValue): boolean {
  return choice === null || choice === "auto" || choice === "none"
}

function isSayable(message: Message): boolean {
  if (!ROLES.has(message.role) || isSet(message.function_call) || isSet(message.audio)) return false
  if (objectsOf(message.tool_calls).some((call) => argumentsOf(call) === undefined)) return false
  return objectsOf(message.content).every(({ type, image_url: image }) => {
    return type === "text" || type === "refusal" || (type === "image_url" && DATA_IMAGE.test(urlOf(image)))
  })
}

/** `window`: tokens that the model runs with, or will when it is loaded; undefined leaves it to Ollama. */
export function ollamaRequest({ json }: LocalRequest, window: number | undefined): LocalRequest {
  const options: JsonObject = picked(json)
  if (stopsIn(json).length > 0) options.stop = stopsIn(json)
  if (json.max_tokens !== undefined) options.num_predict = json.max_tokens
  // Another window would make Ollama load the model again.
  if (window !== undefined) options.num_ctx = window
  const shared: JsonObject = { model: json.model ?? "", stream: json.stream === true, options }
  // What Ollama would drop from the beginning of a prompt without a word; older versions do not know the fields.
  const honest: JsonObject = { ...shared, truncate: false, shift: false }
  if (json.prompt !== undefined)
    return { path: "/api/generate", dialect: "ollama", json: { ...honest, prompt: json.prompt, raw: true } }
  return { path: "/api/chat", dialect: "ollama", json: { ...honest, ...chatFields(json) } }
}

function chatFields({
  messages,
  tools,
  tool_choice: choice,
  response_format: wanted,
  reasoning_effort: effort,
}: JsonObject) {
  const names = new Map<JsonValue | undefined, string>()
  const format = formatOf(wanted)
  return {
    messages: objectsOf(messages).map((message) => ollamaMessage(message, names)),
    ...(isSet(tools) && choice !== "none" ? { tools } : {}),
    ...(format === undefined ? {} : { format }),
    ...(typeof effort === "string" ? { think: effort === "none" ? false : effort } : {}),
  }
}

function formatOf(wanted: JsonValue | undefined): JsonValue | undefined {
  if (!isObject(wanted)) return undefined
  if (wanted.type === "json_object") return "json"
  return isObject(wanted.json_schema) ? wanted.json_schema.schema : undefined
}

/**
 * Images stand beside the text there, calls have objects for arguments, and a result names its function. `names`: the
 * functions by the ids of their calls so far, of which some hosts use the same in each turn; this message's are added.
 */
function ollamaMessage(message: JsonObject, names: Map<JsonValue | undefined, string>): JsonObject {
  const { role = "user", content, tool_calls: calls, tool_call_id: id } = message
  const urls = objectsOf(content).map(({ image_url: image }) => urlOf(image))
  const images = urls.filter((url) => url !== "").map((url) => url.replace(DATA_IMAGE, ""))
  const called = objectsOf(calls).map((call) => {
    const name = nameOf(call)
    names.set(call.id, name)
    return { function: { name, arguments: argumentsOf(call) ?? {} } }
  })
  const name = role === "tool" ? names.get(id) : undefined
  return {
    role,
    content: textOf(content),
    ...(images.length === 0 ? {} : { images }),
    ...(called.length === 0 ? {} : { tool_calls: called }),
    ...(name === undefined ? {} : { tool_name: name }),
  }
}

function nameOf({ function: called }: JsonObject): string {
  return isObject(called) && typeof called.name === "string" ? called.name : ""
}

/** Undefined where they are no object. */
function argumentsOf({ function: called }: JsonObject): JsonObject | undefined {
  if (!isObject(called) || typeof called.arguments !== "string") return undefined
  return called.arguments.trim() === "" ? {} : objectIn(called.arguments)
}

function urlOf(image: JsonValue | undefined): string {
  const url = isObject(image) ? image.url : image
  return typeof url === "string" ? url : ""
}
