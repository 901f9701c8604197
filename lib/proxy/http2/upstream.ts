/**
 * The upstream's end of HTTP/2: one session that carries many exchanges (Http2UpstreamStream) of all clients at once.
 * node:http2 frames and counts windows; here is how many streams it may have, when it takes no more (GOAWAY), and
 * whether a silent peer still lives (PING). Which request gets which session is upstream.ts's to decide.
 */
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2"
import type { Socket } from "node:net"
import type { Clock, Timer } from "../../base/clock.ts"
import { FlowError, messageOf } from "../../base/errors.ts"
import type { HeadLimits } from "../../http1/message.ts"
import { hostAndPort } from "../io/authority.ts"
import type { ServerInfo } from "../streams.ts"
import { NO_ERROR, resetName } from "./codes.ts"
import { headerListBytes } from "./fields.ts"
import { type Http2UpstreamOwner, Http2UpstreamStream } from "./upstream-stream.ts"

/** Loaded when the first upstream speaks HTTP/2: loading it takes 5 ms. */
export type Http2Module = typeof import("node:http2")

/** Bytes that an upstream may send on one stream before its client has read them: what a stalled client costs. */
const STREAM_WINDOW_BYTES = 524_288
/** Bytes under way on all streams together. Node gives them back at once; it bounds a round trip, not memory. */
const SESSION_WINDOW_BYTES = 16_777_216
/** Streams of one session at a time, however many more the peer would take. */
const STREAMS_MAX = 256
/** Megabytes of heads and queues that Node may hold for one session. */
const SESSION_MEMORY_MB = 64
/** Names that ORIGIN frames (RFC 8336) may add; Node keeps them all, for nothing here. */
const ORIGINS_MAX = 256
/** A session whose streams have been silent for this long is asked whether it lives. */
const PING_AFTER_MS = 30_000
/** How long the answer to a PING may take. */
const PING_TIMEOUT_MS = 15_000
/** Turns of the event loop that what came before the end of a connection gets. */
const END_TURNS = 16
/** Before the peer's settings are known, one stream: its limit may be one. */
const STREAMS_AT_FIRST = 1

export interface Http2UpstreamOptions {
  readonly clock: Clock
  readonly head: HeadLimits
  /** A stream on which nothing moves for this long fails. */
  readonly stallTimeoutMs: number
  /** Another stream can be opened now, or none runs. */
  onRoom(session: Http2Upstream): void
  /** No further stream can be opened; those that run go on. Once, and before `onClosed`. */
  onDraining(session: Http2Upstream): void
  /** It is gone for good. Once. */
  onClosed(session: Http2Upstream): void
}

export class Http2Upstream implements Http2UpstreamOwner {
  readonly info: ServerInfo
  readonly http2: Http2Module
  readonly head: HeadLimits
  readonly clock: Clock
  readonly stallTimeoutMs: number
  /** Monotonic milliseconds at which it became idle; Infinity while it carries a stream. */
  idleSince = Number.POSITIVE_INFINITY
  #session: ClientHttp2Session
  #socket: Socket
  #options: Http2UpstreamOptions
  #streams = new Set<Http2UpstreamStream>()
  #limit = STREAMS_AT_FIRST
  #used = false
  #draining = false
  #closed = false
  #lastStreamId = Number.POSITIVE_INFINITY
  #failure: FlowError | undefined
  #originsSeen = 0
  #spoken = false
  #onSpoken: ((spoken: boolean) => void)[] = []
  #alive: Timer | undefined
  #bytesRead = 0

  /** `socket` is connected, and has agreed on "h2" where it speaks TLS. */
  constructor(http2: Http2Module, socket: Socket, info: ServerInfo, options: Http2UpstreamOptions) {
    this.http2 = http2
    this.info = info
    this.head = options.head
    this.clock = options.clock
    this.stallTimeoutMs = options.stallTimeoutMs
    this.#options = options
    this.#socket = socket
    this.#session = this.#connect(http2)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Streams that can be opened now. */
  get room(): number {
    return this.#draining ? 0 : this.#limit - this.#streams.size
  }

  /** Whether the peer has told its limits. */
  get spoken(): boolean {
    return this.#spoken
  }

  /** Whether the peer takes WebSockets (RFC 8441). */
  get extendedConnect(): boolean {
    return this.#spoken && this.#session.remoteSettings.enableConnectProtocol === true
  }

  /** The highest stream that the peer will answer, once it has said so. */
  get lastStreamId(): number {
    return this.#lastStreamId
  }

  /** Why every stream ends, when the session itself has failed. */
  get failure(): FlowError | undefined {
    return this.#failure
  }

  /** Begins an exchange. There must be room. */
  open(): Http2UpstreamStream {
    const stream = new Http2UpstreamStream(this, this.#used)
    this.#used = true
    this.idleSince = Number.POSITIVE_INFINITY
    this.#streams.add(stream)
    if (this.#alive === undefined) this.#watch()
    return stream
  }

  /** Whether the peer answers with SETTINGS; false when it closes or `timeoutMs` pass before. */
  speaks(timeoutMs: number): Promise<boolean> {
    if (this.#spoken || this.#closed) return Promise.resolve(this.#spoken)
    return new Promise((resolve) => {
      const timer = this.clock.after(timeoutMs, () => resolve(false))
      this.#onSpoken.push((spoken) => {
        timer.cancel()
        resolve(spoken)
      })
    })
  }

  /** From a stream: sends its head. Throws what Node throws. */
  request(headers: OutgoingHttpHeaders, options: { endStream: boolean; waitForTrailers: boolean }): ClientHttp2Stream {
    return this.#session.request(headers, options)
  }

  /** From a stream: it is over on the wire, or never got there. */
  released(stream: Http2UpstreamStream): void {
    if (!this.#streams.delete(stream) || this.#closed) return
    if (this.#streams.size === 0) {
      this.idleSince = this.clock.monotonic()
      this.#alive?.cancel()
      this.#alive = undefined
      if (this.#draining) this.#session.close()
    }
    // An idle one is told of even if the peer allows no further stream: it is to be closed after a while.
    if (this.room > 0 || this.#streams.size === 0) this.#options.onRoom(this)
  }

  /** Ends it at once; streams that run are cut. */
  destroy(): void {
    this.#drain()
    this.#session.destroy()
    this.#socket.destroy()
  }

  #connect(http2: Http2Module): ClientHttp2Session {
    const { head } = this.#options
    const session = http2.connect(`${this.info.tls === undefined ? "http" : "https"}://upstream.invalid`, {
      createConnection: () => this.#socket,
      maxHeaderListPairs: head.headFields + 1, // :status is no field line.
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: headerListBytes(head),
      },
    })
    session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    session.on("remoteSettings", (settings) => this.#onSettings(settings.maxConcurrentStreams))
    session.on("goaway", (code, lastStreamId) => this.#onGoaway(code, lastStreamId))
    session.on("origin", (origins) => this.#onOrigin(origins.length))
    // The streams are told first, each with this error; here it must only not end the process.
    session.on("error", (error) => this.#fail(`broke the connection: ${messageOf(error)}`))
    session.on("close", () => this.#onClose())
    this.#socket.on("end", () => this.#onEnd())
    return session
  }

  #onSettings(maxConcurrentStreams: number | undefined): void {
    this.#limit = Math.min(maxConcurrentStreams ?? STREAMS_MAX, STREAMS_MAX)
    this.#tellSpoken(true)
    if (this.room > 0) this.#options.onRoom(this)
  }

  #tellSpoken(spoken: boolean): void {
    if (spoken) this.#spoken = true
    for (const tell of this.#onSpoken.splice(0)) tell(spoken)
  }

  /** RFC 9113 section 6.8. With NO_ERROR Node lets the streams up to `lastStreamId` finish; else it ends them all. */
  #onGoaway(code: number, lastStreamId: number): void {
    this.#lastStreamId = Math.min(this.#lastStreamId, lastStreamId)
    if (code !== NO_ERROR) this.#fail(`ended the connection: GOAWAY with ${resetName(code)}`)
    this.#drain()
  }

  #onOrigin(count: number): void {
    this.#originsSeen += count
    if (this.#originsSeen <= ORIGINS_MAX) return
    this.#fail(`sent more than ${ORIGINS_MAX} origins (RFC 8336), and was given up`)
    this.destroy()
  }

  #fail(what: string, status = 502): void {
    const message = `${hostAndPort(this.info.host, this.info.port)} ${what}`
    this.#failure ??= new FlowError("upstream", status === 504 ? "ping-timeout" : "cut", message, { status })
  }

  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    this.#options.onDraining(this)
    if (this.#streams.size === 0 && !this.#session.closed) this.#session.close()
  }

  /**
   * Nothing more comes; what has come whole is still to be read, and Node would drop it if the socket closed now. Node
   * also lets bytes lie that came while it was writing, so those get some turns to be looked at.
   */
  #onEnd(turns = END_TURNS): void {
    this.#drain()
    if (this.#closed || this.#streams.size === 0) return
    if (turns > 0) {
      setImmediate(() => this.#onEnd(turns - 1))
      return
    }
    this.#fail("closed the connection before its answer was complete")
    for (const stream of [...this.#streams]) stream.connectionEnded()
  }

  #onClose(): void {
    if (this.#closed) return
    this.#drain()
    this.#closed = true
    this.#alive?.cancel()
    this.#tellSpoken(false)
    for (const stream of [...this.#streams]) stream.connectionEnded()
    this.#socket.destroy()
    this.#options.onClosed(this)
  }

  /** Looks after a while whether the peer has sent anything, and asks it if not. */
  #watch(): void {
    this.#bytesRead = this.#socket.bytesRead
    this.#alive = this.clock.after(PING_AFTER_MS, () => {
      if (this.#socket.bytesRead !== this.#bytesRead) this.#watch()
      else this.#ping()
    })
  }

  #ping(): void {
    this.#alive = this.clock.after(PING_TIMEOUT_MS, () => {
      this.#fail(`did not answer a PING within ${PING_TIMEOUT_MS / 1_000} s: the connection is dead`, 504)
      this.destroy()
    })
    if (this.#session.destroyed) return
    this.#session.ping(() => {
      if (this.#closed || this.#streams.size === 0) return
      this.#alive?.cancel()
      this.#watch()
    })
  }
}
