/**
 * One client connection from accept to close: peek, CONNECT, TLS, then requests one after the other. Each step hands
 * the socket to the next; what is not ours to read is relayed unseen.
 */
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { TLSSocket } from "node:tls"
import { FlowError, messageOf } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { RequestHead } from "../../http1/message.ts"
import { type HookChain, plainScope } from "../../loader/chain.ts"
import type { Access } from "../access/access.ts"
import { authenticateServed } from "../flow/authenticate.ts"
import type { ExchangeCore } from "../flow/core.ts"
import { exchange } from "../flow/exchange.ts"
import { CONCLUDING_MAX, RunningFlows } from "../flow/running-flows.ts"
import { FlowState } from "../flow/state.ts"
import { Http1Client, writeRefusal } from "../http1/client.ts"
import type { Http2Client } from "../http2/client.ts"
import { canonicalAddress, hostAndPort, parseAuthority } from "../io/authority.ts"
import { relay } from "../io/tunnel.ts"
import { acceptSocks, type SocksRequest } from "../socks/server.ts"
import type { ClientStream } from "../streams.ts"
import { CERTIFICATE_REJECTED } from "../tls/accept.ts"
import type { Interception } from "../tls/interception.ts"
import type { PinnedHost } from "../tls/pinning.ts"
import { ClientConnection } from "./client-connection.ts"
import { type ClientHello, readHello } from "./client-hello.ts"
import { firstToSpeak } from "./first-to-speak.ts"
import { answerAtDoor, authorise, type Door, type Serving } from "./front-door.ts"
import type { Mode } from "./mode.ts"
import { openTunnel } from "./open-tunnel.ts"
import { asAgreed, type Peeked, peek } from "./peek.ts"
import { isSingleOrigin, type Place, resolveHead, type Surroundings } from "./place.ts"
import { checkRedirected, firstHost, redirectedPlace } from "./redirected.ts"
import type { OriginalDestination } from "./transparent.ts"
import { askConnect, socksCheck } from "./tunnel-door.ts"
import { askHttpConnect, askTlsClientHello, isIgnored } from "./tunnel-hooks.ts"

export interface SessionContext {
  readonly core: ExchangeCore
  readonly access: Access
  /** Of the listener that the client came to. */
  readonly mode: Mode
  /** Whether that listener can be reached by other machines. */
  readonly isOpen: boolean
  /** Where redirected clients were going, if the system tells. */
  readonly destinationOf: OriginalDestination | undefined
  /** The chain for what begins now. */
  chain(): HookChain
  readonly interception: Interception
  /** What tells where requests go, whatever connection they come on. */
  readonly around: Omit<Surroundings, "place">
  /** What is served at our own address. */
  readonly serving: Serving | undefined
}

type Tunnel = Extract<Place, { kind: "tunnel" }>

/** Protocols that we can answer for. A client that offers others only is relayed unseen. */
const OUR_ALPN: readonly string[] = ["h2", "http/1.1", "http/1.0"]

export class Session {
  readonly socket: Socket
  readonly connection: ClientConnection
  readonly #flows = new RunningFlows()
  /** Tunnels whose bytes are passed on unread. */
  #relays = 0
  #context: SessionContext
  #client: Http1Client | undefined
  #http2: Http2Client | undefined
  #draining = false

  constructor(socket: Socket, context: SessionContext) {
    this.socket = socket
    this.#context = context
    this.connection = new ClientConnection(socket)
    this.connection.fromOpenListener = context.isOpen
    this.connection.reverse = context.mode.kind === "reverse"
    if (context.mode.kind === "upstream") this.connection.via = context.mode.via
    this.connection.onBoundLost = () => {
      if (this.connection.singleOrigin) this.drain()
    }
    socket.setNoDelay(true)
    // Sockets change hands below; an error that comes between two owners must not take the process down.
    socket.on("error", () => {})
  }

  /** Serves the connection to its end. Never rejects. */
  async run(): Promise<void> {
    const { core } = this.#context
    try {
      await this.#hook("clientConnected")
      await this.#serveMode()
    } catch (thrown) {
      this.socket.destroy()
      // Who does not accept our certificate has had a line of its own.
      const level = thrown instanceof FlowError && thrown.code === CERTIFICATE_REJECTED ? "debug" : "warn"
      core.log[level](`${hostAndPort(this.connection.address, this.connection.port)}: ${messageOf(thrown)}`)
    }
    if (!this.socket.destroyed) await new Promise((resolve) => this.socket.once("close", resolve))
    this.connection.bound?.close()
    await this.#flows.ended()
    await this.#hook("clientDisconnected").catch(() => {})
  }

  /** No further request: closes now if nothing is being answered, else after that. */
  drain(): void {
    this.#draining = true
    this.#http2?.drain()
    if (this.#http2 !== undefined || this.#relays > 0) return
    if (this.#client !== undefined && !this.#client.detached) this.#client.drain()
    else if (this.#flows.count === 0) this.socket.destroy()
  }

  async #hook(name: "clientConnected" | "clientDisconnected"): Promise<void> {
    const chain = this.#context.chain()
    if (chain.has(name)) await chain.run(name, plainScope(this.#context.core.log), this.connection)
  }

  async #serveMode(): Promise<void> {
    const { mode } = this.#context
    if (mode.kind === "socks5") return this.#serveSocks()
    if (mode.kind === "transparent") return this.#serveRedirected()
    await this.#serveOpen(this.socket, mode.kind === "reverse" ? mode : { kind: "open" }, true)
  }

  /** SOCKS5: its handshake says where to; what follows is a tunnel. */
  async #serveSocks(): Promise<void> {
    const { core, access } = this.#context
    const { address } = this.connection
    const authenticate = socksCheck(this.#context, this.connection)
    let request: SocksRequest | undefined
    let tunnel: Tunnel
    let upstream: Socket | undefined
    try {
      const { clock } = core
      request = await acceptSocks(this.socket, { clock, timeoutMs: core.settings.headerTimeoutMs, authenticate })
      const { host, port, user } = request
      if (access.required) this.connection.user = user
      tunnel = { kind: "tunnel", scheme: "http", host, port }
      core.upstream.self.check(host, port)
      // For what we only relay, the client hears at once whether the upstream can be reached.
      if (this.#isIgnored(host, port)) upstream = await openTunnel(core, this.connection, tunnel, undefined)
    } catch (thrown) {
      if (!(thrown instanceof FlowError)) throw thrown
      request?.refuse(thrown)
      // Who just left has done nothing wrong, and wrong passwords have their line already.
      const level = thrown.code === "gone" || thrown.code === "bad-credentials" ? "debug" : "warn"
      core.log[level](`${address}: ${thrown.message}`)
      return
    }
    request.accept()
    if (upstream !== undefined) await this.#relay(this.socket, upstream)
    else await this.#serveTunnel(this.socket, tunnel)
  }

  /** A client that was redirected here and knows nothing of us: the inside of a tunnel from its first byte on. */
  async #serveRedirected(): Promise<void> {
    const { socket, connection } = this
    const { core, destinationOf } = this.#context
    const { headerTimeoutMs, silentClientMs, transparentPort } = core.settings
    const original = destinationOf?.(socket)
    const silence = original === undefined ? {} : { silentMs: silentClientMs }
    const peeked = await peek(socket, { clock: core.clock, timeoutMs: headerTimeoutMs, ...silence })
    if (peeked.kind === "closed") return this.#closed(socket, peeked.why)
    checkRedirected(connection, original, core.upstream.self)
    connection.connectTo = original
    const place = await redirectedPlace(peeked, original, transparentPort)
    if (peeked.kind === "silent") return this.#serveSilent(socket, place)
    const named = peeked.kind === "http" ? firstHost(peeked.bytes) : undefined
    if (peeked.kind !== "http" || named === undefined || !this.#isIgnored(named, place.port))
      return this.#serveSeen(socket, place, peeked)
    socket.unshift(peeked.bytes)
    await this.#relay(socket, await openTunnel(core, connection, { ...place, host: named }, undefined))
  }

  /** At an address that is ours to answer. `tlsAllowed`: the client may begin TLS with us, once. */
  async #serveOpen(socket: Socket, place: Place, tlsAllowed: boolean): Promise<void> {
    const { core } = this.#context
    const seen = await peek(socket, { clock: core.clock, timeoutMs: core.settings.headerTimeoutMs })
    const peeked = asAgreed(socket, seen)
    if (peeked.kind === "closed") return this.#closed(socket, peeked.why)
    if (peeked.kind === "tls" && tlsAllowed) {
      const hello = await readHello(peeked.hello)
      const name = hello.sni ?? canonicalAddress(this.socket.localAddress ?? "127.0.0.1")
      const tls = await this.#acceptTls(socket, hello, name)
      this.connection.tls = { sni: hello.sni, alpn: tls.alpnProtocol || undefined, version: tls.getProtocol() ?? "" }
      return this.#serveOpen(tls, place, false)
    }
    if (peeked.kind === "http2") return this.#serveHttp2(socket, place)
    // Whatever else this is, the parser has the right words for it.
    await this.#serveHttp(socket, place, peeked.kind === "http" ? peeked.bytes : undefined)
  }

  async #serveHttp(socket: Duplex, place: Place, first: Buffer | undefined): Promise<void> {
    const { core } = this.#context
    this.#standsAt(place)
    const around = { place, ...this.#context.around }
    const door = this.#door(place)
    const client = new Http1Client(
      socket,
      {
        connection: this.connection,
        raw: this.socket,
        clock: core.clock,
        settings: core.settings,
        resolve: (head) => resolveHead(head, around),
        refused: (error) => core.log.warn(`${this.connection.address}: refused a request: ${error.message}`),
      },
      first,
    )
    this.#client = client
    if (this.#draining) client.drain()
    for (let next = await client.next(); next !== undefined; next = await client.next()) {
      if (next.kind === "connect") return this.#connect(client, next.head, place)
      const { stream } = next
      const answered = answerAtDoor(stream, door)
      if (answered !== undefined && (await answered)) continue
      const turn = this.#flows.begin(CONCLUDING_MAX)
      if (turn !== undefined) await turn
      void this.#serve(stream)
    }
  }

  /** The next request is read once this one's answer is out; its last hooks may run on. Never rejects. */
  #serve(stream: ClientStream): Promise<void> {
    return this.#flows.serve(new FlowState(this.#context.core, stream, this.#context.chain()), exchange)
  }

  async #serveHttp2(socket: Duplex, place: Place): Promise<void> {
    const { startHttp2 } = await import("./session-http2.ts")
    this.#standsAt(place)
    const { client, serve } = startHttp2(socket, {
      core: this.#context.core,
      connection: this.connection,
      around: { place, ...this.#context.around },
      chain: () => this.#context.chain(),
      door: this.#door(place),
      flows: this.#flows,
    })
    this.#http2 = client
    const served = serve()
    if (this.#draining) client.drain()
    await served
  }

  #door(place: Place): Door {
    const { access, core, serving } = this.#context
    const whoAsks: Door["whoAsks"] = (stream, asks) => authenticateServed(stream, this.#context.chain(), core, asks)
    const allowed = (headers: Headers) =>
      authorise({ access, settings: core.settings }, this.connection, place, headers)
    return { isGuarded: access.required, authorise: allowed, whoAsks, serving }
  }

  #standsAt(place: Place): void {
    this.connection.singleOrigin = isSingleOrigin(place)
    this.connection.proxied = place.kind === "open"
  }

  /** CONNECT host:port (RFC 9110 section 9.3.6). */
  async #connect(client: Http1Client, head: RequestHead, place: Place): Promise<void> {
    const { core } = this.#context
    const refusal = await askConnect(this.#context, this.connection, place, head)
    if (refusal !== undefined) return this.#refuseConnect(client, refusal)
    const authority = place.kind === "open" ? parseAuthority(head.target, 0) : undefined
    if (authority === undefined) {
      const isReverse = place.kind === "reverse"
      const message = isReverse
        ? "CONNECT is for proxies, and this address stands for one server"
        : "CONNECT needs host:port, and cannot be used inside a tunnel"
      const status = isReverse ? 405 : 400
      return this.#refuseConnect(client, new FlowError("client", "bad-connect", message, { status }))
    }
    const { host, port } = authority
    try {
      core.upstream.self.check(host, port)
      const { headers } = head
      const asked = askHttpConnect(this.#context.chain(), core.log, this.connection, { host, port, headers })
      const unseen = (await asked) || this.#isIgnored(host, port)
      const tunnel: Tunnel = { kind: "tunnel", scheme: "http", host, port }
      // For what we only relay, the client hears at once whether the upstream can be reached.
      const upstream = unseen ? await openTunnel(core, this.connection, tunnel, undefined) : undefined
      client.socket.write("HTTP/1.1 200 Connection Established\r\n\r\n", "latin1")
      const socket = client.detach()
      if (upstream !== undefined) await this.#relay(socket, upstream)
      else await this.#serveTunnel(socket as Socket, tunnel)
    } catch (thrown) {
      if (!(thrown instanceof FlowError)) throw thrown
      this.#refuseConnect(client, thrown)
    }
  }

  #refuseConnect(client: Http1Client, error: FlowError): void {
    if (client.detached) {
      this.#closed(client.socket, error.message)
      return
    }
    this.#context.core.log.warn(`${this.connection.address}: CONNECT refused: ${error.message}`)
    writeRefusal(client.socket, error)
    client.close()
  }

  /** Inside a tunnel, encrypted or not: TLS, HTTP, or bytes that are not ours to read. */
  async #serveTunnel(socket: Socket, place: Tunnel): Promise<void> {
    const { core } = this.#context
    const { headerTimeoutMs, silentClientMs } = core.settings
    const options = { clock: core.clock, timeoutMs: headerTimeoutMs, silentMs: silentClientMs }
    const peeked = await peek(socket, options)
    if (place.scheme === "https")
      this.#context.interception.heard(this.#clientOf(this.connection.tunnelSni ?? place.host, place), peeked)
    if (peeked.kind === "silent") return this.#serveSilent(socket, place)
    await this.#serveSeen(socket, place, peeked)
  }

  /** `dialled`: a connection that was made meanwhile; what is relayed unseen goes there. */
  async #serveSeen(socket: Socket, place: Tunnel, seen: Peeked, dialled?: Socket): Promise<void> {
    const peeked = asAgreed(socket, seen)
    const { kind } = peeked
    if (kind === "opaque" || (kind === "tls" && place.scheme === "https")) {
      const upstream =
        dialled ?? (await openTunnel(this.#context.core, this.connection, place, this.connection.tunnelSni))
      return this.#relay(socket, upstream)
    }
    dialled?.destroy()
    if (kind === "http") await this.#serveHttp(socket, place, peeked.bytes)
    else if (kind === "http2") await this.#serveHttp2(socket, place)
    else if (kind === "tls") await this.#intercept(socket, place, peeked.hello)
    else this.#closed(socket, kind === "closed" ? peeked.why : "nobody spoke")
  }

  /** The client waits: perhaps for the server to speak first. */
  async #serveSilent(socket: Socket, place: Tunnel): Promise<void> {
    const { core } = this.#context
    const upstream = await openTunnel(core, this.connection, place, this.connection.tunnelSni)
    const first = await firstToSpeak(socket, upstream, core.clock, core.settings.idleTimeoutMs)
    if (first === "server") return this.#relay(socket, upstream)
    const peeked: Peeked =
      first === "nobody"
        ? { kind: "silent" }
        : await peek(socket, { clock: core.clock, timeoutMs: core.settings.headerTimeoutMs })
    await this.#serveSeen(socket, place, peeked, upstream)
  }

  async #intercept(socket: Socket, place: Tunnel, record: Buffer): Promise<void> {
    const { core } = this.#context
    const hello = await readHello(record)
    const name = hello.sni ?? place.host
    const foreign = hello.alpn.length > 0 && !hello.alpn.some((protocol) => OUR_ALPN.includes(protocol))
    const alone = () => this.#context.interception.leavesAlone(this.#clientOf(name, place))
    if (foreign || this.#isIgnored(name, place.port) || alone() || (await this.#askTls(hello, place))) {
      return this.#relay(socket, await openTunnel(core, this.connection, place, undefined))
    }
    const tls = await this.#acceptTls(socket, hello, name, place)
    this.connection.tls = { sni: hello.sni, alpn: tls.alpnProtocol || undefined, version: tls.getProtocol() ?? "" }
    this.connection.tunnelSni = hello.sni
    await this.#serveTunnel(tls, { ...place, scheme: "https" })
  }

  #askTls(hello: ClientHello, { host, port }: Tunnel): Promise<boolean> {
    const { core } = this.#context
    return askTlsClientHello(this.#context.chain(), core.log, this.connection, { host, port, hello })
  }

  #acceptTls(socket: Socket, hello: ClientHello, name: string, place?: Tunnel): Promise<TLSSocket> {
    const { core, interception } = this.#context
    const inside = place && { ...place, scheme: "https" as const }
    return interception.accept(socket, this.#clientOf(name, place), {
      name,
      // A client that offers none must not be refused for it.
      alpn: hello.alpn.length > 0 ? OUR_ALPN : [],
      ...(inside && { dial: () => openTunnel(core, this.connection, inside, hello.sni) }),
    })
  }

  #clientOf(host: string, place?: Tunnel): PinnedHost {
    return { address: this.connection.address, host, port: place?.port ?? this.socket.localPort ?? 0 }
  }

  #isIgnored(host: string, port: number): boolean {
    return isIgnored(this.#context.core.settings, this.connection, { host, port })
  }

  async #relay(socket: Duplex, upstream: Duplex): Promise<void> {
    const { clock, settings } = this.#context.core
    this.#relays++
    await relay(socket, upstream, clock, settings.idleTimeoutMs)
    this.#relays--
  }

  #closed(socket: Duplex, why: string): void {
    this.#context.core.log.debug(`${this.connection.address}: ${why}`)
    socket.destroy()
    this.socket.destroy()
  }
}
