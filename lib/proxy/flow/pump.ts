/**
 * Moves an answer's body to the client: each piece is written first and looked at afterwards.
 *
 * The end of the answer is not the end of its bytes. Clients leave on `[DONE]`, or when they have all that
 * Content-Length promised, and some upstreams never end what they have finished. Once the last word of an answer has
 * been written the flow is whole, whoever leaves then; the upstream is stopped all the same.
 */
import { FlowError, flowErrorOf } from "../../base/errors.ts"
import type { AnswerObserver } from "../body/answer-observer.ts"
import type { Incoming } from "../body/incoming.ts"
import { nextPiece } from "../io/body-queue.ts"
import type { FlowResponseState } from "./response.ts"
import type { FlowState } from "./state.ts"

/** Resolves when the answer is out and ended. Rejects when it broke off before it was whole. */
export async function pump(flow: FlowState, incoming: Incoming, observer: AnswerObserver | undefined): Promise<void> {
  const { delivery } = flow.exchange
  const moving = new Moving(flow, incoming, observer)
  // Where nobody listens, nobody hears how it ended.
  if (flow.chain.addons.length > 0) flow.exchange.onLeave = (reason) => moving.clientLeft(reason)
  try {
    for (;;) {
      const next = nextPiece(incoming.body)
      const piece = next instanceof Promise ? await next : next
      moving.check()
      if (piece === undefined) break
      const waiting = moving.pass(piece)
      if (waiting !== undefined) await waiting
      moving.check()
    }
    delivery.end(incoming.trailers())
  } catch (thrown) {
    if (!moving.isWhole(thrown)) throw thrown
    // The flow has all that it was for. What the bytes lack, a client that is still there sees.
    delivery.abort(flowErrorOf(thrown))
  } finally {
    flow.exchange.onLeave = undefined
  }
}

class Moving {
  readonly #flow: FlowState
  readonly #incoming: Incoming
  readonly #observer: AnswerObserver | undefined
  /** Who keeps what passes, if anybody does. */
  readonly #keeper: FlowResponseState | undefined
  /** Bytes that are to come; NaN: the head promised nothing. */
  #left: number
  /** What was written last is still being decoded. */
  #observing = false
  /** The client has gone, perhaps with all that it wanted. */
  #gone: FlowError | undefined
  #wake: (reason: FlowError) => void = () => {}
  /** Whoever waits for the client to take something waits no longer. */
  #goOn: () => void = () => {}

  constructor(flow: FlowState, incoming: Incoming, observer: AnswerObserver | undefined) {
    this.#flow = flow
    this.#incoming = incoming
    this.#observer = observer
    this.#keeper = flow.response !== undefined && flow.response.keepBytes > 0 ? flow.response : undefined
    this.#left = incoming.body.length ?? Number.NaN
  }

  /**
   * One piece to the client. Undefined: there is nothing to wait for before the next. Rejects when the client leaves or
   * the flow fails.
   */
  pass(piece: Buffer): Promise<void> | undefined {
    const { exchange, sizes } = this.#flow
    sizes.response += piece.length
    this.#left -= piece.length
    exchange.drain?.took(piece.length)
    const hasRoom = exchange.delivery.write(piece)
    const observing = this.#observer?.feed(piece)
    const storing = this.#keeper?.store(piece)
    if (hasRoom && observing === undefined && storing === undefined) return undefined
    return this.#settle(hasRoom, observing, storing)
  }

  async #settle(hasRoom: boolean, observing: Promise<void> | undefined, storing: Promise<void> | undefined) {
    if (observing !== undefined) await this.#observe(observing)
    if (storing !== undefined) await storing
    if (!hasRoom) await this.#room()
  }

  /** The client leaves: the upstream is stopped at once, and the flow fails unless all has been said, or is to be heard. */
  clientLeft(reason: FlowError): void {
    if (!this.#allSaid && this.#flow.drains(reason)) {
      this.#goOn()
      return
    }
    if (!this.#observing && !this.#allSaid) {
      this.#flow.fail(reason)
      return
    }
    this.#gone = reason
    this.#incoming.abort(reason)
    this.#wake(reason)
  }

  /** Whether what ended the run came too late to take anything from the answer. */
  isWhole(thrown: unknown): boolean {
    const { error } = this.#flow
    const isUpstream = thrown instanceof FlowError && thrown.source === "upstream"
    return error === undefined && (this.#gone !== undefined || isUpstream) && this.#allSaid
  }

  /** Whether nothing is missing in what was written: by Content-Length, or by what the answer itself says. */
  get #allSaid(): boolean {
    return this.#left === 0 || this.#observer?.complete === true
  }

  /** Throws once the flow has failed, or its client has gone. */
  check(): void {
    this.#flow.check()
    if (this.#gone !== undefined) throw this.#gone
  }

  async #observe(observing: Promise<void>): Promise<void> {
    this.#observing = true
    await observing
    this.#observing = false
  }

  #room(): Promise<void> {
    this.check()
    const gone = new Promise<void>((resolve, reject) => {
      this.#goOn = resolve
      this.#wake = reject
    })
    return this.#flow.orFail(Promise.race([this.#flow.exchange.delivery.ready(), gone]))
  }
}
