/**
 * The dialect `openai-completions`: POST …/completions, the raw prompt without a conversation. A prompt is one user
 * message to us; a prompt of token ids has no text, so it has no messages. `echo`, `logprobs` and `suffix` are the
 * client's and the server's affair: they stay in the body and in the raw events.
 * Source: OpenAI's openapi.yaml, CreateCompletionRequest and -Response.
 */

import type { JsonObject } from "../../base/json.ts"
import type { Dialect } from "../dialect.ts"
import type { Choice, Delta } from "../model.ts"
import { hasPrompt } from "../prompt-message.ts"
import { pathOnly } from "../request-view.ts"
import { parseOpenAiAnswer, writeOpenAiAnswer } from "./answer.ts"
import { readErrorBody, writeErrorJson } from "./errors.ts"
import { OpenAiRequest } from "./request.ts"
import { OpenAiDecoder } from "./stream.ts"
import { type ChunkShape, comment, dataEvent, finishWord, OpenAiEncoder } from "./write.ts"

export const openaiCompletions: Dialect = {
  name: "openai-completions",
  streamType: "text/event-stream",
  match(method, path) {
    const plain = pathOnly(path)
    return method === "POST" && plain.endsWith("/completions") && !plain.endsWith("/chat/completions")
  },
  parseRequest: (body, path) => (hasPrompt(body) ? new CompletionsRequest(body, path) : undefined),
  decoder: () => new OpenAiDecoder(),
  encoder: (context) => new OpenAiEncoder(context, TEXT_CHUNKS),
  parseAnswer: parseOpenAiAnswer,
  writeAnswer: (completion, context) => writeOpenAiAnswer(completion, context, "text_completion", writeChoice),
  parseError: readErrorBody,
  writeError: writeErrorJson,
  errorEvent: (error) => dataEvent(writeErrorJson(error)),
  comment,
}

class CompletionsRequest extends OpenAiRequest {
  override readonly dialect = "openai-completions"

  constructor(body: JsonObject, path: string) {
    super(body, path, { tools: { advice: "send them to /v1/chat/completions" }, hasPrompt: true })
  }
}

const TEXT_CHUNKS: ChunkShape = {
  object: "text_completion",
  toolsWord: "tool_calls",
  choice(delta: Delta) {
    if (delta.type !== "text") return undefined
    return { index: delta.index, text: delta.text, logprobs: null, finish_reason: null }
  },
  finish: (index, reason) => ({ index, text: "", logprobs: null, finish_reason: reason }),
}

function writeChoice(choice: Choice): JsonObject {
  const finish_reason = finishWord(choice.finishReason, TEXT_CHUNKS.toolsWord)
  return { index: choice.index, text: choice.text, logprobs: null, finish_reason }
}
