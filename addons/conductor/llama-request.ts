/**
 * A request in llama.cpp's own API, made of the same request in OpenAI's form: it takes a raw prompt. Pure.
 * Source: llama.cpp, tools/server/README.md.
 */
import type { JsonObject } from "llmproxy"
import { type LocalRequest, picked, stopsIn } from "./local-request.ts"

export function llamaRequest({ json }: LocalRequest): LocalRequest {
  const { prompt = "", max_tokens: limit } = json
  const body: JsonObject = { ...picked(json), prompt, stream: json.stream === true, cache_prompt: true }
  if (stopsIn(json).length > 0) body.stop = stopsIn(json)
  if (limit !== undefined) body.n_predict = limit
  return { path: "/completion", dialect: "llamacpp", json: body }
}
