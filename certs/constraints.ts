/**
 * Name constraints (RFC 5280 4.2.1.10): a CA that can sign for the named hosts and for nothing else, so that a
 * stolen key is worth little. Clients enforce them; we read them too, to leave other hosts alone and say why.
 */
import { type Asn1, children, content, contextTag, decode, sequence, tagged } from "./der.ts"
import { type HostName, parseHostName } from "./name.ts"

// GeneralName's tags.
const DNS_NAME = 2
const IP_ADDRESS = 7

interface Subtrees {
  dns: string[]
  /** Address and mask, one after the other: 8 or 32 bytes. */
  ip: Buffer[]
}

export interface NameConstraints {
  readonly permitted: Subtrees
  readonly excluded: Subtrees
}

/** A GeneralName for a SAN. */
export function generalName(name: HostName): Asn1 {
  return name.kind === "ip" ? tagged(IP_ADDRESS, name.bytes) : tagged(DNS_NAME, Buffer.from(name.text, "latin1"))
}

/**
 * Constraints that permit these names, with all names below them, and these addresses.
 * Throws FlowError `bad-host-name` as parseHostName does; a leading "*." or "." is ignored.
 */
export function constraintsFor(permit: readonly string[]): NameConstraints {
  const names = permit.map((each) => parseHostName(each.replace(/^\*?\./, "")))
  const permitted: Subtrees = { dns: [], ip: [] }
  for (const name of names) {
    if (name.kind === "dns") permitted.dns.push(name.text)
    else permitted.ip.push(Buffer.concat([name.bytes, Buffer.alloc(name.bytes.length, 0xff)]))
  }
  // A constraint binds only names of its own type, so a type without a permitted name is excluded as a whole
  // (the CA/Browser Forum's Baseline Requirements, 7.1.5, write it the same way).
  const excluded: Subtrees = { dns: [], ip: [] }
  if (permitted.dns.length === 0) excluded.dns.push("")
  if (permitted.ip.length === 0) excluded.ip.push(Buffer.alloc(8), Buffer.alloc(32))
  return { permitted, excluded }
}

export function writeConstraints({ permitted, excluded }: NameConstraints): Asn1 {
  const parts: Asn1[] = [tagged(0, writeSubtrees(permitted))]
  if (excluded.dns.length + excluded.ip.length > 0) parts.push(tagged(1, writeSubtrees(excluded)))
  return sequence(...parts)
}

/** Reads the value of a nameConstraints extension. Names of other types than DNS and IP are passed over. */
export function readConstraints(der: Uint8Array): NameConstraints {
  const constraints: NameConstraints = { permitted: { dns: [], ip: [] }, excluded: { dns: [], ip: [] } }
  for (const part of children(decode(der))) {
    const subtrees = contextTag(part) === 0 ? constraints.permitted : constraints.excluded
    for (const subtree of children(part)) readSubtree(subtree, subtrees)
  }
  return constraints
}

export function permits({ permitted, excluded }: NameConstraints, name: HostName): boolean {
  if (name.kind === "dns") {
    if (excluded.dns.some((base) => isBelow(name.text, base))) return false
    return permitted.dns.length === 0 || permitted.dns.some((base) => isBelow(name.text, base))
  }
  if (excluded.ip.some((range) => isInside(name.bytes, range))) return false
  return permitted.ip.length === 0 || permitted.ip.some((range) => isInside(name.bytes, range))
}

/** Whether both permit and exclude the same, in whatever order. */
export function sameConstraints(one: NameConstraints | undefined, other: NameConstraints | undefined): boolean {
  return fingerprint(one) === fingerprint(other)
}

function fingerprint(constraints: NameConstraints | undefined): string {
  if (constraints === undefined) return ""
  const list = ({ dns, ip }: Subtrees) => [...dns, ...ip.map((range) => range.toString("hex"))].sort()
  return JSON.stringify([list(constraints.permitted), list(constraints.excluded)])
}

function writeSubtrees({ dns, ip }: Subtrees): Asn1[] {
  return [
    ...dns.map((base) => sequence(tagged(DNS_NAME, Buffer.from(base, "latin1")))),
    ...ip.map((range) => sequence(tagged(IP_ADDRESS, range))),
  ]
}

function readSubtree(subtree: Asn1, into: Subtrees): void {
  const base = children(subtree)[0]
  if (base === undefined) return
  if (contextTag(base) === DNS_NAME) into.dns.push(content(base).toString("latin1").toLowerCase())
  if (contextTag(base) === IP_ADDRESS) into.ip.push(content(base))
}

function isBelow(name: string, base: string): boolean {
  // An empty base is the root of all names; with a leading dot, as some write it, the name itself is left out.
  if (base === "" || name === base) return true
  return name.endsWith(base.startsWith(".") ? base : `.${base}`)
}

function isInside(address: Buffer, range: Buffer): boolean {
  if (range.length !== address.length * 2) return false
  return address.every((byte, index) => {
    const mask = range[address.length + index] ?? 0
    return (byte & mask) === ((range[index] ?? 0) & mask)
  })
}
