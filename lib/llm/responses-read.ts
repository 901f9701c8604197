/**
 * The meaning of OpenAI's Responses, streamed and whole. An answer is a list of items (message, reasoning, calls, what
 * the server's own tools did); a stream tells each in pieces, then whole, then all again. Servers that imitate it leave
 * pieces out, so what was not told in pieces is taken from the whole. Source: openai-node, resources/responses.
 */
import { arrayOf, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "./json.ts"
import type { Delta, FinishReason, Usage } from "./model.ts"
import { readErrorJson } from "./openai-errors.ts"
import { TOOL_CALLS_MAX, tooManyCalls } from "./openai-tool-calls.ts"
import { type EventMeaning, IN_STREAM_STATUS } from "./sse-json.ts"

type TextType = "text" | "reasoning" | "refusal"

/** An answer has one choice. */
const CHOICE = 0

/** Events that say nothing which other events do not say. */
const SILENT = new Set([
  "response.created",
  "response.queued",
  "response.in_progress",
  "response.content_part.added",
  "response.content_part.done",
  "response.reasoning_summary_part.added",
  "response.reasoning_summary_part.done",
])

/** Events that tell a text: `.delta` a piece, `.done` the whole; and the field of `.done` that holds it. */
const TEXTS: ReadonlyMap<string, readonly [TextType, string]> = new Map([
  ["response.output_text", ["text", "text"]],
  ["response.refusal", ["refusal", "refusal"]],
  ["response.reasoning_text", ["reasoning", "text"]],
  ["response.reasoning_summary_text", ["reasoning", "text"]],
])

/** The same for arguments. A custom tool's input is any text. */
const ARGUMENTS: ReadonlyMap<string, string> = new Map([
  ["response.function_call_arguments", "arguments"],
  ["response.custom_tool_call_input", "input"],
])

interface Call {
  readonly number: number
  /** Its arguments have come, in pieces or whole. */
  told: boolean
}

/** Reads the events of one stream, or one whole response. */
export class ResponsesReader {
  readonly #calls = new Map<string, Call>()
  /** Texts that have come, in pieces or whole. */
  readonly #told = new Set<string>()
  #anything = false

  event(json: JsonObject, name: string | undefined): EventMeaning {
    const type = stringOf(json.type) ?? name ?? ""
    if (SILENT.has(type)) return {}
    const end = type.lastIndexOf(".")
    const text = TEXTS.get(type.slice(0, end))
    if (text) return { deltas: this.#text(text[0], partKey(json, text[0]), json.delta, json[text[1]]) }
    const field = ARGUMENTS.get(type.slice(0, end))
    if (field !== undefined) return { deltas: this.#arguments(itemKey(json), json.delta, json[field]) }
    switch (type) {
      case "response.output_item.added":
      case "response.output_item.done":
        return { deltas: this.#item(itemKey(json), objectOf(json.item) ?? {}, type.endsWith("done"), json) }
      case "response.completed":
      case "response.incomplete":
      case "response.cancelled":
        return { deltas: this.#end(objectOf(json.response) ?? {}), done: true }
      case "response.failed":
        return { error: errorOf(objectOf(json.response)?.error, json), done: true }
      case "error":
        return { error: errorOf(json.error ?? json, json) }
      default:
        return { deltas: [{ type: "other", raw: json }] }
    }
  }

  /** The deltas of a whole response. */
  response(json: JsonObject): Delta[] {
    return this.#end(json)
  }

  /** `piece` as it comes; `whole` only where no piece came. */
  #text(type: TextType, key: string, piece: JsonValue | undefined, whole: JsonValue | undefined): Delta[] {
    const text = stringOf(piece) ?? (this.#told.has(key) ? undefined : stringOf(whole))
    if (!text) return []
    this.#told.add(key)
    this.#anything = true
    return [{ type, index: CHOICE, text }]
  }

  #arguments(key: string, piece: JsonValue | undefined, whole: JsonValue | undefined): Delta[] {
    const call = this.#calls.get(key) ?? this.#newCall(key)
    const text = stringOf(piece) ?? (call.told ? undefined : stringOf(whole))
    if (!text) return []
    call.told = true
    return [callDelta(call, text)]
  }

  #item(key: string, item: JsonObject, done: boolean, raw: JsonValue): Delta[] {
    switch (item.type) {
      case "message":
        return done ? arrayOf(item.content).flatMap((part, at) => this.#part(`${key} ${at}`, objectOf(part) ?? {})) : []
      case "reasoning":
        return done ? this.#reasoning(key, item, raw) : []
      case "function_call":
      case "custom_tool_call":
        return this.#callItem(key, item)
      default:
        return [{ type: "other", raw }]
    }
  }

  #part(key: string, part: JsonObject): Delta[] {
    if (part.type === "refusal") return this.#text("refusal", `refusal ${key}`, undefined, part.refusal)
    return this.#text("text", `text ${key}`, undefined, part.text)
  }

  /** Reasoning that is only there encrypted has no text, and must go back to the server all the same. */
  #reasoning(key: string, item: JsonObject, raw: JsonValue): Delta[] {
    const told = `reasoning ${key}`
    const parts = [...arrayOf(item.content), ...arrayOf(item.summary)].map((part) => stringOf(objectOf(part)?.text))
    const deltas = this.#text("reasoning", told, undefined, parts.join(""))
    return this.#told.has(told) ? deltas : [{ type: "other", raw }]
  }

  #callItem(key: string, item: JsonObject): Delta[] {
    const known = this.#calls.get(key)
    const call = known ?? this.#newCall(key)
    const text = call.told ? "" : (stringOf(item.arguments ?? item.input) ?? "")
    call.told ||= text !== ""
    if (known) return text === "" ? [] : [callDelta(call, text)]
    const id = stringOf(item.call_id) || stringOf(item.id) || undefined
    return [callDelta(call, text, id, stringOf(item.name))]
  }

  #newCall(key: string): Call {
    if (this.#calls.size === TOOL_CALLS_MAX) throw tooManyCalls(CHOICE)
    const call = { number: this.#calls.size, told: false }
    this.#calls.set(key, call)
    this.#anything = true
    return call
  }

  #end(response: JsonObject): Delta[] {
    const output = this.#anything ? [] : arrayOf(response.output)
    const deltas = output.flatMap((item, at) => this.#item(String(at), objectOf(item) ?? {}, true, item))
    deltas.push({ type: "finish", index: CHOICE, reason: responseFinish(response, this.#calls.size > 0) })
    const usage = readResponsesUsage(response.usage)
    if (usage) deltas.push({ type: "usage", usage })
    return deltas
  }
}

/** Why a response ended; `calls`: it asks for tools, for which there is no word. */
export function responseFinish(response: JsonObject, calls: boolean): FinishReason {
  const status = stringOf(response.status)
  const reason = stringOf(objectOf(response.incomplete_details)?.reason)
  if (reason === "max_output_tokens") return { unified: "length", raw: reason }
  if (reason === "content_filter") return { unified: "contentFilter", raw: reason }
  const ended = status === "completed" || status === undefined
  const unified = calls ? "toolCalls" : "stop"
  return { unified: ended ? unified : "other", raw: reason ?? status }
}

function readResponsesUsage(value: JsonValue | undefined): Usage | undefined {
  const usage = objectOf(value)
  if (!usage) return undefined
  return {
    inputTokens: numberOf(usage.input_tokens),
    outputTokens: numberOf(usage.output_tokens),
    totalTokens: numberOf(usage.total_tokens),
    cachedTokens: numberOf(objectOf(usage.input_tokens_details)?.cached_tokens),
    reasoningTokens: numberOf(objectOf(usage.output_tokens_details)?.reasoning_tokens),
    source: "provider",
  }
}

/** The error stands in the event (as documented), in its `error` (as sent), or in the response that failed. */
function errorOf(value: JsonValue | undefined, raw: JsonValue) {
  const { type, ...words } = objectOf(value) ?? { message: stringOf(value) ?? "the response failed" }
  const error = { ...words, ...(type === "error" ? {} : { type }) }
  return { ...readErrorJson(IN_STREAM_STATUS, { error }), raw }
}

/** Which item of the output an event tells of. */
function itemKey(json: JsonObject): string {
  return String(numberOf(json.output_index) ?? stringOf(json.item_id) ?? 0)
}

/** Reasoning is told in parts of two kinds, but is whole or not as one. */
function partKey(json: JsonObject, type: TextType): string {
  const part = type === "reasoning" ? "" : ` ${numberOf(json.content_index) ?? 0}`
  return `${type} ${itemKey(json)}${part}`
}

function callDelta(call: Call, json: string, id?: string, name?: string): Delta {
  return { type: "toolCall", index: CHOICE, call: call.number, id, name, arguments: json }
}
