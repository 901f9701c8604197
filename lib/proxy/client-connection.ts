/**
 * What is known of one client connection, through CONNECT and TLS: the socket changes, this object stays.
 */
import type { Socket } from "node:net"
import { type Authority, canonicalAddress } from "./authority.ts"

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
  /** The server name of a TLS handshake inside a CONNECT tunnel: what the upstream is asked for as well. */
  tunnelSni: string | undefined
  /** The proxy that what this connection asks for goes through, credentials included: of its listener's mode. */
  via: string | undefined
  /** Where the connection was going before it was redirected to us; requests name their host, and go there. */
  connectTo: Authority | undefined

  constructor(socket: Pick<Socket, "remoteAddress" | "remotePort">) {
    this.id = ++lastId
    this.address = canonicalAddress(socket.remoteAddress ?? "unknown")
    this.port = socket.remotePort ?? 0
  }
}
