/**
 * What the server's Sec-WebSocket-Extensions agreed to (RFC 6455, 9.1; permessage-deflate: RFC 7692, 7.1). Only that
 * one extension is known; with any other the frames cannot be read.
 */

export interface DeflateTerms {
  /** The client begins each message with an empty window: messages do not refer to earlier ones. */
  readonly clientNoContextTakeover: boolean
  readonly serverNoContextTakeover: boolean
  /** Base-2 logarithm of the window in bytes. */
  readonly clientMaxWindowBits: number
  readonly serverMaxWindowBits: number
}

export interface AgreedExtensions {
  readonly deflate: DeflateTerms | undefined
  /** Why the frames cannot be read. */
  readonly unknown: string | undefined
}

const WINDOW_BITS_MAX = 15
const NONE: AgreedExtensions = { deflate: undefined, unknown: undefined }

/** `value`: the field of the 101, undefined where there is none. */
export function readExtensions(value: string | undefined): AgreedExtensions {
  if (value === undefined || value.trim() === "") return NONE
  const offers = value.split(",").map((offer) => offer.split(";").map((part) => part.trim()))
  const [first, ...others] = offers
  const [name = "", ...parameters] = first ?? []
  if (others.length > 0 || name.toLowerCase() !== "permessage-deflate") return { deflate: undefined, unknown: value }
  const deflate = readTerms(parameters)
  return deflate === undefined ? { deflate: undefined, unknown: value } : { deflate, unknown: undefined }
}

/** Undefined for a parameter that is unknown, stands twice or has no value that it can have. */
function readTerms(parameters: readonly string[]): DeflateTerms | undefined {
  const seen = new Map<string, string | undefined>()
  for (const parameter of parameters) {
    const [name = "", value] = parameter.split("=").map((part) => part.trim())
    if (seen.has(name.toLowerCase())) return undefined
    seen.set(name.toLowerCase(), value?.replace(/^"(.*)"$/, "$1"))
  }
  const flags = ["client_no_context_takeover", "server_no_context_takeover"]
  const windows = ["client_max_window_bits", "server_max_window_bits"]
  for (const [name, value] of seen) {
    if (flags.includes(name) ? value !== undefined : !windows.includes(name) || !isWindow(value)) return undefined
  }
  return {
    clientNoContextTakeover: seen.has("client_no_context_takeover"),
    serverNoContextTakeover: seen.has("server_no_context_takeover"),
    clientMaxWindowBits: Number(seen.get("client_max_window_bits") ?? WINDOW_BITS_MAX),
    serverMaxWindowBits: Number(seen.get("server_max_window_bits") ?? WINDOW_BITS_MAX),
  }
}

function isWindow(value: string | undefined): boolean {
  return value !== undefined && /^(8|9|1[0-5])$/.test(value)
}
