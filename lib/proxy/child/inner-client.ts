/**
 * The client's end of a flow that an addon sent: a ClientStream in memory. The exchange serves it like any other, with
 * the same backpressure; what would go to a socket waits here for the answer's reader.
 */
import type { Duplex } from "node:stream"
import { FlowError } from "../../base/errors.ts"
import { Arrival } from "../io/arrival.ts"
import { BodyQueue, BufferBody } from "../io/body-queue.ts"
import type { Body, ClientLink, ClientStream, StreamRequestHead, StreamResponseHead } from "../streams.ts"

export class InnerClient implements ClientStream {
  readonly connection: ClientLink
  readonly head: StreamRequestHead
  readonly body: Body
  readonly trailers = undefined
  readonly expectsContinue = false
  readonly baseUrl: boolean
  /** The response body, for the answer's reader. */
  readonly output: BodyQueue
  /** The response head; fails when there will be none. */
  readonly responded = new Arrival<StreamResponseHead, FlowError>()
  #waiting: { resolve(): void; reject(reason: FlowError): void } | undefined
  #over = false

  constructor(connection: ClientLink, head: StreamRequestHead, body: Buffer, baseUrl = false) {
    this.baseUrl = baseUrl
    this.connection = connection
    this.head = head
    this.body = new BufferBody(body)
    this.output = new BodyQueue(undefined, () => {
      this.#waiting?.resolve()
      this.#waiting = undefined
    })
  }

  /** Whether the answer has ended, one way or the other. */
  get over(): boolean {
    return this.#over
  }

  inform(): void {}

  respond(head: StreamResponseHead): void {
    this.responded.come(head)
  }

  write(bytes: Buffer): boolean {
    return this.#over || bytes.length === 0 || this.output.push(bytes)
  }

  ready(): Promise<void> {
    if (!this.output.full) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  end(): void {
    this.#over = true
    this.output.finish()
  }

  abort(reason: FlowError): void {
    if (this.#over) return
    this.#over = true
    this.responded.fail(reason)
    this.output.fail(reason)
    this.#waiting?.reject(reason)
    this.#waiting = undefined
  }

  /** Its parent's end reaches the child through the flow itself; nobody leaves here. */
  onAbort(): void {}

  tunnel(): Duplex {
    throw new FlowError("addon", "no-tunnel", "a flow that an addon sends cannot be upgraded")
  }
}
