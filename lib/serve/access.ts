/**
 * Who runs the proxy: whoever has its admin token, or, where none is shown, a program of this machine that asks for itself.
 * Pure.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { parseAuthority } from "../proxy/io/authority.ts"
import type { ClientStream } from "../proxy/streams.ts"
import { isLoopbackHost } from "../proxy/upstream/self.ts"

/** By these a program of this machine says that it asks for somebody else. */
const FORWARDING = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/

/** `isBehindProxies`: whoever connects speaks for others, so that only a token tells. */
export function isAdmin(
  { head, connection }: Pick<ClientStream, "head" | "connection">,
  token: string,
  isBehindProxies = false,
): boolean {
  const credentials = head.headers.getAll("authorization")
  const shown = credentials.map((value) => /^bearer +(\S+)$/i.exec(value)?.[1]).filter((one) => one !== undefined)
  // Who shows a token is judged by it alone: a wrong one is a mistake that is worth knowing of.
  if (shown.length > 0) return credentials.length === 1 && isSame(shown[0] ?? "", token)
  if (isBehindProxies || !isLoopbackHost(connection.address) || !isNamedLoopback(head.headers.get("host"))) return false
  return !head.headers.lowerNames().some((name) => FORWARDING.test(name))
}

/**
 * A browser says of a request to localhost or 127.0.0.1 whether another site's page has made it (Sec-Fetch-Site), and such
 * a one has been refused. At other names of this machine, 0.0.0.0 say, it does not: they are no trustworthy origins
 * (https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy), and any page may ask there.
 */
function isNamedLoopback(host: string | undefined): boolean {
  const named = host === undefined ? undefined : parseAuthority(host, 80)
  return named !== undefined && isLoopbackHost(named.host)
}

/** In a time that tells nothing of where they differ. */
function isSame(one: string, other: string): boolean {
  return timingSafeEqual(digest(one), digest(other))
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "latin1").digest()
}
