/**
 * Bytes that were fed and not yet read. Pieces stay as they came, so that bodies leave as views of them;
 * an unfinished head is joined into one piece, and so are many small ones, in memory that doubles: a head that comes
 * byte by byte costs time in proportion to its length. Limits are the readers' concern.
 */
const EMPTY: Buffer = Buffer.alloc(0)
/** First size of joined memory, in bytes: a typical head fits. */
const JOINED_BYTES_MIN = 4096
/** Small pieces that wait apart: each costs a hundred bytes and more beside its own. */
const LATER_MAX = 64
const SMALL_BYTES = 1024

export class ByteQueue {
  #length = 0
  #bytes = EMPTY
  #start = 0
  #end = 0
  // The front piece is memory of ours, with room behind #end.
  #own = false
  #later: Buffer[] = []
  #laterAt = 0

  /** Unread bytes, in all pieces. */
  get length(): number {
    return this.#length
  }

  /** The front piece is `bytes` from `start` to `end`; without a view, because this is the hot path. */
  get bytes(): Buffer {
    return this.#bytes
  }

  get start(): number {
    return this.#start
  }

  get end(): number {
    return this.#end
  }

  push(bytes: Buffer): void {
    if (bytes.length === 0) return
    if (this.#length === 0) this.#setFront(bytes)
    else this.#later.push(bytes)
    this.#length += bytes.length
    if (bytes.length < SMALL_BYTES && this.#later.length - this.#laterAt > LATER_MAX) this.join()
  }

  /** The next byte. Undefined when there is none. */
  peek(): number | undefined {
    return this.#length === 0 ? undefined : this.#bytes[this.#start]
  }

  /** Drops `count` bytes of the front piece. */
  skip(count: number): void {
    this.#start += count
    this.#length -= count
    if (this.#start < this.#end) return
    const next = this.#later[this.#laterAt]
    this.#setFront(next ?? EMPTY)
    if (next === undefined || ++this.#laterAt < this.#later.length) return
    this.#later = []
    this.#laterAt = 0
  }

  /** Takes up to `max` bytes of the front piece, as a view. */
  take(max: number): Buffer {
    const count = Math.min(max, this.#end - this.#start)
    const whole = count === this.#bytes.length
    const view = whole ? this.#bytes : this.#bytes.subarray(this.#start, this.#start + count)
    this.skip(count)
    return view
  }

  takeAll(): Buffer {
    this.join()
    return this.take(this.#length)
  }

  clear(): void {
    this.#length = 0
    this.#later = []
    this.#laterAt = 0
    this.#setFront(EMPTY)
  }

  /** Makes the front piece hold every unread byte. */
  join(): void {
    if (this.#end - this.#start === this.#length) return
    if (!this.#own || this.#start + this.#length > this.#bytes.length) this.#grow()
    for (let index = this.#laterAt; index < this.#later.length; index++)
      this.#end += this.#later[index]?.copy(this.#bytes, this.#end) ?? 0
    this.#later = []
    this.#laterAt = 0
  }

  // Always fresh memory: views of the old one may be in use.
  #grow(): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(JOINED_BYTES_MIN, this.#length * 2))
    this.#end = this.#bytes.copy(grown, 0, this.#start, this.#end)
    this.#bytes = grown
    this.#start = 0
    this.#own = true
  }

  #setFront(bytes: Buffer): void {
    this.#bytes = bytes
    this.#start = 0
    this.#end = bytes.length
    this.#own = false
  }
}
