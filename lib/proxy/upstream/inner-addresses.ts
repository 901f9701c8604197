/**
 * Addresses that only mean something where the proxy stands: the machine itself, its link, and the services by which a cloud
 * tells a machine its own credentials. A client of another machine that names one would have the proxy ask what it cannot ask
 * itself (server-side request forgery, https://owasp.org/Top10/A10_2021-Server-Side_Request_Forgery_%28SSRF%29/).
 */
import { BlockList, isIP } from "node:net"
import { FlowError } from "../../base/errors.ts"
import { canonicalAddress, hostAndPort } from "../io/authority.ts"
import type { ProxySettings } from "../settings.ts"
import type { ClientLink } from "../streams.ts"
import { isLoopbackHost } from "./self.ts"

const INNER = new BlockList()
INNER.addSubnet("0.0.0.0", 8, "ipv4")
INNER.addSubnet("127.0.0.0", 8, "ipv4")
INNER.addSubnet("169.254.0.0", 16, "ipv4") // RFC 3927; most clouds' metadata is 169.254.169.254
INNER.addAddress("100.100.100.200", "ipv4") // Alibaba Cloud's metadata
INNER.addAddress("168.63.129.16", "ipv4") // Azure's WireServer
INNER.addAddress("::", "ipv6")
INNER.addAddress("::1", "ipv6")
INNER.addSubnet("fe80::", 10, "ipv6") // RFC 4291 section 2.5.6
INNER.addAddress("fd00:ec2::254", "ipv6") // AWS' metadata

/** Whether a host, a name or an address without brackets, is such a place. Of other names their addresses tell. */
export function isInner(host: string): boolean {
  if (isLoopbackHost(host)) return true
  const address = canonicalAddress(host.replace(/%.*$/, "")) // the zone of a link-local address
  const family = isIP(address)
  return family !== 0 && INNER.check(address, family === 4 ? "ipv4" : "ipv6")
}

/** For whoever has named it; nothing was sent there. */
export function innerError(host: string, port: number): FlowError {
  const message =
    `${hostAndPort(host, port)} is an address of the proxy's own machine or link, which clients of a listener that others ` +
    "reach may not name; --allow-private lets them"
  return new FlowError("client", "private-address", message, { status: 403 })
}

/** Whether a client may name no such address: one of a listener that other machines reach, unless --allow-private says so. */
export function mayNameOuterOnly(
  { allowPrivate }: Pick<ProxySettings, "allowPrivate">,
  { fromOpenListener }: Pick<ClientLink, "fromOpenListener">,
): boolean {
  return fromOpenListener && !allowPrivate
}
