/**
 * What the sockets need to know: limits, timeouts and where requests to our own address go. Options of the command
 * line are mapped onto this in app.ts; every field has its unit in its name or its comment.
 */

import type { TLSSocket } from "node:tls"
import type { KeyPair } from "../../certs/key-pair.ts"
import { DEFAULT_TLS_VERSIONS, type TlsVersions } from "../../certs/tls-versions.ts"
import { DEFAULT_HEAD_LIMITS, type HeadLimits } from "../http1/message.ts"
import type { BypassRule } from "./io/bypass.ts"

/** curl's --connect-to: connections to host:port go to address:port. An empty host or an undefined port fits all. */
export interface ConnectToRule {
  readonly host: string
  readonly port: number | undefined
  readonly toHost: string
  readonly toPort: number | undefined
}

/** Who may use the proxy with a password; access/rules.ts reads it. */
export interface ProxyUser {
  readonly name: string
  readonly secret: { readonly kind: "password" | "hash"; readonly text: string }
}

/** An address range: all addresses that share the first `prefix` bits. */
export interface AddressRange {
  readonly address: string
  readonly prefix: number
  readonly family: "ipv4" | "ipv6"
}

/** What is shown to upstreams that ask for a certificate; client-certificates.ts reads it. */
export interface ClientCertificates {
  /** For every host that has none of its own. */
  readonly everywhere: KeyPair | undefined
  readonly hosts: ReadonlyMap<string, KeyPair>
}

export const NO_CLIENT_CERTIFICATES: ClientCertificates = { everywhere: undefined, hosts: new Map() }

/** Takes the secrets of TLS connections: keylog.ts writes them. */
export interface KeyLogging {
  /** From now on, until the socket closes. */
  watch(socket: TLSSocket): void
  close(): void
}

export interface ProxySettings {
  readonly head: HeadLimits
  /** Where origin-form requests to our own address go. */
  readonly baseUpstream: URL
  /** Names besides IP literals and localhost that a request to our own address may carry in Host. */
  readonly baseHosts: readonly string[]
  /** Values of Origin that may call our own address. */
  readonly baseOrigins: readonly string[]
  readonly connectTo: readonly ConnectToRule[]
  /** Hosts that a mode upstream's proxy is not asked for. */
  readonly upstreamBypass: readonly BypassRule[]
  /** PEM certificates to trust besides the system's. */
  readonly upstreamCa: readonly string[]
  /** False: upstream certificates are not verified. */
  readonly verify: boolean
  /** `host:port` that matches is relayed unseen. */
  readonly ignoreHosts: readonly RegExp[]
  /** When not empty: only `host:port` that matches is intercepted. */
  readonly allowHosts: readonly RegExp[]
  /** Who may use the proxy; when empty, nobody has to authenticate. */
  readonly proxyUsers: readonly ProxyUser[]
  /** Whose clients may connect, besides this machine's. When empty: anybody's that authenticate, else nobody's. */
  readonly allowClients: readonly AddressRange[]
  /** Clients of listeners that other machines reach may name what only means something here, as 127.0.0.1. */
  readonly allowPrivate: boolean
  /** Proxies of ours whose X-Forwarded-For is believed. When there are some, no client counts as this machine's. */
  readonly trustedProxies: readonly AddressRange[]
  /** Client connections at a time; further ones are closed unanswered. */
  readonly clientConnections: number
  /** What is shown to upstreams that ask for a certificate. */
  readonly clientCertificates: ClientCertificates
  /** The versions of TLS towards upstreams; those towards clients are the leaves' affair. */
  readonly upstreamTls: TlsVersions
  /** A leaf names what the upstream's own certificate names, for which that is connected to first. */
  readonly mirrorSans: boolean
  /** A host whose client does not accept our certificate is relayed unseen to that client for a while. */
  readonly passthroughPinned: boolean
  /** Where the secrets of TLS connections go, if anywhere. */
  readonly keyLog: KeyLogging | undefined
  /** Bytes of one body that may be collected, kept or held. */
  readonly bodyLimit: number
  /** Bytes that all flows together may hold. */
  readonly memoryLimit: number
  /** Bytes of an answer that are read when its client has left, where an addon wants to know its end. */
  readonly drainLimit: number
  /** And for how long. */
  readonly drainLimitMs: number
  /** A request head, a ClientHello and a TLS handshake must be whole within this. */
  readonly headerTimeoutMs: number
  /** A client connection between two requests, or a tunnel in which nothing moves. */
  readonly idleTimeoutMs: number
  /** Name resolution, TCP and TLS of an upstream connection. */
  readonly connectTimeoutMs: number
  /** An exchange in which neither side has sent a byte. */
  readonly stallTimeoutMs: number
  /** After this a waiting SSE client gets keep-alive comments. */
  readonly keepAliveMs: number
  /** HTTP/2 is offered to upstreams. */
  readonly upstreamHttp2: boolean
  /** Connections to one origin at a time; further requests wait. */
  readonly upstreamConnections: number
  /** An idle upstream connection is closed after this. */
  readonly upstreamIdleMs: number
  /** After CONNECT, a client that stays silent for this long may be waiting for the server to speak first. */
  readonly silentClientMs: number
  /** At reverse listeners Host goes to the upstream as the client sent it. */
  readonly keepHostHeader: boolean
  /** Where redirected clients are sent whose destination the system does not tell. Undefined: 443 with TLS, else 80. */
  readonly transparentPort: number | undefined
}

export const DEFAULT_SETTINGS: ProxySettings = {
  head: DEFAULT_HEAD_LIMITS,
  baseUpstream: new URL("https://api.openai.com"),
  baseHosts: [],
  baseOrigins: [],
  connectTo: [],
  upstreamBypass: [],
  upstreamCa: [],
  verify: true,
  ignoreHosts: [],
  allowHosts: [],
  proxyUsers: [],
  allowClients: [],
  allowPrivate: false,
  trustedProxies: [],
  clientConnections: 10_000,
  clientCertificates: NO_CLIENT_CERTIFICATES,
  upstreamTls: DEFAULT_TLS_VERSIONS,
  mirrorSans: false,
  passthroughPinned: false,
  keyLog: undefined,
  bodyLimit: 33_554_432,
  memoryLimit: 536_870_912,
  drainLimit: 1_048_576,
  drainLimitMs: 60_000,
  headerTimeoutMs: 30_000,
  idleTimeoutMs: 300_000,
  connectTimeoutMs: 15_000,
  stallTimeoutMs: 900_000,
  keepAliveMs: 5_000,
  upstreamHttp2: true,
  upstreamConnections: 256,
  upstreamIdleMs: 30_000,
  silentClientMs: 300,
  keepHostHeader: false,
  transparentPort: undefined,
}
