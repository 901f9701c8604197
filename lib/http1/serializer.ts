/**
 * Heads, chunk framing and trailers as text to write (latin1). Lines that nobody changed leave as they came; only
 * hop-by-hop fields go (RFC 9110 section 7.6.1) and what frames the body is made true for this hop.
 * Which framing and which connection option are right for the peer is the caller's decision.
 */
import type { Headers } from "../base/headers.ts"
import { TOKEN } from "./field-names.ts"
import { BAD_VALUE } from "./fields.ts"
import { connectionTokens, FORBIDDEN_TRAILERS } from "./framing.ts"
import { BAD_TARGET } from "./head.ts"
import type { Framing } from "./message.ts"
import { quoted } from "./violation.ts"

export interface RequestHeadOptions {
  readonly connection?: "close" | "keep-alive" | undefined
  /** Sends `Upgrade` with this value, and the Connection option that belongs to it. */
  readonly upgrade?: string | undefined
  /** The value of Host: kept raw where equal, else set in its place, or first. Without it, Host is as it came. */
  readonly host?: string
  /** Sends `TE: trailers` even where the client did not. */
  readonly te?: boolean
  /** Our own credentials for the proxy that the request goes to. What the client sent for us is dropped all the same. */
  readonly proxyAuthorization?: string | undefined
}

export interface ResponseHeadOptions {
  /** Default "1.1". */
  readonly version?: "1.0" | "1.1"
  readonly connection?: "close" | "keep-alive" | undefined
  readonly upgrade?: string | undefined
}

/** Ends a chunked body that has no trailers. */
export const LAST_CHUNK = "0\r\n\r\n"

// Proxy-Authorization is for us. Proxy-Authenticate and Proxy-Authentication-Info speak of the hop they came over
// (RFC 9110 section 11.7); responseHead keeps the challenge of a 407, which would mean nothing without it.
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
])

// What Connection cannot take away: a client could make us drop the fields that others decide by (RFC 9110 section
// 7.6.1 forbids to name such fields).
const END_TO_END: ReadonlySet<string> = new Set([
  "age",
  "api-key",
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "expect",
  "host",
  "location",
  "origin",
  "range",
  "set-cookie",
  "trailer",
  "vary",
  "www-authenticate",
  "x-api-key",
])

/** Whether a field stays on its hop: by its nature, or because Connection (lower-case tokens) names it. */
export function isHopByHop(lowerName: string, tokens: readonly string[]): boolean {
  if (HOP_BY_HOP.has(lowerName)) return true
  return tokens.length > 0 && tokens.includes(lowerName) && !END_TO_END.has(lowerName)
}

/**
 * The head of a request, empty line included. Throws a TypeError on a method, target or host that would break it.
 * `framing` "until-close" is no framing for a request and throws as well.
 */
export function requestHead(
  line: { readonly method: string; readonly target: string },
  headers: Headers,
  framing: Framing,
  options: RequestHeadOptions = {},
): string {
  if (!TOKEN.test(line.method)) throw new TypeError(`request method ${quoted(line.method)} is not a token`)
  if (line.target === "" || BAD_TARGET.test(line.target))
    throw new TypeError(`request target ${quoted(line.target)} is empty or holds white space or a control character`)
  if (framing.kind === "until-close") throw new TypeError("a request body cannot last until the connection closes")
  const { host, proxyAuthorization } = options
  let text = `${line.method} ${line.target} HTTP/1.1\r\n`
  if (host !== undefined) checkValue("Host", host)
  if (host !== undefined && !headers.has("host")) text += `Host: ${host}\r\n`
  text += keptLines(headers, framing, { host, keepLength: false, keepChallenge: false })
  if (proxyAuthorization !== undefined) {
    checkValue("Proxy-Authorization", proxyAuthorization)
    text += `Proxy-Authorization: ${proxyAuthorization}\r\n`
  }
  return `${text}${hopLines(options, options.te === true || acceptsTrailers(headers))}\r\n`
}

/**
 * The head of a response, empty line included. With framing "none", a Content-Length that came is kept (HEAD, 304),
 * save where RFC 9110 section 8.6 forbids it (1xx, 204). Throws a TypeError on a reason that would break the head.
 */
export function responseHead(
  head: { readonly status: number; readonly reason: string; readonly headers: Headers },
  framing: Framing,
  options: ResponseHeadOptions = {},
): string {
  const { status, reason, headers } = head
  checkValue("reason phrase", reason)
  const keepLength = framing.kind === "none" && status >= 200 && status !== 204
  const lines = keptLines(headers, framing, { host: undefined, keepLength, keepChallenge: status === 407 })
  const hop = framing.kind === "until-close" ? { ...options, connection: "close" as const } : options
  return `HTTP/${options.version ?? "1.1"} ${status} ${reason}\r\n${lines}${hopLines(hop, false)}\r\n`
}

/** The line before a chunk's data; CRLF must follow the data. Zero throws: it would end the body. */
export function chunkHead(length: number): string {
  if (length <= 0) throw new RangeError(`a chunk of ${length} bytes would end the body`)
  return `${length.toString(16)}\r\n`
}

/** Ends a chunked body. Fields that frame or route a message are left out of the trailers (RFC 9110 section 6.5.1). */
export function trailerSection(trailers: Headers | undefined): string {
  if (trailers === undefined || trailers.size === 0) return LAST_CHUNK
  const names = trailers.lowerNames()
  const kept = trailers.lines().filter((_, index) => !FORBIDDEN_TRAILERS.has(names[index] ?? ""))
  return `0\r\n${kept.map((line) => `${line}\r\n`).join("")}\r\n`
}

interface Keeping {
  readonly host: string | undefined
  readonly keepLength: boolean
  readonly keepChallenge: boolean
}

function keptLines(headers: Headers, framing: Framing, keeping: Keeping): string {
  const names = headers.lowerNames()
  const lines = headers.lines()
  const tokens = names.includes("connection") ? connectionTokens(headers.getAll("connection").join(",")) : []
  let text = ""
  let hostSeen = false
  let lengthSeen = false
  for (let index = 0; index < names.length; index++) {
    const name = names[index] ?? ""
    let line = lines[index]
    if (name === "content-length") {
      line = lengthSeen ? undefined : lengthLine(line ?? "", headers, framing, keeping)
      lengthSeen = true
    } else if (name === "host" && keeping.host !== undefined) {
      line = hostSeen ? undefined : hostLine(line ?? "", headers, keeping.host)
      hostSeen = true
    } else if (isHopByHop(name, tokens) && !(keeping.keepChallenge && name === "proxy-authenticate")) continue
    if (line !== undefined) text += `${line}\r\n`
  }
  if (framing.kind === "chunked") return `${text}Transfer-Encoding: chunked\r\n`
  return framing.kind === "length" && !lengthSeen ? `${text}Content-Length: ${framing.length}\r\n` : text
}

function lengthLine(line: string, headers: Headers, framing: Framing, keeping: Keeping): string | undefined {
  if (keeping.keepLength) return line
  if (framing.kind !== "length") return undefined
  const length = String(framing.length)
  // Equal means spelt the same: "005" is replaced, so that nobody reads it as an octal number.
  return headers.get("content-length") === length ? line : `${line.slice(0, "content-length".length)}: ${length}`
}

function hostLine(line: string, headers: Headers, host: string): string {
  return headers.get("host") === host ? line : `${line.slice(0, "host".length)}: ${host}`
}

/** The fields that this hop needs, with one Connection line that names them. */
function hopLines(options: ResponseHeadOptions, te: boolean): string {
  const { connection, upgrade } = options
  if (connection === undefined && upgrade === undefined && !te) return ""
  const tokens: string[] = []
  let text = ""
  if (upgrade !== undefined) {
    checkValue("Upgrade", upgrade)
    text += `Upgrade: ${upgrade}\r\n`
    tokens.push("Upgrade")
  }
  if (te) {
    text += "TE: trailers\r\n"
    tokens.push("TE")
  }
  if (connection !== undefined) tokens.push(connection)
  return `${text}Connection: ${tokens.join(", ")}\r\n`
}

function acceptsTrailers(headers: Headers): boolean {
  if (!headers.has("te")) return false
  return headers.getAll("te").some((value) => /(?:^|,)[ \t]*trailers[ \t]*(?:[;,]|$)/i.test(value))
}

function checkValue(what: string, value: string): void {
  if (BAD_VALUE.test(value)) throw new TypeError(`${what} ${quoted(value)} holds a control character`)
}
