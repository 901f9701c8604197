/**
 * `flow.send`: asks an upstream in a flow of its own, whose client is this process. The parent's client sees nothing of
 * it; every addon but the sender does.
 */

import type { Answer, SendOptions, SendRequest } from "../../api/flow.ts"
import type { Timer } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import { dialectFor, dialectNamed } from "../body/observe.ts"
import type { AddonFlow } from "../flow/addon-flow.ts"
import type { ExchangeCore, FlowCore } from "../flow/core.ts"
import { exchange } from "../flow/exchange.ts"
import { asBuffer } from "../flow/request.ts"
import { FlowState } from "../flow/state.ts"
import { defaultPort, formatAuthority, normalHost } from "../io/authority.ts"
import type { StreamRequestHead } from "../streams.ts"
import { Route } from "../upstream/route.ts"
import { AnswerState } from "./answer.ts"
import { InnerClient } from "./inner-client.ts"

/** Resolves when `options.until` is reached or the answer has failed. Rejects only when the parent has failed. */
export async function sendChild(
  core: ExchangeCore,
  parent: FlowCore,
  request: SendRequest,
  options: SendOptions,
  sender: AddonFlow | undefined,
): Promise<Answer> {
  parent.check()
  const route = Route.ofSent(options)
  const body = bodyOf(request)
  const head = headOf(request, options.url)
  const inner = new InnerClient(parent.connection, head, body)
  const chain = sender === undefined ? parent.chain : parent.chain.without(sender.addon)
  const dialect = options.dialect === undefined ? dialectFor(head.method, head.path) : dialectNamed(options.dialect)
  const child = new FlowState(core, inner, chain, { parent, dialect, route })
  // A child whose answer is complete has nothing left to abort.
  const independent = parent.onFail((reason) => {
    if (!inner.over) child.leave(reason)
  })
  const answer = new AnswerState(child, inner, dialect, { transform: options.transform, sender })
  const deadline = startDeadline(child, options)
  void exchange(child).then(independent)
  await answer.until(options.until ?? "delta")
  deadline?.cancel()
  parent.check()
  return answer
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
