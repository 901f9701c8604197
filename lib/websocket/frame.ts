/**
 * A WebSocket frame as data (RFC 6455, 5.2): its words, its mask, and how one is written. Written frames are never
 * compressed and never fragmented: both are allowed for every peer, whatever was negotiated.
 */

export const CONTINUATION = 0x0
export const TEXT = 0x1
export const BINARY = 0x2
export const CLOSE = 0x8
export const PING = 0x9
export const PONG = 0xa

export type DataOpcode = typeof CONTINUATION | typeof TEXT | typeof BINARY
export type ControlOpcode = typeof CLOSE | typeof PING | typeof PONG

/** Bytes of a control frame's payload (RFC 6455, 5.5). */
export const CONTROL_BYTES_MAX = 125
/** Bytes of a mask. */
export const MASK_BYTES = 4

/** Payloads up to this stand in the second byte; then 16 bits follow, then 64. */
export const LENGTH_7_MAX = 125
export const LENGTH_16_MAX = 0xffff
export const LENGTH_16 = 126
const LENGTH_64 = 127

const FIN = 0x80
const MASKED = 0x80

/** The head of a data frame. */
export interface FrameHead {
  readonly opcode: DataOpcode
  /** The last frame of its message. */
  readonly fin: boolean
  /** RSV1 (RFC 7692): the message that begins here is compressed. */
  readonly compressed: boolean
  /** Bytes of payload. */
  readonly length: number
  readonly mask: Buffer | undefined
}

/** One whole frame. `mask`: four unpredictable bytes, for what goes to a server. `payload` is not changed. */
export function writeFrame(opcode: DataOpcode | ControlOpcode, payload: Buffer, mask: Buffer | undefined): Buffer {
  const { length } = payload
  const lengthBytes = length <= LENGTH_7_MAX ? 0 : length <= LENGTH_16_MAX ? 2 : 8
  const start = 2 + lengthBytes + (mask === undefined ? 0 : MASK_BYTES)
  const frame = Buffer.allocUnsafe(start + length)
  frame[0] = FIN | opcode
  const short = lengthBytes === 0 ? length : lengthBytes === 2 ? LENGTH_16 : LENGTH_64
  frame[1] = mask === undefined ? short : MASKED | short
  if (lengthBytes === 2) frame.writeUInt16BE(length, 2)
  if (lengthBytes === 8) frame.writeBigUInt64BE(BigInt(length), 2)
  if (mask === undefined) frame.set(payload, start)
  else {
    frame.set(mask, start - MASK_BYTES)
    applyMask(payload, mask, 0, frame.subarray(start))
  }
  return frame
}

/** Puts `source` masked (or unmasked: it is the same) into `target`. `offset`: where in the frame's payload it stands. */
export function applyMask(source: Buffer, mask: Buffer, offset: number, target: Buffer): void {
  for (let at = 0; at < source.length; at++) target[at] = (source[at] ?? 0) ^ (mask[(offset + at) & 3] ?? 0)
}
