/**
 * The response's half of a flow: `responseHeaders`, then the body, streamed, transformed or held, then the last hooks.
 * Also how a flow breaks off: what the client is told, and that exactly one of `response` and `error` fires.
 */
import { FlowError, flowErrorOf, fullMessageOf, messageOf, retryFields } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import { statusText } from "../../http1/status-text.ts"
import { AnswerObserver } from "../body/answer-observer.ts"
import type { BodyCollector } from "../body/body-collector.ts"
import type { Incoming } from "../body/incoming.ts"
import { wholeIncoming } from "../body/incoming.ts"
import {
  type Choice,
  type Completion,
  type CompletionChange,
  changedChoices,
  completionEdit,
  copyOf,
  type EditDelta,
  errorContent,
  isContent,
} from "../body/observe.ts"
import { BufferBody } from "../io/body-queue.ts"
import type { StreamResponseHead } from "../streams.ts"
import { eventsOrWhole, ourMessage, routeNote, writeErrorEvent, writeJsonAsEvents } from "./after-keep-alive.ts"
import { pump } from "./pump.ts"
import type { Replied } from "./replied.ts"
import { incomingFrom } from "./reply.ts"
import { dropBodyFields } from "./request.ts"
import { FlowResponseState, PAST } from "./response.ts"
import type { FlowState } from "./state.ts"
import { putAside, putBack, tellHolders, tellOthers } from "./tell.ts"
import { applyDeltas, applyTransforms, dropCoding } from "./transform.ts"
import { collectorOf, decodedWhole } from "./whole-answer.ts"

/**
 * Delivers `incoming` and runs the flow's last hooks. Rejects with a FlowError when the flow breaks off.
 */
export async function deliver(flow: FlowState, incoming: Incoming): Promise<void> {
  const { chain } = flow
  flow.mark("responseHeadMs")
  const arrival = new Arrival(flow, incoming)
  flow.exchange.arrival = arrival
  if (chain.has("responseHeaders")) await chain.run("responseHeaders", flow, flow)
  flow.check()
  while (flow.exchange.replied !== undefined) await arrival.replace()
  flow.exchange.advance("pass")
  const { tunnel } = arrival
  if (tunnel !== undefined && flow.exchange.drain !== undefined) throw flow.exchange.drain.reason
  if (tunnel !== undefined) await flow.core.upgrade(flow, tunnel, flow.exchange.delivery)
  else await deliverBody(flow, arrival)
  if (flow.exchange.drain !== undefined) throw flow.exchange.drain.reason // It has been read, and nobody has got it.
  flow.mark("endMs")
  if (chain.has("response")) await chain.run("response", flow, flow)
}

async function deliverBody(flow: FlowState, arrival: Arrival): Promise<void> {
  const { response, chain } = flow
  const plain = arrival.rest()
  const held = (response?.holding === true || chain.hold) && flow.llm !== undefined
  let source = plain
  try {
    if (response?.transforming === true) source = await applyTransforms(flow, plain)
    if (held) await hold(flow, source, arrival)
    else await stream(flow, source, true)
  } catch (thrown) {
    source.abort(flowErrorOf(thrown))
    throw thrown
  } finally {
    flow.response?.close()
  }
}

/**
 * An answer whose head is there, while `responseHeaders` runs: read whole where an addon collects it, and given up for
 * another one where an addon answers in its place.
 */
class Arrival {
  readonly #flow: FlowState
  #incoming: Incoming
  #body: BodyCollector | undefined
  /** What the answer said before addons edited it. */
  #told: readonly Choice[] | undefined

  constructor(flow: FlowState, incoming: Incoming) {
    this.#flow = flow
    this.#incoming = incoming
    this.#present()
  }

  #present(): void {
    const flow = this.#flow
    const response = new FlowResponseState(this.#incoming.head, flow.memory, this)
    flow.response?.leaveTo(response)
    flow.response = response
    flow.exchange.advance("arrive")
  }

  /** Puts what an addon has replied in its place. What came before is stopped, and is no part of the flow any more. */
  async replace(): Promise<void> {
    const replied = this.#flow.exchange.takeReply()
    if (replied === undefined) return
    this.#incoming.abort(REPLACED)
    this.#incoming = await replacing(this.#flow, replied)
    this.#body = undefined
    this.#present()
  }

  /** What follows a 101 that is still one. */
  get tunnel(): Incoming["tunnel"] {
    return this.#flow.response?.status === 101 ? this.#incoming.tunnel : undefined
  }

  async collect(): Promise<Buffer> {
    const flow = this.#flow
    this.#body ??= collectorOf(flow, this.#incoming.body)
    return decodedWhole(flow, await this.#body.collect(), this.#incoming.head)
  }

  get isOpen(): boolean {
    return this.#flow.exchange.ruling("shape") === "yes"
  }

  get completion(): Completion | undefined {
    return this.#flow.llm?.completion
  }

  /** The answer means something else from here on; the bytes follow when those that hold it have been told. */
  edit(change: CompletionChange): void {
    const { exchange, llm } = this.#flow
    exchange.allows("edit")
    const completion = llm?.completion
    if (completion === undefined)
      throw new Error("response.completion: the answer is an error; flow.respond replaces it")
    if (completion.truncated === true || completion.choices.some(({ finishReason }) => finishReason.unified === "cut"))
      throw new Error("response.completion: the answer is not known to its end; flow.respond replaces it")
    const choices = changedChoices(completion, change)
    this.#told ??= completion.choices.map(copyOf)
    completion.choices.splice(0, Number.POSITIVE_INFINITY, ...choices)
  }

  /** What makes the answer's bytes say what it means now; undefined where nobody has edited it. */
  get edited(): EditDelta | undefined {
    const { completion } = this
    if (this.#told === undefined || completion === undefined) return undefined
    return completionEdit(this.#told, completion.choices)
  }

  /** What is to be delivered: as it came, what was collected, or what an addon set in its place. */
  rest(): Incoming {
    const incoming = this.#incoming
    const { response } = this.#flow
    if (response === undefined) return incoming
    if (response.untouched && this.#body === undefined) return incoming
    const head = { status: response.status, reason: response.reason, headers: response.headers }
    if (response.replaced !== undefined) return wholeIncoming(head, response.replaced)
    return { ...incoming, head, body: this.#body?.rest() ?? incoming.body }
  }
}

/** Sends the head: with what the flow has to say of its route, unless a head had to be sent before. */
function sendHead(flow: FlowState, incoming: Incoming): void {
  const { head, body } = incoming
  const { routed } = flow
  const shown = (text: string) => fieldText(flow.core.redactor.text(text))
  if (routed?.name !== undefined) head.headers.set("x-llmproxy-route", shown(routed.name))
  if (routed?.reason !== undefined) head.headers.set("x-llmproxy-reason", shown(routed.reason))
  if (routed?.tokens !== undefined) head.headers.set("x-llmproxy-tokens", String(routed.tokens))
  flow.exchange.delivery.head(head, body.length, () => routeNote(flow))
}

/** What a person wrote, fit for a field value. */
function fieldText(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ")
}

/** `observe`: nobody has looked at this answer yet. */
async function stream(flow: FlowState, source: Incoming, observe: boolean): Promise<void> {
  if (flow.exchange.delivery.state === "kept") return streamAfterComments(flow, source, observe)
  return streamAs(flow, source, observe ? observerFor(flow, source.head) : undefined)
}

async function streamAs(flow: FlowState, incoming: Incoming, observer: AnswerObserver | undefined): Promise<void> {
  flow.exchange.observer = observer
  flow.exchange.advance("send")
  sendHead(flow, incoming)
  await pump(flow, incoming, observer)
  if (observer !== undefined) await tellOthers(flow, observer, false)
  flow.check()
}

function observerFor(flow: FlowState, head: StreamResponseHead): AnswerObserver | undefined {
  const { llm, chain } = flow
  if (llm === undefined || !chain.readsAnswers) return undefined
  const tellsDeltas = chain.has("llmDelta") && flow.exchange.holders === undefined
  return new AnswerObserver({
    dialect: llm.dialectOf,
    head,
    stream: llm.request.stream,
    elapsed: () => flow.elapsedSinceRequest(),
    onDelta: (delta) => {
      if (flow.timings.firstDeltaMs === undefined && isContent(delta)) flow.mark("firstDeltaMs")
      if (tellsDeltas) void chain.run("llmDelta", flow, flow as FlowState & { llm: typeof llm }, delta)
    },
  })
}

/** Reads the answer whole, lets those that hold it hear of it, then sends it, or what was put in its place. */
async function hold(flow: FlowState, incoming: Incoming, arrival: Arrival): Promise<void> {
  flow.keepAlive()
  flow.exchange.advance("hold")
  const observer = observerFor(flow, incoming.head)
  flow.exchange.observer = observer
  const raw = await collectorOf(flow, observedBody(flow, incoming, observer)).collect()
  flow.check()
  const bytes = await decodedWhole(flow, raw, incoming.head)
  if (bytes !== raw) dropBodyFields(incoming.head.headers)
  flow.response?.holdBytes(bytes)
  if (observer !== undefined) await tellHolders(flow, observer)
  flow.check()
  if (observer !== undefined && flow.exchange.replied === undefined) await tellOthers(flow, observer, false)
  flow.check()
  const replied = flow.exchange.takeReply()
  if (replied === undefined) {
    const length = bytes === raw ? incoming.body.length : bytes.length
    const { read } = bufferBody(bytes)
    return stream(flow, await withEdit(flow, { ...incoming, body: { length, read } }, arrival.edited), false)
  }
  const other = await replacing(flow, replied)
  flow.response = replacedResponse(flow, other.head)
  const aside = putAside(flow)
  try {
    await stream(flow, other, true)
  } catch (thrown) {
    other.abort(flow.error ?? UNUSED)
    throw thrown
  } finally {
    putBack(flow, aside)
  }
}

/** The held answer, as addons want it. Read whole once more, so that one that cannot be edited fails before a byte leaves. */
async function withEdit(flow: FlowState, held: Incoming, edit: EditDelta | undefined): Promise<Incoming> {
  if (edit === undefined) return held
  const edited = await applyDeltas(flow, held, [edit])
  const bytes = await collectorOf(flow, edited.body).collect()
  return { ...edited, body: bufferBody(bytes) }
}

const UNUSED = new FlowError("llmproxy", "unused", "the answer was not used")
const REPLACED = new FlowError("addon", "replaced", "an addon has answered in its place")

/** What an addon puts in the place of an answer. A completion brings its usage; an answer's is found out as it is written. */
function replacing(flow: FlowState, replied: Replied): Promise<Incoming> {
  flow.exchange.answerUsage = replied.kind === "reply" ? replied.reply.completion?.usage : undefined
  return flow.orFail(incomingFrom(flow, replied))
}

function bufferBody(bytes: Buffer): Incoming["body"] {
  const body = new BufferBody(bytes)
  return { length: body.length, read: () => body.read() }
}

/** `flow.response` is what the client gets: another one, once an addon has put another answer in the held one's place. */
function replacedResponse(flow: FlowState, head: StreamResponseHead): FlowResponseState {
  const response = new FlowResponseState(head, flow.memory, PAST)
  response.keepBytes = flow.response?.keepBytes ?? 0
  return response
}

function observedBody(flow: FlowState, incoming: Incoming, observer: AnswerObserver | undefined): Incoming["body"] {
  return {
    length: incoming.body.length,
    read: async () => {
      const piece = await incoming.body.read()
      if (piece !== undefined) {
        flow.exchange.drain?.took(piece.length)
        await observer?.feed(piece)
      }
      return piece
    },
  }
}

/** A head and comments have been sent: events can follow, a JSON answer becomes events, an error ends the stream. */
async function streamAfterComments(flow: FlowState, source: Incoming, observe: boolean): Promise<void> {
  // A client that has a head was told of no Content-Encoding.
  const incoming = dropCoding(source)
  const { head } = incoming
  const observer = observe ? observerFor(flow, head) : undefined
  flow.exchange.observer = observer
  const events = head.status < 400 ? await flow.orFail(eventsOrWhole(flow, incoming)) : undefined
  if (events !== undefined && !Buffer.isBuffer(events)) return streamAs(flow, events, observer)
  const bytes = events ?? (await collectorOf(flow, incoming.body).collect())
  await observer?.feed(bytes)
  flow.check()
  flow.exchange.advance("send")
  const failed = writeJsonAsEvents(flow, head, bytes)
  if (failed === undefined) flow.exchange.delivery.end()
  if (observer !== undefined) await tellOthers(flow, observer, false)
  flow.check()
  if (failed !== undefined) throw failed
}

/** Failures whose reason nobody is told: the client is not, and no log line was written as they came (a hook's was). */
const UNTOLD: ReadonlySet<string> = new Set(["transform-failed", "body-failed", "internal"])

/** The flow has failed: the client is told in the best way that is left, then the last hooks run. */
export async function breakOff(flow: FlowState, reason: FlowError): Promise<void> {
  const { core } = flow
  const { delivery } = flow.exchange
  flow.mark("endMs")
  if (UNTOLD.has(reason.code)) core.log.error(`${flow.request.method} ${flow.request.host}: ${fullMessageOf(reason)}`)
  try {
    if (flow.parent !== undefined || reason.code === "killed" || reason.code === "client-gone") delivery.abort(reason)
    else if (delivery.state === "nothing") respondWithError(flow, reason)
    else {
      if (delivery.state === "kept") writeErrorEvent(flow, reason)
      delivery.abort(reason)
    }
    // Whatever becomes of the hooks before it, `error` fires: addons free there what they hold for the flow.
    const observer = flow.exchange.observer ?? unseen(flow)
    if (observer !== undefined)
      await tellOthers(flow, observer, flow.exchange.drain === undefined || !observer.complete).catch((thrown) =>
        core.log.error(messageOf(thrown)),
      )
    await flow.chain.run("error", flow, flow, reason)
  } catch (thrown) {
    core.log.error(`${flow.request.method} ${flow.request.host}: failed while it broke off: ${String(thrown)}`)
  }
}

/** For an answer that broke off when there was only its head: that one is told of as well. */
function unseen(flow: FlowState): AnswerObserver | undefined {
  const { response } = flow
  return response === undefined ? undefined : observerFor(flow, response)
}

function respondWithError(flow: FlowState, reason: FlowError): void {
  const { delivery } = flow.exchange
  const { contentType, body } = errorContent(flow.clientDialect, {
    status: reason.status,
    code: reason.code,
    message: ourMessage(flow, reason),
    type: reason.source === "client" ? "invalid_request_error" : "api_error",
  })
  const headers = new Headers([["Content-Type", contentType], ...retryFields(reason.status)])
  const incoming = wholeIncoming({ status: reason.status, reason: statusText(reason.status), headers }, body)
  sendHead(flow, incoming)
  delivery.write(body)
  delivery.end()
}
