/**
 * The pool of upstream connections, shared by all clients: reuse or dial, a limit per target, idle expiry.
 * What is sent again, and when, is exchange.ts's to decide; here `fresh` only asks for a new connection.
 */
import type { Clock, Timer } from "../clock.ts"
import { FlowError } from "../errors.ts"
import { type Dialled, dial, type Lookup } from "./dial.ts"
import { Http1Server } from "./h1-server.ts"
import { SelfGuard } from "./self.ts"
import type { ProxySettings } from "./settings.ts"
import type { ServerInfo, ServerStream } from "./streams.ts"
import { type Target, targetKey } from "./target.ts"
import { TrustStore } from "./trust-store.ts"

/** TLS sessions that are kept for resumption. */
const SESSIONS_MAX = 500

/** What the pool tells of connections, for the hooks. */
export interface UpstreamEvents {
  /** Before a dial; may change where it goes. */
  connecting(target: Target): Target | Promise<Target>
  connected(info: ServerInfo): void | Promise<void>
  disconnected(info: ServerInfo): void
}

type Waiter = (connection: Http1Server | undefined) => void

/** The connections to one target. */
interface Origin {
  /** The last one is the freshest, and is taken first. */
  readonly idle: Http1Server[]
  readonly waiting: Waiter[]
  /** Connections that exist or are being made. */
  count: number
}

export class Upstream {
  readonly self = new SelfGuard()
  #origins = new Map<string, Origin>()
  #connections = new Set<Http1Server>()
  #sessions = new Map<string, Buffer>()
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
    this.#trust = new TrustStore(settings.upstreamCa)
  }

  /** Connections that are open, idle ones included. */
  get size(): number {
    return this.#connections.size
  }

  /**
   * A stream to `target`. Rejects with a FlowError; `signal` gives up waiting for a free connection.
   * `fresh`: on a connection that has carried nothing yet.
   */
  async open(target: Target, options: { fresh?: boolean; signal?: () => AbortSignal } = {}): Promise<ServerStream> {
    const key = targetKey(target)
    const origin = this.#originOf(key)
    const { fresh = false } = options
    const room = origin.count < this.#settings.upstreamConnections
    let free = fresh && room ? undefined : origin.idle.pop()
    if (free === undefined && room) {
      origin.count++
      return this.#connect(key, origin, target)
    }
    free ??= await this.#wait(origin, options.signal?.())
    if (free === undefined) return this.#connect(key, origin, target)
    if (fresh) {
      origin.count++ // Before the other one's place is given up, so that nobody takes it.
      free.destroy()
      return this.#connect(key, origin, target)
    }
    // It may have closed in the moment between.
    return free.closed ? this.open(target, options) : free.open()
  }

  /** Closes every connection, busy ones too, and those that are being made. */
  close(): void {
    this.#closed = true
    this.#sweep?.cancel()
    for (const connection of [...this.#connections]) connection.destroy()
  }

  /** A connection outside of the pool, the caller's own. Rejects with a FlowError. */
  async dial(wanted: Target): Promise<Dialled> {
    const key = targetKey(wanted)
    const target = await this.#events.connecting(wanted)
    return dial(target, {
      clock: this.#clock,
      connectTimeoutMs: this.#settings.connectTimeoutMs,
      head: this.#settings.head,
      self: this.self,
      trust: this.#trust,
      lookup: this.#lookup,
      session: this.#sessions.get(key),
      onSession: (session) => this.#keepSession(key, session),
    })
  }

  /** Dials; the caller has counted the connection already. */
  async #connect(key: string, origin: Origin, target: Target): Promise<ServerStream> {
    const { socket, info } = await this.dial(target).catch((thrown) => {
      this.#release(key, origin)
      throw thrown
    })
    const connection = new Http1Server(socket, info, {
      clock: this.#clock,
      head: this.#settings.head,
      stallTimeoutMs: this.#settings.stallTimeoutMs,
      onIdle: (idle) => this.#onIdle(origin, idle),
      onClosed: (closed) => this.#onClosed(key, origin, closed),
    })
    this.#connections.add(connection)
    try {
      await this.#events.connected(info)
    } catch (thrown) {
      connection.destroy()
      throw thrown
    }
    if (this.#closed) connection.destroy()
    if (connection.closed)
      throw new FlowError("upstream", "cut", `${info.host}:${info.port} closed the connection at once`)
    return connection.open()
  }

  #originOf(key: string): Origin {
    const known = this.#origins.get(key)
    if (known !== undefined) return known
    const origin: Origin = { idle: [], waiting: [], count: 0 }
    this.#origins.set(key, origin)
    return origin
  }

  /** A connection that has become free, or undefined: the place of one that has gone, counted already. */
  #wait(origin: Origin, signal: AbortSignal | undefined): Promise<Http1Server | undefined> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        const index = origin.waiting.indexOf(waiter)
        if (index >= 0) origin.waiting.splice(index, 1)
        reject(new FlowError("client", "client-gone", "the client left while it waited for a connection"))
      }
      const waiter: Waiter = (connection) => {
        signal?.removeEventListener("abort", leave)
        resolve(connection)
      }
      if (signal?.aborted === true) {
        leave()
        return
      }
      origin.waiting.push(waiter)
      signal?.addEventListener("abort", leave, { once: true })
    })
  }

  /** Given to whoever waits longest, so that nobody who came later is served first. */
  #onIdle(origin: Origin, connection: Http1Server): void {
    const waiter = origin.waiting.shift()
    if (waiter !== undefined) {
      waiter(connection)
      return
    }
    origin.idle.push(connection)
    this.#sweep ??= this.#clock.after(this.#settings.upstreamIdleMs, () => this.#expire())
  }

  #onClosed(key: string, origin: Origin, connection: Http1Server): void {
    this.#connections.delete(connection)
    const index = origin.idle.indexOf(connection)
    if (index >= 0) origin.idle.splice(index, 1)
    this.#release(key, origin)
    this.#events.disconnected(connection.info)
  }

  /** A connection has gone, or was not made: its place passes on to whoever waits. */
  #release(key: string, origin: Origin): void {
    const waiter = origin.waiting.shift()
    if (waiter !== undefined) {
      waiter(undefined)
      return
    }
    origin.count--
    this.#forgetIfEmpty(key, origin)
  }

  #forgetIfEmpty(key: string, origin: Origin): void {
    if (origin.count === 0 && origin.waiting.length === 0) this.#origins.delete(key)
  }

  /** Closes what has been idle for too long, and looks again as long as something is idle. */
  #expire(): void {
    this.#sweep = undefined
    const before = this.#clock.monotonic() - this.#settings.upstreamIdleMs
    let left = false
    for (const origin of [...this.#origins.values()]) {
      for (const connection of [...origin.idle]) {
        if (connection.idleSince <= before) connection.destroy()
        else left = true
      }
    }
    if (left) this.#sweep = this.#clock.after(this.#settings.upstreamIdleMs / 2, () => this.#expire())
  }

  #keepSession(key: string, session: Buffer): void {
    this.#sessions.delete(key)
    if (this.#sessions.size >= SESSIONS_MAX) this.#sessions.delete(this.#sessions.keys().next().value ?? "")
    this.#sessions.set(key, session)
  }
}
