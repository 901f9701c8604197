/**
 * What can still be said once a waiting client has been sent a head (200, a stream): events only. A JSON answer is
 * turned into events; an error becomes an error event, after which the stream is cut, never ended.
 */
import { FlowError } from "../errors.ts"
import { uuidv7 } from "../uuid.ts"
import { isStream } from "./answer-observer.ts"
import type { FlowState } from "./flow-state.ts"
import { deltasOf, readAnswer, readError } from "./observe.ts"
import type { StreamResponseHead } from "./streams.ts"

const OURS = "llmproxy: "
/** The code of an error that says nothing of its kind. */
const UNNAMED = "other"

/** Whether an answer with this head can simply follow the comments. */
export function wantsEvents(flow: FlowState, head: StreamResponseHead): boolean {
  return head.status < 400 && isStream(head, flow.llm?.request.stream === true)
}

/** Writes a whole JSON answer as events; returns the error to break off with when it is none. */
export function writeJsonAsEvents(flow: FlowState, head: StreamResponseHead, body: Buffer): FlowError | undefined {
  const { llm, delivery, core } = flow
  if (llm === undefined) return new FlowError("llmproxy", "internal", "a flow without a dialect cannot be kept alive")
  const dialect = llm.dialectOf
  const answer = head.status < 400 ? readAnswer(dialect, body) : { error: readError(dialect, head.status, body) }
  if (answer === undefined) return new FlowError("upstream", "bad-answer", `the answer is no ${dialect.name} answer`)
  if ("error" in answer) {
    const { message, code, kind } = answer.error
    return new FlowError("upstream", code ?? kind, message, { status: head.status >= 400 ? head.status : 502 })
  }
  const { completion } = answer
  const encoder = dialect.encoder({
    id: completion.id ?? uuidv7(core.clock.now()),
    model: completion.model ?? llm.request.model,
    created: completion.created ?? Math.floor(core.clock.now() / 1000),
    request: llm.request,
  })
  delivery.head(head, undefined, () => routeNote(flow))
  const events = deltasOf(completion).map((delta) => encoder.delta(delta))
  delivery.write(Buffer.from(events.join("") + encoder.end()))
  return undefined
}

/** Which way the flow went, and why, for a comment in the stream. */
export function routeNote({ routed, core }: FlowState): string {
  return core.redactor.text(`route ${routed?.name ?? "upstream"}: ${routed?.reason ?? "answered"}`)
}

/** An error's message as said by us; once, where it has passed an llmproxy before. */
export function ourMessage({ core }: FlowState, reason: FlowError): string {
  const message = core.redactor.text(reason.message)
  return message.startsWith(OURS) ? message : `${OURS}${message}`
}

/**
 * The error as an event of the dialect. The status is spent, so the code stands in the message as well: clients that read a
 * stream line by line (GPT Pilot) look at the message alone.
 */
export function writeErrorEvent(flow: FlowState, reason: FlowError): void {
  const dialect = flow.llm?.dialectOf
  if (dialect === undefined) return
  const message = ourMessage(flow, reason)
  const event = {
    status: reason.status,
    code: reason.code,
    message: reason.code === UNNAMED || message.includes(reason.code) ? message : `${message} (${reason.code})`,
  }
  flow.delivery.write(Buffer.from(dialect.errorEvent(event)))
}
