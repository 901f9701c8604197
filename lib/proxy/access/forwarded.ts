/**
 * Whose request it is where a proxy of ours stands before us (--trusted-proxy): what X-Forwarded-For says, read from its end, as only
 * what trusted proxies have written there is true. Pure.
 */
import { BlockList, isIP } from "node:net"
import type { Headers } from "../../base/headers.ts"
import { canonicalAddress } from "../io/authority.ts"
import type { AddressRange, ProxySettings } from "../settings.ts"

/** Entries that are looked at: nobody stands behind so many proxies. */
const ENTRIES_MAX = 32

const LISTS = new WeakMap<readonly AddressRange[], BlockList>()

/** The client's address: the connection's own, unless a trusted proxy speaks for another. */
export function clientAddress(
  { address }: { readonly address: string },
  headers: Headers,
  { trustedProxies }: Pick<ProxySettings, "trustedProxies">,
): string {
  if (trustedProxies.length === 0 || !isTrusted(address, trustedProxies)) return address
  let nearest = address
  const entries = headers.getAll("x-forwarded-for").join(",").split(",")
  for (const entry of entries.reverse().slice(0, ENTRIES_MAX)) {
    const named = addressIn(entry.trim())
    if (named === undefined) return nearest // Whoever wrote that is not who is trusted to.
    nearest = named
    if (!isTrusted(named, trustedProxies)) return nearest
  }
  return nearest
}

function isTrusted(address: string, ranges: readonly AddressRange[]): boolean {
  let list = LISTS.get(ranges)
  if (list === undefined) {
    list = new BlockList()
    for (const { address: start, prefix, family } of ranges) list.addSubnet(start, prefix, family)
    LISTS.set(ranges, list)
  }
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6")
}

/** An address as it is written there: alone, with a port, in brackets. */
function addressIn(entry: string): string | undefined {
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(entry)?.[1] ?? (isIP(entry) === 0 ? entry.replace(/:\d+$/, "") : entry)
  return isIP(bare) === 0 ? undefined : canonicalAddress(bare)
}
