/**
 * Where a connection stands, and what a request on it therefore means: at our own address (absolute-form is a proxy
 * request, origin-form is the base-URL door), or inside a tunnel to one host.
 */

import { isIP } from "node:net"
import { FlowError } from "../errors.ts"
import type { RequestHead } from "../http1/message.ts"
import { type Authority, defaultPort, formatAuthority, normalHost, parseAuthority } from "./authority.ts"
import type { ResolvedHead } from "./h1-client.ts"
import type { H2RequestHead } from "./h2-head.ts"
import { webSocketUpgradeFields } from "./h2-websocket.ts"
import type { SelfGuard } from "./self.ts"
import type { ProxySettings } from "./settings.ts"
import type { StreamRequestHead } from "./streams.ts"

export type Place =
  | { readonly kind: "open" }
  | { readonly kind: "tunnel"; readonly scheme: "http" | "https"; readonly host: string; readonly port: number }

/** Paths below this at our own address are ours, and are never forwarded. */
const OWN_PATH = /^\/\.llmproxy(?:[/?#]|$)/

/** Tells where a request goes. Throws a FlowError with the status that the client gets. */
export function resolveHead(head: RequestHead, place: Place, settings: ProxySettings, self: SelfGuard): ResolvedHead {
  const absolute = /^([a-z][a-z0-9+.-]*):\/\//i.exec(head.target)
  if (absolute !== null) {
    const resolved = absoluteForm(head, absolute[1]?.toLowerCase() ?? "", place)
    self.check(resolved.host, resolved.port)
    return { head: resolved, baseUrl: false }
  }
  if (head.target !== "*" && !head.target.startsWith("/"))
    throw new FlowError("client", "bad-target", "the request-target is neither a path nor an absolute URL")
  if (place.kind === "open") return baseUrlDoor(head, settings)
  const { scheme, host, port } = place
  return { head: streamHead(head, { scheme, host, port }, head.target), baseUrl: false }
}

/**
 * The same for HTTP/2, which has one form for all requests: at our own address, a request for one of our own names is
 * for the base-URL door, any other is a proxy request. An extended CONNECT (RFC 8441) becomes an upgrade.
 */
export function resolveH2Head(
  head: H2RequestHead,
  place: Place,
  settings: ProxySettings,
  self: SelfGuard,
): ResolvedHead {
  const { scheme = "http", authority, path = "/", protocol } = head
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
  const resolved = resolveHead(http1, place, settings, self)
  return { ...resolved, head: { ...resolved.head, version: "HTTP/2.0" } }
}

/**
 * `GET http://host/path`: the target's authority wins, and Host is rewritten to it (RFC 9112 section 3.2.2). Inside a
 * tunnel the bytes still go where the tunnel goes: that is whom the client has connected to.
 */
function absoluteForm(head: RequestHead, scheme: string, place: Place): StreamRequestHead {
  if (scheme !== "http" && scheme !== "https")
    throw new FlowError("client", "bad-scheme", `requests for ${scheme}: URLs cannot be made here`)
  const rest = head.target.slice(scheme.length + 3)
  const end = rest.search(/[/?#]/)
  const authorityText = end < 0 ? rest : rest.slice(0, end)
  const authority = parseAuthority(authorityText, defaultPort(scheme))
  if (authority === undefined)
    throw new FlowError("client", "bad-target", "the host of the request-target is not understood")
  setHost(head, authority, scheme)
  const to = place.kind === "tunnel" ? place : ({ scheme, ...authority } as const)
  return streamHead(head, to, originForm(head.method, end < 0 ? "" : rest.slice(end)))
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
function baseUrlDoor(head: RequestHead, settings: ProxySettings): ResolvedHead {
  const host = head.headers.get("host")
  const authority = host === undefined ? undefined : parseAuthority(host, 80)
  if (authority === undefined || !isOwnName(authority, settings)) {
    const message = `Host ${JSON.stringify(host ?? "")} is not a name of this proxy; allow it with --base-host`
    throw new FlowError("client", "misdirected", message, { status: 421 })
  }
  const origin = head.headers.get("origin")
  if (origin !== undefined && !settings.baseOrigins.includes(origin)) {
    const message = `pages of origin ${JSON.stringify(origin)} may not call this proxy; allow them with --base-origin`
    throw new FlowError("client", "forbidden-origin", message, { status: 403 })
  }
  if (OWN_PATH.test(head.target))
    throw new FlowError("client", "not-found", `nothing is served at ${head.target} here`, { status: 404 })
  const { baseUpstream } = settings
  const scheme = baseUpstream.protocol === "http:" ? "http" : "https"
  const upstreamHost = normalHost(baseUpstream.hostname.replace(/^\[|\]$/g, "")) ?? baseUpstream.hostname
  const port = Number(baseUpstream.port || defaultPort(scheme))
  const path = head.target === "*" ? "*" : joinPaths(baseUpstream.pathname, head.target)
  head.headers.set("Host", formatAuthority(upstreamHost, port, scheme))
  return { head: streamHead(head, { scheme, host: upstreamHost, port }, path), baseUrl: true }
}

function isOwnName({ host }: Authority, settings: ProxySettings): boolean {
  return isIP(host) !== 0 || host === "localhost" || settings.baseHosts.includes(host)
}

/** `/v1` and `/v1/models` name the same folder once, not twice. */
function joinPaths(base: string, path: string): string {
  const prefix = base.replace(/\/+$/, "")
  const rest = path.startsWith(prefix) ? path.slice(prefix.length) : undefined
  if (rest !== undefined && /^(?:[/?#]|$)/.test(rest)) return path
  return `${prefix}${path}`
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
