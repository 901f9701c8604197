/**
 * A dialect is one provider's wire format: how a request is recognised, read and written, how its answer is decoded and
 * encoded, and how an error looks that its SDK can read. One file a dialect; index.ts lists them.
 *
 * Reading is lenient (CRLF, `data:` with or without a space, comments, string errors, `choices: []`), writing strict.
 */
import type { JsonObject, JsonValue } from "../base/json.ts"
import type { Completion, Delta, DialectName, LlmError, LlmRequest } from "./model.ts"

/** One event of a stream: its exact bytes, and what it means. */
export interface StreamEvent {
  /** The bytes of the event with its terminator, as they came. Concatenated, the events are the stream. */
  readonly raw: Buffer
  readonly deltas: readonly Delta[]
  /** An error event. `deltas` is then empty. */
  readonly error: LlmError | undefined
  /** The stream's own end mark (`data: [DONE]`, `done: true`). */
  readonly done: boolean
  /** The parsed JSON of the event, where it has one: what an encoder takes id, model and unknown fields from. */
  readonly json: JsonValue | undefined
}

/** Decodes an answer that streams. Pure and incremental; any split of the bytes gives the same events. */
export interface StreamDecoder {
  /** The events that `bytes` completes. Throws a FlowError when an event exceeds its limit. */
  feed(bytes: Uint8Array): StreamEvent[]
  /** The stream has ended: the unfinished rest as a last event, if there is one. */
  finish(): StreamEvent[]
}

/** Encodes deltas into a stream of the dialect. One per answer. */
export interface StreamEncoder {
  /** The text for one delta, one or more whole events; "" where the dialect has no place for it. */
  delta(delta: Delta): string
  /**
   * Takes id, model, created and unknown top-level fields from an event of the same dialect. `sent`: the event has left
   * as its own bytes, so the encoder does not say again what it said (role, finish reason, usage).
   */
  adopt(json: JsonValue | undefined, sent?: boolean): void
  /** The end of the stream: usage where the client asked for it, then the end mark. */
  end(): string
}

/** What an encoder needs to know of the answer and of the client's request. */
export interface EncodeContext {
  readonly id: string
  readonly model: string
  /** Seconds since the epoch. */
  readonly created: number
  /** The client's request, for `stream_options.include_usage` and the like. */
  readonly request: LlmRequest | undefined
  /** The stream is the client's own, edited: a usage that came goes out, whether the client asked for it or not. */
  readonly passUsage?: boolean
}

/** The answer as JSON: a completion or an error. */
export type ParsedAnswer =
  | { readonly completion: Completion; readonly error?: undefined }
  | { readonly error: LlmError; readonly completion?: undefined }

export interface Dialect {
  readonly name: DialectName
  /** Content type of a stream. */
  readonly streamType: "text/event-stream" | "application/x-ndjson"
  /** By method and path alone, never by host. `path` has its query. */
  match(method: string, path: string): boolean
  /** A view on a parsed body; undefined when the body is no request of this dialect. `path` may name the model (Azure). */
  parseRequest(body: JsonObject, path: string): LlmRequest | undefined
  /** Decodes a stream of this dialect. */
  decoder(): StreamDecoder
  encoder(context: EncodeContext): StreamEncoder
  /** The meaning of a whole JSON answer with a status below 400. Undefined when it is none of ours. */
  parseAnswer(body: JsonValue): ParsedAnswer | undefined
  /** A whole completion as this dialect's JSON: an object, or a list where several prompts were asked (llama.cpp). */
  writeAnswer(completion: Completion, context: EncodeContext): JsonValue
  /** The meaning of an error body (any JSON or text) that came with `status`. */
  parseError(status: number, body: string): LlmError
  /** An error body that this dialect's SDK can read. */
  writeError(error: { status: number; code: string; message: string; type?: string; param?: string }): JsonObject
  /** The same as an event inside a stream. */
  errorEvent(error: { status: number; code: string; message: string; type?: string; param?: string }): string
  /** A comment that keeps a stream alive; readers skip it. `note` is stripped of line breaks. */
  comment(note: string): string
}
