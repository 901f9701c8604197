/**
 * The bytes of a line or event that has begun and not ended, in one buffer that doubles when full: feeding a stream
 * byte by byte stays linear, and a piece that arrives whole is never copied. Shared by the SSE and NDJSON decoders.
 */
import { FlowError } from "../../base/errors.ts"

// Most events are below this, so one allocation serves a split event.
const FIRST_CAPACITY_BYTES = 1024
const EMPTY = Buffer.alloc(0)

export class HeldBytes {
  #bytes = EMPTY
  #length = 0
  readonly #max: number
  readonly #what: string

  /** Holds at most `max` bytes of one `what` ("SSE event"); more throws a FlowError "event-too-large". */
  constructor(max: number, what: string) {
    this.#max = max
    this.#what = what
  }

  get length(): number {
    return this.#length
  }

  /** Keeps a copy of `bytes[start, end)` behind what is held. */
  append(bytes: Buffer, start: number, end: number): void {
    if (start === end) return
    const length = this.#length + end - start
    this.#check(length)
    if (length > this.#bytes.length) this.#grow(length)
    bytes.copy(this.#bytes, this.#length, start, end)
    this.#length = length
  }

  /** What is held and `bytes[start, end)`, in one buffer; holds nothing afterwards. A view of `bytes` if nothing was held. */
  take(bytes: Buffer, start: number, end: number): Buffer {
    if (this.#length === 0) {
      this.#check(end - start)
      return bytes.subarray(start, end)
    }
    this.append(bytes, start, end)
    const whole = this.#bytes.subarray(0, this.#length)
    this.#bytes = EMPTY
    this.#length = 0
    return whole
  }

  #grow(length: number): void {
    const bytes = Buffer.allocUnsafe(Math.max(length, this.#bytes.length * 2, FIRST_CAPACITY_BYTES))
    this.#bytes.copy(bytes, 0, 0, this.#length)
    this.#bytes = bytes
  }

  #check(length: number): void {
    if (length <= this.#max) return
    throw new FlowError(
      "upstream",
      "event-too-large",
      `decode the answer: one ${this.#what} exceeds ${this.#max} bytes`,
    )
  }
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
