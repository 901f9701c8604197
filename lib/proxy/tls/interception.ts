/**
 * How clients are answered over TLS, shared by all sessions: which hosts are left alone because a client or our CA
 * would not have them, which certificate is shown, and what is learnt from clients that refuse it.
 */
import type { Socket } from "node:net"
import type { SecureContext, TLSSocket } from "node:tls"
import type { Clock } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import type { Logger } from "../../base/log.ts"
import type { ProxySettings } from "../settings.ts"
import { acceptTls, CERTIFICATE_REJECTED } from "./accept.ts"
import { type PinnedHost, Pinning } from "./pinning.ts"
import { UpstreamNames } from "./upstream-names.ts"

export interface Leaves {
  /** The TLS context for a host, with further names where they are asked for; throws a FlowError. */
  leaf(name: string, further?: readonly string[]): SecureContext
  /** Whether a certificate for this name can be made at all. Default: for every name. */
  permits?(name: string): boolean
}

export interface Handshake {
  readonly name: string
  readonly alpn: readonly string[]
  /** Connects to the host over TLS as its requests will; undefined: at our own address. */
  dial?(): Promise<Socket>
}

/** Hosts outside of the CA's name constraints that have had their line in the log. */
const TOLD_MAX = 1_000

/** What came first: see peek.ts. */
export type Heard = "tls" | "http" | "http2" | "opaque" | "silent" | "closed"

export class Interception {
  readonly #leaves: Leaves
  readonly #settings: ProxySettings
  readonly #clock: Clock
  readonly #log: Logger
  readonly #pinning: Pinning
  readonly #names: UpstreamNames
  readonly #told = new Set<string>()

  constructor(leaves: Leaves, settings: ProxySettings, clock: Clock, log: Logger) {
    this.#leaves = leaves
    this.#settings = settings
    this.#clock = clock
    this.#log = log
    this.#pinning = new Pinning(clock, log, settings.passthroughPinned)
    this.#names = new UpstreamNames(clock, log)
  }

  /** Whether the host is relayed unseen to this client, whatever the options say. */
  leavesAlone(client: PinnedHost): boolean {
    if (this.#pinning.isPinned(client)) return true
    if (this.#leaves.permits?.(client.host) !== false) return false
    this.#tellOnce(client.host)
    return true
  }

  /** Answers the handshake. Rejects with a FlowError; one that tells of our certificate has been logged. */
  async accept(socket: Socket, client: PinnedHost, { name, alpn, dial }: Handshake): Promise<TLSSocket> {
    const mirrored = this.#settings.mirrorSans && dial !== undefined
    const further = mirrored ? await this.#names.of(`${client.host}:${client.port}`, dial) : []
    try {
      return await acceptTls(socket, {
        clock: this.#clock,
        secureContext: this.#leaves.leaf(name, further),
        alpn,
        timeoutMs: this.#settings.headerTimeoutMs,
        keyLog: this.#settings.keyLog,
        name,
      })
    } catch (thrown) {
      if (thrown instanceof FlowError && thrown.code === CERTIFICATE_REJECTED)
        this.#pinning.rejected(client, thrown.message)
      throw thrown
    }
  }

  /** What came first from a client inside of TLS: nothing at all is how some show that they do not trust us. */
  heard(client: PinnedHost, { kind }: { readonly kind: Heard }): void {
    if (kind === "closed") this.#pinning.leftSilently(client)
    else if (kind !== "silent") this.#pinning.accepted(client)
  }

  #tellOnce(host: string): void {
    if (this.#told.has(host)) return
    if (this.#told.size >= TOLD_MAX) this.#told.clear()
    this.#told.add(host)
    this.#log.warn(`${host}: relayed unseen, because the CA was made with --permit for other hosts`)
  }
}
