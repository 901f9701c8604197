/**
 * What is known of one client connection, through CONNECT and TLS: the socket changes, this object stays.
 */
import type { Socket } from "node:net"
import { type Authority, canonicalAddress } from "../io/authority.ts"
import type { ClientLink, ClientTls } from "../streams.ts"

let lastId = 0

export class ClientConnection implements ClientLink {
  readonly id: number
  readonly address: string
  readonly port: number
  user: string | undefined
  identity: ClientLink["identity"]
  tls: ClientTls | undefined
  fromOpenListener = false
  reverse = false
  tunnelSni: string | undefined
  via: string | undefined
  /** Everything that comes on it goes to one server: it knows of no proxy, or has opened a tunnel. */
  singleOrigin = false
  proxied = false
  bound: ClientLink["bound"]
  onBoundLost: () => void = () => {}
  connectTo: Authority | undefined

  constructor(socket: Pick<Socket, "remoteAddress" | "remotePort">) {
    this.id = ++lastId
    this.address = canonicalAddress(socket.remoteAddress ?? "unknown")
    this.port = socket.remotePort ?? 0
  }
}
