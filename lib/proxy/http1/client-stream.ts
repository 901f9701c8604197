/**
 * One HTTP/1.1 request of a client and the answer to it: ClientStream over a socket that Http1Client owns.
 */
import type { Duplex } from "node:stream"
import type { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { Framing, RequestHead } from "../../http1/message.ts"
import { chunkHead, responseHead, trailerSection } from "../../http1/serializer.ts"
import { BodyQueue, NO_BODY } from "../io/body-queue.ts"
import type { SocketWriter } from "../io/socket-writer.ts"
import type { Body, ClientLink, ClientStream, ResolvedHead, StreamRequestHead, StreamResponseHead } from "../streams.ts"

/** What a stream needs of the connection that it came on. */
export interface Http1ClientOwner {
  readonly context: { readonly connection: ClientLink }
  readonly writer: SocketWriter
  /** The body's reader has made room. */
  bodyWanted(): void
  /** The stream has been answered and its request read: the next one may come. */
  release(): void
  /** Ends the connection after the present answer, which has been sent. */
  close(): void
  destroy(): void
  /** Sends what is queued, then a TCP reset. */
  reset(): void
  /** Gives the socket away for bytes that are no HTTP. */
  detach(): Duplex
}

export class Http1ClientStream implements ClientStream {
  readonly connection: ClientLink
  readonly head: StreamRequestHead
  readonly body: Body
  readonly baseUrl: boolean
  readonly expectsContinue: boolean
  /** The body's queue, for the connection that fills it. */
  readonly queue: BodyQueue
  trailers: Headers | undefined
  #client: Http1ClientOwner
  #request: RequestHead
  #writer: SocketWriter
  #requestDone = false
  #framing: Framing | undefined
  #state: "waiting" | "head-sent" | "ended" | "aborted" = "waiting"
  #gone: FlowError | undefined
  #onAbort: ((reason: FlowError) => void) | undefined

  constructor(client: Http1ClientOwner, request: RequestHead, resolved: ResolvedHead) {
    this.#client = client
    this.#request = request
    this.connection = client.context.connection
    this.head = resolved.head
    this.baseUrl = resolved.baseUrl
    this.expectsContinue = request.expectContinue
    const length = lengthOf(request.framing)
    this.queue = new BodyQueue(length, () => client.bodyWanted())
    this.body = length === 0 ? NO_BODY : this.queue
    this.#writer = client.writer
  }

  /** From the connection: the request's last byte has been read. */
  requestEnded(trailers: Headers | undefined): void {
    this.trailers = trailers
    this.#requestDone = true
    this.queue.finish()
  }

  /** From the connection: what follows is not HTTP/1.1. */
  requestFailed(error: FlowError): void {
    this.queue.fail(error)
  }

  /** From the connection: the client has left. */
  gone(reason: FlowError): void {
    this.#gone = reason
    this.queue.fail(reason)
    if (this.#state !== "ended") this.#onAbort?.(reason)
  }

  onAbort(listener: (reason: FlowError) => void): void {
    this.#onAbort = listener
    if (this.#gone !== undefined) listener(this.#gone)
  }

  inform(head: StreamResponseHead): void {
    if (this.#state !== "waiting" || this.#request.version === "1.0") return
    this.#writer.text(responseHead(head, { kind: "none" }, { version: "1.1" }))
  }

  respond(head: StreamResponseHead, length: number | undefined): void {
    if (this.#state !== "waiting") return
    this.#state = "head-sent"
    this.#framing = this.#framingFor(head.status, length)
    const upgrade = head.status === 101 ? head.headers.get("upgrade") : undefined
    const connection = upgrade === undefined ? this.#connectionOption() : undefined
    this.#writer.text(responseHead(head, this.#framing, { version: "1.1", connection, upgrade }))
  }

  write(bytes: Buffer): boolean {
    if (this.#state !== "head-sent" || bytes.length === 0) return true
    if (this.#framing?.kind === "none") return true
    if (this.#framing?.kind !== "chunked") return this.#writer.bytes(bytes)
    return this.#writer.chunk(chunkHead(bytes.length), bytes)
  }

  ready(): Promise<void> {
    return this.#writer.ready()
  }

  end(trailers?: Headers): void {
    if (this.#state !== "head-sent") return
    this.#state = "ended"
    if (this.#framing?.kind === "chunked") this.#writer.text(trailerSection(trailers))
    this.#writer.flush()
    if (this.#gone !== undefined) this.#client.close()
    else if (this.#requestDone) this.#finishConnection()
    // The answer is out before the request was read whole: what is left of it is not worth reading.
    else this.#client.close()
  }

  abort(_reason: FlowError): void {
    if (this.#state === "ended" || this.#state === "aborted") return
    const headSent = this.#state === "head-sent"
    this.#state = "aborted"
    this.#writer.flush()
    if (!headSent) this.#client.destroy()
    // A length or a missing last chunk shows the cut, so what is queued may still arrive.
    else if (this.#framing?.kind !== "until-close") this.#client.close()
    // Here only a reset tells a cut from an end.
    else this.#client.reset()
  }

  tunnel(): Duplex {
    this.#state = "ended"
    this.#writer.flush()
    return this.#client.detach()
  }

  #finishConnection(): void {
    if (this.#keepAlive()) this.#client.release()
    else this.#client.close()
  }

  #keepAlive(): boolean {
    return this.#request.keepAlive && this.#framing?.kind !== "until-close"
  }

  #connectionOption(): "close" | "keep-alive" | undefined {
    if (!this.#keepAlive()) return "close"
    return this.#request.version === "1.0" ? "keep-alive" : undefined
  }

  #framingFor(status: number, length: number | undefined): Framing {
    const bodiless = this.head.method === "HEAD" || status === 204 || status === 304 || status === 101
    if (bodiless) return { kind: "none" }
    if (length !== undefined) return { kind: "length", length }
    return this.#request.version === "1.0" ? { kind: "until-close" } : { kind: "chunked" }
  }
}

function lengthOf(framing: Framing): number | undefined {
  if (framing.kind === "none") return 0
  return framing.kind === "length" ? framing.length : undefined
}
