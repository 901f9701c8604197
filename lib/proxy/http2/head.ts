/**
 * Heads at the edge between HTTP/2 and the rest: pseudo-headers and fields as Node gives and takes them, from and to
 * the heads of streams.ts. Strict both ways (RFC 9113 section 8): what HTTP/1.1 would read otherwise than HTTP/2 is
 * refused here, so that no other part has to think of it. Single fields are fields.ts's, WebSocket websocket.ts's.
 */
import type { OutgoingHttpHeaders } from "node:http2"
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import { isSecretName } from "../../base/secrets/names.ts"
import { BAD_TARGET } from "../../http1/head.ts"
import type { HeadLimits } from "../../http1/message.ts"
import { quoted, type Side } from "../../http1/violation.ts"
import { parseAuthority } from "../io/authority.ts"
import type { ServerRequestHead, StreamResponseHead } from "../streams.ts"
import { fieldsToH2, readFields, refused } from "./fields.ts"
import { isWebSocket, webSocketRequestFields } from "./websocket.ts"

/** Name, value, name, value, ...: how Node gives a header block of HTTP/2, pseudo-headers included. */
export type RawHeaders = readonly string[]

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/
/** RFC 8441 section 4: a protocol is a token. */
const PROTOCOL = METHOD
const STATUS = /^[1-9][0-9]{2}$/
const DIGITS = /^[0-9]+$/
const CONTINUE = /^100-continue$/i

const REQUEST_PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path", ":protocol"])
const RESPONSE_PSEUDO: ReadonlySet<string> = new Set([":status"])

/** A request's header block, checked. */
export interface H2RequestHead {
  readonly method: string
  /** `http` or `https`; undefined for a plain CONNECT only. */
  readonly scheme: "http" | "https" | undefined
  /** As it stood in :authority, else in Host. */
  readonly authority: string
  /** A path with its query, or `*` for OPTIONS; undefined for a plain CONNECT only. */
  readonly path: string | undefined
  /** :protocol of an extended CONNECT (RFC 8441), in lower case. */
  readonly protocol: string | undefined
  /** Host first, as HTTP/1.1 has it; cookie crumbs joined; no pseudo-headers. */
  readonly headers: Headers
  readonly contentLength: number | undefined
  readonly expectContinue: boolean
}

/**
 * Reads a request's header block. Throws a FlowError (source "client"; status 400, 417 or 431) on whatever is
 * malformed by RFC 9113 sections 8.1 to 8.3, or could be read otherwise as HTTP/1.1.
 */
export function requestHeadFromH2(raw: RawHeaders, limits: HeadLimits): H2RequestHead {
  const { pseudo, headers } = readFields(raw, "client", limits, REQUEST_PSEUDO)
  const method = pseudo.get(":method")
  if (method === undefined) throw refused("client", "missing-pseudo-header", "there is no :method")
  if (!METHOD.test(method)) throw refused("client", "bad-method", `the method ${quoted(method)} is no token`)
  const protocol = protocolOf(method, pseudo.get(":protocol"))
  const plainConnect = method === "CONNECT" && protocol === undefined
  const scheme = plainConnect ? absent(pseudo, ":scheme") : schemeOf(pseudo.get(":scheme"))
  const path = plainConnect ? absent(pseudo, ":path") : pathOf(method, pseudo.get(":path"))
  return {
    method,
    scheme,
    path,
    protocol,
    authority: authorityOf(pseudo.get(":authority"), headers, scheme === "https" ? 443 : 80),
    headers,
    contentLength: contentLengthOf(headers, "client"),
    expectContinue: expectsContinue(headers.get("expect")),
  }
}

/**
 * Reads a response's header block, 1xx included. Throws a FlowError (source "upstream", 502). 101 does not exist in
 * HTTP/2 (RFC 9113 section 8.6).
 */
export function responseHeadFromH2(
  raw: RawHeaders,
  limits: HeadLimits,
): StreamResponseHead & { readonly contentLength: number | undefined } {
  const { pseudo, headers } = readFields(raw, "upstream", limits, RESPONSE_PSEUDO)
  const text = pseudo.get(":status")
  if (text === undefined || !STATUS.test(text) || text === "101")
    throw refused("upstream", "bad-status", `:status is ${text === undefined ? "missing" : quoted(text)}`)
  return { status: Number(text), reason: "", headers, contentLength: contentLengthOf(headers, "upstream") }
}

/** Reads trailers. Throws a FlowError on pseudo-headers and on fields that come too late there. */
export function trailersFromH2(raw: RawHeaders, side: Side, limits: HeadLimits): Headers {
  return readFields(raw, side, limits, undefined).headers
}

/** How long the body behind a head is, as the sender of the head knows it. */
export interface H2BodyFraming {
  /** Bytes; undefined: not known. */
  readonly length: number | undefined
  /** False: DATA is never sent, so a Content-Length that came stays where it may (HEAD, 304). */
  readonly hasBody: boolean
}

/**
 * A response's head (1xx too) for `respond` or `additionalHeaders`. Throws a FlowError (502) where single-value fields
 * contradict each other: HTTP/2 cannot say both. 101 is websocket.ts's.
 */
export function responseHeadersToH2(head: StreamResponseHead, framing: H2BodyFraming): OutgoingHttpHeaders {
  const { status, headers } = head
  const out = emptyHeaders()
  out[":status"] = status
  const keepChallenge = status === 407
  const keepLength = !framing.hasBody && status >= 200 && status !== 204
  fieldsToH2(headers, out, "upstream", { keepChallenge, dropHost: false })
  setLength(out, framing, keepLength)
  return out
}

/**
 * A request's head for `request()`: Host becomes :authority, and a WebSocket upgrade an extended CONNECT (RFC 8441).
 * `sensitive` is `http2.sensitiveHeaders`: credentials are never put into the HPACK table that clients share.
 * Throws a FlowError (400) where single-value fields contradict each other.
 */
export function requestHeadToH2(
  head: ServerRequestHead,
  scheme: "http" | "https",
  framing: H2BodyFraming,
  sensitive: symbol,
): OutgoingHttpHeaders {
  const out = emptyHeaders()
  const webSocket = isWebSocket(head.upgrade)
  out[":method"] = webSocket ? "CONNECT" : head.method
  out[":scheme"] = scheme
  out[":authority"] = head.authority
  out[":path"] = head.path
  if (webSocket) out[":protocol"] = "websocket"
  const headers = webSocket ? webSocketRequestFields(head.headers) : head.headers
  fieldsToH2(headers, out, "client", { keepChallenge: false, dropHost: true })
  setLength(out, framing, false)
  const secret = Object.keys(out).filter((name) => isSecretName(name, "field"))
  if (secret.length > 0) Object.assign(out, { [sensitive]: secret })
  return out
}

/** Trailers for `sendTrailers`; fields that frame or route a message are left out (RFC 9110 section 6.5.1). */
export function trailersToH2(trailers: Headers | undefined, side: Side): OutgoingHttpHeaders {
  const out = emptyHeaders()
  if (trailers !== undefined) fieldsToH2(trailers, out, side, { keepChallenge: false, dropHost: true, trailers: true })
  return out
}

/** Without a prototype: a field may be called `__proto__`. */
function emptyHeaders(): OutgoingHttpHeaders {
  return Object.create(null)
}

function setLength(out: OutgoingHttpHeaders, { length, hasBody }: H2BodyFraming, keep: boolean): void {
  if (keep) return
  if (hasBody && length !== undefined) out["content-length"] = String(length)
  else delete out["content-length"]
}

function absent(pseudo: ReadonlyMap<string, string>, name: string): undefined {
  if (pseudo.has(name)) throw refused("client", "bad-connect", `CONNECT with ${name} (RFC 9113 section 8.5)`)
}

function protocolOf(method: string, protocol: string | undefined): string | undefined {
  if (protocol === undefined) return undefined
  if (method !== "CONNECT") throw refused("client", "bad-protocol", `:protocol with the method ${quoted(method)}`)
  if (!PROTOCOL.test(protocol)) throw refused("client", "bad-protocol", `:protocol is ${quoted(protocol)}`)
  return protocol.toLowerCase()
}

function schemeOf(scheme: string | undefined): "http" | "https" {
  if (scheme === undefined) throw refused("client", "missing-pseudo-header", "there is no :scheme")
  const lower = scheme.toLowerCase()
  if (lower === "http" || lower === "https") return lower
  throw refused("client", "bad-scheme", `requests for ${quoted(scheme)} URLs cannot be made here`)
}

function pathOf(method: string, path: string | undefined): string {
  if (path === undefined) throw refused("client", "missing-pseudo-header", "there is no :path")
  const known = path.startsWith("/") || (path === "*" && method === "OPTIONS")
  if (!known || BAD_TARGET.test(path)) throw refused("client", "bad-target", `:path is ${quoted(path)}`)
  return path
}

/** :authority and Host have to mean the same place; Host is put first, spelt as :authority is (RFC 9113 section 8.3.1). */
function authorityOf(authority: string | undefined, headers: Headers, defaultPort: number): string {
  const host = headers.get("host")
  const text = authority ?? host
  if (text === undefined) throw refused("client", "missing-host", "there is neither :authority nor host")
  const wanted = parseAuthority(text, defaultPort)
  if (wanted === undefined) throw refused("client", "bad-host", `:authority is ${quoted(text)}, not host or host:port`)
  if (host !== undefined && authority !== undefined) {
    const other = parseAuthority(host, defaultPort)
    if (other?.host !== wanted.host || other.port !== wanted.port)
      throw refused("client", "bad-host", `:authority is ${quoted(authority)}, but host is ${quoted(host)}`)
  }
  putFirst(headers, "host", text)
  return text
}

function putFirst(headers: Headers, name: string, value: string): void {
  const rest = headers.lines().slice()
  const names = headers.lowerNames().slice()
  for (const other of new Set(names)) headers.delete(other)
  headers.append(name, value)
  for (const [index, line] of rest.entries()) {
    const lower = names[index] ?? ""
    if (lower !== name) headers.appendRaw(line, lower)
  }
}

function contentLengthOf(headers: Headers, side: Side): number | undefined {
  const text = headers.get("content-length")
  if (text === undefined) return undefined
  const length = DIGITS.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(length)) return length
  throw refused(side, "bad-content-length", `content-length is ${quoted(text)}, not a number of bytes`)
}

function expectsContinue(expect: string | undefined): boolean {
  if (expect === undefined) return false
  if (CONTINUE.test(expect)) return true
  const message = `read request: expect is ${quoted(expect)}, only 100-continue is understood; refused`
  throw new FlowError("client", "bad-expect", message, { status: 417 })
}
