/**
 * Whether a flow has to stay on this machine, and what that means for where it goes. The client says so with a field, an
 * addon with `flow.keepLocal`; children, turns and whatever is asked again for it stay, too. It is checked where a request
 * leaves, whatever it is and whether anybody has understood it: a promise must not depend on that. Once before anything is
 * dialled, and again with the connection in hand, before a byte goes out on it: a hook, a name or whoever dialled a
 * connection that is used again may have led it to another machine than the one that was asked for.
 */
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import { formatAuthority, hostAndPort } from "../io/authority.ts"
import type { ServerInfo } from "../streams.ts"
import { isLoopbackHost } from "../upstream/self.ts"
import type { Target } from "../upstream/target.ts"

/** In a request: `local` or `cloud`. */
const ROUTE_FIELD = "x-llmproxy-route"
/** Of a wish that nobody can grant, so much is told. */
const WISH_CHARS_MAX = 40

/** What tells where a flow may go: its head as it came, and the flow that it is a part of. */
export interface LocalFlow {
  readonly original: { readonly headers: Headers }
  readonly parent: { readonly locality: Locality } | undefined
  readonly turn: { readonly socket: { readonly locality: Locality } } | undefined
  /** Why it was not understood. */
  readonly unparsed: string | undefined
}

export class Locality {
  readonly #flow: LocalFlow
  #reason: string | undefined
  #origins: readonly string[] = []
  /** What the flow asked for, and the connection that it was given. */
  #target: Target | undefined
  #peer: ServerInfo | undefined

  constructor(flow: LocalFlow) {
    this.#flow = flow
  }

  /** Why the flow has to stay; undefined: it need not. */
  get reason(): string | undefined {
    const wish = this.#wish
    return this.#reason ?? (wish === undefined ? this.#above?.reason : `${ROUTE_FIELD}: ${wish}`)
  }

  /**
   * From now on. `urls`: of hosts that count as local beside this machine. Throws a TypeError for what is no URL; the flow
   * stays all the same, because whoever calls this means it to.
   */
  bind(reason: string, urls: readonly string[]): void {
    this.#reason ??= reason
    this.#origins = [...this.#origins, ...urls.map(originOf)]
  }

  /** Throws a FlowError where the flow may not go to `target`. */
  check(target: Target): void {
    this.#judge(target, target.connectTo, undefined)
  }

  /** The flow's connection is there, and nothing was sent on it. Throws a FlowError where it leads elsewhere. */
  arrive(target: Target, peer: ServerInfo): void {
    this.#target = target
    this.#peer = peer
    this.#judge(target, peer.connectTo, peer.address)
  }

  /** Of what is said on a connection, be it another flow's. Throws a FlowError where that leads elsewhere. */
  checkOn(other: Locality): void {
    if (other.#target !== undefined && other.#peer !== undefined)
      this.#judge(other.#target, other.#peer.connectTo, other.#peer.address)
  }

  /** `connectTo`: what is dialled instead of the target's host; `address`: where that has led, once it is known. */
  #judge(target: Target, connectTo: Target["connectTo"], address: string | undefined): void {
    const { reason } = this
    if (reason === undefined) return
    const odd = this.#oddWish
    if (odd !== undefined) {
      const message = `${ROUTE_FIELD}: ${JSON.stringify(odd)} is no route; write local or cloud`
      throw new FlowError("client", "invalid_route", message, { status: 400 })
    }
    const astray = this.#astray(target, connectTo, address)
    if (astray === undefined) return
    const { unparsed } = this.#flow
    const why = unparsed === undefined ? reason : `${reason}; ${unparsed}`
    const message = `the request is to stay local (${why}), and ${hostAndPort(target.host, target.port)} ${astray}`
    throw new FlowError("client", "stays-local", message, { status: 403 })
  }

  /** Why it is not this machine, nor a host that was named; undefined: it is. */
  #astray(target: Target, connectTo: Target["connectTo"], address: string | undefined): string | undefined {
    const { scheme, host, via } = target
    if (!isLoopbackHost(host) && !this.names(target)) return "is no local host"
    if (via !== undefined) return "is asked through a proxy"
    const dialled = connectTo ?? target
    // Another port of a host is the same machine.
    if (dialled.host !== host && !isLoopbackHost(dialled.host) && !this.names({ scheme, ...dialled }))
      return `is connected to ${hostAndPort(dialled.host, dialled.port)}, which is no local host`
    // Of a host that was named it is not known where it should be; "localhost" can only be here.
    if (address !== undefined && isLoopbackHost(dialled.host) && !isLoopbackHost(address))
      return `is at ${address === "" ? "an address that is not known" : address}, which is not this machine`
    return undefined
  }

  /** Whether an addon has named it as a local host. It is asked directly: a proxy on the way would be elsewhere. */
  names(target: Pick<Target, "scheme" | "host" | "port">): boolean {
    const { scheme, host, port } = target
    const origins = this.#origins
    if (origins.length > 0 && origins.includes(`${scheme}://${formatAuthority(host, port, scheme)}`)) return true
    return this.#above?.names(target) ?? false
  }

  /** The client's word; undefined: it has none, or names the cloud. Only a field that says so alone is no wish to stay. */
  get #wish(): string | undefined {
    const { headers } = this.#flow.original
    if (!headers.has(ROUTE_FIELD)) return undefined
    const wish = headers.getAll(ROUTE_FIELD).join(", ").trim().toLowerCase()
    return wish === "cloud" ? undefined : wish.slice(0, WISH_CHARS_MAX)
  }

  get #oddWish(): string | undefined {
    const wish = this.#wish
    if (wish !== undefined && wish !== "local") return wish
    const above = this.#above
    if (above === undefined) return undefined
    return above.#oddWish
  }

  /** Of the flow that this one is a part of. */
  get #above(): Locality | undefined {
    const { parent, turn } = this.#flow
    return (parent ?? turn?.socket)?.locality
  }
}

function originOf(url: string): string {
  if (URL.canParse(url) && /^https?:\/\//i.test(url)) return new URL(url).origin
  throw new TypeError(`flow.keepLocal: ${url} is no http or https URL; write http://${url.replace(/^.*?:?\/\//, "")}`)
}
