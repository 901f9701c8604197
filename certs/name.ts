/**
 * The name that a client asked for, in the one form that certificates and caches use.
 * It comes from SNI or a CONNECT line, so anything may be in it: what cannot stand in a certificate is a
 * FlowError, never a crash. Whether we should talk to that name is decided elsewhere.
 */
import { isIP, isIPv4 } from "node:net"
import { domainToASCII } from "node:url"
import { FlowError } from "../lib/base/errors.ts"

export type HostName =
  | { readonly kind: "dns"; readonly text: string }
  /** `bytes` are 4 or 16, in network order, as iPAddress in a SAN has them. */
  | { readonly kind: "ip"; readonly text: string; readonly bytes: Buffer }

// RFC 1035 2.3.4, without the root's dot.
const NAME_CHARS_MAX = 253
const LABEL_CHARS_MAX = 63
// A name in a log line: long enough to recognise, short enough not to be a way to fill logs.
const SHOWN_CHARS_MAX = 80

// Underscores are no host names (RFC 952) but are in DNS and in use.
const LABEL = /^[a-z0-9_-]+$/

/**
 * Lower-cased, IDNA, without brackets, zone or final dot. Throws FlowError `bad-host-name` (400) for a wildcard,
 * an empty or over-long name or label, or a character that no host name has.
 */
export function parseHostName(name: string): HostName {
  const bare = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name
  const address = bare.replace(/%.*$/s, "")
  if (isIP(address) === 6) return { kind: "ip", text: ipv6Text(address), bytes: ipv6Bytes(address) }
  if (name.includes("*")) throw refusal(name, "is a wildcard")
  const text = ascii(name).toLowerCase().replace(/\.$/, "")
  if (isIPv4(text)) return { kind: "ip", text, bytes: Buffer.from(text.split(".").map(Number)) }
  if (text.length > NAME_CHARS_MAX) throw refusal(name, `is longer than ${NAME_CHARS_MAX} characters`)
  for (const label of text.split(".")) {
    if (label === "") throw refusal(name, "has an empty label")
    if (label.length > LABEL_CHARS_MAX) throw refusal(name, `has a label longer than ${LABEL_CHARS_MAX} characters`)
    if (!LABEL.test(label)) throw refusal(name, "has characters that no host name has")
  }
  return { kind: "dns", text }
}

/** Text for one log line: control and non-ASCII characters escaped, cut at 80 characters. */
export function shown(text: string): string {
  const cut = text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}...` : text
  return cut.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)
}

// Plain ASCII is left as it is: domainToASCII reads "127.1" and "0x7f.1" as addresses, and a client that
// asked for such a name would then not find it in the certificate.
function ascii(name: string): string {
  if (!/[\u0080-\uffff]/.test(name)) return name
  const mapped = name.length > NAME_CHARS_MAX ? "" : domainToASCII(name)
  if (mapped === "") throw refusal(name, "is not a valid international name")
  return mapped
}

function ipv6Text(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1)
}

function ipv6Bytes(address: string): Buffer {
  // The URL parser has rewritten a dotted tail in hexadecimal and left at most one "::".
  const [head = "", tail] = ipv6Text(address).split("::")
  const before = head === "" ? [] : head.split(":")
  const after = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = new Array<string>(8 - before.length - after.length).fill("0")
  const bytes = Buffer.alloc(16)
  for (const [index, group] of [...before, ...zeros, ...after].entries()) {
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2)
  }
  return bytes
}

function refusal(name: string, why: string): FlowError {
  return new FlowError("client", "bad-host-name", `make a certificate for "${shown(name)}": the name ${why}`)
}
