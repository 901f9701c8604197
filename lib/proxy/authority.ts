/**
 * Host and port as people and programs write them: `host`, `host:port`, `[v6]:port`, a request-target, a Host field.
 * One reading for all of them, so that two parts of the program never disagree about where a request goes.
 */
import { isIP } from "node:net"
import { domainToASCII } from "node:url"

export interface Authority {
  /** Lower-case, IDNA, without brackets and trailing dot. */
  readonly host: string
  readonly port: number
}

/** RFC 1035: octets of a name. */
const NAME_MAX = 253
/** What a name may hold after IDNA: letters, digits, hyphens, dots, and underscores, which exist in the wild. */
const NAME = /^(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/

/** Reads `host`, `host:port` or `[v6]:port`. Undefined: it is none, and nothing may be dialled from it. */
export function parseAuthority(text: string, defaultPort: number): Authority | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]@/\\?#\s]+))(?::(\d{1,5}))?$/.exec(text)
  if (match === null) return undefined
  const port = match[3] === undefined ? defaultPort : Number(match[3])
  if (port < 1 || port > 65_535) return undefined
  if (match[1] !== undefined) return isIP(match[1]) === 6 ? { host: match[1].toLowerCase(), port } : undefined
  const host = normalHost(match[2] ?? "")
  return host === undefined ? undefined : { host, port }
}

/** A host name in the one form that is compared and dialled; undefined when it is no name and no address. */
export function normalHost(name: string): string | undefined {
  if (isIP(name) !== 0) return name.toLowerCase()
  const ascii = (/^[\x21-\x7e]*$/.test(name) ? name.toLowerCase() : domainToASCII(name)).replace(/\.$/, "")
  return ascii.length <= NAME_MAX && NAME.test(ascii) ? ascii : undefined
}

/** The port that a scheme implies. */
export function defaultPort(scheme: string): number {
  return scheme === "https" ? 443 : 80
}

/** `host` or `host:port`, with brackets where the host is IPv6, as Host and :authority want it. */
export function formatAuthority(host: string, port: number, scheme: "http" | "https"): string {
  const name = isIP(host) === 6 ? `[${host}]` : host
  return port === defaultPort(scheme) ? name : `${name}:${port}`
}

/** `host:port`, always with the port. */
export function hostAndPort(host: string, port: number): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}
