/**
 * OpenAI's streams for both dialects: SSE events to deltas. What a chunk means is read.ts; this file says which
 * events are chunks, errors and the end mark, for servers that keep to SSE and for those that do not.
 */

import { isObject, type JsonValue, parseJson } from "../../base/json.ts"
import type { StreamDecoder, StreamEvent } from "../dialect.ts"
import { SseDecoder, type SseEvent } from "../framing/sse.ts"
import type { Delta, LlmError } from "../model.ts"
import { isErrorJson, readErrorBody, readErrorJson } from "./errors.ts"
import { ChunkReader } from "./read.ts"

/** The status of an error inside a stream: the response had begun with 200. */
const IN_STREAM_STATUS = 200
const END_MARK = "[DONE]"
const NO_DELTAS: readonly Delta[] = Object.freeze([])

export class OpenAiDecoder implements StreamDecoder {
  readonly #sse = new SseDecoder()
  readonly #chunks = new ChunkReader()

  feed(bytes: Uint8Array): StreamEvent[] {
    return this.#sse.feed(bytes).map((event) => this.#read(event))
  }

  finish(): StreamEvent[] {
    return this.#sse.finish().map((event) => this.#read(event))
  }

  #read(event: SseEvent): StreamEvent {
    const { raw } = event
    // llama.cpp's field holds the inside of the error object, without `{"error":…}` around it.
    if (event.error !== undefined) return errorEvent(raw, readErrorBody(IN_STREAM_STATUS, event.error))
    const text = event.data ?? event.bare
    if (text === undefined) return { raw, deltas: NO_DELTAS, error: undefined, done: false, json: undefined }
    if (text.trim() === END_MARK) return { raw, deltas: NO_DELTAS, error: undefined, done: true, json: undefined }
    const json = parseJson(text)
    if (event.event === "error") return errorEvent(raw, readErrorBody(IN_STREAM_STATUS, text), json)
    if (json === undefined && text.includes("\n")) return this.#readLines(raw, text)
    return this.#readJson(raw, json)
  }

  #readJson(raw: Buffer, json: JsonValue | undefined): StreamEvent {
    if (isObject(json) && isErrorJson(json)) return errorEvent(raw, readErrorJson(IN_STREAM_STATUS, json), json)
    const deltas = json === undefined ? NO_DELTAS : this.#chunks.read(json)
    return { raw, deltas, error: undefined, done: false, json }
  }

  /** A server that ends its events with one line end instead of two: each line is a chunk of its own. */
  #readLines(raw: Buffer, text: string): StreamEvent {
    const deltas: Delta[] = []
    let json: JsonValue | undefined
    let done = false
    for (const line of text.split("\n")) {
      if (line.trim() === END_MARK) done = true
      const event = this.#readJson(raw, parseJson(line))
      if (event.error) return event
      json ??= event.json
      deltas.push(...event.deltas)
    }
    return { raw, deltas, error: undefined, done, json }
  }
}

function errorEvent(raw: Buffer, error: LlmError, json: JsonValue | undefined = error.raw): StreamEvent {
  return { raw, deltas: NO_DELTAS, error, done: false, json }
}
