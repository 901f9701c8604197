/**
 * Moves an answer's body to the client: each piece is written first and looked at afterwards.
 *
 * The end of the answer is not the end of its bytes. Clients leave on `[DONE]`, or when they have all that
 * Content-Length promised, and some upstreams never end what they have finished. Once the last word of an answer has
 * been written the flow is whole, whoever leaves then; the upstream is stopped all the same.
 */
import { FlowError, flowErrorOf } from "../errors.ts"
import type { AnswerObserver } from "./answer-observer.ts"
import { nextPiece } from "./body-queue.ts"
import type { FlowState } from "./flow-state.ts"
import type { Incoming } from "./incoming.ts"

/** Resolves when the answer is out and ended. Rejects when it broke off before it was whole. */
export async function pump(flow: FlowState, incoming: Incoming, observer: AnswerObserver | undefined): Promise<void> {
  const { delivery } = flow
  const moving = new Moving(flow, incoming, observer)
  // Where nobody listens, nobody hears how it ended.
  if (flow.chain.addons.length > 0) flow.onLeave = (reason) => moving.clientLeft(reason)
  try {
    await moving.run()
    delivery.end(incoming.trailers())
  } catch (thrown) {
    if (!moving.isWhole(thrown)) throw thrown
    // The flow has all that it was for. What the bytes lack, a client that is still there sees.
    delivery.abort(flowErrorOf(thrown))
  } finally {
    flow.onLeave = undefined
  }
}

class Moving {
  readonly #flow: FlowState
  readonly #incoming: Incoming
  readonly #observer: AnswerObserver | undefined
  /** Bytes that are to come; NaN: the head promised nothing. */
  #left: number
  /** What was written last is still being decoded. */
  #observing = false
  /** The client has gone, perhaps with all that it wanted. */
  #gone: FlowError | undefined
  #wake: (reason: FlowError) => void = () => {}

  constructor(flow: FlowState, incoming: Incoming, observer: AnswerObserver | undefined) {
    this.#flow = flow
    this.#incoming = incoming
    this.#observer = observer
    this.#left = incoming.body.length ?? Number.NaN
  }

  /** Every piece to the client. Rejects when the upstream breaks off, the client leaves, or the flow fails. */
  async run(): Promise<void> {
    const { delivery, response, sizes } = this.#flow
    const { body } = this.#incoming
    const keeps = response !== undefined && response.keepBytes > 0
    for (;;) {
      const next = nextPiece(body)
      const piece = next instanceof Promise ? await next : next
      this.#check()
      if (piece === undefined) return
      sizes.response += piece.length
      this.#left -= piece.length
      const hasRoom = delivery.write(piece)
      const observing = this.#observer?.feed(piece)
      const storing = keeps ? response.store(piece) : undefined
      if (observing !== undefined) await this.#observe(observing)
      if (storing !== undefined) await storing
      if (!hasRoom) await this.#room()
      this.#check()
    }
  }

  /** The client leaves: the upstream is stopped at once, and the flow fails unless all has been said. */
  clientLeft(reason: FlowError): void {
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

  async #observe(observing: Promise<void>): Promise<void> {
    this.#observing = true
    await observing
    this.#observing = false
  }

  #room(): Promise<void> {
    this.#check()
    const gone = new Promise<never>((_, reject) => {
      this.#wake = reject
    })
    return this.#flow.orFail(Promise.race([this.#flow.delivery.ready(), gone]))
  }

  #check(): void {
    this.#flow.check()
    if (this.#gone !== undefined) throw this.#gone
  }
}
