/**
 * The messages of a flow, as addons see them: its request, its response, and those that an addon makes itself. Interfaces
 * only: proxy/flow/request.ts, response.ts and reply.ts implement them.
 */
import type { Headers, HeadersInit } from "../base/headers.ts"
import type { JsonObject, JsonValue } from "../base/json.ts"
import type { Completion, Delta } from "../llm/model.ts"

export interface FlowRequest {
  method: string
  scheme: "http" | "https"
  host: string
  port: number
  /** Path and query. */
  path: string
  /** Scheme, host, port, path in one. Setting it sets those four, and Host. */
  url: string
  readonly version: string
  readonly headers: Headers
  /** The body as text. Throws unless it was collected; setting it replaces the body and drops its Content-Encoding. */
  text: string
  /** The decoded body, collected. Throws unless it was collected. */
  readonly bytes: Buffer
  /** The body as JSON, a byte order mark before it or not. Throws unless it was collected, and where it is no JSON. */
  json(): JsonValue
  /**
   * Reads the whole body (at most `bodyLimit`) so that `text`, `bytes` and `json()` work. In `requestHeaders` or `request`.
   * While it is awaited, the hook's time budget stands still. Rejects when the body is too large or breaks off; what was read
   * leaves all the same, the rest behind it. Rejects, too, once the request is being sent, unless it was collected before.
   */
  collect(): Promise<void>
}

/** A transform of chunks: a plain function (no promise is made), or an async generator over the decoded content. */
export type ChunkTransform =
  | ((chunk: Buffer) => Buffer | string | undefined)
  | ((chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer | string>)

/** A transform of deltas: returns the delta to keep it, others in its place, or undefined to drop it. */
export type DeltaTransform = (delta: Delta) => Delta | readonly Delta[] | undefined

/** The same for a stream on its way: after `end()`, what the call returns is the last of it, and the upstream is stopped. */
export type StreamTransform = (delta: Delta, end: () => void) => ReturnType<DeltaTransform>

export interface FlowResponse {
  status: number
  reason: string
  readonly headers: Headers
  /** The kept body as text. Throws unless `keep`, `collect` or `hold` was called in `responseHeaders`. Setting: see `collect`. */
  text: string
  /** The kept body, decoded: at most what `keep` named. */
  readonly bytes: Buffer
  /** Whether `keep`'s limit cut the copy. */
  readonly truncated: boolean
  json(): JsonValue
  /** In `responseHeaders`: keep a decoded copy of at most `maxBytes` while the body streams on. */
  keep(maxBytes: number): void
  /** In `responseHeaders`: read the whole body first; `text` may then be set, still in that hook. Waits as the request's does. */
  collect(): Promise<void>
  /** In `responseHeaders`: changes chunks as they pass. A generator function is told by its being one. */
  transform(fn: ChunkTransform): void
  /**
   * In `responseHeaders` of a flow that speaks a dialect: changes, adds or drops deltas. The provider's own JSON is
   * edited: untouched events leave as they came, and what is no part of a delta stays. ARCHITECTURE.md ("Edited
   * answers") says where an edited text is followed, and what is told as "other" alone. Several texts made of one are
   * one text. Whether it is a stream or one JSON body its bytes say, whatever its labels do. A JSON body is read whole
   * first; an answer that cannot be read fails with 502, or is cut where its label has let the head of a stream leave.
   */
  transformDeltas(fn: StreamTransform): void
  /**
   * In `responseHeaders`: keep the answer back until the addon's `llmResponse` or `llmError` has accepted it. Who holds
   * an answer is told of it before all others, and these of what the client gets. Only in a flow that has `llm`.
   */
  hold(): void
}

/** An answer made here. `error` is shaped by the client's dialect. */
export interface Reply {
  status?: number
  headers?: HeadersInit
  text?: string
  json?: JsonValue
  /** What a model might have said: written in the client's dialect and form (SSE or JSON), without one as its text. */
  completion?: Completion
  error?: { code: string; message: string; type?: string; param?: string }
}

export interface SendRequest {
  /** Default POST. */
  method?: string
  headers?: HeadersInit
  json?: JsonObject
  text?: string
}
