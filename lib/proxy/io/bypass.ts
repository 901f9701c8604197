/**
 * Hosts that are reached directly although everything else goes on through a proxy: the entries of NO_PROXY, as curl,
 * wget and Go read them. A name stands for all names below it, `*` for every host; a range of addresses for those that
 * are written as addresses.
 */
import { BlockList, isIP } from "node:net"

export interface BypassRule {
  /** Lower case, without a leading dot or `*.`; "*": all hosts. Empty where `range` counts. */
  readonly host: string
  readonly port: number | undefined
  readonly range: BlockList | undefined
}

/** Reads one entry: `corp.example`, `.corp.example`, `*.corp.example`, `host:8443`, `10.0.0.0/8`, `*`. */
export function bypassRule(entry: string): BypassRule {
  const [, address = "", bits] = /^([0-9a-f:.]+)\/(\d{1,3})$/i.exec(entry) ?? []
  const family = isIP(address)
  if (family !== 0 && Number(bits) <= (family === 4 ? 32 : 128)) {
    const range = new BlockList()
    range.addSubnet(address, Number(bits), family === 4 ? "ipv4" : "ipv6")
    return { host: "", port: undefined, range }
  }
  const [, bracketed, name = "", port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [entry, entry]
  const host = (bracketed ?? name).toLowerCase().replace(/^\*?\./, "")
  return { host, port: port === undefined ? undefined : Number(port), range: undefined }
}

/** The proxy that a connection to `host` goes through: `via`, or none where a rule names the host. */
export function wayOut(
  { upstreamBypass }: { readonly upstreamBypass: readonly BypassRule[] },
  via: string | undefined,
  { host, port }: { readonly host: string; readonly port: number },
): string | undefined {
  if (via === undefined || upstreamBypass.length === 0) return via
  return upstreamBypass.some((rule) => fits(rule, host, port)) ? undefined : via
}

function fits(rule: BypassRule, host: string, port: number): boolean {
  if (rule.range !== undefined) {
    const family = isIP(host)
    return family !== 0 && rule.range.check(host, family === 4 ? "ipv4" : "ipv6")
  }
  if (rule.port !== undefined && rule.port !== port) return false
  return rule.host === "*" || host === rule.host || (rule.host !== "" && host.endsWith(`.${rule.host}`))
}
