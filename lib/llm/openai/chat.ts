/**
 * The dialect `openai-chat`: POST …/chat/completions, spoken by OpenAI, Azure, LM Studio, llama.cpp, vLLM, Ollama and
 * most others. This file says how a request is recognised and how an answer is shaped; streams, requests and errors
 * have files of their own. Source: OpenAI's openapi.yaml, CreateChatCompletionRequest and -Response.
 */

import { arrayOf, type JsonObject, objectOf, stringOf } from "../../base/json.ts"
import type { Dialect, EncodeContext } from "../dialect.ts"
import { isChatBody } from "../message-list.ts"
import type { Choice, Delta } from "../model.ts"
import { pathOnly } from "../request-view.ts"
import { parseOpenAiAnswer, writeOpenAiAnswer } from "./answer.ts"
import { ChatRequest } from "./chat-request.ts"
import { readErrorBody, writeErrorJson } from "./errors.ts"
import { OpenAiDecoder } from "./stream.ts"
import { type ChunkShape, comment, dataEvent, finishWord, OpenAiEncoder } from "./write.ts"

type ToolCallDelta = Extract<Delta, { type: "toolCall" }>

export const openaiChat: Dialect = {
  name: "openai-chat",
  streamType: "text/event-stream",
  match: (method, path) => method === "POST" && pathOnly(path).endsWith("/chat/completions"),
  parseRequest: (body, path) => (isChatBody(body) ? new ChatRequest(body, path) : undefined),
  decoder: () => new OpenAiDecoder(),
  encoder: (context) => new OpenAiEncoder(context, new ChatChunks(context)),
  parseAnswer: parseOpenAiAnswer,
  writeAnswer: (completion, context) =>
    writeOpenAiAnswer(completion, context, "chat.completion", (choice) => writeChoice(choice, context)),
  parseError: readErrorBody,
  writeError: writeErrorJson,
  errorEvent: (error) => dataEvent(writeErrorJson(error)),
  comment,
}

/** The choices of chat chunks. Remembers which tool calls have begun: only their first piece has id, type and name. */
class ChatChunks implements ChunkShape {
  readonly object = "chat.completion.chunk"
  readonly toolsWord: ChunkShape["toolsWord"]
  readonly #context: EncodeContext
  readonly #begun = new Set<string>()
  readonly #customTools: ReadonlySet<string>
  /** Calls of custom tools. */
  readonly #custom = new Set<string>()

  constructor(context: EncodeContext) {
    this.#context = context
    this.#customTools = customTools(context)
    this.toolsWord = toolsWord(context)
  }

  choice(delta: Delta, first: boolean): JsonObject | undefined {
    switch (delta.type) {
      case "text":
        return chunkChoice(delta.index, { ...role(first), content: delta.text })
      case "reasoning":
        return chunkChoice(delta.index, { ...role(first), reasoning_content: delta.text })
      case "refusal":
        return chunkChoice(delta.index, { ...role(first), refusal: delta.text })
      case "toolCall":
        return chunkChoice(delta.index, {
          ...(first ? { role: "assistant", content: null } : {}),
          ...this.#call(delta),
        })
      default:
        return undefined
    }
  }

  finish(index: number, reason: string, first: boolean): JsonObject {
    return { ...chunkChoice(index, first ? { role: "assistant", content: "" } : {}), finish_reason: reason }
  }

  #call(delta: ToolCallDelta): JsonObject {
    const named = delta.name === undefined ? {} : { name: delta.name }
    const fn = { ...named, arguments: delta.arguments }
    if (this.toolsWord === "function_call") return { function_call: fn }
    const key = `${delta.index} ${delta.call}`
    // A piece with neither id nor name continues a call that has left as its own bytes.
    const begins = (delta.id !== undefined || delta.name !== undefined) && !this.#begun.has(key)
    if (this.#customTools.has(delta.name ?? "")) this.#custom.add(key)
    const place = this.#custom.has(key)
      ? { type: "custom", inner: { custom: { ...named, input: delta.arguments } } }
      : { type: "function", inner: { function: { ...(begins ? { name: "" } : {}), ...fn } } }
    if (!begins) return { tool_calls: [{ index: delta.call, ...place.inner }] }
    this.#begun.add(key)
    const id = delta.id ?? callId(this.#context, delta.index, delta.call)
    return { tool_calls: [{ index: delta.call, id, type: place.type, ...place.inner }] }
  }
}

function chunkChoice(index: number, delta: JsonObject): JsonObject {
  return { index, delta, logprobs: null, finish_reason: null }
}

function role(first: boolean): JsonObject {
  return first ? { role: "assistant" } : {}
}

function writeChoice(choice: Choice, context: EncodeContext): JsonObject {
  const { index, text, reasoning, refusal, toolCalls } = choice
  const content = text === "" && (toolCalls.length > 0 || refusal !== "") ? null : text
  const message: JsonObject = { role: "assistant", content, refusal: refusal === "" ? null : refusal }
  if (reasoning !== "") message.reasoning_content = reasoning
  const word = toolsWord(context)
  const [first] = toolCalls
  if (first && word === "function_call") message.function_call = { name: first.name, arguments: first.arguments }
  else if (first) message.tool_calls = writeCalls(choice, context)
  return { index, message, logprobs: null, finish_reason: finishWord(choice.finishReason, word) }
}

function writeCalls({ index, toolCalls }: Choice, context: EncodeContext): JsonObject[] {
  const custom = customTools(context)
  return toolCalls.map(({ id: given, name, arguments: text }, at) => {
    const id = given ?? callId(context, index, at)
    if (custom.has(name)) return { id, type: "custom", custom: { name, input: text } }
    return { id, type: "function", function: { name, arguments: text } }
  })
}

/** The client's tools whose input is any text. */
function customTools({ request }: EncodeContext): ReadonlySet<string> {
  const tools = arrayOf(request?.body.tools).map(objectOf)
  return new Set(
    tools.flatMap((tool) => (tool?.type === "custom" ? (stringOf(objectOf(tool.custom)?.name) ?? []) : [])),
  )
}

/** A client answers a tool call by its id, so one that the server did not name gets one. */
function callId(context: EncodeContext, choice: number, call: number): string {
  return `call_${context.id}_${choice}_${call}`
}

/** A client that sent `functions` and no `tools` (before November 2023) reads only `function_call`. */
export function toolsWord(context: EncodeContext): ChunkShape["toolsWord"] {
  const body = context.request?.body
  return body?.functions !== undefined && body.tools === undefined ? "function_call" : "tool_calls"
}
