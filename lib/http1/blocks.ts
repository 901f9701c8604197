/**
 * Finds where a head or a trailer section ends: at the first empty line (CRLF CRLF).
 * Remembers how far it looked, so that a block which comes in pieces is searched once.
 */
import type { ByteQueue } from "./byte-queue.ts"
import type { HeadLimits } from "./message.ts"
import { type Side, violation } from "./violation.ts"

const EMPTY_LINE = Buffer.from("\r\n\r\n")
const CR = 13
const LF = 10

export class BlockFinder {
  readonly #side: Side
  readonly #bytesMax: number
  #searched = 0

  constructor(limits: HeadLimits, side: Side) {
    this.#side = side
    this.#bytesMax = limits.headBytes
  }

  /** Takes the block as latin1 text, without its last CRLF and the empty line. Undefined: not all of it is here. */
  take(queue: ByteQueue): string | undefined {
    queue.join()
    const { bytes, start, end } = queue
    // The last 3 bytes of what was searched can be the first of the empty line.
    const from = start + Math.max(0, this.#searched - 3)
    const found = bytes.indexOf(EMPTY_LINE, from)
    if (found < 0 || found + 4 > end) {
      this.#searched = end - start
      // Wherever the end may come, the block is at least this long: same answer for every split.
      if (end - start - 1 > this.#bytesMax) throw this.#tooLong()
      this.#refuseBareEnds(bytes, from, start, end)
      return undefined
    }
    this.#searched = 0
    if (found + 2 - start > this.#bytesMax) throw this.#tooLong()
    const text = bytes.toString("latin1", start, found)
    queue.skip(found + 4 - start)
    return text
  }

  // A peer that ends its lines otherwise would never send the CRLF CRLF: it learns of it now, not by a timeout.
  #refuseBareEnds(bytes: Buffer, from: number, start: number, end: number): void {
    for (let at = from; at < end; at++) {
      const byte = bytes[at]
      if (byte === LF && (at === start || bytes[at - 1] !== CR))
        throw violation(this.#side, "bare-lf", "a line ends with LF alone (RFC 9112 section 2.2)")
      if (byte === CR && at + 1 < end && bytes[at + 1] !== LF)
        throw violation(this.#side, "bare-cr", "a CR stands alone (RFC 9112 section 2.2)")
    }
  }

  #tooLong(): Error {
    return violation(this.#side, "head-too-long", `more than ${this.#bytesMax} bytes before the empty line`, 431)
  }
}
