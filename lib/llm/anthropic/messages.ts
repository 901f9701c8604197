/**
 * The dialect `anthropic-messages`: POST …/v1/messages, spoken by Anthropic, and by LM Studio, Ollama and llama.cpp for
 * its clients. This file says how a request is recognised and how a whole answer is shaped.
 * Source: Anthropic's API reference, "Create a message", "Streaming messages", "Errors".
 */

import { isObject, type JsonObject, type JsonValue } from "../../base/json.ts"
import { completionFrom } from "../assemble.ts"
import type { Dialect, EncodeContext, ParsedAnswer } from "../dialect.ts"
import { IN_STREAM_STATUS, namedEvent, SseJsonDecoder } from "../framing/sse-json.ts"
import { isChatBody } from "../message-list.ts"
import type { Completion } from "../model.ts"
import { isErrorJson, readErrorBody, readErrorJson } from "../openai/errors.ts"
import { comment } from "../openai/write.ts"
import { pathOnly } from "../request-view.ts"
import { argumentsObject } from "../tool-arguments.ts"
import { MessageReader } from "./read.ts"
import { MessagesRequest } from "./request.ts"
import { stopWord, writeMessageError, writeMessageUsage } from "./words.ts"
import { MessageEncoder } from "./write.ts"

export const anthropicMessages: Dialect = {
  name: "anthropic-messages",
  streamType: "text/event-stream",
  match: (method, path) => method === "POST" && pathOnly(path).endsWith("/v1/messages"),
  parseRequest: (body) => (isChatBody(body) ? new MessagesRequest(body) : undefined),
  decoder() {
    const reader = new MessageReader()
    return new SseJsonDecoder((json, name) => reader.event(json, name))
  },
  encoder: (context) => new MessageEncoder(context),
  parseAnswer,
  writeAnswer,
  parseError: readErrorBody,
  writeError: writeMessageError,
  errorEvent: (error) => namedEvent("error", writeMessageError(error)),
  // The event is what its clients wait for, the comment what people read.
  comment: (note) => `${comment(note).trimEnd()}\n${namedEvent("ping", { type: "ping" })}`,
}

function parseAnswer(body: JsonValue): ParsedAnswer | undefined {
  if (!isObject(body)) return undefined
  if (isErrorJson(body)) return { error: readErrorJson(IN_STREAM_STATUS, body) }
  if (body.type !== "message" && !Array.isArray(body.content)) return undefined
  return { completion: completionFrom(new MessageReader().message(body), body) }
}

function writeAnswer(completion: Completion, context: EncodeContext): JsonObject {
  const { reasoning, text, refusal, toolCalls, finishReason, usage } = completion
  const content: JsonObject[] = []
  if (reasoning !== "") content.push({ type: "thinking", thinking: reasoning, signature: "" })
  if (text + refusal !== "") content.push({ type: "text", text: text + refusal })
  for (const [at, call] of toolCalls.entries()) {
    const id = call.id ?? `toolu_${context.id}_${at}`
    content.push({ type: "tool_use", id, name: call.name, input: argumentsObject(call.arguments) })
  }
  return {
    id: completion.id ?? context.id,
    type: "message",
    role: "assistant",
    model: completion.model ?? context.model,
    content,
    stop_reason: stopWord(finishReason, toolCalls.length > 0),
    stop_sequence: null,
    usage: writeMessageUsage(usage),
  }
}
