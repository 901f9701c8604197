/**
 * What is known of one client connection, through CONNECT and TLS: the socket changes, this object stays.
 */
import type { Socket } from "node:net"
import { type Authority, canonicalAddress } from "./authority.ts"
import type { BoundUpstreams } from "./bound-upstream.ts"

export interface ClientTls {
  readonly sni: string | undefined
  readonly alpn: string | undefined
  readonly version: string
}

let lastId = 0

export class ClientConnection {
  /** Unique in the process. */
  readonly id: number
  readonly address: string
  readonly port: number
  /** The user that authenticated at the proxy, if that was asked for. */
  user: string | undefined
  tls: ClientTls | undefined
  /** It came to a listener that other machines can reach. */
  fromOpenListener = false
  /** It takes us for the server that it wants. */
  reverse = false
  /** The server name of a TLS handshake inside a CONNECT tunnel: what the upstream is asked for as well. */
  tunnelSni: string | undefined
  /** The proxy that what this connection asks for goes through, credentials included: of its listener's mode. */
  via: string | undefined
  /** Everything that comes on it goes to one server: it knows of no proxy, or has opened a tunnel. */
  singleOrigin = false
  /** It is at our own address, where requests name their servers. */
  proxied = false
  /** Upstream connections that it has authenticated. */
  bound: BoundUpstreams | undefined
  /** One of them has ended: closes this one where all that it asks for goes there. */
  onBoundLost: () => void = () => {}
  /** Where the connection was going before it was redirected to us; requests name their host, and go there. */
  connectTo: Authority | undefined

  constructor(socket: Pick<Socket, "remoteAddress" | "remotePort">) {
    this.id = ++lastId
    this.address = canonicalAddress(socket.remoteAddress ?? "unknown")
    this.port = socket.remotePort ?? 0
  }
}
