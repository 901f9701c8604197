/**
 * Whether a flow has to stay on this machine, and what that means for where it goes. The client says so with a field, an
 * addon with `flow.keepLocal`; children, turns and whatever is asked again for it stay, too. It is checked where a request
 * leaves, whatever it is and whether anybody has understood it: a promise must not depend on that.
 */
import { FlowError } from "../errors.ts"
import { formatAuthority, hostAndPort } from "./authority.ts"
import type { FlowState } from "./flow-state.ts"
import { isLoopbackHost } from "./self.ts"
import type { Target } from "./target.ts"

/** In a request: `local` or `cloud`. */
const ROUTE_FIELD = "x-llmproxy-route"
/** Of a wish that nobody can grant, so much is told. */
const WISH_CHARS_MAX = 40

export class Locality {
  readonly #flow: FlowState
  #reason: string | undefined
  #origins: readonly string[] = []

  constructor(flow: FlowState) {
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
    const { reason } = this
    if (reason === undefined) return
    const odd = this.#oddWish
    if (odd !== undefined) {
      const message = `${ROUTE_FIELD}: ${JSON.stringify(odd)} is no route; write local or cloud`
      throw new FlowError("client", "invalid_route", message, { status: 400 })
    }
    if (isHere(target) || (target.via === undefined && this.names(target))) return
    const { unparsed } = this.#flow
    const why = unparsed === undefined ? reason : `${reason}; ${unparsed}`
    const isDetour = target.via !== undefined && (isLoopbackHost(target.host) || this.names(target))
    const odds = isDetour ? "is asked through a proxy" : "is no local host"
    const message = `the request is to stay local (${why}), and ${hostAndPort(target.host, target.port)} ${odds}`
    throw new FlowError("client", "stays-local", message, { status: 403 })
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

/** A name of this machine, and nothing on the way that would lead the connection elsewhere. */
function isHere({ host, connectTo, via }: Target): boolean {
  return isLoopbackHost(host) && via === undefined && (connectTo === undefined || isLoopbackHost(connectTo.host))
}
