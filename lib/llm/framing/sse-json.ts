/**
 * Streams whose every event is one JSON object, as Anthropic, OpenAI's Responses and llama.cpp send them: SSE events in,
 * stream events out. What an object means is the dialect's; what is no event of SSE at all is decided here, once.
 */

import { isObject, type JsonObject, type JsonValue, parseJson } from "../../base/json.ts"
import type { StreamDecoder, StreamEvent } from "../dialect.ts"
import type { Delta, LlmError } from "../model.ts"
import { isErrorJson, readErrorBody, readErrorJson } from "../openai/errors.ts"
import { SseDecoder, type SseEvent } from "./sse.ts"

/** The status of an error inside a stream: the response had begun with 200. */
export const IN_STREAM_STATUS = 200

// No mark of these dialects, but gateways that translate from chat add it.
const FOREIGN_END_MARK = "[DONE]"
const NO_DELTAS: readonly Delta[] = Object.freeze([])

/** What one event means. */
export interface EventMeaning {
  readonly deltas?: readonly Delta[]
  readonly error?: LlmError
  readonly done?: boolean
  /** It says nothing of the answer, as a comment does. */
  readonly silent?: boolean
}

export class SseJsonDecoder implements StreamDecoder {
  readonly #sse = new SseDecoder()
  readonly #meaning: (json: JsonObject, name: string | undefined) => EventMeaning

  /** `meaning` gets each object with the name of its event, and is called in the order of the stream. */
  constructor(meaning: (json: JsonObject, name: string | undefined) => EventMeaning) {
    this.#meaning = meaning
  }

  feed(bytes: Uint8Array): StreamEvent[] {
    return this.#sse.feed(bytes).map((event) => this.#read(event))
  }

  finish(): StreamEvent[] {
    return this.#sse.finish().map((event) => this.#read(event))
  }

  #read({ raw, event: name, data, bare, error }: SseEvent): StreamEvent {
    if (error !== undefined) return failed(raw, readErrorBody(IN_STREAM_STATUS, error))
    const text = data ?? bare
    if (text === undefined) return { raw, deltas: NO_DELTAS, error: undefined, done: false, json: undefined }
    if (text.trim() === FOREIGN_END_MARK)
      return { raw, deltas: NO_DELTAS, error: undefined, done: true, json: undefined }
    const json = parseJson(text)
    if (!isObject(json)) return name === "error" ? failed(raw, readErrorBody(IN_STREAM_STATUS, text)) : odd(raw, json)
    const meaning = this.#meaning(json, name)
    const found = meaning.error ?? errorIn(json, name)
    if (found) return { ...failed(raw, found, json), done: meaning.done ?? false }
    const { deltas = NO_DELTAS, done = false, silent = false } = meaning
    return { raw, deltas, error: undefined, done, json: silent ? undefined : json }
  }
}

/** An error in a form that is not the dialect's own: from a gateway between us and the provider. */
function errorIn(json: JsonObject, name: string | undefined): LlmError | undefined {
  return isErrorJson(json) || name === "error" ? readErrorJson(IN_STREAM_STATUS, json) : undefined
}

function failed(raw: Buffer, error: LlmError, json: JsonValue | undefined = error.raw): StreamEvent {
  return { raw, deltas: NO_DELTAS, error, done: false, json }
}

function odd(raw: Buffer, json: JsonValue | undefined): StreamEvent {
  const deltas: readonly Delta[] = json === undefined ? NO_DELTAS : [{ type: "other", raw: json }]
  return { raw, deltas, error: undefined, done: false, json }
}

/** One named event: `event: `, `data: ` and one line of JSON, a blank line. */
export function namedEvent(name: string, json: JsonObject): string {
  return `event: ${name}\ndata: ${JSON.stringify(json)}\n\n`
}
