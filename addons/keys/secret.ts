/**
 * Keys as texts: made, hashed, and found in what a client shows.
 *
 * A key is kept as its SHA-256. That is enough, and no slow hash is needed: a password is stretched because people choose few
 * of them, while 160 random bits cannot be tried out at any speed. It is fast, which a check on each request's path has to be.
 * Who reads the table has nothing that opens anything.
 */
import { hash, randomBytes, timingSafeEqual } from "node:crypto"
import type { Headers } from "llmproxy"

/** What a key begins with, so that people and scanners of leaks know it. */
const PREFIX = "llmproxy-"
/** Random bytes of a key: 160 bits, 32 characters. */
const KEY_BYTES = 20
/** Nobody has longer ones; hashing them would cost more than refusing. */
const KEY_CHARS_MAX = 512
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567" // RFC 4648 section 6, in lower case
/** Fields in which a key may stand alone. */
const KEY_FIELDS = ["x-api-key", "x-goog-api-key", "api-key"] as const
/** A key as a WebSocket subprotocol: a page in a browser cannot set fields. */
const PROTOCOLS = "sec-websocket-protocol"
const KEY_PROTOCOL = "openai-insecure-api-key."

/** A new key. Without base64's "-" and "_", so that a double click takes all of it. */
export function makeKey(): string {
  return PREFIX + base32(randomBytes(KEY_BYTES))
}

/** A public name for a key: short, and no part of it. */
export function makeId(): string {
  return `k_${base32(randomBytes(5))}`
}

/** Whether it can only be one of ours, known or not. */
export function isOurs(shown: string): boolean {
  return shown.startsWith(PREFIX)
}

/** SHA-256, in hex. */
export function hashOf(key: string): string {
  return hash("sha256", key, "hex")
}

/** Whether two hashes are one, in a time that tells nothing of where they differ. */
export function isSameHash(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other))
}

/** One credential that a client shows. */
export interface Shown {
  readonly value: string
  /** Takes it off the request. */
  remove(): void
}

/** What may be a key, in the order in which it counts: for the proxy, then for the server. */
export function shownIn(headers: Headers): Shown[] {
  const found: Shown[] = []
  const take = (value: string | undefined, remove: () => void) => {
    if (value !== undefined && value !== "" && value.length <= KEY_CHARS_MAX) found.push({ value, remove })
  }
  for (const field of ["proxy-authorization", "authorization"])
    for (const value of headers.getAll(field)) take(credentialOf(value), () => headers.delete(field))
  for (const field of KEY_FIELDS)
    for (const value of headers.getAll(field)) take(value.trim(), () => headers.delete(field))
  const protocols =
    headers
      .get(PROTOCOLS)
      ?.split(",")
      .map((one) => one.trim()) ?? []
  const key = protocols.find((one) => one.startsWith(KEY_PROTOCOL))
  take(key?.slice(KEY_PROTOCOL.length), () => {
    const kept = protocols.filter((one) => one !== key)
    if (kept.length === 0) headers.delete(PROTOCOLS)
    else headers.set(PROTOCOLS, kept.join(", "))
  })
  return found
}

/** What an Authorization field shows: a token with `Bearer` or raw, or the password of Basic (its user, where it has none). */
function credentialOf(field: string): string | undefined {
  const text = field.trim()
  const space = text.indexOf(" ")
  if (space < 0) return text
  const [scheme, rest] = [text.slice(0, space).toLowerCase(), text.slice(space + 1).trim()]
  if (scheme === "bearer") return rest
  if (scheme !== "basic") return undefined
  const pair = Buffer.from(rest, "base64").toString("utf8")
  const colon = pair.indexOf(":")
  return pair.slice(colon + 1) || pair.slice(0, Math.max(colon, 0))
}

function base32(bytes: Uint8Array): string {
  let text = ""
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    bits += 8
    for (; bits >= 5; bits -= 5) text += BASE32[(held >> (bits - 5)) & 31]
    held &= (1 << bits) - 1
  }
  return text
}
