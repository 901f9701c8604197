/**
 * A flow: one request and what became of it, as addons see it. Interfaces only: proxy/flow/state.ts implements them,
 * so that this page and messages.ts are what an addon author has to read, and all of it.
 */
import type { FlowError } from "../base/errors.ts"
import type { Headers, HeadersInit } from "../base/headers.ts"
import type { JsonObject, JsonValue } from "../base/json.ts"
import type { Completion, CompletionChange, Delta, DialectName, LlmError, LlmRequest, Usage } from "../llm/model.ts"
import type { DeltaTransform, FlowRequest, FlowResponse, Reply, SendRequest } from "./messages.ts"

export type * from "./messages.ts"

export type { Completion, CompletionChange, Delta, DialectName, JsonObject, JsonValue, LlmError, LlmRequest, Usage }

export interface ClientInfo {
  /**
   * The proxy user, else a keyed hash of the credential that the request came with, else the address. What addons make
   * of the request changes nothing of it, and it is the same after a restart. A flow that an addon has sent has its parent's,
   * and without one `addon:NAME`.
   * Who counts per person reads `user ?? id`.
   */
  readonly id: string
  /** As an addon named it in `authenticate`. */
  readonly user: string | undefined
  /** What people read in its place, as that addon gave it. */
  readonly label: string | undefined
  /**
   * What that addon knows of the client beside its name, in that addon's words; not to be changed. Undefined: nothing, or
   * nobody has named the client.
   */
  readonly claims: JsonObject | undefined
  /** Empty where an addon has sent the flow by itself; the port is 0 then. */
  readonly address: string
  readonly port: number
  /**
   * Whether a key of the program's own may be put into this request. Not where its listener can be reached by other
   * machines and the client has not authenticated, nor where a browser sends it for a page of another site. At the
   * proxy's own address and at reverse listeners a flow into which an addon puts a key all the same fails with 403.
   */
  readonly mayUseKeys: boolean
  /** The client's TLS handshake with us, when there was one. */
  readonly tls:
    | { readonly sni: string | undefined; readonly alpn: string | undefined; readonly version: string }
    | undefined
}

export interface UpstreamInfo {
  readonly host: string
  readonly port: number
  /** The address that the socket is connected to. */
  readonly address: string
  readonly tls: { readonly version: string; readonly cipher: string; readonly alpn: string | undefined } | undefined
  /** Whether the connection had carried a request before. */
  readonly reused: boolean
}

export interface RouteSpec {
  /** Where to: an absolute URL. Its path replaces the request's when it has one. Absent: the request's own upstream. */
  url?: string
  /** A word for the terminal line and `x-llmproxy-route`, as in "local". */
  name?: string
  /** Why, for people; `x-llmproxy-reason`. */
  reason?: string
  /** Tokens that the decision counted; `x-llmproxy-tokens`. */
  tokens?: number
  /**
   * Fields for that upstream alone, as a key of its: they are set when the request leaves, and only if it still goes
   * to the origin it went to at this call. A hook that reads `flow.request.headers` before does not see them.
   */
  headers?: HeadersInit
  /** An upstream proxy: http://[user:password@]host:port. */
  via?: string
  /** The address to connect to instead of the URL's host: `host:port`. */
  connectTo?: string
  /** PEM certificates to trust for this flow besides the system's. */
  ca?: string
}

export interface Routed {
  readonly name: string | undefined
  readonly reason: string | undefined
  readonly tokens: number | undefined
  readonly url: string | undefined
}

export interface SendOptions {
  /** Absolute, or a path ("/v1/chat/completions"): then it is a request at the proxy's own address, as a client's base URL makes one. */
  url: string
  /** What the other side speaks. Default: by the URL's path. */
  dialect?: DialectName
  /** When the promise resolves: at the response head, the first delta (default), or the end. */
  until?: "head" | "delta" | "end"
  /** Milliseconds until `until` has to be reached; then the answer's failure says so. Default: no limit. */
  timeoutMs?: number
  /**
   * What the deltas of an answer in a dialect become before anybody sees them: what is empty after it counts as empty,
   * and `respond` writes every event anew. Each choice ends with a finish delta, so that it can let go what it held
   * back. One function an answer.
   */
  transform?: DeltaTransform
  /** Ends the flow when it is aborted, be it while its answer is read: with the code "aborted". */
  signal?: AbortSignal
  /** Makes it stay local, as `flow.keepLocal` does, from its first step on. */
  keepLocal?: { readonly reason: string; readonly urls?: readonly string[] }
  via?: string
  connectTo?: string
  ca?: string
}

/** Why an answer is of no use. `empty`: it ended cleanly without a text, a reasoning, a refusal or a tool call. */
export interface AnswerFailure {
  /** `addon`: a hook or a transform of an addon has failed it; nothing is wrong with the host. */
  readonly kind: "connect" | "status" | "error" | "empty" | "cut" | "addon"
  readonly message: string
  /** The response's status; 0 without one. */
  readonly status: number
  readonly error: LlmError | undefined
}

/**
 * What `flow.send` resolves to. Hand it to `flow.respond`, or read it; an answer that is neither is aborted with its parent.
 * While a hook awaits it, here or in `flow.send`, its time budget stands still.
 */
export interface Answer {
  readonly flow: Flow
  /** 0 when no head came. */
  readonly status: number
  readonly headers: Headers
  /** What has gone wrong so far; undefined while all is well. */
  readonly failure: AnswerFailure | undefined
  /** The deltas from the first on. Can be read once. */
  deltas(): AsyncIterable<Delta>
  /** The whole answer, also one without a word. Rejects with a FlowError when it fails or is cut. */
  completion(): Promise<Completion>
  /** The body as text, at most `bodyLimit` bytes. */
  text(): Promise<string>
  abort(): void
}

export interface RespondOptions {
  /** The model to name to the client, in place of the one that the answer names. */
  model?: string
  /**
   * Usage to write for the client where the answer gives none. As it then is the answer's own, hooks see it in the
   * completion. What was spent beside the answer is told by `flow.addUsage`, and never written.
   */
  usage?: Usage | ((completion: Completion) => Promise<Usage>)
  /** Fields to set in the answer's head. */
  headers?: HeadersInit
}

export interface FlowTimings {
  /** Epoch milliseconds: the request head was whole. */
  readonly start: number
  /** Milliseconds since `start`; undefined: has not happened. */
  readonly requestMs: number | undefined
  readonly responseHeadMs: number | undefined
  readonly firstDeltaMs: number | undefined
  readonly endMs: number | undefined
}

export interface FlowLlm {
  readonly dialect: DialectName
  readonly request: LlmRequest
  /** Once `llmResponse` has fired. Beside an `error` it is what was rejected, and the client never saw. */
  readonly completion: Completion | undefined
  /** Once `llmError` has fired. */
  readonly error: LlmError | undefined
}

/** A message of a WebSocket. Until its hooks have run it is held, and may be changed or dropped. */
export interface WebSocketMessage {
  /** Counts from 1 within its flow, both directions and injected messages together. */
  readonly id: number
  readonly from: "client" | "server"
  readonly type: "text" | "binary"
  /** The content, unmasked and decompressed. Setting it sends this instead. */
  bytes: Buffer
  /** The same as text. Reading throws for a binary message; setting does not change the type. */
  text: string
  /** Epoch milliseconds: the message was whole. */
  readonly timestamp: number
  /** Made by `flow.websocket.send()`; no hook sees it. */
  readonly injected: boolean
  readonly dropped: boolean
  /** The receiver does not get it. */
  drop(): void
}

/** An upgraded connection: what was said on it, and what an addon may say itself. */
export interface FlowWebSocket {
  /**
   * The latest messages, the present one last: kept where somebody listens to `websocketMessage`, at most 1,000 and
   * 8 MiB, and less when `memoryLimit` is reached.
   */
  readonly messages: readonly WebSocketMessage[]
  /**
   * Messages that were too large to be read (bodyLimit): they were passed on as they came, and no hook saw them. Where an
   * addon with `onError: "block"` listens to messages, or to what turns have, such a message ends the connection (1009).
   */
  readonly unread: number
  /** The code of the first Close; 1005: it had none; 1006: there was no Close, the connection was cut. Undefined: open. */
  readonly closeCode: number | undefined
  readonly closeReason: string | undefined
  /** Who sent the first Close; undefined where it was us, or a cut. */
  readonly closedBy: "client" | "server" | undefined
  /** The subprotocol that the server chose. */
  readonly subprotocol: string | undefined
  /** Sec-WebSocket-Extensions as agreed. */
  readonly extensions: string | undefined
  /** Sends a message of our own: text for a string, else binary. Throws once the connection is closing. */
  send(to: "client" | "server", data: string | Uint8Array): void
  /** Closes both sides. Default: 1000. */
  close(code?: number, reason?: string): void
}

/** A flow as plain data, for those who record: it stays when the flow is gone. */
export interface FlowSnapshot {
  readonly id: string
  readonly parentId: string | undefined
  readonly client: Omit<ClientInfo, "mayUseKeys">
  readonly server: UpstreamInfo | undefined
  readonly request: {
    method: string
    url: string
    version: string
    headers: [string, string][]
    body: string | undefined
  }
  readonly response:
    | { status: number; headers: [string, string][]; body: string | undefined; truncated: boolean }
    | undefined
  readonly llm:
    | { dialect: DialectName; model: string; completion: Completion | undefined; error: LlmError | undefined }
    | undefined
  readonly routed: Routed | undefined
  readonly error: { source: string; code: string; message: string } | undefined
  readonly timings: FlowTimings
  readonly bytes: { request: number; response: number }
  readonly metadata: Record<string, unknown>
}

export interface Flow {
  /** UUIDv7. */
  readonly id: string
  /** The flow whose addon sent this one. */
  readonly parent: Flow | undefined
  /** Set for a turn of a conversation with a model over WebSocket: the upgraded flow, and which of its turns, from 1. */
  readonly turn: { readonly number: number; readonly socket: Flow } | undefined
  readonly client: ClientInfo
  /** Once a connection is there. */
  readonly server: UpstreamInfo | undefined
  readonly request: FlowRequest
  /** The request as it came: method, URL and its parts, headers. */
  readonly original: Readonly<Pick<FlowRequest, "method" | "url" | "scheme" | "host" | "port" | "path" | "headers">>
  /** From `responseHeaders` on. */
  readonly response: FlowResponse | undefined
  /** For addons to leave notes to each other; keys are `addon.word`. */
  readonly metadata: Record<string, unknown>
  /** Whether the request came to the proxy's own address rather than through it. */
  readonly baseUrl: boolean
  /** Aborted when the client leaves (with `onClientGone` "drain": when its answer has been read) or the flow is killed. Made when first read. */
  readonly signal: AbortSignal
  /**
   * What becomes of the upstream's answer when the client leaves. `abort` (the default): it is stopped at once. `drain`: it is
   * read to its end, for those who want to know what it cost: hooks are told of it as of any other, and then `error` fires, with
   * the code `client-gone`. The client's connection has done with it at once. It is stopped after `drainLimitMs` (60 s) or beyond
   * `drainLimit` bytes (1 MiB) from when the client left, when the program stops, and where 256 such answers are read already. It
   * is to be set before the request is sent, throws afterwards, and counts for a client's own flow alone: a child's answer is read on where its
   * parent's is, and upgraded connections are not.
   */
  onClientGone: "abort" | "drain"
  /** Whether the client has left. With `drain` the flow goes on, and nothing new should be asked for it. */
  readonly clientGone: boolean
  /**
   * Whether the flow has to stay local: its client has said so (`x-llmproxy-route` with anything but `cloud`), an addon
   * has (`keepLocal`), or it is part of a flow that has to, as children and turns are. It then fails with `stays-local`
   * (403) where it would go to an upstream that is neither this machine nor named by `keepLocal`, or on a connection that
   * `serverConnect`, a --connect-to rule or a name has led to another; a field that names no route fails it anywhere, with
   * `invalid_route` (400). Where a named host is, its name says.
   */
  readonly localOnly: boolean
  readonly routed: Routed | undefined
  readonly error: FlowError | undefined
  readonly timings: FlowTimings
  readonly llm: FlowLlm | undefined
  /** What the client speaks, by the method and path that it asked for: what `llm` is about, if its body is read and is that. */
  readonly dialect: DialectName | undefined
  /** From `websocketStart` on. */
  readonly websocket: FlowWebSocket | undefined
  /** The flow spoke a dialect's path, but its body could not be read as that dialect: why. */
  readonly unparsed: string | undefined
  /**
   * Answers in the upstream's place: in the hooks of the request without it (later ones of them are skipped, those of the
   * response run), in `llmResponse` and `llmError` where the answer is held, and in `responseHeaders`. There the upstream is
   * stopped, nothing of its answer is read, told or counted, and the addons that follow are told of the reply; what those
   * before have asked for (a transform, a hold, a copy) holds for it. Throws where it comes too late.
   */
  respond(reply: Reply): void
  respond(answer: Answer, options?: RespondOptions): void
  /** Sends the flow elsewhere, or (without `url`) only says where it goes and why. */
  route(spec: RouteSpec): void
  /**
   * Makes the flow and all that belongs to it stay local from now on; see `localOnly`. It cannot be undone. A WebSocket that
   * leads elsewhere ends at its next message to the server. `reason` is for people;
   * `urls`: hosts that count as local, as a model's on another machine of the house. Throws a TypeError for what is no URL; the
   * flow stays local all the same.
   */
  keepLocal(reason: string, urls?: readonly string[]): void
  /**
   * Asks `url` in a child flow. The client sees nothing of it unless it is handed to `respond`. The same as the context's
   * `send` with this flow as its parent, for addons that have no `setup`.
   */
  send(request: SendRequest, options: SendOptions): Promise<Answer>
  /**
   * Tells of tokens that were spent for this flow and stand nowhere in its answer, as for attempts that were given up: the
   * one way to do that. They are added to the usage of `flow.llm.completion` from now on, also when the answer has been told: what hooks
   * and records read there later has them. The client's bytes stay as they are.
   */
  addUsage(usage: Usage): void
  /**
   * From now on a client that waits for a stream gets keep-alive comments of its dialect (after `keepAliveMs`). The
   * function that it returns stops that again, unless a head has been sent by then: whoever waits for events goes on
   * being kept alive until there are some.
   */
  keepAlive(note?: string): () => void
  /**
   * What `promise` becomes. While it is awaited, the hook's time budget stands still; rejects when the flow is killed or the
   * client leaves.
   */
  waitFor<T>(promise: PromiseLike<T>): Promise<T>
  /** Ends the flow now, both sides. */
  kill(reason?: string): void
  /** Resolves on `resume()`, rejects when the flow is killed or the client leaves. To be awaited: by itself it stops nothing. */
  pause(): Promise<void>
  resume(): void
  snapshot(): FlowSnapshot
}

/** What the WebSocket hooks get: a flow in which `websocket` is never undefined. */
export interface WebSocketFlow extends Flow {
  readonly websocket: FlowWebSocket
}

/** What the llm hooks get: a flow in which `llm` is never undefined. */
export interface LlmFlow extends Flow {
  readonly llm: FlowLlm
}
