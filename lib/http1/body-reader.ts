/**
 * The body of one message after another, by the framing of its head (RFC 9112 section 6.3).
 */
import type { Headers } from "../base/headers.ts"
import type { ByteQueue } from "./byte-queue.ts"
import { ChunkedReader } from "./chunked.ts"
import type { Framing, HeadLimits } from "./message.ts"
import type { Side } from "./violation.ts"

export class BodyReader {
  readonly #limits: HeadLimits
  readonly #side: Side
  #kind: Framing["kind"] | undefined
  #left = 0
  #chunked: ChunkedReader | undefined
  #closed = false

  constructor(limits: HeadLimits, side: Side) {
    this.#limits = limits
    this.#side = side
  }

  /** Whether a message is under way: its head was read, its end was not. */
  get active(): boolean {
    return this.#kind !== undefined
  }

  begin(framing: Framing): void {
    this.#kind = framing.kind
    this.#left = framing.kind === "length" ? framing.length : 0
    this.#chunked = framing.kind === "chunked" ? new ChunkedReader(this.#limits, this.#side) : undefined
  }

  /** The peer has closed. True where this is what ends the body. */
  close(): boolean {
    this.#closed = true
    return this.#kind === "until-close"
  }

  /** The next bytes, "end" once, or undefined when more must be fed. */
  read(queue: ByteQueue): Buffer | "end" | undefined {
    const piece = this.#piece(queue)
    if (piece === "end") this.#kind = undefined
    return piece
  }

  /** Of the message whose end was read last. */
  get trailers(): Headers | undefined {
    return this.#chunked?.trailers
  }

  #piece(queue: ByteQueue): Buffer | "end" | undefined {
    if (this.#chunked !== undefined) return this.#chunked.read(queue)
    if (this.#kind === "until-close") {
      if (queue.length > 0) return queue.take(queue.length)
      return this.#closed ? "end" : undefined
    }
    if (this.#left === 0) return "end"
    if (queue.length === 0) return undefined
    const bytes = queue.take(this.#left)
    this.#left -= bytes.length
    return bytes
  }
}
