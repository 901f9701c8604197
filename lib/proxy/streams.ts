/**
 * The seam between exchange.ts and the protocols: one request and its answer, seen from the client's side and from the
 * upstream's side. HTTP/1.1 implements both here; HTTP/2 implements the same two, so exchange() exists once.
 *
 * Bodies are pulled: nothing is read from a socket that nobody asked for, beyond one buffer of a named size.
 */
import type { Duplex } from "node:stream"
import type { FlowError } from "../base/errors.ts"
import type { Headers } from "../base/headers.ts"
import type { JsonObject } from "../base/json.ts"

/** A body that is pulled piece by piece. */
export interface Body {
  /**
   * The next piece; undefined after the last one, again and again. Rejects with a FlowError when the body breaks off.
   * A piece is the reader's to keep and not to change.
   */
  read(): Promise<Buffer | undefined>
  /**
   * The same for what is here already: the next piece, or "end" once all of them were taken. Undefined: only `read`
   * can tell. With it a small message, which comes in one piece with its head, is passed on without a wait.
   */
  take?(): Buffer | "end" | undefined
  /** Bytes that the head promised (Content-Length), or undefined. Zero: there is no body. */
  readonly length: number | undefined
}

export interface StreamRequestHead {
  readonly method: string
  readonly scheme: "http" | "https"
  /** Host without brackets, lower-case, without a trailing dot. */
  readonly host: string
  readonly port: number
  /** Path and query, as they stood. `*` for OPTIONS of a server. */
  readonly path: string
  readonly headers: Headers
  readonly version: "HTTP/1.0" | "HTTP/1.1" | "HTTP/2.0"
  /** The protocol that an Upgrade (or an extended CONNECT) asks for. */
  readonly upgrade: string | undefined
}

export interface StreamResponseHead {
  readonly status: number
  /** Reason phrase; empty over HTTP/2. */
  readonly reason: string
  readonly headers: Headers
}

/** Where a request goes, told from its head. */
export interface ResolvedHead {
  readonly head: StreamRequestHead
  readonly baseUrl: boolean
}

/** What TLS with a client has agreed on. */
export interface ClientTls {
  readonly sni: string | undefined
  readonly alpn: string | undefined
  readonly version: string
}

/** A client as an addon has named it. */
export interface Identity {
  readonly user: string
  readonly label: string | undefined
  readonly claims: JsonObject | undefined
}

/** What is known of the connection that a client's requests come on, through CONNECT and TLS. The session makes it. */
export interface ClientLink {
  /** Unique in the process. */
  readonly id: number
  readonly address: string
  readonly port: number
  /** The user that authenticated at the proxy, if that was asked for. */
  readonly user: string | undefined
  /** Whom an addon has named when the tunnel was opened: what comes in it is theirs, unless it shows who else asks. */
  readonly identity?: Identity | undefined
  readonly tls: ClientTls | undefined
  /** It came to a listener that other machines can reach. */
  readonly fromOpenListener: boolean
  /** It takes us for the server that it wants. */
  readonly reverse: boolean
  /** The server name of a TLS handshake inside a CONNECT tunnel: what the upstream is asked for as well. */
  readonly tunnelSni: string | undefined
  /** The proxy that what this connection asks for goes through, credentials included: of its listener's mode. */
  readonly via: string | undefined
  /** It is at our own address, where requests name their servers. */
  readonly proxied: boolean
  /** Where the connection was going before it was redirected to us; requests name their host, and go there. */
  readonly connectTo: { readonly host: string; readonly port: number } | undefined
  /** Upstream connections that it has authenticated, which close with it: bound-upstream.ts puts them here. */
  bound: { close(): void } | undefined
  /** One of them has ended: closes this one where all that it asks for goes there. */
  onBoundLost(): void
}

export interface ClientStream {
  readonly connection: ClientLink
  readonly head: StreamRequestHead
  readonly body: Body
  /** The request's trailers, once `body` has ended. */
  readonly trailers: Headers | undefined
  /** The request waits for `100-continue` before it sends its body. */
  readonly expectsContinue: boolean
  /** The request came to the proxy's own address (origin-form): the base-URL door. */
  readonly baseUrl: boolean
  /** Sends an interim response (1xx). Ignored for HTTP/1.0 clients and once `respond` was called. */
  inform(head: StreamResponseHead): void
  /** Sends the head. `length`: bytes of body to come; undefined: not known; the stream chooses the framing. Once. */
  respond(head: StreamResponseHead, length: number | undefined): void
  /** Queues bytes; false: wait for `ready()` before the next. */
  write(bytes: Buffer): boolean
  ready(): Promise<void>
  /** Ends the response cleanly. Resolves when the client may send its next request. */
  end(trailers?: Headers): void
  /** Cuts the response so that the client sees a cut, never a clean end. Before `respond`, just closes. */
  abort(reason: FlowError): void
  /** Called once when the client leaves (or the stream breaks) before `end`. Called at once if that has happened. */
  onAbort(listener: (reason: FlowError) => void): void
  /** After a 101 was passed to `respond`: the raw byte stream to the client. */
  tunnel(): Duplex
}

export interface ServerRequestHead {
  readonly method: string
  readonly path: string
  /** The authority for Host or :authority, as `host` or `host:port`. */
  readonly authority: string
  readonly headers: Headers
  readonly upgrade: string | undefined
  /** The HTTP proxy that the connection leads to, where the request goes to it as such (absolute-form). */
  readonly via?: string | undefined
}

/** Whether the upstream can have acted on the request: decides if it may be sent again. */
export type Processed = "no" | "maybe" | "yes"

export interface UpstreamStream {
  /** True when the connection had carried a request before. */
  readonly reused: boolean
  readonly info: ServerInfo
  /** Sends the head. `length` as in ClientStream.respond; zero or undefined with `hasBody` false: no body. */
  send(head: ServerRequestHead, body: { length: number | undefined; hasBody: boolean }): void
  write(bytes: Buffer): boolean
  ready(): Promise<void>
  end(trailers?: Headers): void
  /** Interim responses, 101 excluded. Set before `send`. */
  onInform(listener: (head: StreamResponseHead) => void): void
  /** The final response head (or 101). Rejects with a FlowError. */
  head(): Promise<StreamResponseHead>
  /** Valid after `head()`. */
  readonly body: Body
  readonly trailers: Headers | undefined
  /** Gives the exchange up; the connection is not used again. Idempotent; harmless after a clean end. */
  abort(reason: FlowError): void
  readonly processed: Processed
  /** After a 101: the raw byte stream to the upstream. */
  tunnel(): Duplex
}

/** What is known of one upstream connection. */
export interface ServerInfo {
  /** Unique in the process. */
  readonly id: number
  readonly host: string
  readonly port: number
  /** What was dialled instead of host and port, whoever wanted it. */
  readonly connectTo: { readonly host: string; readonly port: number } | undefined
  /** The address that the socket is connected to. */
  readonly address: string
  readonly tls: { readonly version: string; readonly cipher: string; readonly alpn: string | undefined } | undefined
}
