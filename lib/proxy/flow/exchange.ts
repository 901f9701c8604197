/**
 * One flow, top to bottom: the request's head and body, its meaning, the upstream (or an addon's answer), the response.
 * This is the one place where both halves meet; HTTP versions end at the two stream interfaces (streams.ts).
 */
import { FlowError, internalError, messageOf } from "../../base/errors.ts"
import type { Incoming } from "../body/incoming.ts"
import { type Dialect, readLlmRequest } from "../body/observe.ts"
import { ask } from "./ask.ts"
import { authenticateFlow, isAuthenticated } from "./authenticate.ts"
import { breakOff, deliver } from "./deliver.ts"
import { insistsOnBody } from "./insist.ts"
import { incomingFrom } from "./reply.ts"
import type { FlowState } from "./state.ts"

/** Serves one flow to its end. Never rejects. */
export async function exchange(flow: FlowState): Promise<void> {
  flow.chain.acquire()
  flow.exchange.delivery.client.onAbort((reason) => clientLeft(flow, reason))
  let incoming: Incoming | undefined
  try {
    if (isHeard(flow)) await readRequest(flow)
    else markWhole(flow)
    const replied = flow.exchange.takeReply()
    incoming = replied === undefined ? await askUpstream(flow) : await flow.orFail(incomingFrom(flow, replied))
    await deliver(flow, incoming)
  } catch (thrown) {
    const reason = flow.error ?? flow.exchange.drain?.reason ?? asFlowError(thrown)
    flow.fail(reason)
    incoming?.abort(reason)
    await breakOff(flow, reason)
  } finally {
    flow.finish()
    flow.chain.release()
  }
}

/** The flow fails, unless its answer has been delivered whole, or is read on. While it is delivered pump.ts decides. */
function clientLeft(flow: FlowState, reason: FlowError): void {
  if (flow.exchange.onLeave !== undefined || !flow.drains(reason)) flow.exchange.leave(reason)
}

function askUpstream(flow: FlowState): Promise<Incoming> {
  // What was read on was a child; nothing new is asked for a client that has left.
  if (flow.exchange.drain !== undefined) throw flow.exchange.drain.reason
  flow.exchange.advance("ask")
  return flow.origin.ask === undefined ? ask(flow) : flow.origin.ask(flow)
}

/** Whether anybody wants the request before it is sent. Nobody does for most flows, and those wait for nothing. */
function isHeard(flow: FlowState): boolean {
  const { chain } = flow
  return (
    chain.collect || isAuthenticated(flow) || chain.has("requestHeaders") || chain.has("request") || listensToLlm(flow)
  )
}

/** The request's half: `authenticate`, `requestHeaders`, the body if somebody wants it, `request`, `llmRequest`. */
async function readRequest(flow: FlowState): Promise<void> {
  const { chain } = flow
  if (isAuthenticated(flow)) {
    const asking = authenticateFlow(flow)
    if (asking !== undefined) await flow.orFail(asking)
    flow.check()
    if (flow.exchange.replied !== undefined) return
  }
  const heads = chain.run("requestHeaders", flow, flow)
  if (heads !== undefined) await heads
  flow.check()
  if (flow.exchange.replied !== undefined) return
  const dialect = listensToLlm(flow) ? flow.clientDialect : undefined
  if (chain.collect || dialect !== undefined) await collect(flow)
  markWhole(flow)
  const requests = chain.run("request", flow, flow)
  if (requests !== undefined) await requests
  flow.check()
  markWhole(flow)
  if (dialect !== undefined && flow.exchange.replied === undefined) await announce(flow, dialect)
}

/** The request is whole, if there is no body or it was collected; else request-sender.ts comes to its end. */
function markWhole(flow: FlowState): void {
  if (flow.request.collected || flow.exchange.delivery.client.body.length === 0) flow.mark("requestMs")
}

function listensToLlm({ chain, origin }: FlowState): boolean {
  return origin.dialect !== undefined || chain.readsLlm
}

/** Collects the body. What cannot be collected streams on unread, unless an addon insists on reading it. */
async function collect(flow: FlowState): Promise<void> {
  try {
    await flow.request.collect()
    if (flow.request.decodeError !== undefined) throw flow.request.decodeError
  } catch (thrown) {
    flow.check()
    const unreadable = thrown instanceof FlowError && UNREADABLE.has(thrown.code)
    if (!unreadable || insistsOnBody(flow.chain)) throw thrown
    markUnparsed(flow, thrown.message)
  }
}

/** The body came whole, or is still to come, but cannot be read here. Anything else means that it broke off. */
const UNREADABLE: ReadonlySet<string> = new Set([
  "body-too-large",
  "bad-encoding",
  "unknown-encoding",
  "decoded-too-large",
])

function markUnparsed(flow: FlowState, why: string): void {
  flow.unparsed = why
  flow.core.log.warn(`${flow.request.method} ${flow.request.host}: not read as LLM traffic: ${why}`)
}

/** Fires `llmRequest` for a body that is a request of `dialect`, and writes back what addons changed. */
async function announce(flow: FlowState, dialect: Dialect): Promise<void> {
  if (!flow.request.readable) return
  const llm = readLlmRequest(dialect, flow.request.bytes, flow.request.path)
  if (typeof llm === "string") {
    if (insistsOnBody(flow.chain))
      throw new FlowError("client", "unparsable-body", `${llm}, and an addon has to read it`)
    markUnparsed(flow, llm)
    return
  }
  flow.llm = llm
  llm.announced = true
  // LlmFlow is this flow from here on: `llm` is set.
  const told = flow.chain.run("llmRequest", flow, flow as FlowState & { llm: typeof llm })
  if (told !== undefined) await told
  flow.check()
  const edited = llm.editedBody()
  if (edited !== undefined) flow.request.replace(edited)
  if (flow.chain.hold && flow.request.headers.has("accept-encoding"))
    flow.request.headers.set("Accept-Encoding", "identity")
}

function asFlowError(thrown: unknown): FlowError {
  if (thrown instanceof FlowError) return thrown
  return internalError(`llmproxy failed: ${messageOf(thrown)}`, thrown, 500)
}
