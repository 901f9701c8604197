/**
 * The dialect `llamacpp`: POST /completion, llama.cpp server's own endpoint for a raw prompt. (/v1/completions is
 * OpenAI's form, whoever serves it.) `n_probs`, `grammar`, `id_slot` and the like are the client's and the server's
 * affair. Source: llama.cpp, tools/server/README.md and server-task.cpp.
 */

import { isObject, type JsonObject, type JsonValue } from "../../base/json.ts"
import { completionFrom } from "../assemble.ts"
import type { Dialect, ParsedAnswer } from "../dialect.ts"
import { IN_STREAM_STATUS, SseJsonDecoder } from "../framing/sse-json.ts"
import { type ErrorToWrite, isErrorJson, readErrorBody, readErrorJson } from "../openai/errors.ts"
import { comment, dataEvent } from "../openai/write.ts"
import { hasPrompt } from "../prompt-message.ts"
import { pathOnly, RequestView } from "../request-view.ts"
import { LlamaCppReader } from "./read.ts"
import { LlamaCppEncoder, writeLlamaCppAnswer } from "./write.ts"

const NAMES = {
  maxTokens: "n_predict",
  stop: "stop",
  tools: { advice: "send them to /v1/chat/completions" },
  hasPrompt: true,
}

/** Of llama.cpp's types of error; a status that is none of these is its "server_error". */
const ERROR_TYPES: ReadonlyMap<number, string> = new Map([
  [400, "invalid_request_error"],
  [401, "authentication_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [501, "not_supported_error"],
  [503, "unavailable_error"],
])

export const llamacpp: Dialect = {
  name: "llamacpp",
  streamType: "text/event-stream",
  match: (method, path) => method === "POST" && pathOnly(path).endsWith("/completion"),
  parseRequest: (body) => (hasPrompt(body) || isObject(body.prompt) ? new LlamaCppRequest(body) : undefined),
  decoder() {
    const reader = new LlamaCppReader()
    return new SseJsonDecoder((json) => reader.event(json))
  },
  encoder: (context) => new LlamaCppEncoder(context),
  parseAnswer,
  writeAnswer: writeLlamaCppAnswer,
  parseError: readErrorBody,
  writeError,
  errorEvent: (error) => dataEvent(writeError(error)),
  comment,
}

class LlamaCppRequest extends RequestView {
  override readonly dialect = "llamacpp"

  constructor(body: JsonObject) {
    super(body, NAMES)
  }
}

/** A list of prompts is answered by a list. */
function parseAnswer(body: JsonValue): ParsedAnswer | undefined {
  const answers = Array.isArray(body) ? body : [body]
  const reader = new LlamaCppReader()
  const deltas = answers.flatMap((answer) => (isAnswer(answer) ? (reader.event(answer).deltas ?? []) : []))
  if (isObject(body) && isErrorJson(body)) return { error: readErrorJson(IN_STREAM_STATUS, body) }
  const [first] = answers
  return first !== undefined && answers.every(isAnswer) ? { completion: completionFrom(deltas, first) } : undefined
}

function isAnswer(value: JsonValue): value is JsonObject {
  return isObject(value) && typeof value.content === "string"
}

/** llama.cpp's code is the status; ours stands as the type where it says more. */
function writeError({ status, code, message, type }: ErrorToWrite): JsonObject {
  const ours = code === "context_length_exceeded" ? "exceed_context_size_error" : code
  const known = ERROR_TYPES.get(status) ?? type ?? (status >= 500 ? "server_error" : undefined)
  const isKind = known === undefined || code === "context_length_exceeded"
  return { error: { code: status, message, type: isKind ? ours : known } }
}
