/**
 * Every hook, in firing order: the program's table of contents. Names are mitmproxy's in camelCase; the llm ones are ours.
 * Each turn of a conversation with a model over WebSocket is a flow of its own (`flow.turn`), with all of a flow's hooks.
 * All may be async but `llmDelta`'s return value is ignored. A hook that nobody listens to costs nothing.
 *
 * An async hook has `hookBudgetMs` for its own work. Its time stands still while it awaits what a flow brings (`send`, what
 * that answers, `collect`, `pause`, `waitFor`), not while that is only under way: what is begun and not awaited stops nothing.
 */

import type { FlowError } from "../base/errors.ts"
import type { Headers } from "../base/headers.ts"
import type { JsonObject } from "../base/json.ts"
import type { Completion, Delta, LlmError } from "../llm/model.ts"
import type { ClientInfo, Flow, LlmFlow, WebSocketFlow, WebSocketMessage } from "./flow.ts"

type Result = void | Promise<void>

export interface ClientHookInfo {
  readonly address: string
  readonly port: number
}

export interface ServerHookInfo {
  readonly host: string
  readonly port: number
  /** Where the socket goes; may be set in `serverConnect`. `host:port`. */
  connectTo: string | undefined
}

export interface ConnectHookInfo {
  readonly client: ClientHookInfo
  readonly host: string
  readonly port: number
  readonly headers: Headers
  /** Refuse the tunnel with this status. */
  refuse(status: number, message: string): void
  /** Relay the bytes unseen. */
  passthrough(): void
}

export interface TlsHookInfo {
  readonly client: ClientHookInfo
  readonly sni: string | undefined
  readonly alpn: readonly string[]
  /** The tunnel's target, when there is one. */
  readonly host: string | undefined
  readonly port: number | undefined
  /** Relay the bytes unseen instead of answering with our certificate. */
  passthrough(): void
}

export interface AuthenticateHookInfo {
  /**
   * Its `id` is told from the request as it came; `user` is what is asked for here. Of a request in a tunnel it is whom the
   * tunnel's CONNECT or SOCKS handshake has named, and stays so where nobody names or refuses.
   */
  readonly client: ClientInfo
  /**
   * What they come by. "connect" and "socks" open a tunnel, and are asked of addons with `asks: "everywhere"` alone: `request`
   * is the CONNECT then, with host:port as its path. Of "socks" the path is empty, and user and password stand in
   * Proxy-Authorization, as Basic.
   */
  readonly via: "request" | "connect" | "socks"
  /** What deletes the client's credential from `headers` keeps it from the upstream. */
  readonly request: { readonly method: string; readonly path: string; readonly headers: Headers }
  /**
   * Names who asks: `user` for programs (1 to 256 characters), `label` for people. No other addon is asked then. `claims` is
   * what else is known of them, for other addons: `flow.client.claims`. It is JSON, is kept as it is and must not change later.
   */
  identify(user: string, label?: string, claims?: JsonObject): void
  /**
   * Answers with an error (400 to 599), in the client's dialect where it speaks one. No other addon is asked then. A tunnel, and
   * where an addon asks everywhere what is asked through the proxy, gets 407 for 401; SOCKS has its own word.
   */
  refuse(status: number, message: string): void
}

export interface Hooks {
  /** The addon was loaded; options are set. Once per version of the addon. */
  load(): Result
  /**
   * Options changed: the full names of those that did. Also once after `load`, with all of them. What it throws refuses the
   * change: everybody's values are as they were, and whoever heard of the new ones is called again with the old.
   */
  configure(changed: ReadonlySet<string>): Result
  /** The proxy listens. Once; for an addon loaded later, right after `load`. */
  running(): Result
  /** A client has connected. Once per TCP connection, before any byte is read. */
  clientConnected(client: ClientHookInfo): Result
  /** CONNECT was asked for. Before it is answered. */
  httpConnect(connect: ConnectHookInfo): Result
  /** A ClientHello has been read, before we answer it. Not for clients that speak no TLS to us. */
  tlsClientHello(hello: TlsHookInfo): Result
  /**
   * Who asks? Before `requestHeaders`, once for each request of a client: not for flows that addons send, and not for turns,
   * which have their WebSocket's client. Also for a request for what an addon serves with the access "user", which is no
   * flow; with `asks: "everywhere"` also for "open", and for each tunnel before it is opened. Who is neither named nor refused goes on without a name. A hook that throws or takes too long refuses with 500.
   */
  authenticate(asked: AuthenticateHookInfo): Result
  /** The request's head is there, its body is not. The place for `collect()` and cheap refusals. */
  requestHeaders(flow: Flow): Result
  /** Before the dial: the body too, if somebody collected it. Once per flow unless `requestHeaders` answered. */
  request(flow: Flow): Result
  /** The request speaks a dialect and was read. After `request`, before the dial. */
  llmRequest(flow: LlmFlow): Result
  /** A new connection to an upstream will be made. Not for reused ones. */
  serverConnect(server: ServerHookInfo): Result
  /** It is made, TLS included. */
  serverConnected(server: ServerHookInfo): Result
  /** An interim response (1xx but 101) came, before it is passed on. */
  informational(flow: Flow, response: { readonly status: number; readonly headers: Headers }): Result
  /** The final response's head is there. The place for `transform`, `keep`, `hold`. */
  responseHeaders(flow: Flow): Result
  /** A piece of an answer, after its bytes were written on. Not fired for the deltas that `transformDeltas` drops. */
  llmDelta(flow: LlmFlow, delta: Delta): Result
  /**
   * The answer is whole. At most once per flow, before `response`; a stream that broke off, or ended
   * with neither a finish reason nor its dialect's end mark, has the finish reason "cut".
   * Of an answer that is held, the addons that hold it are told first; the others of the one that the client gets.
   */
  llmResponse(flow: LlmFlow, completion: Completion): Result
  /** The model's host answered with an error: a status of 400 or more, or an error event; or that is what an addon put in
   *  the place of a held answer. An addon is never told this and `llmResponse`. */
  llmError(flow: LlmFlow, error: LlmError): Result
  /** An upgrade to WebSocket was agreed; no message has passed. Not for one with extensions that we cannot read. */
  websocketStart(flow: WebSocketFlow): Result
  /**
   * A message is whole and has not been passed on: it may be changed or dropped. In order within a direction; what
   * follows it waits. Not fired for messages beyond `bodyLimit`, for injected ones, nor for ping, pong and close.
   */
  websocketMessage(flow: WebSocketFlow, message: WebSocketMessage): Result
  /** It is over: `closeCode` says how. Once for each `websocketStart`, before `response` or `error`. */
  websocketEnd(flow: WebSocketFlow): Result
  /**
   * The last byte was sent. Exactly one of `response` and `error` fires per flow, last of all its hooks. The client's next
   * request waits neither for it nor for `llmResponse`, unless 16 such flows of its connection are not through.
   */
  response(flow: Flow): Result
  /** The flow broke off: the client left, the upstream failed, an addon killed it. */
  error(flow: Flow, error: FlowError): Result
  serverDisconnected(server: ServerHookInfo): Result
  /** Its connection has closed, and its flows have run their last hooks. */
  clientDisconnected(client: ClientHookInfo): Result
  /** The addon is replaced or the program ends; its last flow has ended. */
  done(): Result
}

export type HookName = keyof Hooks

/** In firing order; also what an unknown name is compared with. */
export const HOOK_NAMES: readonly HookName[] = [
  "load",
  "configure",
  "running",
  "clientConnected",
  "httpConnect",
  "tlsClientHello",
  "authenticate",
  "requestHeaders",
  "request",
  "llmRequest",
  "serverConnect",
  "serverConnected",
  "informational",
  "responseHeaders",
  "llmDelta",
  "llmResponse",
  "llmError",
  "websocketStart",
  "websocketMessage",
  "websocketEnd",
  "response",
  "error",
  "serverDisconnected",
  "clientDisconnected",
  "done",
]
