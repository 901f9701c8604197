/**
 * How a 101 is delivered: the head, then the two byte streams behind it are joined. They are relayed as bytes, unseen,
 * unless it is a WebSocket that an addon listens to, or that speaks with a model while somebody listens to that.
 */
import type { Duplex } from "node:stream"
import { FlowError } from "../../base/errors.ts"
import { readExtensions } from "../../websocket/extensions.ts"
import type { ClientDelivery } from "../body/client-delivery.ts"
import { socketDialectFor } from "../body/observe.ts"
import type { FlowCore } from "../flow/core.ts"
import { insistsOnMessages } from "../flow/insist.ts"
import { relay } from "../io/tunnel.ts"
import { relayWebSocket, type WebSocketPlan } from "./relay.ts"

/** Resolves when both sides have ended. Rejects with the flow's error. */
export async function upgrade(flow: FlowCore, tunnel: () => Duplex, delivery: ClientDelivery): Promise<void> {
  const { response, core } = flow
  if (response === undefined) return
  const { status, reason, headers } = response
  const plan = planFor(flow) // May refuse the upgrade: before it is agreed to.
  delivery.agree({ status, reason, headers })
  const upstream = tunnel()
  const client = delivery.client.tunnel()
  if (plan !== undefined) return relayWebSocket(flow, { client, upstream }, plan)
  flow.onFail(() => upstream.destroy())
  await relay(client, upstream, core.clock, core.settings.idleTimeoutMs)
  flow.check()
}

/** What is to be read of the connection; undefined: nothing. Throws where an addon insists on what cannot be read. */
function planFor({ chain, request, response, core }: FlowCore): WebSocketPlan | undefined {
  const headers = response?.headers
  if (headers?.get("upgrade")?.trim().toLowerCase() !== "websocket") return undefined
  const dialect = chain.readsLlm ? socketDialectFor(request.path) : undefined
  const messages = chain.has("websocketMessage")
  if (dialect === undefined && !messages && !chain.has("websocketStart") && !chain.has("websocketEnd")) return undefined
  const extensions = headers.getAll("sec-websocket-extensions").join(", ") || undefined
  const { deflate, unknown } = readExtensions(extensions)
  if (unknown === undefined) {
    const subprotocol = headers.get("sec-websocket-protocol")
    return { dialect, messages, deflate, terms: { subprotocol, extensions } }
  }
  const message = `the server chose WebSocket extensions that cannot be read here (${unknown}), and an addon has to read`
  if (insistsOnMessages(chain, dialect !== undefined)) throw new FlowError("upstream", "unreadable-websocket", message)
  core.log.warn(`${request.method} ${request.host}: the WebSocket is passed on unread: unknown extensions ${unknown}`)
  return undefined
}
