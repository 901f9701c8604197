/**
 * Streams in another framing than their dialect's: Ollama's lines as events, OpenAI's events as lines. The decoder of the
 * dialect reads each event in its own framing, and what is written goes back into the one that the stream has.
 */

import { isObject, type JsonValue, parseJson, stringOf } from "../../base/json.ts"
import type { Dialect, StreamDecoder, StreamEncoder, StreamEvent } from "../dialect.ts"
import type { Delta } from "../model.ts"
import type { StreamFraming } from "./framing.ts"
import { NdjsonDecoder, type NdjsonLine } from "./ndjson.ts"
import { SseDecoder, type SseEvent } from "./sse.ts"

/** OpenAI's end mark, which is no JSON. */
const END_MARK = "[DONE]"
const NO_DELTAS: readonly Delta[] = Object.freeze([])

/** Takes a stream apart, however its bytes are cut. */
export interface Splitter<T> {
  feed(bytes: Uint8Array): T[]
  finish(): T[]
}

/** How a dialect frames its streams. */
export function framingOf({ streamType }: Dialect): StreamFraming {
  return streamType === "application/x-ndjson" ? "lines" : "sse"
}

/** Decodes a stream of `dialect` that is framed as `framing`. */
export function decoderFor(dialect: Dialect, framing: StreamFraming): StreamDecoder {
  const own = framingOf(dialect)
  if (own === framing) return dialect.decoder()
  return own === "sse"
    ? new ReframedDecoder(dialect.decoder(), new NdjsonDecoder(), lineAsEvent)
    : new ReframedDecoder(dialect.decoder(), new SseDecoder(), eventAsLine)
}

/** Puts what an encoder of `dialect` wrote into `framing`. Whole events only. */
export function writerFor(dialect: Dialect, framing: StreamFraming): (text: string) => string {
  if (framingOf(dialect) === framing) return (text) => text
  return (text) => reframed(text, framing)
}

/** The texts of a stream's events: their data, or lines. Undefined for an event without any. */
export function textsIn(framing: StreamFraming): Splitter<string | undefined> {
  if (framing === "sse") return mapped(new SseDecoder(), ({ data }) => data)
  return mapped(new NdjsonDecoder(), ({ text }) => text || undefined)
}

function mapped<T, U>(splitter: Splitter<T>, read: (event: T) => U): Splitter<U> {
  return { feed: (bytes) => splitter.feed(bytes).map(read), finish: () => splitter.finish().map(read) }
}

/** Puts a stream in a foreign framing into that of its dialect, and gives it the end mark that it lacks there. */
export class Reframer {
  readonly #own: StreamFraming
  readonly #encoder: StreamEncoder
  #ended = false

  /** `encoder`: of the same dialect; it is told what leaves. */
  constructor(dialect: Dialect, encoder: StreamEncoder) {
    this.#own = framingOf(dialect)
    this.#encoder = encoder
  }

  event({ raw, json, done, error }: Pick<StreamEvent, "raw" | "json" | "done" | "error">): string {
    this.#ended ||= done || error !== undefined
    this.#encoder.adopt(json, true)
    return reframed(raw.toString("utf8"), this.#own)
  }

  /** The stream has ended. */
  end(): string {
    return this.#ended ? "" : this.#encoder.end()
  }
}

/** Whole events as JSON lines, or whole JSON lines as events. An event's name is its JSON's `type`, where it has one. */
export function reframed(text: string, to: StreamFraming): string {
  const bytes = Buffer.from(text)
  if (to === "sse") return splitAll(new NdjsonDecoder(), bytes).map(lineAsEvent).join("")
  const texts = splitAll(new SseDecoder(), bytes).map(eventAsLine)
  return texts.filter((line) => line !== END_LINE).join("")
}

const END_LINE = `${END_MARK}\n`

function splitAll<T>(splitter: Splitter<T>, bytes: Buffer): T[] {
  return [...splitter.feed(bytes), ...splitter.finish()]
}

/** One line as an event; "" for a blank one. */
function lineAsEvent({ text, json }: NdjsonLine): string {
  if (text === "") return ""
  const name = isObject(json) ? stringOf(json.type) : undefined
  return `${name === undefined ? "" : `event: ${name}\n`}data: ${text}\n\n`
}

/** One event as a line; "" for a comment. JSON that spans lines of data is one line again. */
function eventAsLine({ data, bare, error }: SseEvent): string {
  if (error !== undefined) return `${JSON.stringify({ error: parseJson(error) ?? error })}\n`
  const text = (data ?? bare)?.trim() ?? ""
  if (text === "" || !text.includes("\n")) return text === "" ? "" : `${text}\n`
  return `${parseJson(text) === undefined ? text : text.replaceAll("\n", " ")}\n`
}

class ReframedDecoder<T extends { readonly raw: Buffer }> implements StreamDecoder {
  readonly #decoder: StreamDecoder
  readonly #splitter: Splitter<T>
  readonly #write: (event: T) => string

  constructor(decoder: StreamDecoder, splitter: Splitter<T>, write: (event: T) => string) {
    this.#decoder = decoder
    this.#splitter = splitter
    this.#write = write
  }

  feed(bytes: Uint8Array): StreamEvent[] {
    return this.#splitter.feed(bytes).map((event) => this.#read(event))
  }

  finish(): StreamEvent[] {
    return this.#splitter.finish().map((event) => this.#read(event))
  }

  #read(event: T): StreamEvent {
    const text = this.#write(event)
    const done = text.trim() === END_MARK
    const read = text === "" ? [] : this.#decoder.feed(Buffer.from(text))
    const json: JsonValue | undefined = read.find((one) => one.json !== undefined)?.json
    const error = read.find((one) => one.error !== undefined)?.error
    const deltas = error !== undefined || read.length === 0 ? NO_DELTAS : read.flatMap((one) => one.deltas)
    return { raw: event.raw, deltas, error, done: done || read.some((one) => one.done), json }
  }
}
