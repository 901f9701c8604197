/**
 * The client's end of HTTP/2: one socket that carries many requests at a time (client-stream.ts is one of them).
 * Node's session does the frames; what is added here are the limits on what one client may cost, each of which ends
 * its connection and nothing else. Loaded when the first client speaks HTTP/2: node:http2 is not for nothing.
 */
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2"
import type { Duplex } from "node:stream"
import type { Clock, Timer } from "../../base/clock.ts"
import { FlowError, flowErrorOf, messageOf } from "../../base/errors.ts"
import { refusalText } from "../access/refusal.ts"
import type { ProxySettings } from "../settings.ts"
import type { ClientLink, ClientStream, ResolvedHead } from "../streams.ts"
import { type Http2ClientOwner, Http2ClientStream, WITHOUT_DATE } from "./client-stream.ts"
import { ENHANCE_YOUR_CALM, NO_ERROR } from "./codes.ts"
import { headerListBytes } from "./fields.ts"
import { type H2RequestHead, type RawHeaders, requestHeadFromH2, responseHeadersToH2 } from "./head.ts"
import { discard } from "./inbox.ts"

/** Requests of one client that run at a time. */
export const STREAMS_MAX = 256
/** Bytes of one request's body that a client may send before somebody reads them. */
const STREAM_WINDOW_BYTES = 262_144
/** Bytes of all bodies of a connection that are under way. They are acknowledged as they come: streams hold each other up no more than that. */
const SESSION_WINDOW_BYTES = 1_048_576
/** Megabytes that Node's session may hold for itself: frames to be sent, heads, HPACK. Further streams are refused. */
const SESSION_MEGABYTES = 10
/** PINGs and SETTINGS of ours that wait for an answer; entries in one SETTINGS frame of the client's. */
const OUTSTANDING_MAX = 10
const SETTINGS_ENTRIES_MAX = 32
/** Malformed frames, and streams above STREAMS_MAX, that a connection survives. */
const INVALID_FRAMES_MAX = 100
const REJECTED_STREAMS_MAX = 100
/** Streams that a client resets (or breaks) within the window of time: CVE-2023-44487 and its kin cost no more. */
const RESETS_MAX = 500
const RESET_WINDOW_MS = 60_000
/** A request that is refused counts as so many resets: each is a line in the log. */
const REFUSAL_WEIGHT = 10
/** A client that does not answer a PING until the next one is due is gone, or its session is beyond repair. */
const PING_MS = 30_000
/** After the last answer a client has so long to close. */
const LINGER_MS = 2_000

export interface Http2ClientContext {
  readonly connection: ClientLink
  readonly clock: Clock
  readonly settings: ProxySettings
  /** Throws a FlowError with the status that the client gets. */
  resolve(head: H2RequestHead): ResolvedHead
  /** A request was refused before it became a flow, or the connection was ended for what the client did. */
  refused(error: FlowError): void
}

export interface Http2Handlers {
  /** A request. It runs beside the others. */
  onRequest(stream: ClientStream): void
}

export class Http2Client implements Http2ClientOwner {
  readonly socket: Duplex
  readonly context: Http2ClientContext
  /** No stream will come or go any more. */
  over = false
  #session: ServerHttp2Session | undefined
  #streams = new Set<Http2ClientStream>()
  #draining = false
  #resets = 0
  #resetsSince = 0
  /** When a stream came or went last: monotonic milliseconds. */
  #touched = 0
  #watch: Timer | undefined
  /** A PING waits for its answer. */
  #pinged = false
  #prefaceTimer: Timer | undefined
  #linger: Timer | undefined

  /** The client's preface still stands in `socket`. */
  constructor(socket: Duplex, context: Http2ClientContext) {
    this.socket = socket
    this.context = context
  }

  /** Serves the connection; resolves when it has closed. Never rejects. */
  serve(handlers: Http2Handlers): Promise<void> {
    const { clock, settings } = this.context
    return new Promise((resolve) => {
      const session = this.#start()
      if (session === undefined) return resolve()
      this.#session = session
      this.#prefaceTimer = clock.after(settings.headerTimeoutMs, () => {
        this.#end(new FlowError("client", "header-timeout", "the HTTP/2 preface did not arrive in time"), NO_ERROR)
      })
      this.#touched = clock.monotonic()
      this.#startWatch()
      // Until these listen nothing may be read: an `error` without a listener ends the process.
      session.on("error", (error) => this.#onError(error))
      session.once("remoteSettings", () => this.#prefaceTimer?.cancel())
      session.on("goaway", () => this.drain())
      session.on("stream", (stream, _fields, _flags, ...more: unknown[]) => {
        this.#onStream(stream, more[0] as RawHeaders, handlers)
      })
      this.socket.once("end", () => this.#onEnd())
      session.once("close", () => {
        this.#stop()
        this.socket.destroy()
        resolve()
      })
    })
  }

  /** Takes no more requests: GOAWAY now, the connection closes after the last answer. */
  drain(): void {
    this.#draining = true
    this.#session?.close()
    this.#lingerIfDone()
  }

  destroy(): void {
    this.#session?.destroy()
    this.socket.destroy()
  }

  #start(): ServerHttp2Session | undefined {
    const { socket } = this
    const { head } = this.context.settings
    if (socket.destroyed) return undefined
    // A TLSSocket that was made without a tls.Server never clears this, and Node's session waits for it.
    if ("secureConnecting" in socket) Object.assign(socket, { secureConnecting: false })
    try {
      const session = performServerHandshake(socket, {
        settings: {
          enableConnectProtocol: true,
          initialWindowSize: STREAM_WINDOW_BYTES,
          maxConcurrentStreams: STREAMS_MAX,
          maxHeaderListSize: headerListBytes(head),
        },
        maxHeaderListPairs: head.headFields + 5,
        maxOutstandingPings: OUTSTANDING_MAX,
        maxSendHeaderBlockLength: headerListBytes(head) * 2,
        maxSessionInvalidFrames: INVALID_FRAMES_MAX,
        maxSessionMemory: SESSION_MEGABYTES,
        maxSessionRejectedStreams: REJECTED_STREAMS_MAX,
        maxSettings: SETTINGS_ENTRIES_MAX,
      })
      session.setLocalWindowSize(SESSION_WINDOW_BYTES)
      return session
    } catch (thrown) {
      this.context.refused(new FlowError("llmproxy", "internal", `HTTP/2 could not be started: ${messageOf(thrown)}`))
      socket.destroy()
      return undefined
    }
  }

  #onStream(stream: ServerHttp2Stream, raw: RawHeaders, handlers: Http2Handlers): void {
    stream.on("error", () => {}) // `aborted` and `close` have said it; without a listener the process would end.
    stream.once("close", () => this.#onStreamClosed(stream.rstCode))
    if (stream.destroyed || stream.closed) return
    this.#touched = this.context.clock.monotonic()
    try {
      const request = requestHeadFromH2(raw, this.context.settings.head)
      const resolved = this.context.resolve(request)
      const served = new Http2ClientStream(this, stream, request, resolved)
      this.#streams.add(served)
      stream.once("close", () => this.#streams.delete(served))
      handlers.onRequest(served)
    } catch (thrown) {
      this.#refuse(stream, flowErrorOf(thrown, 500))
    }
  }

  /** Answers a request that becomes no flow; its body is not read. */
  #refuse(stream: ServerHttp2Stream, error: FlowError): void {
    discard(stream)
    this.context.refused(error)
    const { headers, body } = refusalText(error)
    const length = { length: body.length, hasBody: true }
    const head = responseHeadersToH2({ status: error.status, reason: "", headers }, length)
    try {
      stream.respond(head, WITHOUT_DATE)
      stream.end(body)
      if (!stream.endAfterHeaders) stream.close(NO_ERROR)
    } catch {} // It has just closed.
    this.#offended(REFUSAL_WEIGHT)
  }

  #onStreamClosed(code: number | undefined): void {
    this.#touched = this.context.clock.monotonic()
    if (code !== NO_ERROR && code !== undefined) this.#offended(1)
    this.#lingerIfDone()
  }

  #offended(weight: number): void {
    const now = this.context.clock.monotonic()
    if (now - this.#resetsSince >= RESET_WINDOW_MS) {
      this.#resetsSince = now
      this.#resets = 0
    }
    this.#resets += weight
    if (this.#resets <= RESETS_MAX || this.over) return
    const message = `the client reset or broke ${this.#resets} requests within ${RESET_WINDOW_MS / 1_000} s; its connection is closed`
    this.#end(new FlowError("client", "too-many-resets", message), ENHANCE_YOUR_CALM)
  }

  /** The client's FIN: what is under way will not be read. */
  #onEnd(): void {
    this.over = true
    this.destroy()
  }

  #onError(thrown: Error & { code?: string }): void {
    const wasOver = this.over
    this.over = true
    if (wasOver || thrown.code?.startsWith("ERR_HTTP2_") !== true) return
    this.context.refused(
      new FlowError("client", "http2-error", `HTTP/2 broke: ${thrown.message}; its connection is closed`),
    )
  }

  #end(error: FlowError, code: number): void {
    if (this.over) return
    this.over = true
    this.context.refused(error)
    this.#session?.destroy(error, code)
    this.#closeSoon()
  }

  /**
   * Looks after the connection now and then: its streams, whether it has been idle for idleTimeoutMs, and whether
   * somebody is there. When nghttp2 ends a session by itself Node tells nobody and reads no more, FIN included.
   */
  #startWatch(): void {
    const { clock, settings } = this.context
    this.#watch = clock.after(Math.min(PING_MS, settings.idleTimeoutMs), () => {
      let backlog = false
      for (const stream of this.#streams) backlog = stream.checkIdle() || backlog
      const idle = this.#streams.size === 0 && clock.monotonic() - this.#touched >= settings.idleTimeoutMs
      // Behind bytes that a slow reader has not taken a PING cannot arrive.
      if (idle) return this.drain()
      if (this.#pinged && !backlog) return this.#end(gone(), NO_ERROR)
      this.#ping()
      this.#startWatch()
    })
  }

  #ping(): void {
    const session = this.#session
    if (this.#pinged || session === undefined || session.destroyed) return
    this.#pinged = session.ping(() => {
      this.#pinged = false
    })
  }

  #lingerIfDone(): void {
    if (this.#draining && this.#streams.size === 0) this.#closeSoon()
  }

  #closeSoon(): void {
    this.#linger ??= this.context.clock.after(LINGER_MS, () => this.socket.destroy())
  }

  #stop(): void {
    this.over = true
    this.#watch?.cancel()
    this.#prefaceTimer?.cancel()
    this.#linger?.cancel()
  }
}

function gone(): FlowError {
  return new FlowError("client", "client-gone", `the client did not answer a PING within ${PING_MS / 1_000} s`)
}
