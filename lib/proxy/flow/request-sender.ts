/**
 * Sends a request's head and pumps its body, while the answer is awaited at the same time. What has been sent is kept
 * as long as it is small, so that it can be sent again on another connection.
 */
import { FlowError } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import { Pieces } from "../../base/pieces.ts"
import { formatAuthority, hostAndPort } from "../io/authority.ts"
import { nextPiece } from "../io/body-queue.ts"
import type { Body, StreamResponseHead, UpstreamStream } from "../streams.ts"
import type { Target } from "../upstream/target.ts"
import type { FlowState } from "./state.ts"

/** Bytes of a body that are kept for sending again. */
const REPLAY_BYTES_MAX = 65_536
/**
 * Interim answers (1xx) of one exchange. Each may be as large as a head, and waits for its hooks and for the client;
 * a server that says every 20 s that it is at work (102, RFC 2518 section 10.1) can do so for half an hour.
 */
const INTERIM_MAX = 100

export class RequestSender {
  /** Resolves when every `informational` hook so far has run. */
  informed: Promise<void> | undefined
  #flow: FlowState
  #target: Target
  #body: Body
  #stream: UpstreamStream | undefined
  /** Between two connections the pump waits, so that nothing is read that could not be kept. */
  #attached: { readonly promise: Promise<void>; resolve(): void } | undefined
  #sent = new Pieces()
  #keeping = true
  #ended = false
  #pumping = false
  #interim = 0

  constructor(flow: FlowState, target: Target) {
    this.#flow = flow
    this.#target = target
    this.#body = flow.request.giveAway()
  }

  /** Whether everything that was sent so far is still here. */
  get replayable(): boolean {
    return this.#keeping
  }

  /** Sends the request on `stream`; what was sent on an earlier one is sent again. */
  start(stream: UpstreamStream): void {
    const { request } = this.#flow
    const { client } = this.#flow.exchange.delivery
    const { length } = this.#body
    // A request without a body may still say Content-Length: 0, and keeps it.
    const hasBody = length !== 0 || request.headers.has("content-length")
    this.#stream = stream
    stream.onInform((head) => this.#inform(head))
    stream.send(
      {
        method: request.method,
        path: request.path,
        authority: request.headers.get("host") ?? formatAuthority(request.host, request.port, request.scheme),
        headers: request.headers,
        upgrade: client.head.upgrade,
        via: this.#target.forward === true ? this.#target.via : undefined,
      },
      { length, hasBody },
    )
    for (const piece of this.#sent.list) stream.write(piece)
    this.#attached?.resolve()
    this.#attached = undefined
    if (!hasBody) this.#flow.mark("requestMs")
    else if (this.#ended || length === 0) this.#end(stream)
    else if (!this.#pumping) void this.#pump()
  }

  /** The connection is gone, and `start` will be called with another. */
  detach(): void {
    let resolve = () => {}
    const promise = new Promise<void>((done) => {
      resolve = done
    })
    this.#attached = { promise, resolve }
    this.#stream = undefined
  }

  /** The answer has begun: nothing will be sent again. */
  settle(): void {
    this.#keeping = false
    this.#sent.clear()
  }

  /** Never rejects: a client that breaks off fails the flow itself, an upstream that does fails its head or body. */
  async #pump(): Promise<void> {
    this.#pumping = true
    try {
      for (;;) {
        const next = nextPiece(this.#body)
        const piece = next instanceof Promise ? await next : next
        if (piece === undefined) break
        if (this.#attached !== undefined) await this.#attached.promise
        if (this.#flow.ended) return
        this.#keep(piece)
        this.#flow.sizes.request += piece.length
        const stream = this.#stream
        if (stream?.write(piece) === false) await stream.ready().catch(() => {})
        if (this.#attached !== undefined) await this.#attached.promise
      }
      this.#ended = true
      if (this.#stream !== undefined) this.#end(this.#stream)
    } catch (thrown) {
      if (thrown instanceof Error) this.#flow.fail(asBodyError(thrown))
    }
  }

  #end(stream: UpstreamStream): void {
    this.#flow.mark("requestMs")
    stream.end(this.#flow.exchange.delivery.client.trailers)
  }

  #keep(piece: Buffer): void {
    if (!this.#keeping) return
    // A collected body is in memory anyway.
    if (this.#sent.bytes + piece.length <= REPLAY_BYTES_MAX || this.#flow.request.collected) this.#sent.push(piece)
    else this.settle()
  }

  /** Throws a FlowError, which ends the stream, when there are too many. */
  #inform(head: StreamResponseHead): void {
    const { chain } = this.#flow
    const { delivery } = this.#flow.exchange
    if (++this.#interim > INTERIM_MAX) throw this.#tooManyInterim()
    if (head.status === 100 && this.#isOurs()) return
    if (!chain.has("informational")) {
      delivery.client.inform(head)
      return
    }
    const run = async () => {
      if (this.#flow.error !== undefined) return // Nothing is told of a flow behind its end.
      await chain.run("informational", this.#flow, this.#flow, { status: head.status, headers: head.headers })
      delivery.client.inform({ ...head, headers: new Headers(head.headers) })
    }
    this.informed = (this.informed ?? Promise.resolve()).then(run)
    this.informed.catch(() => {}) // ask() awaits it and fails the flow with it.
  }

  /** Whether it was us who asked for a 100: an addon's Expect. Every other one is passed on (RFC 9110 section 15.2). */
  #isOurs(): boolean {
    const { request, exchange } = this.#flow
    return !exchange.delivery.client.expectsContinue && request.headers.has("expect")
  }

  #tooManyInterim(): FlowError {
    const { host, port } = this.#target
    const message = `${hostAndPort(host, port)} sent more than ${INTERIM_MAX} interim responses (1xx) and no answer; it was given up`
    return new FlowError("upstream", "too-many-interim", message)
  }
}

/** The request's body could not be read to its end. */
function asBodyError(thrown: Error): FlowError {
  if (thrown instanceof FlowError) return thrown
  return new FlowError("client", "bad-body", thrown.message, { cause: thrown })
}
