/**
 * Ollama's answers as we write them, streamed and whole, in the form of the endpoint that the client asked. Its clients
 * read a call in one piece, so a call that comes in pieces waits until it is whole.
 * Source: Ollama, docs/api.md and api/types.go.
 */

import { isObject, type JsonObject, type JsonValue, stringOf } from "../../base/json.ts"
import { AnswerLimit } from "../answer-limit.ts"
import type { EncodeContext, StreamEncoder } from "../dialect.ts"
import { isUnknownWord } from "../finish-words.ts"
import type { Completion, Delta, FinishReason, LlmRequest, ToolCall, Usage } from "../model.ts"
import { argumentsObject, isWholeObject } from "../tool-arguments.ts"
import { mergeUsage } from "../usage.ts"
import { ollamaFinish } from "./read.ts"
import { OllamaGenerateRequest } from "./request.ts"

type CallDelta = Extract<Delta, { type: "toolCall" }>

/** Fields of a line that are ours to write. */
const OWN_FIELDS = new Set([
  "message",
  "response",
  "thinking",
  "tool_calls",
  "done",
  "done_reason",
  "error",
  "logprobs",
])
/** Fields of the last line that are the server's to know. */
const LAST_FIELDS = new Set([
  "context",
  "total_duration",
  "load_duration",
  "prompt_eval_count",
  "prompt_eval_duration",
  "eval_count",
  "eval_duration",
])

/** Words of Ollama's for an end without an answer. */
const KEPT_REASONS = new Set(["load", "unload"])

export class OllamaEncoder implements StreamEncoder {
  readonly #generate: boolean
  readonly #limit = new AnswerLimit()
  readonly #calls = new Map<number, ToolCall>()
  /** Calls that have left: nothing but white space can follow. */
  readonly #written = new Set<number>()
  #head: JsonObject
  #last: JsonObject = {}
  #finish: FinishReason | undefined
  #usage: Usage | undefined

  constructor(context: EncodeContext) {
    this.#generate = isGenerate(context.request)
    this.#head = headOf(context.model, context.created)
  }

  adopt(json: JsonValue | undefined, sent = false): void {
    if (!isObject(json)) return
    if (sent && json.done === true) this.#finish = ollamaFinish(stringOf(json.done_reason))
    const fields = Object.entries(json).filter(([key]) => !OWN_FIELDS.has(key))
    this.#head = { ...this.#head, ...Object.fromEntries(fields.filter(([key]) => !LAST_FIELDS.has(key))) }
    this.#last = Object.fromEntries(fields.filter(([key]) => LAST_FIELDS.has(key)))
  }

  delta(delta: Delta): string {
    if ("index" in delta && delta.index !== 0) return ""
    switch (delta.type) {
      case "text":
      case "refusal": // Ollama has no field for it.
        return this.#line({ content: delta.text })
      case "reasoning":
        return this.#line({ content: "", thinking: delta.text })
      case "toolCall":
        return this.#call(delta)
      case "usage":
        this.#usage = mergeUsage(this.#usage, delta.usage)
        return ""
      case "finish":
        this.#finish = delta.reason
        return this.#flush()
      case "other":
        return isObject(delta.raw) && isStatus(delta.raw) ? `${JSON.stringify(delta.raw)}\n` : ""
    }
  }

  end(): string {
    const calls = this.#flush()
    const last = { ...content(this.#generate, { content: "" }), ...ending(this.#finish, this.#usage) }
    return `${calls}${JSON.stringify({ ...this.#head, ...last, ...withoutCounts(this.#last, this.#usage) })}\n`
  }

  /** The first piece of a call that is whole leaves at once, as Ollama's own do. */
  #call(delta: CallDelta): string {
    if (this.#written.has(delta.call)) return ""
    const known = this.#calls.get(delta.call)
    const call = known ?? { id: undefined, name: "", arguments: "" }
    call.id ??= delta.id
    call.name += delta.name ?? ""
    call.arguments += this.#limit.hold(delta.arguments)
    this.#calls.set(delta.call, call)
    return !known && call.name !== "" && isWholeObject(call.arguments) ? this.#flush() : ""
  }

  #flush(): string {
    const calls = [...this.#calls.values()]
    for (const number of this.#calls.keys()) this.#written.add(number)
    this.#calls.clear()
    return calls.length === 0 ? "" : this.#line(withCalls(calls))
  }

  #line(message: JsonObject): string {
    return `${JSON.stringify({ ...this.#head, ...content(this.#generate, message), done: false })}\n`
  }
}

export function writeOllamaAnswer(completion: Completion, context: EncodeContext): JsonObject {
  const { text, refusal, reasoning, toolCalls, finishReason, usage } = completion
  const message: JsonObject = { content: text + refusal }
  if (reasoning !== "") message.thinking = reasoning
  if (toolCalls.length > 0) Object.assign(message, withCalls(toolCalls), { content: message.content })
  return {
    ...headOf(completion.model ?? context.model, completion.created ?? context.created),
    ...content(isGenerate(context.request), message),
    ...ending(finishReason, usage),
  }
}

/** A time that no calendar has (a server's odd `created`) becomes the epoch. */
function headOf(model: string, created: number): JsonObject {
  const time = new Date(created * 1000)
  return { model, created_at: (Number.isNaN(time.getTime()) ? new Date(0) : time).toISOString() }
}

/** What was said, in the form of the endpoint. */
function content(generate: boolean, message: JsonObject): JsonObject {
  if (!generate) return { message: { role: "assistant", ...message } }
  const { content: response, ...rest } = message
  return { response, ...rest }
}

function withCalls(calls: readonly ToolCall[]): JsonObject {
  return { content: "", tool_calls: calls.map(writeCall) }
}

function writeCall({ id, name, arguments: json }: ToolCall): JsonObject {
  return { ...(id === undefined ? {} : { id }), function: { name, arguments: argumentsObject(json) } }
}

/** Counts that nobody knows are left out, as Ollama does for a prompt from its cache. */
function ending(reason: FinishReason | undefined, usage: Usage | undefined): JsonObject {
  const json: JsonObject = { done: true, done_reason: reasonWord(reason) }
  if (usage?.inputTokens !== undefined) json.prompt_eval_count = usage.inputTokens
  if (usage?.outputTokens !== undefined) json.eval_count = usage.outputTokens
  return json
}

/** For a cut or failed answer, and an end that nobody knows, "length" is the word that says it is not whole. */
export function reasonWord(reason: FinishReason | undefined): string {
  if (reason?.raw !== undefined && KEPT_REASONS.has(reason.raw)) return reason.raw
  if (reason === undefined) return "stop"
  const { unified } = reason
  const short = unified === "length" || unified === "error" || unified === "cut" || isUnknownWord(reason)
  return short ? "length" : "stop"
}

/** What the last line that we read knows besides the counts. */
function withoutCounts(
  { prompt_eval_count: input, eval_count: output, ...rest }: JsonObject,
  usage?: Usage,
): JsonObject {
  return usage ? rest : { ...rest, prompt_eval_count: input, eval_count: output }
}

function isGenerate(request: LlmRequest | undefined): boolean {
  return request instanceof OllamaGenerateRequest
}

/** A line that is no part of an answer, of the same dialect. */
function isStatus(json: JsonObject): boolean {
  return stringOf(json.status) !== undefined
}
