/**
 * Field lines, of heads and of trailers, from latin1 text into Headers (RFC 9112 section 5).
 * Strict: every doubt is a violation, because a peer that reads the same bytes otherwise could be made to see
 * another message. What the fields mean is framing.ts's concern, which gets its few fields noted on the way.
 */
import { Headers } from "../base/headers.ts"
import { lowerNameIn } from "./field-names.ts"
import type { HeadLimits } from "./message.ts"
import { quoted, type Side, violation } from "./violation.ts"

/** RFC 9110 section 5.5: a value holds no control but tab. CR and LF here are bare ones: lines are split at CRLF. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
export const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]/

/** Lower-case names of the fields that NotedFields holds. */
const NOTED: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "transfer-encoding",
  "upgrade",
])

/** The fields that decide framing and connection. Repeated ones are joined by a comma, as a list may be. */
export interface NotedFields {
  hosts: number
  host: string | undefined
  contentLength: string | undefined
  transferEncoding: string | undefined
  connection: string | undefined
  expect: string | undefined
  upgrade: string | undefined
}

export function newNotedFields(): NotedFields {
  return {
    hosts: 0,
    host: undefined,
    contentLength: undefined,
    transferEncoding: undefined,
    connection: undefined,
    expect: undefined,
    upgrade: undefined,
  }
}

/**
 * Reads the lines of `text` from `from` on; CRLF stands between two lines, not after the last.
 * Notes what framing needs into `noted`, unless these are trailers.
 */
export function parseFields(
  text: string,
  from: number,
  limits: HeadLimits,
  side: Side,
  noted: NotedFields | undefined,
): Headers {
  const headers = new Headers()
  let count = 0
  for (let start = from; start < text.length; ) {
    const crlf = text.indexOf("\r\n", start)
    const end = crlf < 0 ? text.length : crlf
    if (++count > limits.headFields)
      throw violation(side, "too-many-fields", `more than ${limits.headFields} field lines`, 431)
    const colon = text.indexOf(":", start)
    const name = lowerNameIn(text, start, colon)
    const line = text.slice(start, end)
    if (name === undefined) throw badLine(line, side)
    // The name is a token: what is bad in the line is bad in the value, which need not be cut out to be looked at.
    if (BAD_VALUE.test(line)) throw badValue(line, colon - start, side)
    headers.appendParsed(line, name)
    if (noted !== undefined && NOTED.has(name)) note(noted, name, line)
    start = end + 2
  }
  return headers
}

function badValue(line: string, colon: number, side: Side): Error {
  const name = quoted(line.slice(0, colon))
  const value = quoted(fieldValue(line, colon))
  return violation(side, "bad-field-value", `field ${name} holds a control character: ${value}`)
}

/** What stands behind the colon, without the white space around it. */
function fieldValue(line: string, colon: number): string {
  let first = colon + 1
  while (isBlank(line.charCodeAt(first))) first++
  let last = line.length
  while (isBlank(line.charCodeAt(last - 1))) last-- // The colon ends it.
  return line.slice(first, last)
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}

function note(noted: NotedFields, name: string, line: string): void {
  const value = fieldValue(line, name.length)
  switch (name) {
    case "host":
      noted.hosts++
      noted.host = value
      return
    case "expect":
      noted.expect = joined(noted.expect, value)
      return
    case "upgrade":
      noted.upgrade = joined(noted.upgrade, value)
      return
    case "connection":
      noted.connection = joined(noted.connection, value)
      return
    case "content-length":
      noted.contentLength = joined(noted.contentLength, exact(line, name, value))
      return
    default:
      noted.transferEncoding = joined(noted.transferEncoding, exact(line, name, value))
  }
}

// A tab beside a value is white space to the RFC and part of the value to others (llhttp reads "chunked\t" as another
// coding). It stays, and framing.ts refuses it.
function exact(line: string, name: string, value: string): string {
  return line.includes("\t") ? line.slice(name.length + 1) : value
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`
}

/** Says which rule a line breaks whose name is no token. */
function badLine(line: string, side: Side): Error {
  const colon = line.indexOf(":")
  if (isBlank(line.charCodeAt(0)))
    return violation(side, "obs-fold", `a field line begins with white space: ${quoted(line)}`)
  if (colon < 0) return violation(side, "bad-field-line", `a field line without a colon: ${quoted(line)}`)
  if (isBlank(line.charCodeAt(colon - 1)))
    return violation(side, "space-before-colon", `white space before the colon of ${quoted(line)}`)
  return violation(side, "bad-field-name", `a field name that is no token: ${quoted(line.slice(0, colon))}`)
}
