/**
 * Where a message ends, and whether its connection lives on (RFC 9112 sections 6 and 9).
 * Stricter than the RFC where it leaves a choice: two readers of one message must not be able to differ.
 */
import type { Headers } from "../base/headers.ts"
import type { NotedFields } from "./fields.ts"
import type { Framing } from "./message.ts"
import { quoted, type Side, violation } from "./violation.ts"

const NONE: Framing = { kind: "none" }
const CHUNKED: Framing = { kind: "chunked" }
const UNTIL_CLOSE: Framing = { kind: "until-close" }
const NO_TOKENS: readonly string[] = []
const DIGITS = /^[0-9]+$/

/** Fields that frame or route a message: refused in trailers, where they come too late (RFC 9110 section 6.5.1). */
export const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
])

/** The tokens of a Connection value (RFC 9110 section 7.6.1), in lower case. */
export function connectionTokens(value: string | undefined): readonly string[] {
  if (value === undefined) return NO_TOKENS
  if (!value.includes(",")) return [value.toLowerCase()]
  return value
    .split(",")
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "")
}

export function isKeepAlive(version: "1.0" | "1.1", tokens: readonly string[]): boolean {
  if (tokens.includes("close")) return false
  return version === "1.1" || tokens.includes("keep-alive")
}

export function requestFraming(method: string, version: "1.0" | "1.1", noted: NotedFields): Framing {
  const chunked = isChunked("client", version, noted)
  if (noted.contentLength === undefined) {
    if (chunked && method === "CONNECT") throw connectContent()
    return chunked ? CHUNKED : NONE
  }
  if (noted.contentLength.includes(","))
    throw violation("client", "repeated-content-length", `Content-Length is repeated: ${quoted(noted.contentLength)}`)
  const length = parseLength(noted.contentLength, "client")
  if (length > 0 && method === "CONNECT") throw connectContent()
  return { kind: "length", length }
}

/** The framing that applies to a response to `method`; repeated equal lengths become one field in `headers`. */
export function responseFraming(
  method: string,
  status: number,
  version: "1.0" | "1.1",
  noted: NotedFields,
  headers: Headers,
): Framing {
  // The tunnel has begun; what these fields say of a body counts for nothing (RFC 9110 section 9.3.6).
  if (method === "CONNECT" && status >= 200 && status < 300) return NONE
  const chunked = isChunked("upstream", version, noted)
  const length = noted.contentLength === undefined ? undefined : oneLength(noted.contentLength, headers)
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return NONE
  if (chunked) return CHUNKED
  return length === undefined ? UNTIL_CLOSE : { kind: "length", length }
}

function isChunked(side: Side, version: "1.0" | "1.1", noted: NotedFields): boolean {
  const coding = noted.transferEncoding
  if (coding === undefined) return false
  if (version === "1.0")
    throw violation(side, "transfer-encoding-in-1.0", "Transfer-Encoding in an HTTP/1.0 message (RFC 9112 section 6.1)")
  if (coding.toLowerCase() !== "chunked")
    throw violation(
      side,
      "bad-transfer-encoding",
      `Transfer-Encoding is ${quoted(coding)}, only "chunked" is understood`,
    )
  if (noted.contentLength !== undefined)
    throw violation(side, "ambiguous-length", "Content-Length and Transfer-Encoding together (RFC 9112 section 6.3)")
  return true
}

function parseLength(text: string, side: Side): number {
  const length = DIGITS.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(length))
    throw violation(side, "bad-content-length", `Content-Length is ${quoted(text)}, not a number of bytes`)
  return length
}

// RFC 9110 section 8.6: a list of equal values may be taken as one; two different ones are a smuggler's tool.
function oneLength(text: string, headers: Headers): number {
  if (!text.includes(",")) return parseLength(text, "upstream")
  const lengths = new Set(text.split(",").map((part) => parseLength(part.trim(), "upstream")))
  const [length, other] = lengths
  if (length === undefined || other !== undefined)
    throw violation("upstream", "repeated-content-length", `Content-Length has different values: ${quoted(text)}`)
  headers.set("content-length", String(length))
  return length
}

// The bytes after a CONNECT are the tunnel's; a body would make it unclear where the tunnel begins (RFC 9110 section 9.3.6).
function connectContent(): Error {
  return violation("client", "connect-with-content", "CONNECT with a body")
}
