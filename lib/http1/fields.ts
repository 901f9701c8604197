/**
 * Field lines, of heads and of trailers, from latin1 text into Headers (RFC 9112 section 5).
 * Strict: every doubt is a violation, because a peer that reads the same bytes otherwise could be made to see
 * another message. What the fields mean is framing.ts's concern, which gets its few fields noted on the way.
 */
import { Headers } from "../headers.ts"
import type { HeadLimits } from "./message.ts"
import { quoted, type Side, violation } from "./violation.ts"

/** RFC 9110 section 5.6.2. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** RFC 9110 section 5.5: a value holds no control but tab. CR and LF here are bare ones: lines are split at CRLF. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
export const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]/

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
    const name = colon < 0 ? "" : text.slice(start, colon)
    if (!TOKEN.test(name)) throw badLine(text.slice(start, end), side)
    let first = colon + 1
    while (first < end && isBlank(text.charCodeAt(first))) first++
    let last = end
    while (last > first && isBlank(text.charCodeAt(last - 1))) last--
    const value = text.slice(first, last)
    if (BAD_VALUE.test(value))
      throw violation(side, "bad-field-value", `field ${quoted(name)} holds a control character: ${quoted(value)}`)
    const line = text.slice(start, end)
    headers.appendRaw(line, name)
    if (noted !== undefined) note(noted, name, value, line)
    start = end + 2
  }
  return headers
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}

// By length first: most fields of a head are none of these, and no lower-case copy is made for them.
function note(noted: NotedFields, name: string, value: string, line: string): void {
  switch (name.length) {
    case 4:
      if (name.toLowerCase() !== "host") return
      noted.hosts++
      noted.host = value
      return
    case 6:
      if (name.toLowerCase() === "expect") noted.expect = joined(noted.expect, value)
      return
    case 7:
      if (name.toLowerCase() === "upgrade") noted.upgrade = joined(noted.upgrade, value)
      return
    case 10:
      if (name.toLowerCase() === "connection") noted.connection = joined(noted.connection, value)
      return
    case 14:
      if (name.toLowerCase() === "content-length") noted.contentLength = joined(noted.contentLength, exact(line, value))
      return
    case 17:
      if (name.toLowerCase() === "transfer-encoding")
        noted.transferEncoding = joined(noted.transferEncoding, exact(line, value))
  }
}

// A tab beside a value is white space to the RFC and part of the value to others (llhttp reads "chunked\t" as another
// coding). It stays, and framing.ts refuses it.
function exact(line: string, value: string): string {
  return line.includes("\t") ? line.slice(line.indexOf(":") + 1).replace(/^ +| +$/g, "") : value
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
  if (colon > 0 && isBlank(line.charCodeAt(colon - 1)))
    return violation(side, "space-before-colon", `white space before the colon of ${quoted(line)}`)
  return violation(side, "bad-field-name", `a field name that is no token: ${quoted(line.slice(0, colon))}`)
}
