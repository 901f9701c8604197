/**
 * What a Close frame says (RFC 6455, 5.5.1 and 7.4): a code and a reason, or nothing.
 */
import { isUtf8 } from "node:buffer"
import { CONTROL_BYTES_MAX } from "./frame.ts"
import { WebSocketViolation } from "./violation.ts"

/** A Close without a code; never sent. */
export const NO_CODE = 1005
/** The connection ended without a Close; never sent. */
export const CUT_CODE = 1006

/** Bytes of a reason, behind the code. */
const REASON_BYTES_MAX = CONTROL_BYTES_MAX - 2

export interface CloseContent {
  /** NO_CODE where the frame has none. */
  readonly code: number
  readonly reason: string
}

/** Throws a WebSocketViolation for a code that must not be sent, and for a reason that is no UTF-8. */
export function readClose(payload: Buffer): CloseContent {
  if (payload.length === 0) return { code: NO_CODE, reason: "" }
  if (payload.length === 1) throw new WebSocketViolation("a Close has half a code")
  const code = payload.readUInt16BE(0)
  if (!isSendable(code)) throw new WebSocketViolation(`a Close has the code ${code}, which must not be sent`)
  const reason = payload.subarray(2)
  if (!isUtf8(reason)) throw new WebSocketViolation("the reason of a Close is no UTF-8", 1007)
  return { code, reason: reason.toString("utf8") }
}

/** A Close's payload; the reason is cut to what fits, between two characters. */
export function writeClose(code: number, reason: string): Buffer {
  if (!isSendable(code))
    throw new RangeError(`close code ${code}: write 1000, 1001, 1003, 1007 to 1014 or 3000 to 4999`)
  const bytes = Buffer.from(reason, "utf8")
  let end = Math.min(bytes.length, REASON_BYTES_MAX)
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  const payload = Buffer.allocUnsafe(2 + end)
  payload.writeUInt16BE(code, 0)
  bytes.copy(payload, 2, 0, end)
  return payload
}

/** 1012 to 1014 are registered with IANA; 1004 to 1006 and 1015 are never on the wire. */
function isSendable(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== NO_CODE && code !== CUT_CODE
}
