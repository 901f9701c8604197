/**
 * One HTTP/2 request of a client and the answer to it: ClientStream over a stream of a session that Http2Client owns.
 * What breaks off is always a reset: END_STREAM stands for a whole message and nothing else.
 */
import type { ServerHttp2Stream } from "node:http2"
import type { Duplex } from "node:stream"
import type { Clock } from "../../base/clock.ts"
import { FlowError, flowErrorOf } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import { BodyQueue, NO_BODY } from "../io/body-queue.ts"
import { WriteGauge } from "../io/write-gauge.ts"
import type { ProxySettings } from "../settings.ts"
import type { Body, ClientLink, ClientStream, ResolvedHead, StreamRequestHead, StreamResponseHead } from "../streams.ts"
import { CANCEL, INTERNAL_ERROR, NO_ERROR, resetName } from "./codes.ts"
import type { H2RequestHead, RawHeaders } from "./head.ts"
import { responseHeadersToH2, trailersFromH2, trailersToH2 } from "./head.ts"
import { Inbox } from "./inbox.ts"
import { H2Tunnel } from "./tunnel.ts"
import { webSocketAnswerToH2 } from "./websocket.ts"

/** Bytes in the stream's queue from which on the writer is asked to wait. */
const WRITE_HIGH_WATER = 65_536
/** How long a client may take to read what came before a cut. */
const CUT_LINGER_MS = 2_000

/** A stream that the client resets is aborted before it closes. */
const ENDINGS = ["close", "aborted"]
/** Fields leave as they came. Node's types do not know this option. */
export const WITHOUT_DATE: object = { sendDate: false }

/** What a stream needs of the session that it is one of. */
export interface Http2ClientOwner {
  readonly context: {
    readonly connection: ClientLink
    readonly clock: Clock
    readonly settings: Pick<ProxySettings, "head" | "idleTimeoutMs" | "stallTimeoutMs">
  }
  /** No stream will come or go any more. */
  readonly over: boolean
}

export class Http2ClientStream implements ClientStream {
  readonly connection: ClientLink
  readonly head: StreamRequestHead
  readonly body: Body
  readonly baseUrl: boolean
  readonly expectsContinue: boolean
  trailers: Headers | undefined
  #client: Http2ClientOwner
  #stream: ServerHttp2Stream
  #gauge: WriteGauge
  #queue: BodyQueue
  #inbox: Inbox
  /** An extended CONNECT: there is a byte stream instead of bodies, once it is accepted. */
  #webSocket: boolean
  #state: "waiting" | "head-sent" | "ended" | "aborted" = "waiting"
  #hasBody = false
  #outTrailers: Headers | undefined
  #gone: FlowError | undefined
  #onAbort: ((reason: FlowError) => void) | undefined
  /** The request is there to its last byte. */
  #requestDone: boolean
  #listening = false
  #reading = 0
  #lastRead: number
  #written = 0
  /** Bytes that the client had taken when #readsNothing looked, and since when. */
  #taken: { bytes: number; since: number } | undefined

  constructor(client: Http2ClientOwner, stream: ServerHttp2Stream, request: H2RequestHead, resolved: ResolvedHead) {
    this.#client = client
    this.#stream = stream
    this.#gauge = new WriteGauge(stream)
    this.connection = client.context.connection
    this.head = resolved.head
    this.baseUrl = resolved.baseUrl
    this.expectsContinue = request.expectContinue
    this.#webSocket = request.protocol !== undefined
    this.#requestDone = stream.endAfterHeaders
    this.#lastRead = client.context.clock.monotonic()
    this.#queue = new BodyQueue(this.#requestDone ? 0 : request.contentLength, () => this.#inbox.flow())
    this.#inbox = new Inbox(stream, this.#queue, () => {
      this.#lastRead = client.context.clock.monotonic()
    })
    const bodiless = this.#requestDone || this.#webSocket
    this.body = bodiless ? NO_BODY : { length: request.contentLength, read: () => this.#read() }
    stream.on("trailers", (...[, , raw]: unknown[]) => this.#onTrailers(raw as RawHeaders))
    stream.on("end", () => this.#onEnd())
    stream.on("aborted", () => this.#onReset())
    stream.on("close", () => this.#onReset())
  }

  onAbort(listener: (reason: FlowError) => void): void {
    this.#onAbort = listener
    if (this.#gone !== undefined) listener(this.#gone)
  }

  inform(head: StreamResponseHead): void {
    if (this.#state !== "waiting" || head.status === 101 || this.#closed) return
    this.#stream.additionalHeaders(responseHeadersToH2(head, { length: undefined, hasBody: false }))
  }

  respond(head: StreamResponseHead, length: number | undefined): void {
    if (this.#state !== "waiting") return
    const { status } = head
    const switching = status === 101
    if (this.#webSocket && status >= 200 && status < 300) throw notSwitched(status)
    const bodiless = this.head.method === "HEAD" || status === 204 || status === 205 || status === 304
    const hasBody = !bodiless && length !== 0
    const headers = responseHeadersToH2(switching ? webSocketAnswerToH2(head) : head, { length, hasBody: !bodiless })
    this.#state = "head-sent"
    this.#hasBody = hasBody
    if (this.#closed) return
    // Where it does not wait for trailers, Node ends the stream (END_STREAM) before it resets it, and a cut would be an end.
    this.#stream.respond(headers, { ...WITHOUT_DATE, endStream: !hasBody, waitForTrailers: hasBody })
    if (hasBody) this.#stream.on("wantTrailers", () => this.#sendTrailers())
  }

  write(bytes: Buffer): boolean {
    if (this.#state !== "head-sent" || !this.#hasBody || bytes.length === 0 || this.#closed) return true
    this.#written += bytes.length
    this.#gauge.count()
    this.#stream.write(bytes)
    return this.#stream.writableLength < WRITE_HIGH_WATER && !this.#gauge.full
  }

  async ready(): Promise<void> {
    const open = !this.#closed && !this.#stream.writableEnded
    if (!open || !(await this.#gauge.ready(ENDINGS))) throw closedError()
  }

  end(trailers?: Headers): void {
    if (this.#state !== "head-sent") return
    this.#state = "ended"
    this.#outTrailers = trailers
    if (this.#closed) return
    if (this.#hasBody) this.#stream.end()
    else this.#answered()
  }

  abort(reason: FlowError): void {
    if (this.#state === "aborted" || (this.#state === "ended" && !this.#webSocket)) return
    this.#state = "aborted"
    this.#queue.fail(reason)
    this.#cut(reason.code === "killed" || reason.code === "tunnel-closed" ? CANCEL : INTERNAL_ERROR)
  }

  tunnel(): Duplex {
    return new H2Tunnel({
      body: { length: undefined, read: () => this.#read() },
      write: (bytes) => this.write(bytes),
      ready: () => this.ready(),
      end: () => this.end(),
      abort: (reason) => this.#abortTunnel(reason),
    })
  }

  /**
   * From the session, now and then: fails a request that has stopped arriving, gives up a client that reads nothing.
   * Returns whether bytes wait for the client.
   */
  checkIdle(): boolean {
    const { clock, settings } = this.#client.context
    const waiting = this.#reading > 0 && !this.#requestDone && !this.#webSocket
    if (waiting && clock.monotonic() - this.#lastRead >= settings.idleTimeoutMs) {
      const message = "the request body stopped arriving"
      this.#queue.fail(new FlowError("client", "body-timeout", message, { status: 408 }))
    } else if (this.#readsNothing()) {
      const why = `the client read nothing of its answer for ${settings.stallTimeoutMs / 1_000} s`
      this.#lost(new FlowError("client", "client-gone", why))
      if (!this.#closed) this.#stream.close(CANCEL)
    }
    return this.#stream.writableLength > 0
  }

  get #closed(): boolean {
    return this.#stream.destroyed || this.#stream.closed
  }

  #read(): Promise<Buffer | undefined> {
    if (!this.#listening) this.#listen()
    const piece = this.#queue.read()
    this.#reading++
    return piece.finally(() => this.#reading--)
  }

  #listen(): void {
    this.#listening = true
    this.#lastRead = this.#client.context.clock.monotonic()
    this.#inbox.begin()
  }

  #onEnd(): void {
    // Node ends what was reset as well.
    if (this.#stream.aborted || this.#stream.rstCode !== NO_ERROR) this.#onReset()
    else {
      this.#requestDone = true
      this.#queue.finish()
    }
  }

  #onTrailers(raw: RawHeaders): void {
    const { settings } = this.#client.context
    try {
      this.trailers = trailersFromH2(raw, "client", settings.head)
    } catch (thrown) {
      this.#queue.fail(flowErrorOf(thrown, 500))
    }
  }

  #sendTrailers(): void {
    try {
      this.#stream.sendTrailers(trailersToH2(this.#outTrailers, "upstream"))
      this.#answered()
    } catch {
      // Contradicting trailers, or a stream that has just closed: what was promised cannot be said.
      if (!this.#closed) this.#stream.close(INTERNAL_ERROR)
    }
  }

  /** END_STREAM is on its way. What is left of a request that was not read whole is not wanted (RFC 9113 section 8.1). */
  #answered(): void {
    if (this.#requestDone || this.#webSocket) return
    // Not in this turn: nghttp2 is at work, and would send the reset first.
    setImmediate(() => {
      if (!this.#closed) this.#stream.close(NO_ERROR)
    })
  }

  /** The stream is closed, by the client or with its connection, or because all is done. */
  #onReset(): void {
    const code = this.#stream.rstCode
    const how = this.#client.over
      ? "the client's connection closed"
      : `the client reset the stream (${resetName(code)})`
    this.#lost(new FlowError("client", "client-gone", `${how} before the answer was complete`))
  }

  #lost(reason: FlowError): void {
    if (this.#gone !== undefined) return
    this.#gone = reason
    if (!this.#requestDone) this.#queue.fail(reason)
    if (this.#state !== "ended" && this.#state !== "aborted") this.#onAbort?.(reason)
  }

  /** Resets the stream once what was written before has left, so that the client gets what there was. */
  #cut(code: number): void {
    const stream = this.#stream
    if (this.#closed) return
    if (stream.writableLength === 0) {
      stream.close(code)
      return
    }
    const close = () => {
      timer.cancel()
      if (!this.#closed) stream.close(code)
    }
    const timer = this.#client.context.clock.after(CUT_LINGER_MS, close)
    stream.write(Buffer.alloc(0), close) // `drain` comes only where a write has returned false.
    stream.once("close", () => timer.cancel())
  }

  #abortTunnel(reason: FlowError): void {
    // Both directions have ended: there is nothing left to break off.
    if (this.#state === "ended" && this.#requestDone) return
    this.abort(reason)
  }

  /** Whether bytes have waited for the client for stallTimeoutMs and it has taken none of them. */
  #readsNothing(): boolean {
    const { clock, settings } = this.#client.context
    const waiting = this.#stream.writableLength
    if (waiting === 0) {
      this.#taken = undefined
      return false
    }
    const now = clock.monotonic()
    const bytes = this.#written - waiting
    if (this.#taken?.bytes !== bytes) this.#taken = { bytes, since: now }
    return now - this.#taken.since >= settings.stallTimeoutMs
  }
}

function closedError(): FlowError {
  return new FlowError("client", "connection-closed", "the stream closed while bytes were waiting to be sent")
}

/** A 2xx would tell an HTTP/2 client that its WebSocket is open. */
function notSwitched(status: number): FlowError {
  const message = `the upstream answered ${status} where the request asked for WebSocket`
  return new FlowError("upstream", "upgrade-ignored", message)
}
