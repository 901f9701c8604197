/**
 * NTLM and Negotiate authenticate a connection and not a request (RFC 4559 section 5): whoever is lent such a connection
 * is taken for the one who authenticated it. From the first such request on its upstream connection is therefore no part
 * of the pool: it serves one client connection alone, one request after the other, and closes with it.
 */
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { Http1Upstream } from "../http1/upstream.ts"
import type { ClientLink, UpstreamStream } from "../streams.ts"
import { Line } from "./origin.ts"
import type { Upstream } from "./pool.ts"
import { type Target, targetKey } from "./target.ts"

/** Targets that one client connection may have authenticated itself to; beyond that the one that was idle longest goes. */
export const BOUND_MAX = 64
/** A scheme that is the connection's, and what may follow it. */
const CONNECTION_SCHEME = /^(?:ntlm|negotiate)(?![!#$%&'*+\-.^_`|~0-9a-z])/i

/** Whether a request authenticates the connection that it is sent on, or the one to the proxy on its way. */
export function authenticatesConnection(headers: Headers, { via }: Pick<Target, "via">): boolean {
  if (saysScheme(headers, "authorization")) return true
  return via !== undefined && saysScheme(headers, "proxy-authorization")
}

/** Whether an answer offers such a scheme. */
export function offersConnectionScheme(headers: Headers): boolean {
  return saysScheme(headers, "www-authenticate")
}

function saysScheme(headers: Headers, field: string): boolean {
  return headers.getAll(field).some((value) => CONNECTION_SCHEME.test(value))
}

/** Those of one client connection, by target. */
export class BoundUpstreams {
  readonly #bound = new Map<string, BoundUpstream>()
  readonly #upstream: Upstream
  readonly #onLost: () => void
  #closed = false

  /** `onLost`: one of the connections has ended, and what the client had proved on it is gone. */
  constructor(upstream: Upstream, onLost: () => void) {
    this.#upstream = upstream
    this.#onLost = onLost
  }

  /** Those of `connection`; undefined: it has none yet. */
  static of({ bound }: ClientLink): BoundUpstreams | undefined {
    return bound instanceof BoundUpstreams ? bound : undefined
  }

  get(target: Target): BoundUpstream | undefined {
    return this.#bound.get(targetKey(target))
  }

  /** Throws a FlowError when there are too many that are busy, or the client has gone. */
  add(target: Target): BoundUpstream {
    if (this.#closed) throw new FlowError("client", "client-gone", "the client's connection has closed")
    if (this.#bound.size >= BOUND_MAX) this.#makeRoom()
    const key = targetKey(target)
    const bound = new BoundUpstream(this.#upstream, target, () => {
      if (this.#bound.get(key) !== bound) return
      this.#bound.delete(key)
      if (!this.#closed) this.#onLost()
    })
    this.#bound.set(key, bound)
    return bound
  }

  /** The client's connection has closed. */
  close(): void {
    this.#closed = true
    for (const bound of [...this.#bound.values()]) bound.close()
  }

  #makeRoom(): void {
    const [key, idle] = [...this.#bound].find(([, { busy }]) => !busy) ?? []
    if (key === undefined || idle === undefined) {
      const message = `one connection asks more than ${BOUND_MAX} servers at a time with NTLM or Negotiate`
      throw new FlowError("client", "too-many-bound", message, { status: 503 })
    }
    this.#bound.delete(key) // First: the client may go on as it is.
    idle.close()
  }
}

export class BoundUpstream {
  readonly #upstream: Upstream
  readonly #target: Target
  readonly #onOver: () => void
  /** Who waits for the connection; false: it has ended. */
  readonly #line = new Line<boolean>()
  #connection: Http1Upstream | undefined
  #over = false
  /** Whether a request is under way, the dial included. */
  busy = false

  constructor(upstream: Upstream, target: Target, onOver: () => void) {
    this.#upstream = upstream
    this.#target = target
    this.#onOver = onOver
  }

  /** A stream, when it is one's turn. Undefined: the connection has ended meanwhile. Rejects with a FlowError. */
  async open(signal: () => AbortSignal): Promise<UpstreamStream | undefined> {
    if (this.busy && !(await this.#line.wait(signal()))) return undefined
    if (this.#over) return undefined
    this.busy = true
    try {
      this.#connection ??= await this.#connect()
    } catch (thrown) {
      this.close()
      throw thrown
    }
    if (!this.#over) return this.#connection.open()
    this.#connection.destroy() // The client has gone while it was made.
    return undefined
  }

  #connect(): Promise<Http1Upstream> {
    return this.#upstream.connectAlone(this.#target, { onIdle: () => this.#next(), onClosed: () => this.close() })
  }

  /** Nobody is served any more. What was given away by an upgrade is the flow's to close. */
  close(): void {
    if (this.#over) return
    this.#over = true
    this.#connection?.destroy()
    while (this.#line.serve(() => false)) {}
    this.#onOver()
  }

  /** The connection was given away by an upgrade, and is nobody else's. */
  gaveAway(): void {
    this.#connection = undefined
    this.close()
  }

  #next(): void {
    this.busy = this.#line.serve(() => true)
  }
}
