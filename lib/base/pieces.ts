/**
 * Bytes that wait, in pieces. A peer chooses how small its pieces are, and each costs a hundred bytes and more beside
 * what is in it, and keeps the whole buffer alive that it is a view of: a megabyte that comes byte by byte would fill a
 * hundred. So what waits is copied together until what it holds is in proportion to what it says.
 */

/** As many pieces wait as they came: an event of a stream stays a piece of its own while its reader keeps up. */
const APART_MAX = 16
/** Of those behind them, a piece below this is copied behind the one before it. */
const SMALL_BYTES = 1_024
/** What small pieces are copied into. */
const SLAB_BYTES = 4_096
/** A piece that is a view of a buffer so many times its size is copied out of it. */
const VIEW_FACTOR_MAX = 4

export class Pieces {
  #list: Buffer[] = []
  #bytes = 0
  /** The last piece's own memory, and how much of it is used. */
  #slab: Buffer | undefined
  #used = 0

  get bytes(): number {
    return this.#bytes
  }

  /** The pieces, in order. Whoever takes the list may not add any more to this. */
  get list(): Buffer[] {
    return this.#list
  }

  push(piece: Buffer): void {
    if (piece.length === 0) return
    this.#bytes += piece.length
    const last = this.#list.at(-1)
    const joins = this.#list.length >= APART_MAX && piece.length < SMALL_BYTES
    if (joins && last !== undefined && last.length + piece.length <= SLAB_BYTES) this.#append(last, piece)
    else {
      this.#slab = undefined
      this.#list.push(piece.buffer.byteLength > VIEW_FACTOR_MAX * piece.length ? copyOf(piece) : piece)
    }
  }

  /** Takes the oldest piece. */
  shift(): Buffer | undefined {
    const piece = this.#list.shift()
    this.#bytes -= piece?.length ?? 0
    if (this.#list.length === 0) this.#slab = undefined
    return piece
  }

  /** All bytes in one. */
  concat(): Buffer {
    const [only] = this.#list
    return this.#list.length === 1 && only !== undefined ? only : Buffer.concat(this.#list, this.#bytes)
  }

  clear(): void {
    this.#list = []
    this.#bytes = 0
    this.#slab = undefined
  }

  #append(last: Buffer, piece: Buffer): void {
    if (this.#slab === undefined) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#slab.set(last)
      this.#used = last.length
    }
    this.#slab.set(piece, this.#used)
    this.#used += piece.length
    this.#list[this.#list.length - 1] = this.#slab.subarray(0, this.#used)
  }
}

function copyOf(piece: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(piece.length)
  copy.set(piece)
  return copy
}
