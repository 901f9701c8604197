/**
 * What a redirected client (--mode transparent) is connected to: the destination that the system tells, and the name
 * that its first bytes say. Refuses what would go round: connections that nobody redirected, and our own.
 */
import { FlowError } from "../../base/errors.ts"
import { type Authority, hostAndPort, normalHost, parseAuthority } from "../io/authority.ts"
import type { SelfGuard } from "../upstream/self.ts"
import type { ClientConnection } from "./client-connection.ts"
import { readHello } from "./client-hello.ts"
import type { Peeked } from "./peek.ts"
import type { Place } from "./place.ts"

type Tunnel = Extract<Place, { kind: "tunnel" }>

/** Throws a FlowError where the client was led to us by nobody, or is ourselves. Once its first bytes are there. */
export function checkRedirected(client: ClientConnection, original: Authority | undefined, self: SelfGuard): void {
  if (self.isOwnDial(client.address, client.port))
    throw loop("a connection of the proxy itself was redirected to it; exempt its user, as `llmproxy doctor` prints")
  if (original !== undefined && self.isSelf(original.host, original.port))
    throw loop(
      `nobody redirected this connection to ${hostAndPort(original.host, original.port)}; it was made directly`,
    )
}

function loop(what: string): FlowError {
  return new FlowError("client", "loop", `refused, because it would go round: ${what}`, { status: 508 })
}

/** `port`: where to go if the system does not tell; undefined: the usual one. Throws a FlowError if nobody tells. */
export async function redirectedPlace(
  peeked: Peeked,
  original: Authority | undefined,
  port: number | undefined,
): Promise<Tunnel> {
  if (peeked.kind === "tls") {
    const { sni } = await readHello(peeked.hello)
    const host = (sni === undefined ? undefined : normalHost(sni)) ?? original?.host
    if (host !== undefined) return { kind: "tunnel", scheme: "http", host, port: original?.port ?? port ?? 443 }
  } else if (peeked.kind === "http" || peeked.kind === "http2") {
    const { host, port: to } = original ?? { host: "", port: port ?? 80 }
    return { kind: "tunnel", scheme: "http", host, port: to, byName: true }
  } else if (original !== undefined) return { kind: "tunnel", scheme: "http", ...original }
  throw new FlowError(
    "client",
    "no-destination",
    "where this connection was going is not known: the system does not tell, and it names no host",
  )
}

/** What Host says in the first bytes of a request, as far as they have come. */
export function firstHost(bytes: Buffer): string | undefined {
  const field = /\r?\nhost:[ \t]*([^\r\n]*?)[ \t]*\r?\n/i.exec(bytes.toString("latin1"))?.[1]
  return field === undefined ? undefined : parseAuthority(field, 80)?.host
}
