/**
 * What a model says in OpenAI's shapes: chat.completion and text_completion, whole or as chunks. Pure but for the events that it
 * is given. Source: OpenAI's API reference, "The chat completion object", "The chat completion chunk object".
 */
import type { JsonObject } from "llmproxy"
import type { Asked } from "./asked.ts"
import type { ModelEnd } from "./model-process.ts"
import type { ToolStyle } from "./prompt.ts"
import type { Said } from "./speaking.ts"
import { type Call, CallReader } from "./tool-calls.ts"

export interface AnswerHead {
  /** Letters and digits, without OpenAI's prefix. */
  readonly id: string
  /** Seconds since the epoch. */
  readonly created: number
  /** As the client has named it. */
  readonly model: string
}

interface Events {
  next(): Promise<Said>
}

type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "calls"; readonly calls: readonly Call[]; readonly first: number }
  | { readonly kind: "end"; readonly end: ModelEnd; readonly calls: number }

/** One JSON body. Rejects with a ModelError. */
export async function wholeAnswer(
  events: Events,
  asked: Asked,
  { head, style }: { readonly head: AnswerHead; readonly style: ToolStyle | undefined },
): Promise<JsonObject> {
  let text = ""
  const calls: JsonObject[] = []
  for await (const part of partsOf(events, style)) {
    if (part.kind === "text") text += part.text
    else if (part.kind === "calls") calls.push(...part.calls.map((call, at) => callJson(call, head, part.first + at)))
    else {
      const finish = { logprobs: null, finish_reason: finishOf(part.end, part.calls) }
      const message = {
        role: "assistant",
        content: text === "" && calls.length > 0 ? null : text,
        refusal: null,
        ...(calls.length > 0 && { tool_calls: calls }),
      }
      const choice = asked.kind === "chat" ? { index: 0, message, ...finish } : { text, index: 0, ...finish }
      const object = asked.kind === "chat" ? "chat.completion" : "text_completion"
      return { ...headOf(head, asked, object), choices: [choice], usage: usageOf(part.end) }
    }
  }
  throw new Error("the model's answer has no end") // partsOf always has one.
}

/** Server-sent events. Throws a ModelError, which is a cut. */
export async function* streamedAnswer(
  events: Events,
  asked: Asked,
  { head, style }: { readonly head: AnswerHead; readonly style: ToolStyle | undefined },
): AsyncGenerator<string> {
  const isChat = asked.kind === "chat"
  const start = headOf(head, asked, isChat ? "chat.completion.chunk" : "text_completion")
  const none = asked.includeUsage ? { usage: null } : {}
  const chunk = (said: JsonObject, finish: string | null = null) => {
    const what = isChat ? { index: 0, delta: said } : { text: "", ...said, index: 0 }
    return eventOf({ ...start, choices: [{ ...what, logprobs: null, finish_reason: finish }], ...none })
  }
  if (isChat) yield chunk({ role: "assistant", content: "", refusal: null })
  for await (const part of partsOf(events, style)) {
    if (part.kind === "text") yield chunk(isChat ? { content: part.text } : { text: part.text })
    else if (part.kind === "calls")
      for (const [at, call] of part.calls.entries())
        yield chunk({ tool_calls: [{ index: part.first + at, ...callJson(call, head, part.first + at) }] })
    else {
      yield chunk({}, finishOf(part.end, part.calls))
      if (asked.includeUsage) yield eventOf({ ...start, choices: [], usage: usageOf(part.end) })
    }
  }
  yield "data: [DONE]\n\n"
}

async function* partsOf(events: Events, style: ToolStyle | undefined): AsyncGenerator<Part> {
  const reader = style === undefined ? undefined : new CallReader(style)
  let first = 0
  for (;;) {
    const said = await events.next()
    const { text, calls } =
      said.kind === "text"
        ? (reader?.push(said.text) ?? { text: said.text, calls: [] })
        : (reader?.finish() ?? { text: "", calls: [] })
    if (text !== "") yield { kind: "text", text }
    if (calls.length > 0) yield { kind: "calls", calls, first }
    first += calls.length
    if (said.kind === "end") return yield { kind: "end", end: said.end, calls: first }
  }
}

function headOf({ id, created, model }: AnswerHead, { kind }: Asked, object: string): JsonObject {
  return { id: `${kind === "chat" ? "chatcmpl" : "cmpl"}-${id}`, object, created, model }
}

function finishOf({ reason }: ModelEnd, calls: number): string {
  return calls > 0 ? "tool_calls" : reason === "length" ? "length" : "stop"
}

function usageOf({ promptTokens, tokens }: ModelEnd): JsonObject {
  return { prompt_tokens: promptTokens, completion_tokens: tokens, total_tokens: promptTokens + tokens }
}

function callJson({ name, arguments: given }: Call, { id }: AnswerHead, at: number): JsonObject {
  return { id: `call_${id}${at}`, type: "function", function: { name, arguments: given } }
}

function eventOf(json: JsonObject): string {
  return `data: ${JSON.stringify(json)}\n\n`
}
