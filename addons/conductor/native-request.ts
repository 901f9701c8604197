/**
 * A request in the API that a host alone has, made of the same request in OpenAI's form. Ollama's takes a raw prompt as
 * it is, a window, and the word not to cut a prompt that is too long; llama.cpp's takes a raw prompt. Pure.
 * Source: Ollama, docs/api.md and api/types.go; llama.cpp, tools/server/README.md.
 */
import { type JsonObject, textOf } from "llmproxy"
import { objectsOf } from "./json.ts"
import { type LocalRequest, stopsIn } from "./local-request.ts"

/** Parameters that both have under OpenAI's name, or under one that LM Studio and others took from llama.cpp. */
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

/** `window`: tokens that prompt and answer may be together; undefined leaves it to Ollama. */
export function ollamaRequest({ json }: LocalRequest, window: number | undefined): LocalRequest {
  const options: JsonObject = picked(json)
  if (stopsIn(json).length > 0) options.stop = stopsIn(json)
  if (json.max_tokens !== undefined) options.num_predict = json.max_tokens
  // Another window than the running model's would make Ollama load it again.
  if (window !== undefined) options.num_ctx = window
  const shared: JsonObject = { model: json.model ?? "", stream: json.stream === true, options }
  // What Ollama would drop from the beginning of a prompt without a word; older versions do not know the fields.
  const honest: JsonObject = { ...shared, truncate: false, shift: false }
  if (json.prompt !== undefined)
    return { path: "/api/generate", dialect: "ollama", json: { ...honest, prompt: json.prompt, raw: true } }
  const messages = objectsOf(json.messages).map(({ role = "user", content }) => ({ role, content: textOf(content) }))
  return { path: "/api/chat", dialect: "ollama", json: { ...honest, messages } }
}

export function llamaRequest({ json }: LocalRequest): LocalRequest {
  const { prompt = "", max_tokens: limit } = json
  const body: JsonObject = { ...picked(json), prompt, stream: json.stream === true, cache_prompt: true }
  if (stopsIn(json).length > 0) body.stop = stopsIn(json)
  if (limit !== undefined) body.n_predict = limit
  return { path: "/completion", dialect: "llamacpp", json: body }
}

function picked(json: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(json).filter(([name, value]) => SHARED.includes(name) && value !== null))
}
