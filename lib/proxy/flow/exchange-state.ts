/**
 * How the exchange of one flow stands: its phase, its end, its way to the client, what was answered in the upstream's
 * place, and who has been told what. The flow's own files (exchange.ts, ask.ts, deliver.ts, pump.ts ...) work with it;
 * addons see FlowState, and other rooms FlowCore.
 */

import type { Usage } from "../../api/flow.ts"
import { abortOfMany } from "../../base/aborts.ts"
import { FlowError } from "../../base/errors.ts"
import type { LoadedAddon } from "../../loader/chain.ts"
import type { AnswerObserver } from "../body/answer-observer.ts"
import type { ClientDelivery } from "../body/client-delivery.ts"
import type { Drain } from "../body/drains.ts"
import { type Completion, completionOf, sumOfUsage } from "../body/observe.ts"
import type { Route } from "../upstream/route.ts"
import { type Deed, type FlowEvent, next, type Phase, type Ruling, ruling, tooLate } from "./life.ts"
import type { Replied } from "./replied.ts"

/** What outlives its flow is told this. One error for all: making one costs more than parsing a head. */
export const ENDED = new FlowError("llmproxy", "ended", "the flow that it belongs to has ended")
const NOTHING_SPENT: readonly Usage[] = []

export class ExchangeState {
  readonly delivery: ClientDelivery
  /** Where addons want the request to go. */
  route: Route | undefined
  /** The answer whose head is there. */
  arrival: { replace(): Promise<void> } | undefined
  /** What is to be answered in the upstream's place, or in that of an answer that has not left. */
  replied: Replied | undefined
  /** What an answer that was handed on cost: as its host said, or as it was counted. */
  answerUsage: Usage | undefined
  /** The same of the answer that was understood last; its host's own count where that one says it. */
  ownUsage: Usage | undefined
  /** What was spent beside that: see `addUsage`. */
  spent: readonly Usage[] = NOTHING_SPENT
  /** Watches the answer while it is delivered. */
  observer: AnswerObserver | undefined
  /** Those who hold the answer back, once they have been told what it means. */
  holders: ReadonlySet<LoadedAddon> | undefined
  /** Whether every addon has been told. */
  told = false
  /** Decides what it means that the client leaves: set while its answer is on its way. */
  onLeave: ((reason: FlowError) => void) | undefined
  /** Whether an answer is read on when its client has left. */
  onClientGone: "abort" | "drain" = "abort"
  /** Its client has left, and it is read on. */
  drain: Drain | undefined
  /** Flows that were sent for this one and run. */
  children = 0
  #phase: Phase = "request"
  #error: FlowError | undefined
  #abort: AbortController | undefined
  readonly #onFail = new Set<(reason: FlowError) => void>()

  constructor(delivery: ClientDelivery, route: Route | undefined) {
    this.delivery = delivery
    this.route = route
  }

  get phase(): Phase {
    return this.#phase
  }

  get error(): FlowError | undefined {
    return this.#error
  }

  /** Made when first read. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = abortOfMany()
      if (this.#error !== undefined) this.#abort.abort(this.#error)
    }
    return this.#abort.signal
  }

  /** Something has happened to the flow, and its phase is the next one. */
  advance(event: FlowEvent): void {
    this.#phase = next(this.#phase, event)
    if (event === "end") this.#tellAll(ENDED)
  }

  /** Whether `deed` is done, or nothing comes of it. Throws where it comes too late. */
  allows(deed: Deed): boolean {
    const said = this.ruling(deed)
    if (said === "late") throw tooLate(deed)
    return said === "yes"
  }

  /** What becomes of `deed` now. */
  ruling(deed: Deed): Ruling {
    return ruling(this.#phase, this.#error !== undefined, deed)
  }

  /** Notes what is to be answered. An answer that was to be before is not wanted any more. */
  reply(replied: Replied): void {
    const before = this.replied?.kind === "answer" ? this.replied.answer : undefined
    if (before !== undefined && !(replied.kind === "answer" && replied.answer === before)) before.abort()
    this.replied = replied
  }

  /** What was noted, if anything was. From here on it is what replaces an answer. */
  takeReply(): Replied | undefined {
    const { replied } = this
    this.replied = undefined
    return replied
  }

  /** The flow breaks off: everything that runs for it is told at once. Only the first reason counts. */
  fail(reason: FlowError): void {
    if (!this.allows("fail")) return
    this.#error = reason
    this.#abort?.abort(reason)
    this.#tellAll(reason)
  }

  /** Nobody waits for the answer any more: the flow fails, unless its answer has been delivered whole. */
  leave(reason: FlowError): void {
    if (this.onLeave === undefined) this.fail(reason)
    else this.onLeave(reason)
  }

  /** Whether there is something to be read on when the client leaves now. */
  get isDrainable(): boolean {
    const isAsked = this.#phase !== "request" || this.children > 0
    return this.onClientGone === "drain" && this.#error === undefined && this.#phase !== "ended" && isAsked
  }

  /** Calls `listener` when the flow fails or ends; at once if it has. What is returned takes the listener back. */
  onFail(listener: (reason: FlowError) => void): () => void {
    if (this.#error !== undefined) listener(this.#error)
    else if (this.#phase === "ended") listener(ENDED)
    else this.#onFail.add(listener)
    return () => void this.#onFail.delete(listener)
  }

  /** What `promise` becomes, or the flow's error as soon as it has one. */
  async orFail<T>(promise: PromiseLike<T>): Promise<T> {
    let settled = () => {}
    try {
      return await new Promise<T>((resolve, reject) => {
        settled = this.onFail(reject)
        promise.then(resolve, reject)
      })
    } finally {
      settled()
    }
  }

  /** The completion with its answer's own usage, and what addons have spent besides. */
  counted(completion: Completion): Completion {
    const { ownUsage, spent } = this
    const usage = ownUsage && spent.reduce(sumOfUsage, ownUsage)
    Object.freeze(usage) // Who has more to tell has `addUsage`.
    return usage === undefined || usage === completion.usage ? completion : completionOf({ ...completion, usage })
  }

  #tellAll(reason: FlowError): void {
    const listeners = [...this.#onFail]
    this.#onFail.clear()
    for (const listener of listeners) listener(reason)
  }
}
