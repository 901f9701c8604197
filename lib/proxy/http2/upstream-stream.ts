/**
 * One HTTP/2 exchange with an upstream: UpstreamStream over a stream of a session that Http2Upstream owns. Node's stream
 * says little of how it ended, so that is worked out here: what END_STREAM did not end is a cut, whatever else came.
 */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2"
import type { Duplex } from "node:stream"
import type { Clock } from "../../base/clock.ts"
import { FlowError, flowErrorOf, messageOf, systemCodeOf } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { HeadLimits } from "../../http1/message.ts"
import { Arrival } from "../io/arrival.ts"
import { hostAndPort } from "../io/authority.ts"
import { BodyQueue } from "../io/body-queue.ts"
import { IdleTimer } from "../io/idle-timer.ts"
import { WriteGauge } from "../io/write-gauge.ts"
import type { Body, Processed, ServerInfo, ServerRequestHead, StreamResponseHead, UpstreamStream } from "../streams.ts"
import { CANCEL, PROTOCOL_ERROR, REFUSED_STREAM, resetName } from "./codes.ts"
import { type RawHeaders, requestHeadToH2, responseHeadFromH2, trailersFromH2, trailersToH2 } from "./head.ts"
import { Inbox } from "./inbox.ts"
import { H2Tunnel } from "./tunnel.ts"
import { isWebSocket, webSocketAnswerFromH2 } from "./websocket.ts"

/** Flag of HEADERS: nothing follows. */
const END_STREAM = 1

/** What an exchange needs of the session that carries it. */
export interface Http2UpstreamOwner {
  readonly info: ServerInfo
  readonly http2: { readonly sensitiveHeaders: symbol }
  readonly head: HeadLimits
  readonly clock: Clock
  /** A stream on which nothing moves for this long fails. */
  readonly stallTimeoutMs: number
  /** The highest stream that the peer will answer, once it has said so. */
  readonly lastStreamId: number
  /** Why every stream ends, when the session itself has failed. */
  readonly failure: FlowError | undefined
  /** Sends a head. Throws what Node throws. */
  request(headers: OutgoingHttpHeaders, options: { endStream: boolean; waitForTrailers: boolean }): ClientHttp2Stream
  /** The stream has ended. */
  released(stream: Http2UpstreamStream): void
}

export class Http2UpstreamStream implements UpstreamStream {
  readonly reused: boolean
  readonly info: ServerInfo
  trailers: Headers | undefined
  processed: Processed = "no"
  #connection: Http2UpstreamOwner
  #stream: ClientHttp2Stream | undefined
  #gauge: WriteGauge | undefined
  #stall: IdleTimer | undefined
  #queue = new BodyQueue(undefined, () => this.#inbox?.flow())
  #inbox: Inbox | undefined
  readonly #head = new Arrival<StreamResponseHead, FlowError>()
  #inform: ((head: StreamResponseHead) => void) | undefined
  #error: FlowError | undefined
  #nodeError: unknown
  #webSocketKey: string | undefined
  #webSocket = false
  #method = ""
  #requestTrailers: Headers | undefined
  #sent = false
  /** The answer is whole, read or not. */
  #received = false

  constructor(connection: Http2UpstreamOwner, reused: boolean) {
    this.#connection = connection
    this.reused = reused
    this.info = connection.info
  }

  send(head: ServerRequestHead, body: { length: number | undefined; hasBody: boolean }): void {
    if (this.#error !== undefined) return
    const { info, http2 } = this.#connection
    const scheme = info.tls === undefined ? "http" : "https"
    this.#method = head.method
    this.#webSocket = isWebSocket(head.upgrade)
    this.#webSocketKey = head.headers.get("sec-websocket-key")
    const fields = requestHeadToH2(head, scheme, body, http2.sensitiveHeaders)
    const endStream = !body.hasBody && !this.#webSocket
    let stream: ClientHttp2Stream
    try {
      stream = this.#connection.request(fields, { endStream, waitForTrailers: body.hasBody })
    } catch (thrown) {
      throw this.#unsent(thrown)
    }
    this.processed = "maybe"
    this.#sent = endStream
    this.#stream = stream
    this.#gauge = new WriteGauge(stream)
    this.#listen(stream)
    this.#stall = this.#startStallTimer()
  }

  write(bytes: Buffer): boolean {
    const stream = this.#stream
    if (bytes.length === 0 || stream?.writable !== true) return true
    this.#stall?.touch()
    this.#gauge?.count()
    return stream.write(bytes) && this.#gauge?.full !== true
  }

  async ready(): Promise<void> {
    if (this.#stream?.writable !== true || (await this.#gauge?.ready()) !== true)
      throw this.#error ?? this.#cut("ended the stream")
    this.#stall?.touch()
  }

  end(trailers?: Headers): void {
    this.#sent = true
    this.#requestTrailers = trailers
    if (this.#stream?.writable === true) this.#stream.end()
  }

  onInform(listener: (head: StreamResponseHead) => void): void {
    this.#inform = listener
  }

  head(): Promise<StreamResponseHead> {
    return this.#head.wait()
  }

  get body(): Body {
    if (this.#head.value === undefined) throw new Error("the body is not there before the head")
    return this.#queue
  }

  /** Only this stream is reset; the session and its other streams go on. */
  abort(reason: FlowError): void {
    if (this.#received && this.#sent) return
    this.#fail(reason, CANCEL)
  }

  tunnel(): Duplex {
    this.#stall?.stop() // From here on it is the relay that watches.
    return new H2Tunnel(this)
  }

  /** From the session: nothing more will come. What is whole can still be read. */
  connectionEnded(): void {
    if (this.#stream === undefined) this.#fail(this.#refused("closed the connection"), CANCEL)
    else if (this.#inbox?.ended !== true) this.#fail(this.#whyClosed(this.#stream), CANCEL)
  }

  #listen(stream: ClientHttp2Stream): void {
    this.#inbox = new Inbox(stream, this.#queue, () => this.#stall?.touch())
    // The third argument, which the types of Node 20 do not know, has the fields as they came.
    const onBlock = (take: (raw: RawHeaders, flags: number) => void) => {
      return (...[, flags, raw]: unknown[]) => this.#guard(() => take(raw as RawHeaders, Number(flags)))
    }
    stream.on(
      "headers",
      onBlock((raw) => this.#onInformational(raw)),
    )
    stream.on(
      "response",
      onBlock((raw, flags) => this.#onHead(raw, flags)),
    )
    stream.on(
      "trailers",
      onBlock((raw) => this.#onTrailers(raw)),
    )
    stream.on("end", () => this.#onEnd())
    stream.on("wantTrailers", () => this.#guard(() => this.#sendTrailers(stream)))
    stream.on("error", (error) => {
      this.#nodeError = error
    })
    stream.on("close", () => this.#onClose(stream))
  }

  /** What is thrown inside an event of Node would end the process. */
  #guard(run: () => void): void {
    if (this.#error !== undefined) return
    try {
      run()
    } catch (thrown) {
      this.#fail(flowErrorOf(thrown), PROTOCOL_ERROR)
    }
  }

  #onInformational(raw: RawHeaders): void {
    this.processed = "yes"
    this.#stall?.touch()
    const { status, reason, headers } = responseHeadFromH2(raw, this.#connection.head)
    this.#inform?.({ status, reason, headers })
  }

  #onHead(raw: RawHeaders, flags: number): void {
    this.processed = "yes"
    this.#stall?.touch()
    const { contentLength, ...head } = responseHeadFromH2(raw, this.#connection.head)
    const switched = this.#webSocket && head.status >= 200 && head.status < 300
    const empty = (flags & END_STREAM) !== 0 || this.#method === "HEAD" || head.status === 204 || head.status === 304
    this.#queue.length = empty && !switched ? 0 : contentLength
    if (this.#webSocket && !switched) this.end()
    this.#inbox?.begin()
    this.#head.come(switched ? webSocketAnswerFromH2(head, this.#webSocketKey) : head)
  }

  #onTrailers(raw: RawHeaders): void {
    this.trailers = trailersFromH2(raw, "upstream", this.#connection.head)
  }

  /** Node ends a stream that was reset with NO_ERROR or CANCEL as if it were whole. */
  #onEnd(): void {
    if (this.#inbox?.ended !== true || this.#error !== undefined) return
    this.#received = true
    this.#queue.finish()
    if (this.#sent) this.#stall?.stop()
  }

  #onClose(stream: ClientHttp2Stream): void {
    this.#stall?.stop()
    if (!this.#received) this.#fail(this.#whyClosed(stream), CANCEL)
    this.#connection.released(this)
  }

  #whyClosed({ id, rstCode }: ClientHttp2Stream): FlowError {
    const { failure, lastStreamId } = this.#connection
    if (this.processed !== "yes") {
      if (id !== undefined && id > lastStreamId) return this.#refused("took no more requests (GOAWAY)")
      if (rstCode === REFUSED_STREAM) return this.#refused("refused the stream (REFUSED_STREAM)")
    }
    if (failure !== undefined) return failure
    if (systemCodeOf(this.#nodeError) === "ERR_HTTP2_STREAM_ERROR" || this.#nodeError === undefined)
      return this.#cut(`ended the stream with ${resetName(rstCode)}`)
    return this.#cut(`broke the connection: ${messageOf(this.#nodeError)}`)
  }

  #cut(what: string): FlowError {
    return new FlowError("upstream", "cut", `${this.#name} ${what} before its answer was complete`)
  }

  /** The upstream has not looked at the request: it may be sent again, elsewhere. */
  #refused(what: string): FlowError {
    this.processed = "no"
    return new FlowError("upstream", "refused", `${this.#name} ${what}; the request was not processed`)
  }

  /** Node has refused to send: the session has just ended, or the head cannot be said in HTTP/2. */
  #unsent(thrown: unknown): FlowError {
    const code = systemCodeOf(thrown) ?? ""
    if (/GOAWAY|INVALID_SESSION|OUT_OF_STREAMS|DESTROYED/.test(code)) return this.#refused("took no more requests")
    const message = `send to ${this.#name} over HTTP/2: ${messageOf(thrown)}; the request was not sent`
    return new FlowError("client", "bad-request", message, { cause: thrown })
  }

  get #name(): string {
    return hostAndPort(this.info.host, this.info.port)
  }

  /** Only the first reason counts. */
  #fail(error: FlowError, code: number): void {
    this.#stall?.stop()
    if (this.#error === undefined && !this.#received) {
      this.#error = error
      this.#queue.fail(error)
      this.#head.fail(error)
    }
    const stream = this.#stream
    if (stream === undefined) this.#connection.released(this)
    else if (!stream.closed && !stream.destroyed) stream.close(code)
  }

  #sendTrailers(stream: ClientHttp2Stream): void {
    stream.sendTrailers(trailersToH2(this.#requestTrailers, "client"))
  }

  #startStallTimer(): IdleTimer {
    const { clock, stallTimeoutMs } = this.#connection
    return new IdleTimer(clock, stallTimeoutMs, () => {
      const seconds = `${stallTimeoutMs / 1_000} s (stallTimeoutMs)`
      if (this.#queue.full === true) {
        const message = `the client read nothing of the answer of ${this.#name} for ${seconds}`
        this.#fail(new FlowError("client", "stall-timeout", message, { status: 408 }), CANCEL)
      } else {
        const message = `${this.#name} sent nothing for ${seconds}`
        this.#fail(new FlowError("upstream", "stall-timeout", message, { status: 504 }), CANCEL)
      }
    })
  }
}
