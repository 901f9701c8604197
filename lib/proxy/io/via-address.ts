/**
 * The address of a proxy on the way to the upstream, as a person writes it: scheme, credentials, host, port. It is kept
 * as it was given, because it is part of a target's key; read here, and shown to people without its credentials. What is
 * said to a proxy of them, and what its refusal means, stand here as well: tunnels (via.ts) and requests both need it.
 */
import { FlowError } from "../../base/errors.ts"
import { percentDecoded } from "../../base/percent.ts"
import { hostAndPort, normalHost } from "./authority.ts"

export interface ViaProxy {
  readonly scheme: "http" | "https" | "socks5"
  /** In the form in which hosts are dialled. */
  readonly host: string
  readonly port: number
  readonly credentials: { readonly user: string; readonly password: string } | undefined
}

/** Of `socks5h` as well: names are always resolved by the proxy, which is where they mean something. */
const SCHEMES: ReadonlyMap<string, { readonly scheme: ViaProxy["scheme"]; readonly port: number }> = new Map([
  ["http:", { scheme: "http", port: 80 }],
  ["https:", { scheme: "https", port: 443 }],
  ["socks5:", { scheme: "socks5", port: 1080 }],
  ["socks5h:", { scheme: "socks5", port: 1080 }],
])

export const VIA_FORMS = "write http://, https:// or socks5://[user:password@]host:port"

/** Reads `http://`, `https://`, `socks5://` or `socks5h://[user:password@]host[:port][/]`; undefined when it is none. */
export function parseVia(text: string): ViaProxy | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const known = SCHEMES.get(url?.protocol ?? "")
  if (url === undefined || known === undefined || !isBare(url)) return undefined
  const host = normalHost(url.hostname.replace(/^\[|\]$/g, ""))
  const port = Number(url.port || known.port)
  if (host === undefined || port === 0) return undefined
  const isOpen = url.username === "" && url.password === ""
  const credentials = isOpen
    ? undefined
    : { user: percentDecoded(url.username), password: percentDecoded(url.password) }
  return { scheme: known.scheme, host, port, credentials }
}

/** Throws a FlowError for what is no proxy that can be used. */
export function viaProxy(via: string): ViaProxy {
  const proxy = parseVia(via)
  if (proxy !== undefined) return proxy
  throw new FlowError("addon", "bad-via", `via ${viaForPeople(via)}: no such proxy can be used; ${VIA_FORMS}`)
}

/** Whether nothing follows the port that would be left out in silence. */
function isBare({ pathname, search, hash }: URL): boolean {
  return (pathname === "" || pathname === "/") && search === "" && hash === ""
}

/** `host:port`, without the credentials. */
export function viaForPeople(via: string): string {
  const proxy = parseVia(via)
  return proxy === undefined ? "the upstream proxy" : hostAndPort(proxy.host, proxy.port)
}

/** Whether requests of this scheme go to the proxy as they are: without TLS inside, HTTP proxies want no tunnel. */
export function isForwarded(via: string | undefined, scheme: "http" | "https"): boolean {
  return via !== undefined && scheme === "http" && parseVia(via)?.scheme !== "socks5"
}

/** The value of Proxy-Authorization for a proxy that has credentials. */
export function proxyAuthorization({ credentials }: ViaProxy): string | undefined {
  if (credentials === undefined) return undefined
  return `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString("base64")}`
}

/** What a status of the proxy means for who set it up. */
export function refusalOf(status: number, reason: string, hasCredentials: boolean): string {
  const said = `the proxy answered ${`${status} ${reason}`.trim()}`
  if (status !== 407) return said
  const advice = hasCredentials ? "its user or password is wrong" : "it wants credentials"
  return `${said}: ${advice}; write them as http://user:password@host:port`
}
