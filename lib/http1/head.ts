/**
 * Heads of requests and responses, from the latin1 text before the empty line (RFC 9112 sections 2 to 5).
 * The text has no size limit here: BlockFinder in blocks.ts has bounded it.
 */
import { TOKEN } from "./field-names.ts"
import { BAD_VALUE, type NotedFields, newNotedFields, parseFields } from "./fields.ts"
import { connectionTokens, isKeepAlive, requestFraming, responseFraming } from "./framing.ts"
import type { HeadLimits, RequestHead, ResponseHead } from "./message.ts"
import { quoted, type Side, violation } from "./violation.ts"

/** RFC 9110 section 7.2: uri-host [":" port]. May be empty. */
const HOST = /^(?:\[[0-9A-Za-z:.%~_-]+\]|[0-9A-Za-z\-._~!$&'()*+,;=%]*)(?::[0-9]*)?$/
/**
 * What no target holds (RFC 9112 section 3.2, RFC 3986 section 2): controls, white space, bytes above ASCII, a fragment,
 * and the backslash that some readers take for a slash. Passed on, the next reader could see another path than we did.
 */
export const BAD_TARGET = /[^\x21-\x7e]|[#\\]/
const ABSOLUTE_FORM = /^[A-Za-z][0-9A-Za-z+.-]*:\/\//
/** RFC 9112 section 3.2.3; the user of it parses the host. */
const AUTHORITY_FORM = /^(?:\[[^[\]/?#@]+\]|[^:[\]/?#@]+):[0-9]{1,5}$/
/** Expect is a list (RFC 9110 section 10.1.1); only this member is known. */
const CONTINUE = /^100-continue(?:[ \t]*,[ \t]*100-continue)*$/i
const STATUS_LINE = /^HTTP\/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: (.*))?$/s
const VERSION = /^HTTP\/[0-9]\.[0-9]$/

export function parseRequestHead(text: string, limits: HeadLimits): RequestHead {
  const crlf = text.indexOf("\r\n")
  const lineEnd = crlf < 0 ? text.length : crlf
  const methodEnd = text.indexOf(" ")
  const targetEnd = text.lastIndexOf(" ", lineEnd)
  if (methodEnd < 0 || targetEnd <= methodEnd)
    throw violation(
      "client",
      "bad-request-line",
      `the request line ${quoted(text.slice(0, lineEnd))} has not three parts`,
    )
  const version = requestVersion(text.slice(targetEnd + 1, lineEnd))
  const method = text.slice(0, methodEnd)
  if (!TOKEN.test(method)) throw violation("client", "bad-method", `the method ${quoted(method)} is no token`)
  const target = text.slice(methodEnd + 1, targetEnd)
  checkTarget(method, target)

  const noted = newNotedFields()
  const headers = parseFields(text, lineEnd + 2, limits, "client", noted)
  checkHost(version, noted)
  const tokens = connectionTokens(noted.connection)
  return {
    method,
    target,
    version,
    headers,
    framing: requestFraming(method, version, noted),
    keepAlive: isKeepAlive(version, tokens),
    expectContinue: noted.expect !== undefined && expectsContinue(version, noted.expect),
    upgrade: noted.upgrade === undefined || version === "1.0" ? undefined : upgradeOf(noted.upgrade, tokens),
  }
}

/** `method` is that of the request: it decides with the status whether there is a body. */
export function parseResponseHead(text: string, method: string, limits: HeadLimits): ResponseHead {
  const crlf = text.indexOf("\r\n")
  const lineEnd = crlf < 0 ? text.length : crlf
  const line = text.slice(0, lineEnd)
  const [, major, minor, digits, reason = ""] = STATUS_LINE.exec(line) ?? []
  if (digits === undefined || BAD_VALUE.test(reason))
    throw violation("upstream", "bad-status-line", `${quoted(line)} is no status line`)
  const version = knownVersion(`${major}.${minor}`, "upstream")
  const status = Number(digits)

  const noted = newNotedFields()
  const headers = parseFields(text, lineEnd + 2, limits, "upstream", noted)
  const framing = responseFraming(method, status, version, noted, headers)
  const keepAlive = framing.kind !== "until-close" && isKeepAlive(version, connectionTokens(noted.connection))
  return { version, status, reason, headers, framing, keepAlive }
}

function requestVersion(text: string): "1.0" | "1.1" {
  if (text === "HTTP/1.1") return "1.1"
  if (VERSION.test(text)) return knownVersion(text.slice(5), "client")
  throw violation("client", "bad-request-line", `the request line ends with ${quoted(text)}, not with a version`)
}

function knownVersion(version: string, side: Side): "1.0" | "1.1" {
  if (version === "1.1" || version === "1.0") return version
  throw violation(side, "version-not-supported", `HTTP/${version} where HTTP/1.1 is spoken`, 505)
}

function checkTarget(method: string, target: string): void {
  if (BAD_TARGET.test(target))
    throw violation(
      "client",
      "bad-target",
      `the target ${quoted(target)} holds a byte that has no place there; write it percent-encoded`,
    )
  const known =
    method === "CONNECT"
      ? AUTHORITY_FORM.test(target)
      : target.startsWith("/") || ABSOLUTE_FORM.test(target) || (target === "*" && method === "OPTIONS")
  if (!known) throw violation("client", "bad-target", `${quoted(target)} is no target for ${quoted(method)}`)
}

function checkHost(version: "1.0" | "1.1", noted: NotedFields): void {
  if (noted.hosts > 1) throw violation("client", "repeated-host", "more than one Host (RFC 9112 section 3.2)")
  if (noted.host === undefined) {
    if (version === "1.0") return
    throw violation("client", "missing-host", "HTTP/1.1 without Host (RFC 9112 section 3.2)")
  }
  if (!HOST.test(noted.host))
    throw violation("client", "bad-host", `Host is ${quoted(noted.host)}, not host or host:port`)
}

function expectsContinue(version: "1.0" | "1.1", expect: string): boolean {
  if (version === "1.0") return false // RFC 9110 section 10.1.1
  if (CONTINUE.test(expect)) return true
  throw violation("client", "bad-expect", `Expect is ${quoted(expect)}, only 100-continue is understood`, 417)
}

// h2c is never relayed: HTTP/2 in clear behind an upgrade would be bytes that nobody reads (RFC 9113 section 3.1).
function upgradeOf(value: string, tokens: readonly string[]): string | undefined {
  if (!tokens.includes("upgrade")) return undefined
  const protocols = value.split(",").map((protocol) => protocol.trim())
  const kept = protocols.filter((protocol) => protocol !== "" && protocol.toLowerCase() !== "h2c")
  if (kept.length === protocols.length) return value
  return kept.length === 0 ? undefined : kept.join(", ")
}
