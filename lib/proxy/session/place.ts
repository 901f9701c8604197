/**
 * Where a connection stands, and what a request on it therefore means: at our own address (absolute-form is a proxy
 * request, origin-form is the base-URL door), at a reverse listener (everything goes to one server), or inside a tunnel
 * to one host.
 */

import { isIP } from "node:net"
import { FlowError } from "../../base/errors.ts"
import type { RequestHead } from "../../http1/message.ts"
import { isForOtherSite } from "../access/access.ts"
import type { H2RequestHead } from "../http2/head.ts"
import { webSocketUpgradeFields } from "../http2/websocket.ts"
import { type Authority, defaultPort, formatAuthority, parseAuthority } from "../io/authority.ts"
import { atBaseUpstream, joinPaths } from "../io/base-upstream.ts"
import type { ProxySettings } from "../settings.ts"
import type { ResolvedHead, StreamRequestHead } from "../streams.ts"
import type { SelfGuard } from "../upstream/self.ts"
import type { ReverseTarget } from "./mode.ts"
import { isOwnPath, OWN_HOST } from "./own-names.ts"

export type Place =
  | { readonly kind: "open" }
  | { readonly kind: "reverse"; readonly to: ReverseTarget }
  | {
      readonly kind: "tunnel"
      readonly scheme: "http" | "https"
      /** Empty where only the requests know it. */
      readonly host: string
      readonly port: number
      /** The client was redirected here and knows of no proxy: Host is what it means. */
      readonly byName?: boolean
    }

type Tunnel = Extract<Place, { kind: "tunnel" }>

/** Whether whatever comes on a connection that stands there goes to one server. */
export function isSingleOrigin(place: Place): boolean {
  return place.kind === "reverse" || (place.kind === "tunnel" && place.host !== "")
}

/** Whether what answers at our own address has an answer to this; what it has not passes on. */
type Claims = (method: string, target: string) => boolean
export interface Surroundings {
  readonly place: Place
  readonly settings: ProxySettings
  readonly self: SelfGuard
  readonly claims: Claims
}

/** Tells where a request goes. Throws a FlowError with the status that the client gets. */
export function resolveHead(head: RequestHead, around: Surroundings): ResolvedHead {
  const { place, settings, self } = around
  const absolute = /^([a-z][a-z0-9+.-]*):\/\//i.exec(head.target)
  if (place.kind === "reverse") return reverse(head, absolute?.[0], place.to, settings)
  if (absolute !== null) {
    const resolved = absoluteForm(head, absolute[1]?.toLowerCase() ?? "", place)
    self.check(resolved.host, resolved.port)
    return { head: resolved, baseUrl: false }
  }
  checkPath(head.target)
  if (place.kind === "open") return baseUrlDoor(head, around)
  const to = place.byName === true ? namedHost(head, place) : place
  if (place.host === "") self.check(to.host, to.port)
  return { head: streamHead(head, to, head.target), baseUrl: false }
}

function checkPath(target: string): void {
  if (target !== "*" && !target.startsWith("/"))
    throw new FlowError("client", "bad-target", "the request-target is neither a path nor an absolute URL")
}

/** A redirected request goes where Host says; without one, to the address that the client has connected to. */
function namedHost(head: RequestHead, { scheme, host: address, port }: Tunnel): Tunnel {
  const field = head.headers.get("host")
  const named = field === undefined ? undefined : parseAuthority(field, port)
  // The address tells the port as well; where only Host is known, Host tells both.
  if (named !== undefined) return { kind: "tunnel", scheme, host: named.host, port: address === "" ? named.port : port }
  if (address !== "") return { kind: "tunnel", scheme, host: address, port }
  throw new FlowError("client", "no-host", "where this request was going is not known: it has no Host that is one")
}

/** At a reverse listener the client takes us for the server: whatever the form, one server gets it. */
function reverse(
  head: RequestHead,
  scheme: string | undefined,
  to: ReverseTarget,
  { keepHostHeader }: ProxySettings,
): ResolvedHead {
  const target = scheme === undefined ? head.target : absolutePath(head, scheme.slice(0, -3).toLowerCase()).path
  checkPath(target)
  if (!keepHostHeader || !head.headers.has("host"))
    head.headers.set("Host", formatAuthority(to.host, to.port, to.scheme))
  const path = target === "*" ? "*" : joinPaths(to.base, target)
  return { head: streamHead(head, to, path), baseUrl: false }
}

/**
 * The same for HTTP/2, which has one form for all requests: at our own address, a request for one of our own names is
 * for the base-URL door, any other is a proxy request. An extended CONNECT (RFC 8441) becomes an upgrade.
 */
export function resolveH2Head(head: H2RequestHead, around: Surroundings): ResolvedHead {
  const { place, settings } = around
  const { scheme = "http", authority, path = "/", protocol } = head
  if (head.method === "CONNECT" && protocol === undefined) {
    const message = `CONNECT ${authority} over HTTP/2: tunnels are opened over HTTP/1.1 here; have the client use it for its proxy`
    throw new FlowError("client", "connect-over-http2", message, { status: 501 })
  }
  if (protocol !== undefined && protocol !== "websocket") {
    const message = `an extended CONNECT for ${JSON.stringify(protocol)}: only websocket can be relayed`
    throw new FlowError("client", "bad-protocol", message, { status: 501 })
  }
  const named = parseAuthority(authority, defaultPort(scheme))
  const foreign = place.kind === "open" && !(named !== undefined && isOwnName(named, settings))
  const http1: RequestHead = {
    method: protocol === undefined ? head.method : "GET",
    target: foreign ? `${scheme}://${authority}${path === "*" ? "" : path}` : path,
    version: "1.1",
    headers: protocol === undefined ? head.headers : webSocketUpgradeFields(head.headers),
    framing: { kind: "none" }, // Told from END_STREAM, not from the head.
    keepAlive: true,
    expectContinue: head.expectContinue,
    upgrade: protocol,
  }
  const resolved = resolveHead(http1, around)
  return { ...resolved, head: { ...resolved.head, version: "HTTP/2.0" } }
}

/**
 * `GET http://host/path`: the target's authority wins, and Host is rewritten to it (RFC 9112 section 3.2.2). Inside a
 * tunnel the bytes still go where the tunnel goes: that is whom the client has connected to.
 */
function absoluteForm(head: RequestHead, scheme: string, place: Place): StreamRequestHead {
  const { authority, path } = absolutePath(head, scheme)
  const to = place.kind === "tunnel" && place.host !== "" ? place : authority
  return streamHead(head, to, path)
}

/** Takes an absolute URL apart, and makes Host say the same. */
function absolutePath(
  head: RequestHead,
  scheme: string,
): { authority: Authority & { scheme: "http" | "https" }; path: string } {
  if (scheme !== "http" && scheme !== "https")
    throw new FlowError("client", "bad-scheme", `requests for ${scheme}: URLs cannot be made here`)
  const rest = head.target.slice(scheme.length + 3)
  const end = rest.search(/[/?#]/)
  const authorityText = end < 0 ? rest : rest.slice(0, end)
  const authority = parseAuthority(authorityText, defaultPort(scheme))
  if (authority === undefined)
    throw new FlowError("client", "bad-target", "the host of the request-target is not understood")
  setHost(head, authority, scheme)
  return { authority: { scheme, ...authority }, path: originForm(head.method, end < 0 ? "" : rest.slice(end)) }
}

/** A Host line that says the same stays as it came. */
function setHost({ headers }: RequestHead, wanted: Authority, scheme: "http" | "https"): void {
  const present = parseAuthority(headers.get("host") ?? "", defaultPort(scheme))
  if (present?.host === wanted.host && present.port === wanted.port) return
  headers.set("Host", formatAuthority(wanted.host, wanted.port, scheme))
}

/** What is left of an absolute URL behind its authority. OPTIONS of no path is about the server: RFC 9112 section 3.2.4. */
function originForm(method: string, rest: string): string {
  if (rest === "" && method === "OPTIONS") return "*"
  return rest.startsWith("/") ? rest : `/${rest}`
}

/**
 * A request to our own address. Any web page can send one to localhost, so Host has to name an address, and an Origin
 * has to be one that was allowed.
 */
function baseUrlDoor(head: RequestHead, { settings, claims }: Surroundings): ResolvedHead {
  const host = head.headers.get("host")
  const authority = host === undefined ? undefined : parseAuthority(host, 80)
  if (authority === undefined || !isOwnName(authority, settings)) {
    const message = `Host ${JSON.stringify(host ?? "")} is not a name of this proxy; allow it with --base-host`
    throw new FlowError("client", "misdirected", message, { status: 421 })
  }
  const isOurs = claims(head.method, head.target)
  const origin = head.headers.get("origin")
  // A page that we serve may ask what we serve, and nothing else.
  const isOwnPage = isOurs && (origin === `http://${host}` || origin === `https://${host}`)
  if (origin !== undefined && !isOwnPage && !settings.baseOrigins.includes(origin)) {
    const message = `pages of origin ${JSON.stringify(origin)} may not call this proxy; allow them with --base-origin`
    throw new FlowError("client", "forbidden-origin", message, { status: 403 })
  }
  const own = { scheme: "http", host: OWN_HOST, port: 80 } as const
  // This page has no key in it, and may be linked to.
  if (isOwnPath(head.target)) return { head: streamHead(head, own, head.target), baseUrl: true }
  if (isForOtherSite(head.headers, settings)) {
    const message = "pages of other sites may not call this proxy; allow their origin with --base-origin"
    throw new FlowError("client", "forbidden-origin", message, { status: 403 })
  }
  if (isOurs) return { head: streamHead(head, own, head.target), baseUrl: true }
  const { path, ...upstream } = atBaseUpstream(settings.baseUpstream, head.target)
  head.headers.set("Host", formatAuthority(upstream.host, upstream.port, upstream.scheme))
  return { head: streamHead(head, upstream, path), baseUrl: true }
}

function isOwnName({ host }: Authority, settings: ProxySettings): boolean {
  return isIP(host) !== 0 || host === "localhost" || settings.baseHosts.includes(host)
}

function streamHead(
  head: RequestHead,
  to: { scheme: "http" | "https"; host: string; port: number },
  path: string,
): StreamRequestHead {
  const { method, headers, upgrade, version } = head
  const { scheme, host, port } = to
  return { method, scheme, host, port, path, headers, upgrade, version: version === "1.0" ? "HTTP/1.0" : "HTTP/1.1" }
}
