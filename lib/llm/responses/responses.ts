/**
 * The dialect `openai-responses`: POST …/responses, spoken by OpenAI, Azure, LM Studio, Ollama, vLLM and llama.cpp.
 * Fetching, cancelling and counting (/responses/{id}, …) are other requests. This file says how a request is recognised.
 * Source: openai-node, resources/responses; OpenAI's docs, "Streaming responses".
 */

import { isObject, type JsonValue } from "../../base/json.ts"
import { completionFrom } from "../assemble.ts"
import type { Dialect, ParsedAnswer } from "../dialect.ts"
import { IN_STREAM_STATUS, namedEvent, SseJsonDecoder } from "../framing/sse-json.ts"
import { isErrorJson, readErrorBody, readErrorJson, writeErrorJson } from "../openai/errors.ts"
import { comment } from "../openai/write.ts"
import { pathOnly } from "../request-view.ts"
import { ResponsesReader } from "./read.ts"
import { parseResponsesRequest } from "./request.ts"
import { writeErrorEvent } from "./words.ts"
import { ResponsesEncoder, writeResponsesAnswer } from "./write.ts"

export const openaiResponses: Dialect = {
  name: "openai-responses",
  streamType: "text/event-stream",
  match: (method, path) => method === "POST" && pathOnly(path).endsWith("/responses"),
  parseRequest: (body) => parseResponsesRequest(body),
  decoder() {
    const reader = new ResponsesReader()
    return new SseJsonDecoder((json, name) => reader.event(json, name))
  },
  encoder: (context) => new ResponsesEncoder(context),
  parseAnswer,
  writeAnswer: writeResponsesAnswer,
  parseError: readErrorBody,
  writeError: writeErrorJson,
  errorEvent: (error) => namedEvent("error", writeErrorEvent(error)),
  comment,
}

function parseAnswer(body: JsonValue): ParsedAnswer | undefined {
  if (!isObject(body)) return undefined
  if (isErrorJson(body)) return { error: readErrorJson(IN_STREAM_STATUS, body) }
  if (body.object !== "response" && !Array.isArray(body.output)) return undefined
  return { completion: completionFrom(new ResponsesReader().response(body), body) }
}
