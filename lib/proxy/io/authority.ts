/**
 * Host and port as people and programs write them: `host`, `host:port`, `[v6]:port`, a request-target, a Host field.
 * One reading for all of them, so that two parts of the program never disagree about where a request goes.
 */
import { isIP } from "node:net"
import { domainToASCII } from "node:url"

export interface Authority {
  /** Lower-case, IDNA, without brackets and trailing dot; an address in its one canonical spelling. */
  readonly host: string
  readonly port: number
}

/** RFC 1035: octets of a name. */
const NAME_MAX = 253
/** What a name may hold after IDNA: letters, digits, hyphens, dots, and underscores, which exist in the wild. */
const NAME = /^(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/
/** A last label that makes the whole an IPv4 address or nothing (WHATWG URL, "ends in a number"): resolvers agree. */
const NUMERIC_END = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/
/** ::ffff:a.b.c.d as canonical IPv6 has it. */
const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/

/** Reads `host`, `host:port` or `[v6]:port`. Undefined: it is none, and nothing may be dialled from it. */
export function parseAuthority(text: string, defaultPort: number): Authority | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]@/\\?#\s]+))(?::(\d{0,5}))?$/.exec(text)
  if (match === null) return undefined
  const port = match[3] === undefined || match[3] === "" ? defaultPort : Number(match[3])
  if (port < 1 || port > 65_535) return undefined
  if (match[1] !== undefined) return isIP(match[1]) === 6 ? { host: canonicalAddress(match[1]), port } : undefined
  const host = normalHost(match[2] ?? "")
  return host === undefined ? undefined : { host, port }
}

/** A host name in the one form that is compared and dialled; undefined when it is no name and no address. */
export function normalHost(name: string): string | undefined {
  if (isIP(name) !== 0) return canonicalAddress(name)
  const ascii = (/^[\x21-\x7e]*$/.test(name) ? name.toLowerCase() : domainToASCII(name)).replace(/\.$/, "")
  if (ascii.length > NAME_MAX || !NAME.test(ascii)) return undefined
  if (!NUMERIC_END.test(ascii)) return ascii
  return URL.canParse(`http://${ascii}/`) ? new URL(`http://${ascii}/`).hostname : undefined
}

/** An address in its one spelling: IPv6 compressed (RFC 5952), IPv4 out of IPv6's clothes. Anything else stays. */
export function canonicalAddress(address: string): string {
  if (isIP(address) !== 6 || address.includes("%")) return address
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const mapped = MAPPED.exec(canonical)
  if (mapped === null) return canonical
  const [high, low] = [Number.parseInt(mapped[1] ?? "", 16), Number.parseInt(mapped[2] ?? "", 16)]
  return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`
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
