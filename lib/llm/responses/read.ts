/**
 * The meaning of OpenAI's Responses, streamed and whole. An answer is a list of items (message, reasoning, calls, what
 * the server's own tools did); a stream tells each in pieces, then whole, then all again. Servers that imitate it leave
 * pieces out, so what was not told in pieces is taken from the whole. Source: openai-node, resources/responses.
 */
import { arrayOf, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { type EventMeaning, IN_STREAM_STATUS } from "../framing/sse-json.ts"
import type { Delta, FinishReason } from "../model.ts"
import { readErrorJson } from "../openai/errors.ts"
import { TOOL_CALLS_MAX, tooManyCalls } from "../openai/tool-calls.ts"
import { readCounts } from "../usage.ts"
import { type Item, ItemCorrelation, kindOf } from "./correlate.ts"

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
  /** Its name has been told. */
  named: boolean
}

/** Reads the events of one stream, or one whole response. */
export class ResponsesReader {
  readonly #items = new ItemCorrelation()
  readonly #calls = new Map<Item, Call>()
  /** Texts that have come, in pieces or whole. */
  readonly #told = new Set<string>()
  #anything = false

  event(json: JsonObject, name: string | undefined): EventMeaning {
    const type = stringOf(json.type) ?? name ?? ""
    if (SILENT.has(type)) return {}
    const end = type.lastIndexOf(".")
    const text = TEXTS.get(type.slice(0, end))
    if (text) return { deltas: this.#piece(text[0], json, json[text[1]]) }
    const field = ARGUMENTS.get(type.slice(0, end))
    if (field !== undefined) return { deltas: this.#arguments(this.#items.find(json, "call"), json.delta, json[field]) }
    switch (type) {
      case "response.output_item.added":
      case "response.output_item.done":
        return { deltas: this.#item(json, type.endsWith("done"), json) }
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

  #piece(type: TextType, json: JsonObject, whole: JsonValue | undefined): Delta[] {
    const item = this.#items.find(json, type === "reasoning" ? "reasoning" : "message")
    const part = numberOf(json.content_index)
    item.unparted ||= part === undefined
    return this.#text(type, partKey(type, item, part ?? 0), json.delta, whole)
  }

  /** `piece` as it comes; `whole` only where no piece came. */
  #text(type: TextType, key: string, piece: JsonValue | undefined, whole: JsonValue | undefined): Delta[] {
    const text = stringOf(piece) ?? (this.#told.has(key) ? undefined : stringOf(whole))
    if (!text) return []
    this.#told.add(key)
    this.#anything = true
    return [{ type, index: CHOICE, text }]
  }

  #arguments(item: Item, piece: JsonValue | undefined, whole: JsonValue | undefined): Delta[] {
    const call = this.#calls.get(item) ?? this.#newCall(item)
    const text = stringOf(piece) ?? (call.told ? undefined : stringOf(whole))
    if (!text) return []
    call.told = true
    return [callDelta(call, text)]
  }

  /** An event that begins or ends an item, `{item}` of a whole response included. */
  #item(json: JsonObject, done: boolean, raw: JsonValue): Delta[] {
    const item = objectOf(json.item) ?? {}
    const kind = kindOf(item)
    const known = this.#items.find(json, kind, !done)
    known.ended ||= done
    switch (kind) {
      case "message":
        return done ? this.#message(known, item) : []
      case "reasoning":
        return done ? this.#reasoning(known, item, raw) : []
      case "call":
        return this.#callItem(known, item)
      default:
        return [{ type: "other", raw }]
    }
  }

  #message(known: Item, item: JsonObject): Delta[] {
    if (known.unparted) return []
    return arrayOf(item.content).flatMap((value, at) => {
      const part = objectOf(value) ?? {}
      const type = part.type === "refusal" ? "refusal" : "text"
      return this.#text(type, partKey(type, known, at), undefined, part[type])
    })
  }

  /** Reasoning that is only there encrypted has no text, and must go back to the server all the same. */
  #reasoning(known: Item, item: JsonObject, raw: JsonValue): Delta[] {
    const told = partKey("reasoning", known, 0)
    const parts = [...arrayOf(item.content), ...arrayOf(item.summary)].map((part) => stringOf(objectOf(part)?.text))
    const deltas = this.#text("reasoning", told, undefined, parts.join(""))
    return this.#told.has(told) ? deltas : [{ type: "other", raw }]
  }

  #callItem(known: Item, item: JsonObject): Delta[] {
    const begun = this.#calls.get(known)
    const call = begun ?? this.#newCall(known)
    const text = call.told ? "" : (stringOf(item.arguments ?? item.input) ?? "")
    call.told ||= text !== ""
    const id = call.named ? undefined : stringOf(item.call_id) || stringOf(item.id) || undefined
    const name = call.named ? undefined : stringOf(item.name)
    if (begun && text === "" && (call.named || name === undefined)) return []
    call.named ||= name !== undefined
    return [callDelta(call, text, id, name)]
  }

  #newCall(item: Item): Call {
    if (this.#calls.size === TOOL_CALLS_MAX) throw tooManyCalls(CHOICE)
    const call = { number: this.#calls.size, told: false, named: false }
    this.#calls.set(item, call)
    this.#anything = true
    return call
  }

  #end(response: JsonObject): Delta[] {
    const output = this.#anything ? [] : arrayOf(response.output)
    const deltas = output.flatMap((item, at) => this.#item({ output_index: at, item }, true, item))
    deltas.push({ type: "finish", index: CHOICE, reason: responseFinish(response, this.#calls.size > 0) })
    const usage = readCounts(objectOf(response.usage) ?? {})
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
  if (status === "failed") return { unified: "error", raw: reason ?? status }
  const ended = status === "completed" || status === undefined
  const unified = calls ? "toolCalls" : "stop"
  return { unified: ended ? unified : "other", raw: reason ?? status }
}

/** The error stands in the event (as documented), in its `error` (as sent), or in the response that failed. */
function errorOf(value: JsonValue | undefined, raw: JsonValue) {
  const { type, ...words } = objectOf(value) ?? { message: stringOf(value) ?? "the response failed" }
  const error = { ...words, ...(type === "error" ? {} : { type }) }
  return { ...readErrorJson(IN_STREAM_STATUS, { error }), raw }
}

/** A text of an item. Reasoning is told in parts of two kinds, but is whole or not as one. */
function partKey(type: TextType, item: Item, part: number): string {
  return `${type} ${item.number} ${type === "reasoning" ? 0 : part}`
}

function callDelta(call: Call, json: string, id?: string, name?: string): Delta {
  return { type: "toolCall", index: CHOICE, call: call.number, id, name, arguments: json }
}
