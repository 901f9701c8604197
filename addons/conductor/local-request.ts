/**
 * A chat request as the local host gets it, in one of three forms, and what two of them cannot carry. ollama-request.ts and
 * llama-request.ts write the forms for the hosts' own APIs. Pure.
 */
import { type DialectName, isObject, type JsonObject, type JsonValue, type LlmRequest, type Message } from "llmproxy"
import { type ChatTemplate, DEEPSEEK_CODER, flattenMessages } from "llmproxy/templates"
import { isSet, objectsOf } from "./json.ts"

/** How a request is written; local-form.ts decides on it. */
export interface LocalForm {
  readonly api: "completions" | "chat" | "messages"
  /** Whose API carries it. */
  readonly wire: "openai" | "ollama" | "llamacpp"
  /** The format of a raw prompt. */
  readonly template: ChatTemplate
}

/** Something of a request that a text cannot carry: what it is, and the field of the body that holds it. */
export interface Obstacle {
  readonly what: string
  readonly field: string
}

/** Fields of a chat request that mean nothing, or something else, in a request for a completion. */
const CHAT_ONLY = [
  "messages",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "functions",
  "function_call",
  "response_format",
  "modalities",
  "audio",
  "prediction",
  "reasoning_effort",
  "verbosity",
  "web_search_options",
  "logprobs",
  "top_logprobs",
  "metadata",
  "store",
  "service_tier",
]

/** Fields that the form itself decides on: localParams cannot set them. */
const OF_THE_FORM = ["model", "messages", "prompt", "stream", "stream_options"]

const TOOL_ROLES = new Set(["tool", "function"])
const TEXT_PARTS = new Set(["text", "refusal"])
const PART_NAMES: Readonly<Record<string, string>> = { image_url: "images", input_audio: "audio", file: "files" }

/** The client's limit for the answer; undefined where it sets none. Some clients say "no limit" with -1. */
export function askedTokens({ maxTokens }: LlmRequest): number | undefined {
  return maxTokens !== undefined && maxTokens > 0 ? maxTokens : undefined
}

/** What of the request cannot be said in the forms that hold one text; undefined when all can. */
export function obstacleIn({ body, messages, n }: LlmRequest): Obstacle | undefined {
  if (isSet(body.tools)) return { what: "tools", field: "tools" }
  if (isSet(body.functions)) return { what: "functions", field: "functions" }
  for (const message of messages) {
    const what = unsayable(message)
    if (what !== undefined) return { what, field: "messages" }
  }
  const modalities = Array.isArray(body.modalities) ? body.modalities : []
  if (isSet(body.audio) || modalities.some((one) => one !== "text")) return { what: "audio", field: "modalities" }
  if (n > 1) return { what: "n", field: "n" }
  if (isSet(body.logprobs) || isSet(body.top_logprobs)) return { what: "logprobs", field: "logprobs" }
  const format = isObject(body.response_format) ? body.response_format.type : undefined
  if (format !== undefined && format !== "text") return { what: "response_format", field: "response_format" }
  return undefined
}

function unsayable(message: Message): string | undefined {
  if (TOOL_ROLES.has(message.role) || isSet(message.tool_calls) || isSet(message.function_call)) return "tool messages"
  if (isSet(message.audio)) return "audio"
  const part = objectsOf(message.content).find(({ type }) => typeof type !== "string" || !TEXT_PARTS.has(type))
  if (part === undefined) return undefined
  return PART_NAMES[String(part.type)] ?? `content of type ${JSON.stringify(part.type ?? null)}`
}

/** Parameters that both of the hosts' own APIs have under OpenAI's name, or under one that LM Studio and others took from llama.cpp. */
const SHARED = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "presence_penalty",
  "frequency_penalty",
  "repeat_penalty",
  "seed",
]

export interface LocalRequest {
  readonly path: string
  readonly dialect: DialectName
  readonly json: JsonObject
}

export interface LocalRequestOptions {
  readonly api: LocalForm["api"]
  /** Undefined: the host decides. */
  readonly model: string | undefined
  readonly params: Readonly<Record<string, unknown>>
  /** Tokens that fit for the answer. */
  readonly left: number
  /** The format of a raw prompt. Default: DeepSeek-Coder's. */
  readonly template?: ChatTemplate
  /** The host refuses `json_object`: the request's own words have to do. */
  readonly withoutJsonObject?: boolean
  /** An answer ends where its window does, and not only where the model ends it. */
  readonly isBounded?: boolean
  /** The host takes `stream_options`: what it counts is learnt from, whether or not the client asked for it. */
  readonly wantsUsage?: boolean
}

/** The request in the form that the local host is to get. The client's own body stays as it is. Throws as templates do. */
export function localRequest(request: LlmRequest, options: LocalRequestOptions): LocalRequest {
  const { api, left, template = DEEPSEEK_CODER } = options
  const json = baseBody(request, options)
  const asked = typeof json.max_tokens === "number" && json.max_tokens > 0 ? json.max_tokens : undefined
  if (asked !== undefined) json.max_tokens = Math.min(asked, left)
  // Some hosts end a raw completion after 16 tokens unless told otherwise; chats run to the model's own end.
  else if (api === "completions" || options.isBounded === true) json.max_tokens = left
  if (options.wantsUsage === true && json.stream === true)
    json.stream_options = { ...(isObject(json.stream_options) ? json.stream_options : {}), include_usage: true }
  if (api === "completions")
    return { path: "/v1/completions", dialect: "openai-completions", json: raw(json, request, template) }
  if (options.withoutJsonObject === true && wantsJsonObject(request)) delete json.response_format
  json.messages =
    api === "chat"
      ? [{ role: "user", content: flattenMessages(request.messages) }]
      : request.messages.map((message) => (message.role === "developer" ? { ...message, role: "system" } : message))
  return { path: "/v1/chat/completions", dialect: "openai-chat", json }
}

export function wantsJsonObject({ body }: LlmRequest): boolean {
  return isObject(body.response_format) && body.response_format.type === "json_object"
}

/** What all forms share: the client's body, with the parameters that replace its own. */
function baseBody(request: LlmRequest, { api, model, params }: LocalRequestOptions): JsonObject {
  const json: JsonObject = { ...request.body }
  delete json.max_completion_tokens // hosts know the older name
  const asked = askedTokens(request)
  if (asked === undefined) delete json.max_tokens
  else json.max_tokens = asked
  for (const [name, value] of Object.entries(params)) {
    // A client that wants several choices gets them; the forms that can hold one only never see such a request.
    if (OF_THE_FORM.includes(name) || (name === "n" && api === "messages" && request.n > 1)) continue
    json[name] = value as JsonObject[string] // the option is JSON
  }
  if (model === undefined) delete json.model
  else json.model = model
  return json
}

function raw(json: JsonObject, { messages }: LlmRequest, template: ChatTemplate): JsonObject {
  const rendered = template.render(messages)
  for (const name of CHAT_ONLY) delete json[name]
  return { ...json, prompt: rendered.prompt, stop: [...new Set([...stopsIn(json), ...rendered.stop])] }
}

export function stopsIn({ stop }: JsonObject): JsonValue[] {
  return typeof stop === "string" ? [stop] : Array.isArray(stop) ? stop : []
}

/** The parameters that the hosts' own APIs take under the same name. */
export function picked(json: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(json).filter(([name, value]) => SHARED.includes(name) && value !== null))
}
