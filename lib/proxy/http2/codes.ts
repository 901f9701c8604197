/**
 * Error codes of HTTP/2 (RFC 9113 section 7). Here, so that node:http2 is loaded only when somebody speaks it.
 */
export const NO_ERROR = 0
export const PROTOCOL_ERROR = 1
export const INTERNAL_ERROR = 2
export const REFUSED_STREAM = 7
export const CANCEL = 8
export const ENHANCE_YOUR_CALM = 11

const NAMES: readonly string[] = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
]

/** A code as the RFC calls it. */
export function resetName(code: number | undefined): string {
  return NAMES[code ?? 0] ?? `code ${code}`
}
