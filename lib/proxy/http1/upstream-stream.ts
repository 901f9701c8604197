/**
 * One HTTP/1.1 exchange with an upstream: UpstreamStream over a connection that Http1Upstream owns.
 */
import type { Duplex } from "node:stream"
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { Framing, ResponseEvent } from "../../http1/message.ts"
import type { ResponseParser } from "../../http1/parser.ts"
import { chunkHead, requestHead, trailerSection } from "../../http1/serializer.ts"
import { Arrival } from "../io/arrival.ts"
import { formatAuthority, hostAndPort } from "../io/authority.ts"
import { BodyQueue } from "../io/body-queue.ts"
import type { SocketWriter } from "../io/socket-writer.ts"
import { proxyAuthorization, refusalOf, viaProxy } from "../io/via-address.ts"
import type { Body, Processed, ServerInfo, ServerRequestHead, StreamResponseHead, UpstreamStream } from "../streams.ts"

/** What an exchange needs of the connection that carries it. */
export interface Http1UpstreamOwner {
  readonly info: ServerInfo
  readonly writer: SocketWriter
  readonly parser: Pick<ResponseParser, "expect">
  readonly socket: Pick<Duplex, "pause">
  /** Something moves: the exchange has not stalled. */
  touch(): void
  /** The body's reader has made room. */
  bodyWanted(): void
  /** Both directions are complete. */
  finished(reusable: boolean): void
  destroy(): void
  /** Gives the socket away after a 101. */
  detach(): Duplex
}

export class Http1UpstreamStream implements UpstreamStream {
  readonly reused: boolean
  readonly info: ServerInfo
  trailers: Headers | undefined
  processed: Processed = "no"
  #connection: Http1UpstreamOwner
  #writer: SocketWriter
  #framing: Framing = { kind: "none" }
  #queue: BodyQueue | undefined
  readonly #head = new Arrival<StreamResponseHead, FlowError>()
  #inform: ((head: StreamResponseHead) => void) | undefined
  #upgrading = false
  /** The HTTP proxy that is asked, where it is one. */
  #via: string | undefined
  #sent = false
  #received = false
  #keepAlive = false
  #closed = false

  constructor(connection: Http1UpstreamOwner, reused: boolean) {
    this.#connection = connection
    this.reused = reused
    this.info = connection.info
    this.#writer = connection.writer
  }

  get full(): boolean {
    return this.#queue?.full === true
  }

  send(head: ServerRequestHead, body: { length: number | undefined; hasBody: boolean }): void {
    this.processed = "maybe"
    this.#upgrading = head.upgrade !== undefined
    this.#framing = framingOf(body)
    this.#via = head.via
    this.#connection.parser.expect(head.method)
    const line = head.via === undefined ? originForm(head) : absoluteForm(head, head.via, this.info)
    this.#writer.text(requestHead(line, head.headers, this.#framing, line))
    if (!body.hasBody) this.#requestSent()
  }

  write(bytes: Buffer): boolean {
    if (this.#closed || bytes.length === 0) return true
    this.#connection.touch()
    if (this.#framing.kind === "chunked") return this.#writer.chunk(chunkHead(bytes.length), bytes)
    return this.#writer.bytes(bytes)
  }

  ready(): Promise<void> {
    return this.#writer.ready()
  }

  end(trailers?: Headers): void {
    if (this.#closed) return
    if (this.#framing.kind === "chunked") this.#writer.text(trailerSection(trailers))
    this.#requestSent()
  }

  onInform(listener: (head: StreamResponseHead) => void): void {
    this.#inform = listener
  }

  head(): Promise<StreamResponseHead> {
    return this.#head.wait()
  }

  get body(): Body {
    if (this.#queue === undefined) throw new Error("the body is not there before the head")
    return this.#queue
  }

  abort(reason: FlowError): void {
    if (this.#closed) return
    this.fail(reason)
    this.#connection.destroy()
  }

  tunnel(): Duplex {
    this.#closed = true
    return this.#connection.detach()
  }

  /** From the connection: the next piece of the answer. */
  accept(event: ResponseEvent): void {
    if (event.type === "informational") {
      this.#inform?.({ status: event.head.status, reason: event.head.reason, headers: event.head.headers })
    } else if (event.type === "head") {
      const { status, reason, headers, framing } = event.head
      if (status === 101 && !this.#upgrading) throw unasked(this.info)
      // Its challenge is for us, and would mean something else to the client.
      if (status === 407 && this.#via !== undefined) throw refusedBy(this.#via, reason, this.info)
      this.#keepAlive = event.head.keepAlive && framing.kind !== "until-close" && status !== 101
      this.#queue = new BodyQueue(lengthOf(framing), () => this.#connection.bodyWanted())
      this.#head.come({ status, reason, headers })
    } else if (event.type === "data") {
      this.#queue?.push(event.bytes)
    } else {
      this.trailers = event.trailers
      this.#received = true
      this.#queue?.finish()
      // After a 101 the connection is the exchange's; it asks for it with tunnel().
      // What comes until then stays in the socket.
      if (this.#head.value?.status === 101) this.#connection.socket.pause()
      else this.#complete()
    }
  }

  /** From the connection: it broke. */
  fail(error: FlowError): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue?.fail(error)
    this.#head.fail(error)
  }

  #requestSent(): void {
    this.#sent = true
    this.#complete()
  }

  /** Once the answer is whole the connection is given back, if the request has been sent whole as well. */
  #complete(): void {
    if (!this.#received || this.#closed) return
    this.#closed = true
    this.#connection.finished(this.#sent && this.#keepAlive)
  }
}

interface RequestLine {
  readonly method: string
  readonly target: string
  readonly host: string
  readonly upgrade?: string | undefined
  readonly proxyAuthorization?: string | undefined
}

function originForm({ method, path, authority, upgrade }: ServerRequestHead): RequestLine {
  return { method, target: path, host: authority, upgrade }
}

/** For a proxy (RFC 9112 section 3.2.2): where to is in the target, and Host says the same. */
function absoluteForm({ method, path }: ServerRequestHead, via: string, { host, port }: ServerInfo): RequestLine {
  const authority = formatAuthority(host, port, "http")
  return {
    method,
    target: `http://${authority}${path === "*" ? "" : path}`,
    host: authority,
    proxyAuthorization: proxyAuthorization(viaProxy(via)),
  }
}

function refusedBy(via: string, reason: string, { host, port }: ServerInfo): FlowError {
  const proxy = viaProxy(via)
  const places = `request ${hostAndPort(host, port)} through ${hostAndPort(proxy.host, proxy.port)}`
  const what = refusalOf(407, reason, proxy.credentials !== undefined)
  return new FlowError("upstream", "proxy-refused", `${places}: ${what}`)
}

function unasked({ host, port }: ServerInfo): FlowError {
  const message = `${host}:${port} switched protocols (101), which the request did not ask for`
  return new FlowError("upstream", "unasked-upgrade", message)
}

function framingOf(body: { length: number | undefined; hasBody: boolean }): Framing {
  if (!body.hasBody) return { kind: "none" }
  return body.length === undefined ? { kind: "chunked" } : { kind: "length", length: body.length }
}

function lengthOf(framing: Framing): number | undefined {
  if (framing.kind === "none") return 0
  return framing.kind === "length" ? framing.length : undefined
}
