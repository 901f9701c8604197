/**
 * The serving side: accepts clients into sessions, and holds what all of them share. app.ts owns it.
 */
import { createHmac, randomBytes } from "node:crypto"
import type { Socket } from "node:net"
import type { SecureContext } from "node:tls"
import type { ServerHookInfo } from "../../api/hooks.ts"
import type { Clock } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { Logger } from "../../base/log.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import { type HookChain, plainScope } from "../../loader/chain.ts"
import { Access } from "../access/access.ts"
import { clientAddress } from "../access/forwarded.ts"
import { Drains } from "../body/drains.ts"
import { MemoryBudget } from "../body/memory.ts"
import { AddonSends } from "../child/addon-sends.ts"
import { sendChild } from "../child/send.ts"
import type { ExchangeCore } from "../flow/core.ts"
import { canonicalAddress, hostAndPort, parseAuthority } from "../io/authority.ts"
import type { ProxySettings } from "../settings.ts"
import type { ClientLink, ServerInfo } from "../streams.ts"
import { Interception } from "../tls/interception.ts"
import type { Lookup } from "../upstream/dial.ts"
import { Upstream } from "../upstream/pool.ts"
import { isLoopbackHost, isOwnAddress } from "../upstream/self.ts"
import type { Target } from "../upstream/target.ts"
import { upgrade } from "../websocket/upgrade.ts"
import type { Serving } from "./front-door.ts"
import { type ListenAddress, Listener } from "./listener.ts"
import { type Mode, REGULAR } from "./mode.ts"
import { Session, type SessionContext } from "./session.ts"
import { loadTransparent, type OriginalDestination } from "./transparent.ts"

/** A flood of connections gets one line in the log in this time. */
const FULL_LOG_EVERY_MS = 60_000
/**
 * What addons have to do with the flows of clients that are gone, when the program ends: to count, to write. A flow ends
 * with its last hook, and a program that ends after one answer would lose what addons make of it.
 */
export const LAST_HOOKS_MS = 10_000

export interface ProxyServerOptions {
  readonly settings: ProxySettings
  readonly clock: Clock
  readonly log: Logger
  /** The chain for flows that begin now. */
  chain(): HookChain
  /** The TLS context for a host, and for `further` names where that is asked for; throws a FlowError. */
  leaf(name: string, further?: readonly string[]): SecureContext
  /** Whether a certificate for this host can be made at all. Default: for every host. */
  permits?(name: string): boolean
  /** What is served at our own address and at http://llmproxy.local/. Default: nothing. */
  readonly serving?: Serving | undefined
  /** Knows the secrets of the program. Default: one that knows none. */
  readonly redactor?: Redactor
  /** What clients' credentials are hashed with for `client.id`. Default: one that is made, so that ids end with the program. */
  readonly identityKey?: string
  /** Resolves upstream names. Default: the system's resolver. */
  readonly lookup?: Lookup
  /** Tells where redirected clients were going. Default: the kernel. */
  readonly destinationOf?: OriginalDestination
}

export class ProxyServer {
  readonly core: ExchangeCore
  /** What addons send by themselves. */
  readonly sends: AddonSends
  #options: ProxyServerOptions
  #upstream: Upstream
  #listeners: Listener[] = []
  #sessions = new Set<Session>()
  #onEmpty: (() => void)[] = []
  /** When the log said last that there were too many clients: monotonic milliseconds. */
  #fullSince: number | undefined
  #identityKey: string | Buffer
  readonly #access: Access
  readonly #interception: Interception
  readonly #around: SessionContext["around"]

  constructor(options: ProxyServerOptions) {
    const { settings, clock, log, lookup, redactor = new Redactor() } = options
    this.#options = options
    this.#identityKey = options.identityKey ?? randomBytes(32)
    this.#access = new Access(settings, clock, log)
    this.#interception = new Interception(options, settings, clock, log)
    const events = {
      connecting: (target: Target) => this.#connecting(target),
      connected: (info: ServerInfo) => this.#serverHook("serverConnected", info),
      disconnected: (info: ServerInfo) => void this.#disconnected(info),
    }
    this.#upstream = new Upstream(settings, clock, events, lookup)
    const core: ExchangeCore = {
      upstream: this.#upstream,
      settings,
      clock,
      log,
      memory: new MemoryBudget(settings.memoryLimit),
      drains: new Drains(() => this.#tellEmpty()),
      redactor,
      identify: (connection, head) => this.#identify(connection, head),
      send: (parent, request, sendOptions, sender) => sendChild(core, parent, request, sendOptions, sender),
      upgrade,
    }
    this.core = core
    this.sends = new AddonSends(
      core,
      () => options.chain(),
      () => this.#tellEmpty(),
    )
    const claims = (method: string, target: string) => options.serving?.claims(method, target) === true
    this.#around = { settings, self: this.#upstream.self, claims }
  }

  /** Client connections that are open. */
  /** What is open, and what waits. */
  get numbers(): { clients: number; upstreams: number; waiting: number } {
    return { clients: this.clients, upstreams: this.#upstream.size, waiting: this.#upstream.waiting }
  }

  get clients(): number {
    return this.#sessions.size
  }

  /** Listens and serves; resolves with the address and port. Rejects as Listener.listen does. */
  async listen(host: string, port: number, mode: Mode = REGULAR): Promise<ListenAddress> {
    const listener = new Listener(this.#options.log)
    await listener.listen(host, port)
    await this.serve(listener, mode)
    return listener.address
  }

  /** Serves the clients of a listener that listens already. Never rejects. */
  async serve(listener: Listener, mode: Mode = REGULAR): Promise<void> {
    const { host, port } = listener.address
    this.#listeners.push(listener)
    this.#upstream.self.listen({ address: host, port })
    if (mode.kind === "upstream") this.sends.via ??= mode.via
    const destinationOf = mode.kind === "transparent" ? await this.#destinations() : undefined
    const place = { mode, isOpen: !isLoopbackHost(host) || this.#options.settings.trustedProxies.length > 0 }
    listener.serve((socket) => this.#accept(socket, place, destinationOf))
  }

  async #destinations(): Promise<OriginalDestination | undefined> {
    if (this.#options.destinationOf !== undefined) return this.#options.destinationOf
    const transparent = await loadTransparent()
    if (transparent.kind === "kernel") return transparent.destinationOf
    this.#options.log.warn(`--mode transparent: ${transparent.why}; hosts are known by SNI and Host alone`)
    return undefined
  }

  /**
   * Takes no more clients. Open flows have `graceMs` to end; then they are broken off, and what hooks still do with them has
   * LAST_HOOKS_MS. At 0 nothing is waited for.
   */
  async stop(graceMs: number): Promise<void> {
    for (const listener of this.#listeners) listener.close()
    this.sends.close()
    for (const session of [...this.#sessions]) session.drain()
    if (graceMs > 0) await this.#drained(graceMs)
    for (const session of this.#sessions) session.socket.destroy()
    this.core.drains.abort()
    this.sends.abort()
    if (graceMs > 0) await this.#lastHooks()
    this.#upstream.close()
    await this.#access.close()
    this.#options.settings.keyLog?.close()
    this.#upstream.self.clear()
  }

  async #lastHooks(): Promise<void> {
    await this.#drained(LAST_HOOKS_MS)
    if (this.#isEmpty) return
    const left = this.#sessions.size
    const clients = left === 1 ? "a client" : `${left} clients`
    const sent = "what they have sent, or clients that have left,"
    this.core.log.warn(`stopped while addons' hooks for ${left === 0 ? sent : clients} still ran`)
  }

  /** Resolves when nothing is open, at the latest after `ms`. */
  async #drained(ms: number): Promise<void> {
    if (this.#isEmpty) return
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(ms, resolve)
      this.#onEmpty.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  #accept(
    socket: Socket,
    { mode, isOpen }: Pick<SessionContext, "mode" | "isOpen">,
    destinationOf: OriginalDestination | undefined,
  ): void {
    if (!this.#isAdmitted(socket, mode) || !this.#hasRoom(socket)) return
    const session = new Session(socket, {
      core: this.core,
      access: this.#access,
      mode,
      isOpen,
      destinationOf,
      chain: () => this.#options.chain(),
      interception: this.#interception,
      around: this.#around,
      serving: this.#options.serving,
    })
    this.#sessions.add(session)
    void session.run().then(() => {
      this.#sessions.delete(session)
      this.#tellEmpty()
    })
  }

  get #isEmpty(): boolean {
    return this.#sessions.size === 0 && this.sends.isEmpty && this.core.drains.isEmpty
  }

  #tellEmpty(): void {
    if (this.#isEmpty) for (const tell of this.#onEmpty.splice(0)) tell()
  }

  #isAdmitted(socket: Socket, mode: Mode): boolean {
    const address = canonicalAddress(socket.remoteAddress ?? "unknown")
    // A program of this machine that was redirected comes from the address that it would have used.
    if (this.#access.admits(address) || (mode.kind === "transparent" && isOwnAddress(address))) return true
    // Where an addon asks about every way in, it is what decides. A redirected connection may be one that nobody asks about.
    if (mode.kind !== "transparent" && !this.#access.isLimited && this.#options.chain().asksEverywhere) return true
    socket.on("error", () => {})
    socket.destroy()
    this.#access.turnedAway(address)
    return false
  }

  /** Every connection costs memory and a file descriptor before it has said a word. */
  #hasRoom(socket: Socket): boolean {
    const { clock, log, settings } = this.core
    if (this.#sessions.size < settings.clientConnections) return true
    socket.on("error", () => {})
    socket.destroy()
    const now = clock.monotonic()
    if (this.#fullSince !== undefined && now - this.#fullSince < FULL_LOG_EVERY_MS) return false
    this.#fullSince = now
    const many = `${settings.clientConnections} client connections are open, the limit`
    log.warn(
      `${canonicalAddress(socket.remoteAddress ?? "unknown")}: closed: ${many}; raise it with --client-connections`,
    )
    return false
  }

  async #connecting(target: Target): Promise<Target> {
    const chain = this.#options.chain()
    if (!chain.has("serverConnect")) return target
    const to = target.connectTo
    const info: ServerHookInfo = {
      host: target.host,
      port: target.port,
      connectTo: to === undefined ? undefined : hostAndPort(to.host, to.port),
    }
    await chain.run("serverConnect", plainScope(this.#options.log), info)
    if (info.connectTo === undefined) return { ...target, connectTo: undefined }
    const connectTo = parseAuthority(info.connectTo, target.port)
    if (connectTo === undefined)
      throw new FlowError("addon", "bad-connect-to", `serverConnect: connectTo ${info.connectTo}: write host:port`)
    return { ...target, connectTo }
  }

  #serverHook(name: "serverConnected" | "serverDisconnected", { host, port }: ServerInfo): void | Promise<void> {
    const chain = this.#options.chain()
    if (!chain.has(name)) return undefined
    return chain.run(name, plainScope(this.#options.log), { host, port, connectTo: undefined })
  }

  /** Nobody is left to be stopped by a failure here, which the scope has logged; it must not end the program. */
  async #disconnected(info: ServerInfo): Promise<void> {
    try {
      await this.#serverHook("serverDisconnected", info)
    } catch {}
  }

  /** The proxy user, else a keyed hash of the credential (it never leaves this process), else the address. */
  #identify(client: ClientLink, headers: Headers): string {
    if (client.user !== undefined) return client.user
    const credential = headers.get("authorization") ?? headers.get("x-api-key") ?? headers.get("api-key")
    if (credential === undefined) return clientAddress(client, headers, this.#options.settings)
    return `key-${createHmac("sha256", this.#identityKey).update(credential).digest("hex").slice(0, 16)}`
  }
}
