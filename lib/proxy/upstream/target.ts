/**
 * An upstream target: everything that makes one connection unfit for another request. It is the pool's key.
 */
import type { ProxySettings } from "../settings.ts"

/**
 * `auto`: what the TLS handshake agrees on, HTTP/1.1 without TLS. `http/1.1`: nothing else is offered. `h2c`: HTTP/2
 * without TLS, by prior knowledge (RFC 9113 section 3.3), and HTTP/1.1 if the server has none.
 */
export type Protocol = "auto" | "http/1.1" | "h2c"

export interface Target {
  readonly scheme: "http" | "https"
  readonly protocol: Protocol
  readonly host: string
  readonly port: number
  /** The name for the TLS handshake and for the certificate; the host unless the client asked for another. */
  readonly sni: string | undefined
  /** Connect here instead of to host and port. */
  readonly connectTo: { readonly host: string; readonly port: number } | undefined
  /** A proxy to go through, as it was given (credentials included). */
  readonly via: string | undefined
  /** The proxy gets the requests themselves, in absolute-form, and is asked for no tunnel. */
  readonly forward?: boolean
  /** It was named by a client that may not name what only means something here: see inner-addresses.ts. */
  readonly outerOnly?: boolean
  /** PEM certificates to trust for this target besides the others. */
  readonly ca: string | undefined
  readonly verify: boolean
}

/** The first --connect-to rule that fits. */
export function connectToRule(settings: ProxySettings, host: string, port: number): Target["connectTo"] {
  const rule = settings.connectTo.find((one) => (one.host === "" || one.host === host) && (one.port ?? port) === port)
  return rule === undefined ? undefined : { host: rule.toHost === "" ? host : rule.toHost, port: rule.toPort ?? port }
}

export function targetKey(target: Target): string {
  const { scheme, protocol, host, port, sni, connectTo, via, forward = false, ca, verify, outerOnly = false } = target
  const to = connectTo === undefined ? "" : `${connectTo.host}|${connectTo.port}`
  return `${scheme}|${protocol}|${host}|${port}|${sni ?? ""}|${to}|${via ?? ""}|${forward}|${ca ?? ""}|${verify}|${outerOnly}`
}
