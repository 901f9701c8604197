/**
 * Asks an upstream in a flow of its own, whose client is this process: for a flow (`flow.send`), whose client sees nothing
 * of it, or for an addon by itself (addon-sends.ts). Every addon but the sender sees it.
 */

import type { Answer, SendOptions, SendRequest } from "../../api/flow.ts"
import { expectMany } from "../../base/aborts.ts"
import type { Timer } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import type { HookChain, Sender } from "../../loader/chain.ts"
import { dialectFor, dialectNamed } from "../body/observe.ts"
import type { ExchangeCore, FlowCore } from "../flow/core.ts"
import { exchange } from "../flow/exchange.ts"
import { asBuffer } from "../flow/request.ts"
import { type FlowOrigin, FlowState } from "../flow/state.ts"
import { defaultPort, formatAuthority, normalHost } from "../io/authority.ts"
import { atBaseUpstream } from "../io/base-upstream.ts"
import type { ClientLink, StreamRequestHead } from "../streams.ts"
import { Route } from "../upstream/route.ts"
import { AnswerState } from "./answer.ts"
import { InnerClient } from "./inner-client.ts"

/** Resolves when `options.until` is reached or the answer has failed. Rejects when the parent has failed, or it was stopped. */
export async function sendChild(
  core: ExchangeCore,
  parent: FlowCore,
  request: SendRequest,
  options: SendOptions,
  sender: Sender | undefined,
): Promise<Answer> {
  parent.check()
  const chain = sender === undefined ? parent.chain : parent.chain.without(sender.addon)
  const sent = sendNow({ core, connection: parent.connection, chain, origin: { parent }, sender }, request, options)
  const independent = parent.onFail((reason) => sent.leave(reason))
  void sent.ended.then(independent)
  parent.hasChild(sent.ended)
  try {
    return await sent.answered()
  } finally {
    parent.check()
  }
}

/** Who asks, and who hears of it. */
interface Asking {
  readonly core: ExchangeCore
  readonly connection: ClientLink
  readonly chain: HookChain
  readonly origin: Pick<FlowOrigin, "parent" | "addon" | "client">
  readonly sender: Sender | undefined
}

/** A flow that was sent, and runs. */
export interface Sent {
  /** Resolves when its last hook has run. */
  readonly ended: Promise<void>
  /** Resolves when `options.until` is reached or the answer has failed. Rejects with the reason when it was stopped. */
  answered(): Promise<Answer>
  /** Nobody waits for it any more; one whose answer is complete has nothing left to end. */
  leave(reason: FlowError): void
  /** The same, and who waits for the answer is told. */
  stop(reason: FlowError): void
}

/** Throws a TypeError for what cannot be sent, and a FlowError when `options.signal` is aborted. */
export function sendNow(asking: Asking, request: SendRequest, given: SendOptions): Sent {
  const { core, connection, chain, sender } = asking
  const baseUrl = given.url.startsWith("/")
  const options = baseUrl ? { ...given, url: baseUrlOf(given.url, core.settings.baseUpstream) } : given
  const { signal, keepLocal } = options
  if (signal?.aborted) throw aborted(options, signal)
  const route = Route.ofSent(options)
  const body = bodyOf(request)
  const head = headOf(request, options.url)
  const inner = new InnerClient(connection, head, body, baseUrl)
  const dialect = options.dialect === undefined ? dialectFor(head.method, head.path) : dialectNamed(options.dialect)
  const child = new FlowState(core, inner, chain, { ...asking.origin, dialect, route })
  if (keepLocal !== undefined) child.keepLocal(keepLocal.reason, keepLocal.urls)
  let stopped: FlowError | undefined
  const leave = (reason: FlowError) => {
    if (!inner.over) child.leave(reason)
  }
  const stop = (reason: FlowError) => {
    stopped ??= reason
    leave(reason)
  }
  const onAbort = () => signal && stop(aborted(options, signal))
  if (signal !== undefined) expectMany(signal).addEventListener("abort", onAbort)
  const answer = new AnswerState(child, inner, dialect, { transform: options.transform, sender })
  const deadline = startDeadline(child, options)
  const ended = exchange(child).then(() => signal?.removeEventListener("abort", onAbort))
  const answered = async () => {
    await answer.until(options.until ?? "delta")
    deadline?.cancel()
    if (stopped !== undefined) throw stopped
    return answer
  }
  return { ended, answered, leave, stop }
}

/** The absolute URL of a path at the proxy's own address. Throws a TypeError. */
function baseUrlOf(target: string, baseUpstream: URL): string {
  const { scheme, host, port, path } = atBaseUpstream(baseUpstream, target)
  const url = `${scheme}://${formatAuthority(host, port, scheme)}${path}`
  if (target.startsWith("//") || !URL.canParse(url)) throw new TypeError(`flow.send: ${target} is no path`)
  return url
}

function aborted({ url }: SendOptions, { reason }: AbortSignal): FlowError {
  return new FlowError("addon", "aborted", `send ${url}: its signal was aborted`, { cause: reason })
}

/** `timeoutMs`: the child fails then. */
function startDeadline(child: FlowState, { timeoutMs, url }: SendOptions): Timer | undefined {
  if (timeoutMs === undefined) return undefined
  return child.core.clock.after(timeoutMs, () =>
    child.fail(new FlowError("upstream", "timeout", `${url}: no answer within ${timeoutMs} ms`, { status: 504 })),
  )
}

function bodyOf({ json, text, bytes }: SendRequest): Buffer {
  if ([json, text, bytes].filter((content) => content !== undefined).length > 1)
    throw new TypeError("flow.send: a request has one of json, text and bytes; leave the others out")
  if (bytes !== undefined) return asBuffer(bytes, "flow.send: bytes")
  return Buffer.from(json === undefined ? (text ?? "") : JSON.stringify(json))
}

function headOf(request: SendRequest, target: string): StreamRequestHead {
  const url = new URL(target)
  const scheme = url.protocol.slice(0, -1)
  const host = normalHost(url.hostname.replace(/^\[|\]$/g, ""))
  if ((scheme !== "http" && scheme !== "https") || host === undefined)
    throw new TypeError(`flow.send: ${target} is no http or https URL`)
  const port = Number(url.port || defaultPort(scheme))
  const headers = new Headers(request.headers)
  // Those of the request that an addon copied them from: this body is another one, and nobody waits before it.
  for (const name of ["content-encoding", "content-length", "expect", "transfer-encoding"]) headers.delete(name)
  headers.set("Host", formatAuthority(host, port, scheme))
  if (request.json !== undefined && !headers.has("content-type")) headers.set("Content-Type", "application/json")
  return {
    method: request.method ?? "POST",
    scheme,
    host,
    port,
    path: `${url.pathname}${url.search}`,
    headers,
    version: "HTTP/1.1",
    upgrade: undefined,
  }
}
