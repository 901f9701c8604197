/**
 * Where addons want a request to go: all that `flow.route` was told, or `flow.send`, checked when it is said, so that
 * what cannot be done throws in the hook that wants it. A value: what is said later makes another one. ask.ts goes it.
 */
import type { Routed, RouteSpec } from "../../api/flow.ts"
import { Headers, type HeadersInit } from "../../base/headers.ts"
import { type Authority, parseAuthority } from "../io/authority.ts"

/** What a route changes of a request. */
export interface RoutableRequest {
  url: string
  path: string
  readonly headers: Headers
}

export class Route {
  static readonly #none = new Route({}, undefined, undefined)
  /** What people are told of it; undefined: no addon has chosen it. */
  readonly routed: Routed | undefined
  /** What is dialled instead of the URL's host. */
  readonly connectTo: Authority | undefined
  readonly #spec: RouteSpec
  readonly #fields: RouteFields | undefined

  private constructor(spec: RouteSpec, routed: Routed | undefined, fields: RouteFields | undefined) {
    this.#spec = spec
    this.routed = routed
    this.#fields = fields
    this.connectTo = spec.connectTo === undefined ? undefined : parseAuthority(spec.connectTo, 0)
  }

  /** The way of a request that has its URL and its fields already: `flow.send`'s. Throws a TypeError. */
  static ofSent(spec: Pick<RouteSpec, "url" | "via" | "connectTo" | "ca">): Route {
    checkRoute(spec, "flow.send")
    const { via, connectTo, ca } = spec
    const way = {
      ...(via === undefined ? {} : { via }),
      ...(connectTo === undefined ? {} : { connectTo }),
      ...(ca === undefined ? {} : { ca }),
    }
    return new Route(way, undefined, undefined)
  }

  /** `present` and what `spec` says beside it or in its place. `url`: where the request goes now. Throws a TypeError. */
  static chosen(present: Route | undefined, spec: RouteSpec, url: string): Route {
    checkRoute(spec, "flow.route")
    const before = present ?? Route.#none
    const all = { ...before.#spec, ...spec }
    const fields = spec.headers === undefined ? before.#fields : new RouteFields(spec.url ?? url, spec.headers)
    return new Route(all, { name: all.name, reason: all.reason, tokens: all.tokens, url: all.url }, fields)
  }

  get url(): string | undefined {
    return this.#spec.url
  }
  get via(): string | undefined {
    return this.#spec.via
  }
  get ca(): string | undefined {
    return this.#spec.ca
  }

  /** Whether it leads away from the connection on which `url` is asked. */
  leaves(url: string): boolean {
    const { url: to, via, connectTo } = this.#spec
    const moved = to !== undefined && new URL(to).origin !== new URL(url).origin
    return moved || via !== undefined || connectTo !== undefined
  }

  /** Puts the URL into `request`, which keeps its path where the URL has none. */
  direct(request: RoutableRequest): void {
    const { url } = this.#spec
    if (url === undefined) return
    const { path } = request
    const wanted = new URL(url)
    request.url = url
    if (wanted.pathname === "/" && wanted.search === "") request.path = path
  }

  /** Sets the route's own fields, if the request goes where they belong. */
  setFields(request: RoutableRequest): void {
    this.#fields?.setIn(request)
  }
}

/** Fields that may leave for one origin only. */
class RouteFields {
  readonly #origin: string
  readonly #fields: Headers

  constructor(url: string, fields: HeadersInit) {
    this.#origin = new URL(url).origin
    this.#fields = new Headers(fields)
  }

  setIn(request: RoutableRequest): void {
    if (new URL(request.url).origin !== this.#origin) return
    for (const [name, value] of this.#fields) request.headers.set(name, value)
  }
}

/** `call`: what the addon has called. */
function checkRoute({ url, connectTo }: RouteSpec, call: string): void {
  if (url !== undefined && (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)))
    throw new TypeError(`${call}: ${url} is no http or https URL`)
  if (connectTo !== undefined && parseAuthority(connectTo, 0) === undefined)
    throw new TypeError(`${call}: connectTo ${connectTo}: write host:port`)
}
