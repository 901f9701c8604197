/**
 * Who may use the proxy, as the options say it: users with a password or its hash, and address ranges. Only read and
 * checked here, so that a mistake stops the start; access.ts applies it.
 */
import { isIP } from "node:net"
import { UsageError } from "../../base/errors.ts"
import { canonicalAddress } from "../io/authority.ts"
import type { AddressRange, ProxyUser } from "../settings.ts"
import { excessiveCost, isKnownHash } from "./password-hash.ts"

// More lines than this are no list of users of one proxy.
const USERS_MAX = 10_000
/** Where IPv4 begins in an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2). */
const MAPPED_PREFIX = 96

/** Reads USER:PASS; the password may hold colons. Throws a UsageError, which never shows the password. */
export function proxyUser(text: string): ProxyUser {
  const colon = text.indexOf(":")
  if (colon < 1 || colon === text.length - 1) throw new UsageError("--proxy-auth: write USER:PASS")
  return { name: text.slice(0, colon), secret: { kind: "password", text: text.slice(colon + 1) } }
}

/** Reads the lines of an htpasswd file: `user:hash`. Throws a UsageError that names the line and never shows it. */
export function proxyUsers(text: string, path: string): ProxyUser[] {
  const users = new Map<string, ProxyUser>()
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === "" || line.startsWith("#")) continue
    const colon = line.indexOf(":")
    const [name, hash] = [line.slice(0, colon), line.slice(colon + 1)]
    const where = `--proxy-auth-file ${path}: line ${index + 1}`
    if (colon < 1) throw new UsageError(`${where}: write user:hash, as \`htpasswd -B\` does`)
    if (!isKnownHash(hash))
      throw new UsageError(`${where}: the hash is neither bcrypt nor argon2; make it with \`htpasswd -B\``)
    const excess = excessiveCost(hash)
    if (excess !== undefined) throw new UsageError(`${where}: ${excess}; make the hash anew with less`)
    if (users.has(name)) throw new UsageError(`${where}: this user stands there twice`)
    users.set(name, { name, secret: { kind: "hash", text: hash } })
    if (users.size > USERS_MAX) throw new UsageError(`--proxy-auth-file ${path}: more than ${USERS_MAX} users`)
  }
  if (users.size === 0) throw new UsageError(`--proxy-auth-file ${path}: it names no user`)
  return [...users.values()]
}

/** Reads an address or CIDR, of IPv4 or IPv6; IPv4 in IPv6's clothes is IPv4. Throws a UsageError. */
export function addressRange(text: string, option = "--allow-clients"): AddressRange {
  const [, address = "", bits] = /^([0-9a-f:.]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? []
  const family = isIP(address)
  if (family === 0) throw new UsageError(`${option} ${text}: write an address or a range, as in 192.168.0.0/16`)
  const longest = family === 4 ? 32 : 128
  const prefix = bits === undefined ? longest : Number(bits)
  if (prefix > longest) throw new UsageError(`${option} ${text}: a prefix has at most ${longest} bits`)
  const canonical = canonicalAddress(address)
  if (family === 4) return { address: canonical, prefix, family: "ipv4" }
  if (isIP(canonical) === 6) return { address: canonical, prefix, family: "ipv6" }
  if (prefix < MAPPED_PREFIX) return { address, prefix, family: "ipv6" }
  return { address: canonical, prefix: prefix - MAPPED_PREFIX, family: "ipv4" }
}
