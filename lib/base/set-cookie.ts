/**
 * Set-Cookie fields, read as a browser reads them (RFC 6265, section 5.2): what cannot be read costs an attribute, or the
 * cookie, and never an error.
 */

export interface SetCookie {
  readonly name: string
  readonly value: string
  /** Lower-case, without a leading dot; undefined: the host alone. */
  readonly domain: string | undefined
  /** Undefined: the folder of the request's path. */
  readonly path: string | undefined
  /** Epoch milliseconds. */
  readonly expires: number | undefined
  /** Seconds; it counts before `expires`. */
  readonly maxAge: number | undefined
  readonly secure: boolean
  readonly httpOnly: boolean
  readonly sameSite: "strict" | "lax" | "none" | undefined
  /** The field's value as it came. */
  readonly raw: string
}

/** Undefined for a field that names no cookie. */
export function parseSetCookie(raw: string): SetCookie | undefined {
  const [pair = "", ...rest] = raw.split(";")
  const equals = pair.indexOf("=")
  const name = pair.slice(0, Math.max(equals, 0)).trim()
  if (name === "") return undefined
  // Of an attribute that comes twice the last one counts.
  const attributes = new Map(rest.map(attributeOf))
  const { domain, path, expires, "max-age": maxAge, samesite } = Object.fromEntries(attributes)
  return {
    name,
    value: pair.slice(equals + 1).trim(),
    domain: domain?.replace(/^\./, "").toLowerCase() || undefined,
    path: path?.startsWith("/") === true ? path : undefined,
    expires: timeIn(expires),
    maxAge: maxAge !== undefined && /^-?\d{1,15}$/.test(maxAge) ? Number(maxAge) : undefined,
    secure: attributes.has("secure"),
    httpOnly: attributes.has("httponly"),
    sameSite: SAME_SITE.find((word) => word === samesite?.toLowerCase()),
    raw,
  }
}

const SAME_SITE = ["strict", "lax", "none"] as const

function attributeOf(text: string): [name: string, value: string] {
  const equals = text.indexOf("=")
  const end = equals < 0 ? text.length : equals
  return [text.slice(0, end).trim().toLowerCase(), text.slice(end + 1).trim()]
}

function timeIn(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? "")
  return Number.isNaN(time) ? undefined : time
}
