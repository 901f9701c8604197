/**
 * Collects the frames of one message: their bytes as they stood on the wire, and the payload that they make together.
 * Bounded by its owner, who asks for `cost` after each piece.
 */
import { Pieces } from "../base/pieces.ts"
import { applyMask, type FrameHead, TEXT } from "./frame.ts"

/** What a frame costs beyond its bytes: a message must not fill memory with empty ones. */
const FRAME_COST_BYTES = 256

/** A frame among the bytes as they came: its head, then as much of its payload as has come. */
interface Frame {
  readonly mask: Buffer | undefined
  readonly headBytes: number
  payloadBytes: number
}

export class FrameCollector {
  readonly type: "text" | "binary"
  /** The payload is compressed (RFC 7692). */
  readonly compressed: boolean
  /** Bytes that this holds or will hold: each is there as it came, and once more in the payload. */
  cost = 0
  #bytes = new Pieces()
  #frames: Frame[] = []
  #length = 0

  /** `first`: the head of the message's first frame. */
  constructor(first: FrameHead) {
    this.type = first.opcode === TEXT ? "text" : "binary"
    this.compressed = first.compressed
  }

  /** The frames as they came, in order; where one ends and the next begins is not to be seen. */
  get raw(): readonly Buffer[] {
    return this.#bytes.list
  }

  head({ mask }: FrameHead, raw: Buffer): void {
    this.#bytes.push(raw)
    // A copy: the view would keep a whole chunk of the socket's alive.
    this.#frames.push({ mask: mask && Buffer.from(mask), headBytes: raw.length, payloadBytes: 0 })
    this.cost += FRAME_COST_BYTES + raw.length
  }

  data(raw: Buffer): void {
    this.#bytes.push(raw)
    const frame = this.#frames.at(-1)
    if (frame !== undefined) frame.payloadBytes += raw.length
    this.#length += raw.length
    this.cost += 2 * raw.length
  }

  /** The payload, unmasked: a copy. */
  payload(): Buffer {
    const payload = Buffer.allocUnsafe(this.#length)
    const rest = new Cursor(this.#bytes.list)
    let at = 0
    for (const { mask, headBytes, payloadBytes } of this.#frames) {
      rest.take(headBytes, () => {})
      rest.take(payloadBytes, (bytes, offset) => {
        const target = payload.subarray(at, at + bytes.length)
        if (mask === undefined) target.set(bytes)
        else applyMask(bytes, mask, offset, target)
        at += bytes.length
      })
    }
    return payload
  }
}

/** Walks through pieces as if they were one. */
class Cursor {
  readonly #pieces: readonly Buffer[]
  #index = 0
  #at = 0

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = pieces
  }

  /** Shows the next `count` bytes; `offset`: how many of them were shown before. */
  take(count: number, show: (bytes: Buffer, offset: number) => void): void {
    let offset = 0
    while (offset < count) {
      const piece = this.#pieces[this.#index]
      if (piece === undefined) return
      const bytes = piece.subarray(this.#at, this.#at + count - offset)
      show(bytes, offset)
      offset += bytes.length
      this.#at += bytes.length
      if (this.#at < piece.length) continue
      this.#index++
      this.#at = 0
    }
  }
}
