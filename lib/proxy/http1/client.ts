/**
 * The client's end of HTTP/1.1: turns one socket into requests, one after the other (client-stream.ts is one of
 * them). Pipelined bytes wait in the parser until the answer before them has been sent.
 *
 * While an answer is outstanding the socket is read on, so that a client that leaves is noticed at once.
 */
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Clock, Timer } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import type { RequestHead } from "../../http1/message.ts"
import { RequestParser } from "../../http1/parser.ts"
import { statusText } from "../../http1/status-text.ts"
import { refusalText } from "../access/refusal.ts"
import { closeGently, resetGently } from "../io/close.ts"
import { IdleTimer } from "../io/idle-timer.ts"
import { SocketWriter } from "../io/socket-writer.ts"
import type { ProxySettings } from "../settings.ts"
import type { ClientLink, ResolvedHead } from "../streams.ts"
import { type Http1ClientOwner, Http1ClientStream } from "./client-stream.ts"

/** Bytes of pipelined requests that are kept while an answer is outstanding. */
const PIPELINE_BYTES_MAX = 65_536

export interface Http1ClientContext {
  readonly connection: ClientLink
  /** The TCP socket under everything: what a reset needs. */
  readonly raw: Socket
  readonly clock: Clock
  readonly settings: ProxySettings
  /** Throws a FlowError with the status that the client gets. */
  resolve(head: RequestHead): ResolvedHead
  /** A request was refused before it became a flow. */
  refused(error: FlowError): void
}

/** What comes next on a connection. */
export type NextRequest =
  | { readonly kind: "request"; readonly stream: Http1ClientStream }
  | { readonly kind: "connect"; readonly head: RequestHead }

export class Http1Client implements Http1ClientOwner {
  readonly socket: Duplex
  readonly writer: SocketWriter
  readonly context: Http1ClientContext
  /** Whether the socket was given away. */
  detached = false
  #parser: RequestParser
  #stream: Http1ClientStream | undefined
  #readingBody = false
  #wanted: ((next: NextRequest | undefined) => void) | undefined
  #draining = false
  #over = false
  #idle: IdleTimer
  #headTimer: Timer | undefined
  /** Bytes that the client had taken when #readsNothing looked, and since when. */
  #taken: { bytes: number; since: number } | undefined

  /** `first`: bytes that were read from the socket already. */
  constructor(socket: Duplex, context: Http1ClientContext, first?: Buffer) {
    this.socket = socket
    this.writer = new SocketWriter(socket)
    this.context = context
    this.#parser = new RequestParser(context.settings.head)
    this.#idle = this.#startIdleTimer()
    socket.on("data", this.#onData)
    socket.on("end", this.#onEnd)
    socket.on("close", this.#onClose)
    socket.on("error", this.#onError)
    if (first !== undefined && first.length > 0) this.#parser.feed(first)
    socket.resume()
  }

  /** The next request, once the one before it has been answered; undefined when there will be none. */
  next(): Promise<NextRequest | undefined> {
    if (this.#over) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      this.#wanted = resolve
      if (this.#stream === undefined) this.#lookForHead()
    })
  }

  /** Gives the socket away for bytes that are no HTTP: takes our listeners off, puts unread bytes back. */
  detach(): Duplex {
    this.detached = true
    this.#stop()
    this.socket.pause()
    const rest = this.#parser.rest()
    if (rest.length > 0) this.socket.unshift(rest)
    return this.socket
  }

  /** No further request: closes once the present one has been answered. The last answer may be on its way still. */
  drain(): void {
    this.#draining = true
    if (this.#stream === undefined) this.close()
  }

  /** Ends the connection after the present answer, which has been sent. */
  close(): void {
    this.#stop()
    closeGently(this.socket, this.context.clock)
  }

  destroy(): void {
    this.#stop()
    this.socket.destroy()
  }

  /** Sends what is queued, then a TCP reset: the one cut that a body without framing can show. */
  reset(): void {
    this.#stop()
    resetGently(this.socket, this.context.raw, this.context.clock)
  }

  /** The stream has been answered and its request read: the next one may come. */
  release(): void {
    this.#stream = undefined
    this.#idle.touch()
    if (this.socket.readableEnded || this.#draining) this.close()
    else {
      this.socket.resume()
      this.#lookForHead()
    }
  }

  /** The body's reader has made room. */
  bodyWanted(): void {
    if (this.#over) return
    this.#advance()
    if (this.#stream?.queue.full !== true) this.socket.resume()
  }

  /** Takes the next head, as far as it is there; what has begun has to come in time. */
  #lookForHead(): void {
    this.#advance()
    if (this.#wanted !== undefined && this.#headTimer === undefined && !this.#parser.idle) this.#startHeadTimer()
  }

  #startHeadTimer(): void {
    this.#headTimer = this.context.clock.after(this.context.settings.headerTimeoutMs, () => {
      this.#refuse(
        new FlowError("client", "header-timeout", "the request head did not arrive in time", { status: 408 }),
      )
    })
  }

  #stopHeadTimer(): void {
    this.#headTimer?.cancel()
    this.#headTimer = undefined
  }

  #onData = (bytes: Buffer): void => {
    this.#idle.touch()
    try {
      this.#parser.feed(bytes)
    } catch (thrown) {
      this.#broken(thrown)
      return
    }
    if (this.#stream === undefined) this.#lookForHead()
    else this.#advance()
  }

  #advance(): void {
    try {
      while (this.#step()) {}
    } catch (thrown) {
      this.#broken(thrown)
    }
  }

  /** Takes one event from the parser, if there is one and somebody wants it. */
  #step(): boolean {
    if (this.#readingBody) return this.#stepBody()
    if (this.#wanted === undefined || this.#stream !== undefined) {
      if (this.#parser.buffered > PIPELINE_BYTES_MAX) this.socket.pause()
      return false
    }
    const event = this.#parser.next()
    if (event?.type !== "head") return false
    this.#stopHeadTimer()
    this.#begin(event.head)
    return this.#readingBody
  }

  #stepBody(): boolean {
    const queue = this.#stream?.queue
    if (queue?.full === true) {
      this.socket.pause()
      return false
    }
    const event = this.#parser.next()
    if (event === undefined) return false
    if (event.type === "data") queue?.push(event.bytes)
    if (event.type !== "end") return true
    this.#readingBody = false
    this.#stream?.requestEnded(event.trailers)
    return false
  }

  #begin(head: RequestHead): void {
    const wanted = this.#wanted
    if (head.method === "CONNECT") {
      this.#wanted = undefined
      wanted?.({ kind: "connect", head })
      return
    }
    const resolved = this.context.resolve(head)
    this.#wanted = undefined
    this.#stream = new Http1ClientStream(this, head, resolved)
    this.#readingBody = true
    wanted?.({ kind: "request", stream: this.#stream })
  }

  /** The bytes are no HTTP/1.1: the flow fails, or (between two flows) the client is told and the connection closed. */
  #broken(thrown: unknown): void {
    const error =
      thrown instanceof FlowError ? thrown : new FlowError("llmproxy", "internal", String(thrown), { cause: thrown })
    if (this.#stream !== undefined && this.#readingBody) {
      this.#readingBody = false
      this.#stream.requestFailed(error)
    } else this.#refuse(error)
  }

  #refuse(error: FlowError): void {
    this.context.refused(error)
    writeRefusal(this.socket, error)
    this.#finish()
    this.close()
  }

  /** The client has sent nothing for a while: that may be its fault, or it waits for us. */
  #onIdle(): void {
    if (this.#stream === undefined) {
      this.#finish()
      this.close()
      return
    }
    // With a full queue it is the upstream that does not take the body; its connection has a timer of its own.
    if (this.#readingBody && !this.#stream.queue.full) {
      const message = "the request body stopped arriving"
      this.#broken(new FlowError("client", "body-timeout", message, { status: 408 }))
    } else if (this.#readsNothing()) {
      this.#gone(`the client read nothing of its answer for ${this.context.settings.stallTimeoutMs / 1_000} s`)
      this.destroy()
      return
    }
    this.#idle = this.#startIdleTimer()
  }

  /** Whether bytes have waited for the client for stallTimeoutMs and it has taken none of them. */
  #readsNothing(): boolean {
    const { socket } = this
    if (socket.writableLength === 0 || !(socket instanceof Socket)) {
      this.#taken = undefined
      return false
    }
    const now = this.context.clock.monotonic()
    const bytes = socket.bytesWritten - socket.writableLength
    if (this.#taken?.bytes !== bytes) this.#taken = { bytes, since: now }
    return now - this.#taken.since >= this.context.settings.stallTimeoutMs
  }

  #startIdleTimer(): IdleTimer {
    return new IdleTimer(this.context.clock, this.context.settings.idleTimeoutMs, () => this.#onIdle())
  }

  #onEnd = (): void => this.#gone("the client closed the connection before the answer was complete")
  #onClose = (): void => this.#gone("the client's connection closed before the answer was complete")
  #onError = (thrown: Error): void => this.#gone(`the client's connection broke: ${thrown.message}`)

  #gone(message: string): void {
    const stream = this.#stream
    this.#finish()
    if (stream === undefined) {
      if (this.socket.destroyed) this.#stop()
      else this.close()
      return
    }
    this.#readingBody = false
    stream.gone(new FlowError("client", "client-gone", message))
  }

  /** No further request will come. */
  #finish(): void {
    this.#over = true
    this.#stopHeadTimer()
    const wanted = this.#wanted
    this.#wanted = undefined
    wanted?.(undefined)
  }

  #stop(): void {
    this.#finish()
    this.#idle.stop()
    this.socket.off("data", this.#onData)
    this.socket.off("end", this.#onEnd)
    this.socket.off("close", this.#onClose)
    // The error listener stays: a socket without one takes the process down.
  }
}

/** Answers bytes that never became a flow. The caller closes. */
export function writeRefusal(socket: Duplex, error: FlowError): void {
  const { headers, body } = refusalText(error, { Connection: "close" })
  const lines = [`HTTP/1.1 ${error.status} ${statusText(error.status)}`, ...headers.lines(), "", ""]
  socket.write(Buffer.concat([Buffer.from(lines.join("\r\n"), "latin1"), body]))
}
