/**
 * Makes an upstream connection: name, TCP, an HTTP proxy on the way, TLS. Every failure says what was attempted and
 * that the request was not sent.
 */
import { type LookupAddress, lookup } from "node:dns"
import { connect as connectTcp, isIP, type Socket } from "node:net"
import { type ConnectionOptions, connect as connectTls, TLSSocket } from "node:tls"
import type { Clock } from "../../base/clock.ts"
import { FlowError, messageOf, systemCodeOf } from "../../base/errors.ts"
import type { HeadLimits } from "../../http1/message.ts"
import { canonicalAddress, hostAndPort } from "../io/authority.ts"
import { viaForPeople, viaProxy } from "../io/via-address.ts"
import type { ServerInfo } from "../streams.ts"
import { certificateFailure, checkIdentity, UNTRUSTED } from "../tls/certificate-failure.ts"
import type { TrustStore } from "../tls/trust-store.ts"
import { innerError, isInner } from "./inner-addresses.ts"
import { loopError, type SelfGuard } from "./self.ts"
import type { Target } from "./target.ts"
import { secureProxy, tunnelThrough } from "./via.ts"

export interface DialOptions {
  readonly clock: Clock
  readonly connectTimeoutMs: number
  readonly head: HeadLimits
  readonly self: SelfGuard
  readonly trust: TrustStore
  /** Protocols to offer in the TLS handshake (RFC 7301), best first. Default: HTTP/1.1. */
  readonly alpn?: readonly string[]
  /** Resolves names. Default: the system's resolver. */
  readonly lookup?: Lookup | undefined
  /** The TLS session of an earlier connection to the same target. */
  readonly session: Buffer | undefined
  onSession(session: Buffer): void
}

export interface Dialled {
  readonly socket: Socket
  readonly info: ServerInfo
}

let lastId = 0

/** Rejects with a FlowError: 502, 504 for a timeout, 508 when the address is our own. */
export async function dial(target: Target, options: DialOptions): Promise<Dialled> {
  const attempt = new Attempt(target, options)
  try {
    const tcp = await attempt.tcp()
    const tls = target.scheme === "https" ? await attempt.tls(tcp) : undefined
    return { socket: tls ?? tcp, info: infoOf(target, tcp, tls) }
  } catch (thrown) {
    attempt.abandon()
    throw thrown
  } finally {
    attempt.finish()
  }
}

/** One dial under one timeout. */
class Attempt {
  #target: Target
  #options: DialOptions
  #timedOut: Promise<never>
  #cancelTimer: () => void
  readonly #sockets: Socket[] = []

  constructor(target: Target, options: DialOptions) {
    this.#target = target
    this.#options = options
    let expire: (error: FlowError) => void = () => {}
    this.#timedOut = new Promise((_, reject) => {
      expire = reject
    })
    this.#timedOut.catch(() => {})
    const timer = options.clock.after(options.connectTimeoutMs, () => {
      expire(this.#failure("connect-timeout", `no connection within ${options.connectTimeoutMs} ms`, undefined, 504))
      this.abandon()
    })
    this.#cancelTimer = () => timer.cancel()
  }

  finish(): void {
    this.#cancelTimer()
  }

  /** Whatever was made on the way is closed. */
  abandon(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async tcp(): Promise<Socket> {
    const { via, forward, verify } = this.#target
    const to = this.#target.connectTo ?? this.#target
    const proxy = via === undefined ? undefined : viaProxy(via)
    const tcp = await this.#connect(proxy ?? to, proxy === undefined && this.#target.outerOnly === true)
    this.#options.self.dialled(tcp)
    if (proxy === undefined) return tcp
    const tls = { secureContext: this.#options.trust.context(undefined), verify }
    const socket = proxy.scheme === "https" ? await Promise.race([secureProxy(tcp, proxy, tls), this.#timedOut]) : tcp
    if (forward !== true) await Promise.race([tunnelThrough(socket, proxy, to, this.#options.head), this.#timedOut])
    return socket
  }

  #connect(to: { host: string; port: number }, outerOnly: boolean): Promise<Socket> {
    this.#options.self.check(to.host, to.port)
    if (outerOnly && isInner(to.host)) throw innerError(to.host, to.port)
    const socket = connectTcp({
      host: to.host,
      port: to.port,
      noDelay: true,
      // Tunnels end each direction by itself; Http1Upstream closes what has ended.
      allowHalfOpen: true,
      lookup: this.#lookup(to, outerOnly),
      autoSelectFamily: true,
    })
    this.#sockets.push(socket)
    return Promise.race([this.#opened(socket, "connect"), this.#timedOut])
  }

  /** Resolves names ourselves, to see before the connection is made whether a name means the proxy itself, or its machine. */
  #lookup(to: { host: string; port: number }, outerOnly: boolean): Lookup {
    const resolve: Lookup =
      this.#options.lookup ?? ((name, options, done) => lookup(name, { ...options, all: true }, done))
    return (hostname, options, callback) => {
      resolve(hostname, options, (error, addresses) => {
        const own = error === null && addresses.some(({ address }) => this.#options.self.isSelf(address, to.port))
        const inner = outerOnly && error === null && addresses.some(({ address }) => isInner(address))
        if (own) callback(loopError(to.host, to.port), [])
        else if (inner) callback(innerError(to.host, to.port), [])
        else callback(error, addresses ?? [])
      })
    }
  }

  tls(tcp: Socket): Promise<TLSSocket> {
    const { target, options } = { target: this.#target, options: this.#options }
    const name = target.sni ?? target.host
    const settings: ConnectionOptions = {
      socket: tcp,
      host: name,
      servername: isIP(name) === 0 ? name : "",
      ALPNProtocols: [...(options.alpn ?? ["http/1.1"])],
      rejectUnauthorized: target.verify,
      checkServerIdentity: checkIdentity,
      secureContext: options.trust.context(target.ca, name),
      ...(options.session === undefined ? {} : { session: options.session }),
    }
    const socket = connectTls(settings)
    this.#sockets.push(socket)
    socket.on("session", options.onSession)
    options.trust.keyLog?.watch(socket)
    return Promise.race([this.#opened(socket, "secureConnect"), this.#timedOut])
  }

  #opened<S extends Socket>(socket: S, event: "connect" | "secureConnect"): Promise<S> {
    return new Promise((resolve, reject) => {
      const onError = (thrown: unknown) => {
        socket.destroy()
        const refused = socket instanceof TLSSocket ? certificateFailure(socket, thrown) : undefined
        if (refused !== undefined) reject(this.#failure(UNTRUSTED, refused, thrown))
        else reject(thrown instanceof FlowError ? thrown : this.#explain(thrown))
      }
      socket.once("error", onError)
      socket.once("close", () => reject(this.#failure("connection-closed", "closed during the handshake")))
      socket.once(event, () => {
        socket.off("error", onError)
        // Between here and the connection's own listener an error must not take the process down.
        socket.on("error", () => {})
        resolve(socket)
      })
    })
  }

  #explain(thrown: unknown): FlowError {
    const code = systemCodeOf(thrown) ?? "unknown"
    const known = REASONS[code]
    if (known !== undefined) return this.#failure(known[0], `${known[1]} (${code})`, thrown)
    if (/^ERR_SSL_|^EPROTO$/.test(code)) {
      const what = `TLS handshake failed: ${reasonOf(thrown)} (${code}); does the server speak TLS there?`
      return this.#failure("tls-failed", what, thrown)
    }
    return this.#failure("connect-failed", `${messageOf(thrown)} (${code})`, thrown)
  }

  #failure(code: string, what: string, cause?: unknown, status = 502): FlowError {
    const { host, port, via, connectTo } = this.#target
    const through = via === undefined ? "" : ` through ${viaForPeople(via)}`
    const to = connectTo === undefined ? "" : ` at ${hostAndPort(connectTo.host, connectTo.port)}`
    const message = `connect ${hostAndPort(host, port)}${to}${through}: ${what}; the request was not sent`
    return new FlowError("upstream", code, message, { status, cause })
  }
}

/** Resolves a name to all of its addresses. */
export type Lookup = (
  hostname: string,
  options: object,
  callback: (error: Error | null, addresses: LookupAddress[]) => void,
) => void

const REASONS: Readonly<Record<string, readonly [code: string, what: string]>> = {
  ECONNREFUSED: ["connection-refused", "refused; is a server running there?"],
  ENOTFOUND: ["name-not-found", "no such host"],
  EAI_AGAIN: ["name-not-found", "the name could not be resolved"],
  ECONNRESET: ["connection-reset", "reset during the handshake"],
  EHOSTUNREACH: ["unreachable", "no way to that host"],
  ENETUNREACH: ["unreachable", "no way to that network"],
  ETIMEDOUT: ["connect-timeout", "no answer"],
}

/** OpenSSL's reason, without its addresses and file names. */
function reasonOf(thrown: unknown): string {
  return thrown instanceof Error && "reason" in thrown ? String(thrown.reason) : messageOf(thrown)
}

function infoOf(target: Target, tcp: Socket, tls: TLSSocket | undefined): ServerInfo {
  return {
    id: ++lastId,
    host: target.host,
    port: target.port,
    connectTo: target.connectTo,
    address: canonicalAddress(tcp.remoteAddress ?? ""),
    tls:
      tls === undefined
        ? undefined
        : { version: tls.getProtocol() ?? "", cipher: tls.getCipher().name, alpn: tls.alpnProtocol || undefined },
  }
}
