/**
 * The pool of upstream connections, shared by all clients: reuse or dial, a limit per target, idle expiry. HTTP/1.1
 * connections carry one request at a time, HTTP/2 sessions those of all clients at once; the first dial tells which.
 * What is sent again, and when, is ask.ts's to decide; here `fresh` only asks for another connection.
 */
import { LRUCache } from "lru-cache"
import type { Clock, Timer } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import { Http1Upstream, type Http1UpstreamOptions } from "../http1/upstream.ts"
import { Http2Upstream } from "../http2/upstream.ts"
import { hostAndPort } from "../io/authority.ts"
import type { ProxySettings } from "../settings.ts"
import type { ServerInfo, UpstreamStream } from "../streams.ts"
import { TrustStore } from "../tls/trust-store.ts"
import { type Dialled, dial, type Lookup } from "./dial.ts"
import { Origin } from "./origin.ts"
import { SelfGuard } from "./self.ts"
import { type Target, targetKey } from "./target.ts"

/** TLS sessions that are kept for resumption. */
const SESSIONS_MAX = 500
/** Targets of which it is remembered what they speak. */
const PROTOCOLS_MAX = 1_000
/** How long a server without TLS may take to answer HTTP/2 in kind before it is asked in HTTP/1.1. */
const H2C_ANSWER_MS = 3_000

const HTTP1_ONLY: readonly string[] = ["http/1.1"]
const HTTP2_OR_1: readonly string[] = ["h2", "http/1.1"]

/** What the pool tells of connections, for the hooks. */
export interface UpstreamEvents {
  /** Before a dial; may change where it goes. */
  connecting(target: Target): Target | Promise<Target>
  connected(info: ServerInfo): void | Promise<void>
  disconnected(info: ServerInfo): void
}

export interface OpenOptions {
  /** On a connection that has carried nothing yet; over HTTP/2, another one than `avoid`. */
  fresh?: boolean
  /** The id of the connection that failed. */
  avoid?: number
  /** Gives up waiting for a connection. Read only when there is something to wait for. */
  signal?: () => AbortSignal
}

type Connection = Http1Upstream | Http2Upstream

export class Upstream {
  readonly self = new SelfGuard()
  #origins = new Map<string, Origin>()
  #connections = new Set<Connection>()
  #sessions = new LRUCache<string, Buffer>({ max: SESSIONS_MAX })
  #protocols = new LRUCache<string, "h1" | "h2">({ max: PROTOCOLS_MAX })
  #trust: TrustStore
  #sweep: Timer | undefined
  #closed = false
  #settings: ProxySettings
  #clock: Clock
  #events: UpstreamEvents
  #lookup: Lookup | undefined

  constructor(settings: ProxySettings, clock: Clock, events: UpstreamEvents, lookup?: Lookup) {
    this.#settings = settings
    this.#clock = clock
    this.#events = events
    this.#lookup = lookup
    this.#trust = new TrustStore(settings.upstreamCa, settings)
  }

  /** Connections that are open, idle ones included. */
  get size(): number {
    return this.#connections.size
  }

  /** Requests that wait for a connection. */
  get waiting(): number {
    let sum = 0
    for (const origin of this.#origins.values()) sum += origin.waiting.length
    return sum
  }

  /** A stream on an HTTP/1.1 connection that is open and idle: what nobody has to wait for. */
  reuse(target: Target): UpstreamStream | undefined {
    const idle = this.#origins.get(targetKey(target))?.idle
    while (idle !== undefined && idle.length > 0) {
      const free = idle.pop()
      if (free?.closed === false) return free.open()
    }
    return undefined
  }

  /** A stream to `target`. Rejects with a FlowError. */
  async open(target: Target, options: OpenOptions = {}): Promise<UpstreamStream> {
    const key = targetKey(target)
    const origin = this.#origins.get(key) ?? this.#addOrigin(key, target)
    if (origin.speaks !== "h1") return this.#openShared(origin, target, options)
    const { fresh = false } = options
    const room = origin.count < this.#settings.upstreamConnections
    let free = fresh && room ? undefined : origin.idle.pop()
    if (free === undefined && room) {
      origin.count++
      return this.#connect(origin, target)
    }
    free ??= await origin.waiting.wait(options.signal?.())
    if (free === undefined) return this.#connect(origin, target)
    if (fresh) {
      origin.count++ // Before the other one's place is given up, so that nobody takes it.
      free.destroy()
      return this.#connect(origin, target)
    }
    // It may have closed in the moment between.
    return free.closed ? this.open(target, options) : free.open()
  }

  /** Whether a session to `target` exists that takes WebSockets (RFC 8441). */
  takesWebSockets(target: Target): boolean {
    const sessions = this.#origins.get(targetKey(target))?.sessions ?? []
    return sessions.length > 0 && sessions.every((session) => session.extendedConnect)
  }

  /** Closes every connection, busy ones too, and those that are being made. */
  close(): void {
    this.#closed = true
    this.#sweep?.cancel()
    for (const connection of [...this.#connections]) connection.destroy()
  }

  /** A connection outside of the pool, the caller's own. Rejects with a FlowError. `alpn`: what TLS offers. */
  async dial(wanted: Target, alpn: readonly string[] = HTTP1_ONLY): Promise<Dialled> {
    const key = targetKey(wanted)
    const target = await this.#events.connecting(wanted)
    return dial(target, {
      clock: this.#clock,
      connectTimeoutMs: this.#settings.connectTimeoutMs,
      head: this.#settings.head,
      self: this.self,
      trust: this.#trust,
      alpn,
      lookup: this.#lookup,
      session: this.#sessions.get(key),
      onSession: (session) => void this.#sessions.set(key, session),
    })
  }

  /** An HTTP/1.1 connection outside of the pool, for one client alone. Rejects with a FlowError. */
  async connectAlone(target: Target, handlers: { onIdle(): void; onClosed(): void }): Promise<Http1Upstream> {
    const dialled = await this.dial(target)
    const connection = this.#http1(dialled, {
      onIdle: handlers.onIdle,
      onClosed: (closed) => {
        if (this.#connections.delete(closed)) this.#events.disconnected(dialled.info)
        handlers.onClosed()
      },
    })
    await this.#announce(connection)
    return connection
  }

  /** Counts a connection that was made, and tells of it. Rejects where it is of no use. */
  async #announce(connection: Connection): Promise<void> {
    const { info } = connection
    this.#connections.add(connection)
    try {
      await this.#events.connected(info)
    } catch (thrown) {
      connection.destroy()
      throw thrown
    }
    if (this.#closed) connection.destroy()
    if (connection.closed) throw closedAtOnce(info)
  }

  /** Where HTTP/2 is spoken, or may be. */
  async #openShared(origin: Origin, target: Target, options: OpenOptions): Promise<UpstreamStream> {
    const first = origin.pending.length === 0 // Whoever waits has come before.
    const session = first ? origin.sessionWithRoom(options.avoid) : undefined
    if (session !== undefined) return session.open()
    if (origin.mayDial(this.#settings.upstreamConnections)) {
      const stream = await this.#dialShared(origin, target)
      return stream ?? this.open(target, options)
    }
    // If all that there is, is the one to be avoided, it is better than none.
    const other = first && origin.dialling === 0 ? origin.sessionWithRoom(undefined) : undefined
    const stream = other?.open() ?? (await origin.pending.wait(options.signal?.()))
    return stream ?? this.open(target, options)
  }

  /** Undefined: no further connection can be had, but there are some to wait for. */
  async #dialShared(origin: Origin, target: Target): Promise<UpstreamStream | undefined> {
    origin.count++
    origin.dialling++
    try {
      return await this.#connect(origin, target)
    } catch (thrown) {
      if (origin.sessions.length === 0) {
        origin.pending.failAll(thrown) // They waited for this attempt; theirs would end no better.
        throw thrown
      }
      origin.makeDo()
      return undefined
    } finally {
      origin.dialling--
      this.#settle(origin)
    }
  }

  /** Dials; the caller has counted the connection already. */
  async #connect(origin: Origin, target: Target): Promise<UpstreamStream> {
    const connection = await this.#make(origin, target).catch((thrown) => {
      this.#release(origin)
      throw thrown
    })
    await this.#announce(connection)
    if (connection instanceof Http2Upstream && connection.room === 0) throw withoutRoom(connection)
    const stream = connection.open()
    if (connection instanceof Http2Upstream) origin.addSession(connection)
    else origin.speaks = "h1"
    this.#protocols.set(origin.key, origin.speaks ?? "h1")
    return stream
  }

  /** A connection of the kind that the server wants. */
  async #make(origin: Origin, target: Target): Promise<Connection> {
    const { protocol } = target
    const alpn = this.#offersHttp2(target) ? HTTP2_OR_1 : HTTP1_ONLY
    const dialled = await this.dial(target, alpn)
    if (dialled.info.tls?.alpn === "h2") return this.#http2(origin, dialled)
    if (protocol !== "h2c" || origin.speaks === "h1") return this.#pooled(origin, dialled)
    const session = await this.#http2(origin, dialled)
    if (await session.speaks(H2C_ANSWER_MS)) {
      if (session.room === 0) throw withoutRoom(session)
      return session
    }
    session.destroy()
    return this.#pooled(origin, await this.dial(target, alpn))
  }

  #pooled(origin: Origin, dialled: Dialled): Http1Upstream {
    return this.#http1(dialled, {
      onIdle: (idle) => this.#onIdle(origin, idle),
      onClosed: (closed) => this.#onClosed(origin, closed),
    })
  }

  #http1({ socket, info }: Dialled, handlers: Pick<Http1UpstreamOptions, "onIdle" | "onClosed">): Http1Upstream {
    const { head, stallTimeoutMs } = this.#settings
    return new Http1Upstream(socket, info, { clock: this.#clock, head, stallTimeoutMs, ...handlers })
  }

  async #http2(origin: Origin, { socket, info }: Dialled): Promise<Http2Upstream> {
    const http2 = await import("node:http2")
    if (socket.destroyed) throw closedAtOnce(info)
    return new Http2Upstream(http2, socket, info, {
      clock: this.#clock,
      head: this.#settings.head,
      stallTimeoutMs: this.#settings.stallTimeoutMs,
      onRoom: (session) => this.#onRoom(origin, session),
      onDraining: (session) => this.#onDraining(origin, session),
      onClosed: (session) => this.#onClosed(origin, session),
    })
  }

  #offersHttp2({ scheme, protocol }: Target): boolean {
    return this.#settings.upstreamHttp2 && scheme === "https" && protocol === "auto"
  }

  #addOrigin(key: string, target: Target): Origin {
    const may = this.#offersHttp2(target) || target.protocol === "h2c"
    const origin = new Origin(key, may ? this.#protocols.get(key) : "h1")
    this.#origins.set(key, origin)
    return origin
  }

  /** Given to whoever waits longest, so that nobody who came later is served first. */
  #onIdle(origin: Origin, connection: Http1Upstream): void {
    if (origin.waiting.serve(() => connection)) return
    origin.idle.push(connection)
    this.#expireLater()
  }

  #onRoom(origin: Origin, session: Http2Upstream): void {
    if (!origin.sessions.includes(session)) return
    origin.servePending(this.#settings.upstreamConnections)
    if (Number.isFinite(session.idleSince)) this.#expireLater()
  }

  /** The session finishes its streams; its place is free for another. */
  #onDraining(origin: Origin, session: Http2Upstream): void {
    if (!this.#connections.has(session)) return
    origin.removeSession(session)
    this.#release(origin)
  }

  #onClosed(origin: Origin, connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    if (connection instanceof Http1Upstream) {
      const index = origin.idle.indexOf(connection)
      if (index >= 0) origin.idle.splice(index, 1)
      this.#release(origin)
    }
    this.#events.disconnected(connection.info)
  }

  /** A connection has gone, or was not made: its place passes on to whoever waits. */
  #release(origin: Origin): void {
    if (origin.waiting.serve(() => undefined)) return
    origin.count--
    this.#settle(origin)
  }

  #settle(origin: Origin): void {
    origin.servePending(this.#settings.upstreamConnections)
    if (origin.unused && this.#origins.get(origin.key) === origin) this.#origins.delete(origin.key)
  }

  #expireLater(): void {
    this.#sweep ??= this.#clock.after(this.#settings.upstreamIdleMs, () => this.#expire())
  }

  /** Closes what has been idle for too long, and looks again as long as something is idle. */
  #expire(): void {
    this.#sweep = undefined
    const before = this.#clock.monotonic() - this.#settings.upstreamIdleMs
    let left = false
    for (const origin of [...this.#origins.values()]) {
      for (const connection of [...origin.idle, ...origin.sessions]) {
        if (connection.idleSince <= before) connection.destroy()
        else left ||= Number.isFinite(connection.idleSince)
      }
    }
    if (left) this.#sweep = this.#clock.after(this.#settings.upstreamIdleMs / 2, () => this.#expire())
  }
}

function closedAtOnce({ host, port }: ServerInfo): FlowError {
  return new FlowError("upstream", "cut", `${hostAndPort(host, port)} closed the connection at once`)
}

/** Ends a session that is useless from its first moment: it would keep a place that others wait for. */
function withoutRoom(session: Http2Upstream): FlowError {
  const { host, port } = session.info
  session.destroy()
  const what = "takes no requests on a new HTTP/2 connection (a limit of 0 streams, or GOAWAY)"
  return new FlowError("upstream", "cut", `${hostAndPort(host, port)} ${what}`)
}
