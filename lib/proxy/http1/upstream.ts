/**
 * The upstream's end of HTTP/1.1: one connection that carries one exchange at a time (Http1UpstreamStream), and waits in
 * the pool between two of them. Bytes that arrive while it waits kill it: they would be taken for the next answer.
 */
import type { Duplex } from "node:stream"
import type { Clock } from "../../base/clock.ts"
import { FlowError, flowErrorOf, messageOf } from "../../base/errors.ts"
import type { HeadLimits } from "../../http1/message.ts"
import { ResponseParser } from "../../http1/parser.ts"
import { hostAndPort } from "../io/authority.ts"
import { IdleTimer } from "../io/idle-timer.ts"
import { SocketWriter } from "../io/socket-writer.ts"
import type { ServerInfo } from "../streams.ts"
import { type Http1UpstreamOwner, Http1UpstreamStream } from "./upstream-stream.ts"

export interface Http1UpstreamOptions {
  readonly clock: Clock
  readonly head: HeadLimits
  /** An exchange in which nothing moves for this long fails. */
  readonly stallTimeoutMs: number
  /** The connection may carry another exchange. */
  onIdle(connection: Http1Upstream): void
  /** It is gone for good. Once. */
  onClosed(connection: Http1Upstream): void
}

export class Http1Upstream implements Http1UpstreamOwner {
  readonly socket: Duplex
  readonly writer: SocketWriter
  readonly info: ServerInfo
  readonly parser: ResponseParser
  /** Monotonic milliseconds at which it became idle. */
  idleSince = 0
  #options: Http1UpstreamOptions
  #stream: Http1UpstreamStream | undefined
  #used = false
  #closed = false
  #detached = false
  #ended = false
  #finished = false
  #stall: IdleTimer

  constructor(socket: Duplex, info: ServerInfo, options: Http1UpstreamOptions) {
    this.socket = socket
    this.writer = new SocketWriter(socket)
    this.info = info
    this.#options = options
    this.parser = new ResponseParser(options.head)
    this.#stall = this.#startStallTimer()
    socket.on("data", this.#onData)
    socket.on("end", this.#onEnd)
    socket.on("close", this.#onClose)
    socket.on("error", this.#onError)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Begins an exchange. The connection must be idle. */
  open(): Http1UpstreamStream {
    const stream = new Http1UpstreamStream(this, this.#used)
    this.#used = true
    this.#stream = stream
    this.#stall.touch()
    this.socket.resume()
    return stream
  }

  touch(): void {
    this.#stall.touch()
  }

  /** From the stream: both directions are complete. */
  finished(reusable: boolean): void {
    this.#stream = undefined
    if (!reusable || this.#closed || this.#ended || !this.parser.idle) {
      this.destroy()
      return
    }
    this.idleSince = this.#options.clock.monotonic()
    this.#options.onIdle(this)
  }

  /** From the stream: its body's reader has made room. */
  bodyWanted(): void {
    if (this.#closed) return
    this.#advance()
    if (this.#stream?.full !== true) this.socket.resume()
  }

  destroy(): void {
    this.#close()
    this.socket.destroy()
  }

  /** Gives the socket away after a 101: takes our listeners off, puts unread bytes back. Only its close is still ours. */
  detach(): Duplex {
    this.#detached = true
    this.#stream = undefined
    this.#stall.stop()
    this.socket.off("data", this.#onData)
    this.socket.off("end", this.#onEnd)
    this.socket.pause()
    const rest = this.parser.rest()
    if (rest.length > 0) this.socket.unshift(rest)
    return this.socket
  }

  #startStallTimer(): IdleTimer {
    const { clock, stallTimeoutMs } = this.#options
    return new IdleTimer(clock, stallTimeoutMs, () => {
      const name = hostAndPort(this.info.host, this.info.port)
      const seconds = `${stallTimeoutMs / 1_000} s (stallTimeoutMs)`
      if (this.#stream?.full === true) {
        const message = `the client read nothing of the answer of ${name} for ${seconds}`
        this.#fail(new FlowError("client", "stall-timeout", message, { status: 408 }))
      } else {
        const message = `${name} sent nothing for ${seconds}`
        this.#fail(new FlowError("upstream", "stall-timeout", message, { status: 504 }))
      }
    })
  }

  #onData = (bytes: Buffer): void => {
    this.#stall.touch()
    if (this.#stream === undefined) {
      this.destroy()
      return
    }
    this.#stream.processed = "yes" // With its first byte the answer has begun, whole or not.
    try {
      this.parser.feed(bytes)
    } catch (thrown) {
      this.#fail(flowErrorOf(thrown))
      return
    }
    this.#advance()
  }

  #advance(): void {
    try {
      while (this.#step()) {}
    } catch (thrown) {
      this.#fail(flowErrorOf(thrown))
    }
  }

  #step(): boolean {
    const stream = this.#stream
    if (stream === undefined) return false
    if (stream.full) {
      this.socket.pause()
      return false
    }
    const event = this.parser.next()
    if (event === undefined) return this.#ended && this.#finish()
    stream.accept(event)
    return event.type !== "end"
  }

  /** Everything that came has been read: the end completes an answer without framing, and cuts any other. */
  #finish(): boolean {
    if (this.#finished) throw this.#cut("closed the connection before its answer was complete")
    this.#finished = true
    this.parser.finish()
    return true
  }

  #onEnd = (): void => {
    this.#ended = true
    if (this.#stream === undefined) this.destroy()
    else this.#advance()
  }

  #onClose = (): void => {
    if (this.#detached) this.#close()
    // After an end the queue may still hold bytes that the client has not read yet.
    else if (!this.#ended) this.#fail(this.#cut("closed the connection before its answer was complete"))
  }

  #onError = (thrown: Error): void => this.#fail(this.#cut(`broke the connection: ${messageOf(thrown)}`))

  #cut(what: string): FlowError {
    return new FlowError("upstream", "cut", `${hostAndPort(this.info.host, this.info.port)} ${what}`)
  }

  #fail(error: FlowError): void {
    if (this.#closed) return
    const stream = this.#stream
    this.#stream = undefined
    this.destroy()
    stream?.fail(error)
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stall.stop()
    this.#options.onClosed(this)
  }
}
