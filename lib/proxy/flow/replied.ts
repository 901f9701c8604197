/**
 * What `flow.respond` was given, noted until the exchange asks for it: a reply, or an answer that `flow.send` resolved
 * to. How such an answer becomes what a client gets is its own affair: nothing here knows an encoder.
 */

import type { Answer, Reply, RespondOptions, Usage } from "../../api/flow.ts"
import type { Clock } from "../../base/clock.ts"
import { Headers } from "../../base/headers.ts"
import type { Logger } from "../../base/log.ts"
import type { Incoming } from "../body/incoming.ts"
import type { Dialect, LlmState } from "../body/observe.ts"
import { asBuffer, type FlowRequestState } from "./request.ts"

/** What is known of the client that an answer is for. */
export interface Recipient {
  readonly core: { readonly clock: Clock; readonly log: Logger }
  /** What the client speaks; undefined: no dialect. */
  readonly clientDialect: Dialect | undefined
  readonly llm: LlmState | undefined
  readonly request: Pick<FlowRequestState, "bytes" | "path" | "readable">
  /** What the answer cost, as its host said or as it was counted. */
  noteUsage(usage: Usage): void
}

/** Of this name, which addons do not have, is what makes an answer one that can be handed on. */
export const INCOMING: unique symbol = Symbol("llmproxy.incoming")

export interface GivenAnswer extends Answer {
  /** The answer as what `flow` delivers. May read it to its end. Rejects when it breaks off before it began. */
  [INCOMING](flow: Recipient, options: RespondOptions): Promise<Incoming>
}

export type Replied =
  | { readonly kind: "reply"; readonly reply: Reply }
  | { readonly kind: "answer"; readonly answer: GivenAnswer; readonly options: RespondOptions }

/** Checked here, so that what cannot be sent throws in the hook that wants to send it. */
export function asReplied(replyOrAnswer: Reply | Answer, options: RespondOptions): Replied {
  if ("deltas" in replyOrAnswer) {
    if (options.headers !== undefined) new Headers(options.headers) // Throws for what would break the head.
    if (isGiven(replyOrAnswer)) return { kind: "answer", answer: replyOrAnswer, options }
    throw new TypeError("flow.respond(answer) takes what flow.send() resolved to")
  }
  const { status, headers } = replyOrAnswer
  checkContent(replyOrAnswer)
  if (status !== undefined && !(Number.isInteger(status) && status >= 200 && status <= 999))
    throw new RangeError(`flow.respond: status ${status} is none of a final response; write 200 to 999`)
  if (headers !== undefined) new Headers(headers) // Throws for what would break the head.
  return { kind: "reply", reply: replyOrAnswer }
}

const CONTENTS = ["text", "json", "bytes", "body", "completion", "error"] as const

function checkContent(reply: Reply): void {
  const given = CONTENTS.filter((content) => reply[content] !== undefined)
  if (given.length > 1)
    throw new TypeError(`flow.respond: a reply has one content, and this one has ${given.join(" and ")}`)
  const { bytes, body } = reply
  if (bytes !== undefined) asBuffer(bytes, "flow.respond: bytes") // Throws for what is none.
  if (body !== undefined && typeof Object(body)[Symbol.asyncIterator] !== "function")
    throw new TypeError("flow.respond: body is no async iterable; for what is there already there are text and bytes")
}

function isGiven(answer: Answer): answer is GivenAnswer {
  return INCOMING in answer
}
