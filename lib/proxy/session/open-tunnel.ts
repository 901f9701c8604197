/**
 * A connection of its own to an upstream, for bytes that are relayed unseen. It never enters the pool.
 */
import type { Socket } from "node:net"
import type { ExchangeCore } from "../flow/core.ts"
import { wayOut } from "../io/bypass.ts"
import { mayNameOuterOnly } from "../upstream/inner-addresses.ts"
import { connectToRule, type Target } from "../upstream/target.ts"
import type { ClientConnection } from "./client-connection.ts"
import type { Place } from "./place.ts"

/**
 * Rejects with a FlowError. `sni`: the name for TLS, where the tunnel's inside is encrypted again. Only what the
 * client's own handshake agreed on is offered there, because the bytes inside will be that.
 */
export async function openTunnel(
  core: ExchangeCore,
  connection: ClientConnection,
  place: Extract<Place, { kind: "tunnel" }>,
  sni: string | undefined,
): Promise<Socket> {
  const { scheme, host, port } = place
  const { via: usual, connectTo: wanted, tls } = connection
  const rule = connectToRule(core.settings, host, port)
  const connectTo = rule ?? wanted
  const outerOnly = rule === undefined && mayNameOuterOnly(core.settings, connection)
  const via = wayOut(core.settings, usual, { host, port })
  const { verify } = core.settings
  const target: Target = { scheme, protocol: "auto", host, port, sni, connectTo, via, ca: undefined, verify, outerOnly }
  const { socket } = await core.upstream.dial(target, tls?.alpn === undefined ? [] : [tls.alpn])
  return socket
}
