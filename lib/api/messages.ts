/**
 * The messages of a flow, as addons see them: its request, its response, and those that an addon makes itself. Interfaces
 * only: proxy/flow/request.ts, response.ts and reply.ts implement them.
 */
import type { Headers, HeadersInit } from "../base/headers.ts"
import type { JsonObject, JsonValue } from "../base/json.ts"
import type { SetCookie } from "../base/set-cookie.ts"
import type { Completion, CompletionChange, Delta } from "../llm/model.ts"

export type { SetCookie }

/**
 * Names with values, live: what is set changes what they stand in, and what nobody changes keeps its characters. Iterating
 * gives each pair in order.
 */
export interface Pairs extends Iterable<[name: string, value: string]> {
  readonly size: number
  /** The first of that name. */
  get(name: string): string | undefined
  getAll(name: string): string[]
  has(name: string): boolean
  /** In the place of the first of that name, and the only one. */
  set(name: string, value: string): void
  append(name: string, value: string): void
  /** All of that name. */
  delete(name: string): void
}

export interface FlowRequest {
  method: string
  scheme: "http" | "https"
  host: string
  port: number
  /** Path and query. */
  path: string
  /** The parameters in `path`, decoded. */
  readonly query: Pairs
  /** The cookies of the Cookie field, as they stand there: cookies have no encoding. Throws a TypeError for what is none. */
  readonly cookies: Pairs
  /** Scheme, host, port, path in one. Setting it sets those four, and Host. */
  url: string
  readonly version: string
  readonly headers: Headers
  /** The body as text. Throws unless it was collected; setting it replaces the body and drops its Content-Encoding. */
  text: string
  /** The same as bytes, without its Content-Encoding. What is set is not copied: it is not to be changed afterwards. */
  get bytes(): Buffer
  set bytes(value: Uint8Array)
  /** The body as JSON, a byte order mark before it or not. Throws unless it was collected, and where it is no JSON. */
  json(): JsonValue
  /**
   * The body as a form: multipart/form-data, of which files keep their bytes, or urlencoded. It is a copy: `setFormData`
   * writes it back. Rejects unless the body was collected, and for a form that fetch's own reader does not read (a
   * preamble, `filename*`), has more than 10,000 fields, or needs more than `memoryLimit`.
   */
  formData(): Promise<FormData>
  /** Writes the body anew: urlencoded where it was and no file is in it, else as multipart/form-data. */
  setFormData(form: FormData): Promise<void>
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
  /** What Set-Cookie says, field by field. To change it, change `headers`. */
  readonly cookies: readonly SetCookie[]
  /** The kept body as text. Throws unless `keep`, `collect` or `hold` was called in `responseHeaders`. Setting: see `collect`. */
  text: string
  /** The same as bytes, decoded: at most what `keep` named. Not copied when set, and not to be changed afterwards. */
  get bytes(): Buffer
  set bytes(value: Uint8Array)
  /** Whether `keep`'s limit cut the copy. */
  readonly truncated: boolean
  json(): JsonValue
  /**
   * What the answer means, once `llmResponse` fires. Set in `llmResponse` of an answer that is held, it says what the answer
   * is to say instead: that is edited into the provider's own JSON, in every dialect, stream or not, and what does not
   * change leaves as it came. Addons that follow, and hooks, are told of it as it is then. Throws where the answer is not
   * held, has broken off, or was too long to be assembled; for an error there is `flow.respond`.
   */
  get completion(): Completion | undefined
  set completion(change: CompletionChange)
  /** In `responseHeaders`: keep a decoded copy of at most `maxBytes` while the body streams on. */
  keep(maxBytes: number): void
  /** In `responseHeaders`: read the whole body first; `text` or `bytes` may then be set, still in that hook. Waits as the request's does. */
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

/** An answer made here, of at most one of the contents below. */
export interface Reply {
  /** 200 to 999. Default: 200; of an `error` 400. */
  status?: number
  headers?: HeadersInit
  /** As text/plain. With a status of 400 or more, and a client that speaks a dialect, an error of that dialect. */
  text?: string
  json?: JsonValue
  /** Of the type that `headers` say, else application/octet-stream; not to be changed afterwards. */
  bytes?: Uint8Array
  /**
   * A body that is made as it goes, of the same type: an async generator, or a ReadableStream. It is asked for its first
   * piece when the head has left, and for more when the client has taken what there was; pieces are not to be changed
   * afterwards. Where a Content-Length stands in `headers`, it has to keep it. When the client leaves, or the flow fails,
   * its iterator's `return()` is called: a generator that waits sees it at its next `yield` (`flow.signal` sooner). What
   * it throws is a cut for the client, never an end. A request without an answer's body (HEAD) does not begin it. While
   * it runs no hook does, so that no time budget counts.
   */
  body?: AsyncIterable<string | Uint8Array>
  /** What a model might have said: written in the client's dialect and form (SSE or JSON), without one as its text. */
  completion?: Completion
  /** In the form of the client's dialect; without one its message as a line of text. */
  error?: { code: string; message: string; type?: string; param?: string }
}

export interface SendRequest {
  /** Default POST. */
  method?: string
  headers?: HeadersInit
  /** At most one of the three; `json` says its Content-Type where `headers` do not. */
  json?: JsonObject
  text?: string
  bytes?: Uint8Array
}
