/**
 * How the codec refuses: one FlowError a violation, worded alike, without raw control bytes.
 * The caller closes the connection afterwards: what follows a violation cannot be framed.
 */
import { FlowError } from "../base/errors.ts"

/** Whose bytes are read: the client's requests or the upstream's responses. */
export type Side = "client" | "upstream"

/** Longest piece of a peer's text that is quoted in a message, in characters. */
const QUOTE_CHARS_MAX = 60

/** `status` is what a client gets for its own fault; an upstream's fault is 502 always. */
export function violation(side: Side, code: string, what: string, status?: number): FlowError {
  const attempted = side === "client" ? "read request" : "read response"
  const options = side === "client" && status !== undefined ? { status } : {}
  return new FlowError(side, code, `${attempted}: ${what}; refused, the connection is closed`, options)
}

/** A peer's text for a message: cut, quoted, everything but printable ASCII escaped. */
export function quoted(text: string): string {
  const cut = text.length > QUOTE_CHARS_MAX ? `${text.slice(0, QUOTE_CHARS_MAX)}...` : text
  const safe = cut.replace(/[^\x20-\x7e]|["\\]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)
  return `"${safe}"`
}
