/**
 * The response's half of a flow: `responseHeaders`, then the body, streamed, transformed or held, then the last hooks.
 * Also how a flow breaks off: what the client is told, and that exactly one of `response` and `error` fires.
 */
import { FlowError, messageOf } from "../errors.ts"
import { Headers } from "../headers.ts"
import { statusText } from "../http1/status-text.ts"
import { wantsEvents, writeErrorEvent, writeJsonAsEvents } from "./after-keep-alive.ts"
import { AnswerObserver } from "./answer-observer.ts"
import { decodeContent } from "./content-coding.ts"
import { FlowResponseState } from "./flow-response.ts"
import type { FlowState, Replied } from "./flow-state.ts"
import type { Incoming } from "./incoming.ts"
import { wholeIncoming } from "./incoming.ts"
import { type Completion, errorContent, type Usage } from "./observe.ts"
import type { StreamResponseHead } from "./streams.ts"
import { transformed } from "./transform.ts"
import { relay } from "./tunnel.ts"

/** Delivers `incoming` and runs the flow's last hooks. Rejects with a FlowError when the flow breaks off. */
export async function deliver(
  flow: FlowState,
  incoming: Incoming,
  replace: (replied: Replied) => Promise<Incoming>,
): Promise<void> {
  const { chain } = flow
  flow.mark("responseHeadMs")
  const collector = new Collector(flow, incoming)
  const response = new FlowResponseState(incoming.head, flow.memory, collector)
  flow.response = response
  flow.phase = "upstream"
  await chain.run("responseHeaders", flow, flow)
  flow.check()
  response.open = false
  if (incoming.tunnel !== undefined && response.status === 101) await upgrade(flow, incoming.tunnel)
  else {
    const source = response.transforming ? transformed(flow, collector.rest()) : collector.rest()
    const held = (response.holding || chain.hold) && flow.llm !== undefined
    if (held) await hold(flow, source, replace)
    else await stream(flow, source)
  }
  flow.mark("endMs")
  await chain.run("response", flow, flow)
}

/** `flow.response.collect()`: reads the body first; what it read is delivered afterwards. */
class Collector {
  #flow: FlowState
  #incoming: Incoming
  #raw: Buffer | undefined

  constructor(flow: FlowState, incoming: Incoming) {
    this.#flow = flow
    this.#incoming = incoming
  }

  async collect(): Promise<Buffer> {
    this.#raw ??= await readAll(this.#flow, this.#incoming)
    const { head } = this.#incoming
    return decodeContent(this.#raw, head.headers.get("content-encoding"), this.#flow.core.settings.bodyLimit)
  }

  /** What is to be delivered: as it came, what was collected, or what an addon set in its place. */
  rest(): Incoming {
    const { response } = this.#flow
    if (response === undefined) return this.#incoming
    const head = { status: response.status, reason: response.reason, headers: response.headers }
    const bytes = response.replaced ?? this.#raw
    return bytes === undefined ? { ...this.#incoming, head } : wholeIncoming(head, bytes)
  }
}

async function readAll(flow: FlowState, incoming: Incoming): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  for (let piece = await incoming.body.read(); piece !== undefined; piece = await incoming.body.read()) {
    size += piece.length
    if (size > flow.core.settings.bodyLimit || !flow.memory.take(piece.length)) {
      const message = `the answer exceeds bodyLimit (${flow.core.settings.bodyLimit} bytes) or the memory limit, and an addon has to read it whole`
      throw new FlowError("upstream", "answer-too-large", message)
    }
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** Sends the head: with what the flow has to say of its route, unless a head had to be sent before. */
function sendHead(flow: FlowState, incoming: Incoming): void {
  const { head, body } = incoming
  const { routed } = flow
  if (routed?.name !== undefined) head.headers.set("x-llmproxy-route", routed.name)
  if (routed?.reason !== undefined) head.headers.set("x-llmproxy-reason", fieldText(routed.reason))
  if (routed?.tokens !== undefined) head.headers.set("x-llmproxy-tokens", String(routed.tokens))
  flow.delivery.head(head, body.length, `route ${routed?.name ?? "upstream"}: ${routed?.reason ?? "answered"}`)
}

/** What a person wrote, fit for a field value. */
function fieldText(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ")
}

async function stream(flow: FlowState, incoming: Incoming): Promise<void> {
  if (flow.delivery.state === "kept" && !wantsEvents(flow, incoming.head)) {
    await deliverAsEvents(flow, incoming)
    return
  }
  const observer = observerFor(flow, incoming.head)
  flow.phase = "response"
  flow.observer = observer
  sendHead(flow, incoming)
  await pump(flow, incoming, observer)
  if (observer !== undefined) await conclude(flow, observer, false)
  flow.check()
}

/** Body pieces to the client: written first, looked at afterwards. */
async function pump(flow: FlowState, incoming: Incoming, observer: AnswerObserver | undefined): Promise<void> {
  const { delivery, response } = flow
  const keeps = response !== undefined && response.keepBytes > 0
  for (let piece = await incoming.body.read(); piece !== undefined; piece = await incoming.body.read()) {
    flow.sizes.response += piece.length
    const hasRoom = delivery.write(piece)
    const observing = observer?.feed(piece)
    if (keeps) response.store(piece)
    if (observing !== undefined) await observing
    if (!hasRoom) await flow.orFail(delivery.ready())
    flow.check()
  }
  flow.check()
  delivery.end(incoming.trailers())
}

function observerFor(flow: FlowState, head: StreamResponseHead): AnswerObserver | undefined {
  const { llm, chain } = flow
  if (llm === undefined) return undefined
  if (!chain.has("llmDelta") && !chain.has("llmResponse") && !chain.has("llmError")) return undefined
  const tell = chain.has("llmDelta")
  return new AnswerObserver({
    dialect: llm.dialectOf,
    head,
    stream: llm.request.stream,
    elapsed: () => flow.elapsedSinceRequest(),
    onDelta: (delta) => {
      flow.mark("firstDeltaMs")
      if (tell) void chain.run("llmDelta", flow, flow as FlowState & { llm: typeof llm }, delta)
    },
  })
}

/** Fires `llmResponse` or `llmError`: one of them, once. */
async function conclude(flow: FlowState, observer: AnswerObserver, cut: boolean): Promise<void> {
  const { llm, chain } = flow
  if (llm === undefined || llm.completion !== undefined || llm.error !== undefined) return
  const { completion, error, unparsed } = observer.finish(cut)
  flow.unparsed ??= unparsed
  const llmFlow = flow as FlowState & { llm: typeof llm }
  if (error !== undefined) {
    llm.error = error
    await chain.run("llmError", flow, llmFlow, error)
  } else if (completion !== undefined) {
    llm.completion = withCountedUsage(completion, flow.countedUsage)
    await chain.run("llmResponse", flow, llmFlow, llm.completion)
  }
}

/** What was counted stands in for what the client's answer does not say: clients that stream seldom ask for usage. */
function withCountedUsage(completion: Completion, counted: Usage | undefined): Completion {
  if (counted === undefined || completion.usage.source !== "none") return completion
  return { ...completion, usage: counted }
}

/** Reads the answer whole, lets `llmResponse` judge it, then sends it, or what was put in its place. */
async function hold(
  flow: FlowState,
  incoming: Incoming,
  replace: (replied: Replied) => Promise<Incoming>,
): Promise<void> {
  flow.keepAlive()
  flow.phase = "held"
  const observer = observerFor(flow, incoming.head)
  flow.observer = observer
  const bytes = await readAll(flow, { ...incoming, body: observedBody(incoming, observer) })
  flow.check()
  if (observer !== undefined) await conclude(flow, observer, false)
  flow.check()
  const replied = flow.replied
  const accepted =
    replied === undefined
      ? { ...wholeIncoming(incoming.head, bytes), trailers: incoming.trailers }
      : await replace(replied)
  flow.observer = undefined
  await stream(flow, accepted)
}

function observedBody(incoming: Incoming, observer: AnswerObserver | undefined): Incoming["body"] {
  return {
    length: incoming.body.length,
    read: async () => {
      const piece = await incoming.body.read()
      if (piece !== undefined) await observer?.feed(piece)
      return piece
    },
  }
}

/** A head and comments have been sent, and what came is no stream: a JSON answer becomes one, an error ends it. */
async function deliverAsEvents(flow: FlowState, incoming: Incoming): Promise<void> {
  const observer = observerFor(flow, incoming.head)
  flow.observer = observer
  const bytes = await readAll(flow, { ...incoming, body: observedBody(incoming, observer) })
  flow.phase = "response"
  if (observer !== undefined) await conclude(flow, observer, false)
  const failed = writeJsonAsEvents(flow, incoming.head, bytes)
  if (failed !== undefined) throw failed
  flow.delivery.end()
}

async function upgrade(flow: FlowState, tunnel: NonNullable<Incoming["tunnel"]>): Promise<void> {
  const { response, delivery } = flow
  if (response === undefined) return
  delivery.client.respond({ status: response.status, reason: response.reason, headers: response.headers }, undefined)
  delivery.state = "over"
  const upstream = tunnel()
  flow.onFail(() => upstream.destroy())
  await relay(delivery.client.tunnel(), upstream, flow.core.clock, flow.core.settings.idleTimeoutMs)
}

/** The flow has failed: the client is told in the best way that is left, then the last hooks run. */
export async function breakOff(flow: FlowState, reason: FlowError): Promise<void> {
  const { delivery, core } = flow
  flow.mark("endMs")
  try {
    if (flow.parent !== undefined || reason.code === "killed" || reason.code === "client-gone") delivery.abort(reason)
    else if (delivery.state === "nothing") respondWithError(flow, reason)
    else {
      if (delivery.state === "kept") writeErrorEvent(flow, reason)
      delivery.abort(reason)
    }
    // Whatever becomes of the hooks before it, `error` fires: addons free there what they hold for the flow.
    const observer = flow.observer ?? unseen(flow)
    if (observer !== undefined)
      await conclude(flow, observer, true).catch((thrown) => core.log.error(messageOf(thrown)))
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
  const { delivery } = flow
  const { contentType, body } = errorContent(flow.clientDialect, {
    status: reason.status,
    code: reason.code,
    message: `llmproxy: ${reason.message}`,
    type: reason.source === "client" ? "invalid_request_error" : "api_error",
  })
  const headers = new Headers({ "Content-Type": contentType })
  const incoming = wholeIncoming({ status: reason.status, reason: statusText(reason.status), headers }, body)
  sendHead(flow, incoming)
  delivery.write(body)
  delivery.end()
}
