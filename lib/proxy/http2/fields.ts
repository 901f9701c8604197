/**
 * Field lines at the edge of HTTP/2: which may stand in a header block (RFC 9113 section 8.2), which may stand there
 * once, and how repeated ones are put into the object that Node wants, which knows no order of equal names.
 */
import type { OutgoingHttpHeaders } from "node:http2"
import { FlowError } from "../../base/errors.ts"
import { BAD_VALUE, Headers } from "../../base/headers.ts"
import { connectionTokens, FORBIDDEN_TRAILERS } from "../../http1/framing.ts"
import type { HeadLimits } from "../../http1/message.ts"
import { isHopByHop } from "../../http1/serializer.ts"
import { quoted, type Side } from "../../http1/violation.ts"

/** RFC 9110 section 5.6.2, without upper case (RFC 9113 section 8.2.1). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
/** RFC 9113 section 8.2.1: a value neither begins nor ends with white space. */
const BLANK_EDGE = /^[ \t]|[ \t]$/
/** Bytes that RFC 9113 section 6.5.2 counts for a field beside its name and value. */
const FIELD_OVERHEAD = 32

/** RFC 9113 section 8.2.2. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
])

/** Of these a message has one: two that differ would be read differently by two readers. Node refuses them repeated. */
const SINGLE: ReadonlySet<string> = new Set([
  "access-control-allow-credentials",
  "access-control-max-age",
  "access-control-request-method",
  "age",
  "authorization",
  "content-length",
  "content-location",
  "content-md5",
  "content-range",
  "content-type",
  "date",
  "dnt",
  "etag",
  "expect",
  "expires",
  "from",
  "host",
  "if-modified-since",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "origin",
  "proxy-authorization",
  "range",
  "referer",
  "retry-after",
  "tk",
  "upgrade-insecure-requests",
  "user-agent",
])

/** Lists by their grammar, of which Node takes one line only: joined by commas they mean the same. */
const ONE_LINE_LISTS: ReadonlySet<string> = new Set([
  "content-encoding",
  "content-language",
  "if-match",
  "if-none-match",
  "x-content-type-options",
])

/** How this edge refuses; `status` is what a client gets for its own fault, 400 if it is not given. */
export function refused(side: Side, code: string, what: string, status?: number): FlowError {
  const attempted = side === "client" ? "read HTTP/2 request" : "read HTTP/2 response"
  const options = side === "client" && status !== undefined ? { status } : {}
  return new FlowError(side, code, `${attempted}: ${what}; refused`, options)
}

/**
 * Reads a header block. `known`: the pseudo-headers that may stand there; undefined: these are trailers.
 * Cookie crumbs are joined (RFC 9113 section 8.2.3). Throws a FlowError.
 */
export function readFields(
  raw: readonly string[],
  side: Side,
  limits: HeadLimits,
  known: ReadonlySet<string> | undefined,
): { readonly pseudo: ReadonlyMap<string, string>; readonly headers: Headers } {
  const pseudo = new Map<string, string>()
  const headers = new Headers()
  const cookies: string[] = []
  checkSize(raw, side, limits)
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? ""
    const value = raw[index + 1] ?? ""
    if (name.startsWith(":")) {
      checkValue(name, value, side)
      if (known?.has(name) !== true || pseudo.has(name) || headers.size > 0 || cookies.length > 0)
        throw refused(side, "bad-pseudo-header", `${quoted(name)} is unknown, repeated or in the wrong place`)
      pseudo.set(name, value)
      continue
    }
    checkField(name, value, side, headers, known === undefined)
    if (name === "cookie" && cookies.push(value) > 1) continue
    headers.appendRaw(`${name}: ${value}`, name)
  }
  if (cookies.length > 1) headers.set("cookie", cookies.join("; "))
  return { pseudo, headers }
}

function checkSize(raw: readonly string[], side: Side, limits: HeadLimits): void {
  let fields = 0
  let bytes = 0
  for (const [index, text] of raw.entries()) {
    bytes += text.length
    if (index % 2 === 0 && !text.startsWith(":")) fields++ // Pseudo-headers are HTTP/1.1's start line, which is no field.
  }
  if (fields > limits.headFields)
    throw refused(side, "too-many-fields", `more than ${limits.headFields} field lines`, 431)
  if (bytes > limits.headBytes) throw refused(side, "head-too-large", `the head exceeds ${limits.headBytes} bytes`, 431)
}

/** Bytes to announce as SETTINGS_MAX_HEADER_LIST_SIZE so that the peer keeps to `limits`. */
export function headerListBytes(limits: HeadLimits): number {
  return limits.headBytes + limits.headFields * FIELD_OVERHEAD
}

function checkValue(name: string, value: string, side: Side): void {
  if (BAD_VALUE.test(value) || BLANK_EDGE.test(value))
    throw refused(side, "bad-field-value", `field ${quoted(name)} has the value ${quoted(value)}`)
}

function checkField(name: string, value: string, side: Side, headers: Headers, trailers: boolean): void {
  if (!NAME.test(name)) throw refused(side, "bad-field-name", `a field is called ${quoted(name)}`)
  checkValue(name, value, side)
  if (CONNECTION_FIELDS.has(name) || (name === "te" && value.toLowerCase() !== "trailers"))
    throw refused(side, "connection-field", `${name}: ${quoted(value)} (RFC 9113 section 8.2.2)`)
  if (trailers && FORBIDDEN_TRAILERS.has(name)) throw refused(side, "bad-trailer", `${name} in the trailers`)
  if (SINGLE.has(name) && headers.has(name)) throw refused(side, "repeated-field", `more than one ${name}`)
}

export interface FieldsToH2Options {
  /** Proxy-Authenticate leaves as well: the answer is a 407. */
  readonly keepChallenge: boolean
  readonly dropHost: boolean
  readonly trailers?: boolean
}

/**
 * Puts fields into `out` for Node: lower-case names, hop-by-hop fields left out, equal names at the first's place.
 * `side`: whose fault it is when single-value fields contradict each other, which throws a FlowError.
 */
export function fieldsToH2(headers: Headers, out: OutgoingHttpHeaders, side: Side, options: FieldsToH2Options): void {
  const tokens = headers.has("connection") ? connectionTokens(headers.getAll("connection").join(",")) : []
  let trailersWanted = false
  for (const [written, value] of headers.entries()) {
    const name = written.toLowerCase()
    if (name === "te" && /(?:^|,)[ \t]*trailers[ \t]*(?:[;,]|$)/i.test(value)) trailersWanted = true
    if (isHopByHop(name, tokens) && !(options.keepChallenge && name === "proxy-authenticate")) continue
    if (name === "host" && options.dropHost) continue
    if (options.trailers === true && FORBIDDEN_TRAILERS.has(name)) continue
    put(out, name, value, side)
  }
  if (trailersWanted && options.trailers !== true) out.te = "trailers"
}

function put(out: OutgoingHttpHeaders, name: string, value: string, side: Side): void {
  const present = out[name]
  if (present === undefined) out[name] = value
  else if (ONE_LINE_LISTS.has(name)) out[name] = `${String(present)}, ${value}`
  else if (name === "cookie") out[name] = `${String(present)}; ${value}`
  else if (!SINGLE.has(name)) out[name] = [present, value].flat().map(String)
  else if (present !== value) throw contradiction(name, side)
}

function contradiction(name: string, side: Side): FlowError {
  const whose = side === "client" ? "the request" : "the response"
  return new FlowError(
    side,
    "repeated-field",
    `write HTTP/2: ${whose} has more than one ${name}, and they differ; refused`,
  )
}
