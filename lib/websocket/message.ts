/**
 * Collects the frames of one message: their bytes as they stood on the wire, and the payload that they make together.
 * Bounded by its owner, who asks for `cost` after each piece.
 */
import { applyMask, type FrameHead, TEXT } from "./frame.ts"

/** What a frame costs beyond its bytes: a message must not fill memory with empty ones. */
const FRAME_COST_BYTES = 128

interface Piece {
  readonly bytes: Buffer
  readonly mask: Buffer | undefined
  /** Where in its frame's payload it stands. */
  readonly offset: number
}

export class FrameCollector {
  readonly type: "text" | "binary"
  /** The payload is compressed (RFC 7692). */
  readonly compressed: boolean
  /** The frames as they came, in order. */
  readonly raw: Buffer[] = []
  /** Bytes that this holds or will hold: each is there as it came, and once more in the payload. */
  cost = 0
  #pieces: Piece[] = []
  #mask: Buffer | undefined
  #offset = 0
  #length = 0

  /** `first`: the head of the message's first frame. */
  constructor(first: FrameHead) {
    this.type = first.opcode === TEXT ? "text" : "binary"
    this.compressed = first.compressed
  }

  head(head: FrameHead, raw: Buffer): void {
    this.raw.push(raw)
    this.#mask = head.mask
    this.#offset = 0
    this.cost += FRAME_COST_BYTES + raw.length
  }

  data(raw: Buffer): void {
    this.raw.push(raw)
    this.#pieces.push({ bytes: raw, mask: this.#mask, offset: this.#offset })
    this.#offset += raw.length
    this.#length += raw.length
    this.cost += 2 * raw.length
  }

  /** The payload, unmasked: a copy. */
  payload(): Buffer {
    const payload = Buffer.allocUnsafe(this.#length)
    let at = 0
    for (const { bytes, mask, offset } of this.#pieces) {
      const target = payload.subarray(at, at + bytes.length)
      if (mask === undefined) target.set(bytes)
      else applyMask(bytes, mask, offset, target)
      at += bytes.length
    }
    return payload
  }
}
