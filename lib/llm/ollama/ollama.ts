/**
 * The dialect `ollama`: POST …/api/chat and …/api/generate, Ollama's own API. This file says how a request is recognised
 * and how errors look. Its JSON lines have no comments, so a client that waits gets nothing until the answer begins.
 * Source: Ollama, docs/api.md and api/types.go.
 */

import { isObject, type JsonObject, type JsonValue } from "../../base/json.ts"
import { completionFrom } from "../assemble.ts"
import type { Dialect, ParsedAnswer } from "../dialect.ts"
import { IN_STREAM_STATUS } from "../framing/sse-json.ts"
import { type ErrorToWrite, isErrorJson, readErrorBody, readErrorJson } from "../openai/errors.ts"
import { pathOnly } from "../request-view.ts"
import { OllamaDecoder, OllamaReader } from "./read.ts"
import { parseOllamaRequest } from "./request.ts"
import { OllamaEncoder, writeOllamaAnswer } from "./write.ts"

export const ollama: Dialect = {
  name: "ollama",
  streamType: "application/x-ndjson",
  match(method, path) {
    const plain = pathOnly(path)
    return method === "POST" && (plain.endsWith("/api/chat") || plain.endsWith("/api/generate"))
  },
  parseRequest: (body, path) => parseOllamaRequest(body, pathOnly(path)),
  decoder: () => new OllamaDecoder(),
  encoder: (context) => new OllamaEncoder(context),
  parseAnswer,
  writeAnswer: writeOllamaAnswer,
  parseError: readErrorBody,
  writeError,
  errorEvent: (error) => `${JSON.stringify(writeError(error))}\n`,
  comment: () => "",
}

function parseAnswer(body: JsonValue): ParsedAnswer | undefined {
  if (!isObject(body)) return undefined
  if (isErrorJson(body)) return { error: readErrorJson(IN_STREAM_STATUS, body) }
  if (!isObject(body.message) && typeof body.response !== "string") return undefined
  return { completion: completionFrom(new OllamaReader().read(body), body) }
}

/** Its clients read the text alone; the code beside it is for people and for us. */
function writeError({ code, message }: ErrorToWrite): JsonObject {
  return { error: message, code }
}
