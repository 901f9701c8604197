/**
 * The chunked coding (RFC 9112 section 7.1): framing is read byte by byte, one state after another, so a
 * feed may end anywhere; data leaves as views. Extensions are dropped, after they were checked and counted.
 */
import type { Headers } from "../base/headers.ts"
import { BlockFinder } from "./blocks.ts"
import type { ByteQueue } from "./byte-queue.ts"
import { parseFields } from "./fields.ts"
import { FORBIDDEN_TRAILERS } from "./framing.ts"
import type { HeadLimits } from "./message.ts"
import { quoted, type Side, violation } from "./violation.ts"

/** Digits of a chunk size, leading zeros included. */
const SIZE_DIGITS_MAX = 16
const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const SEMICOLON = 59
const DELETE = 127

type State = "size" | "blank" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailers"

export class ChunkedReader {
  readonly #limits: HeadLimits
  readonly #side: Side
  #state: State = "size"
  #digits = 0
  #left = 0
  #extensionBytes = 0
  #trailerFinder: BlockFinder | undefined
  #trailers: Headers | undefined

  constructor(limits: HeadLimits, side: Side) {
    this.#limits = limits
    this.#side = side
  }

  /** The next bytes of the body, "end" after the last, or undefined when more must be fed. */
  read(queue: ByteQueue): Buffer | "end" | undefined {
    while (this.#state !== "trailers") {
      const byte = queue.peek()
      if (byte === undefined) return undefined
      if (this.#state === "data") return this.#takeData(queue)
      this.#state = this.#after(byte)
      // The CR behind the last chunk's size stays: with it, "no trailers" is an empty line like any other end.
      if (this.#state !== "trailers") queue.skip(1)
    }
    return this.#readTrailers(queue)
  }

  /** Valid after "end". Undefined: none came. */
  get trailers(): Headers | undefined {
    return this.#trailers
  }

  #takeData(queue: ByteQueue): Buffer {
    const bytes = queue.take(this.#left)
    this.#left -= bytes.length
    if (this.#left === 0) this.#state = "data-cr"
    return bytes
  }

  #after(byte: number): State {
    switch (this.#state) {
      case "size":
        return this.#afterSize(byte)
      case "blank":
        return this.#afterBlank(byte)
      case "extension":
        return this.#afterExtension(byte)
      case "size-lf":
        if (byte === LF) return "data"
        throw this.#bad("the line of a chunk size does not end with CRLF")
      case "data-cr":
        if (byte === CR) return "data-lf"
        throw this.#bad("a chunk is longer than its size")
      default:
        if (byte !== LF) throw this.#bad("a chunk does not end with CRLF")
        this.#digits = 0
        return "size"
    }
  }

  #afterSize(byte: number): State {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      this.#left = this.#left * 16 + digit
      if (++this.#digits > SIZE_DIGITS_MAX || this.#left > Number.MAX_SAFE_INTEGER)
        throw this.#bad("a chunk size has too many digits")
      return "size"
    }
    if (this.#digits === 0) throw this.#bad("a chunk size does not begin with a hexadecimal digit")
    if (byte === CR) return this.#endOfLine()
    return this.#afterBlank(byte)
  }

  // RFC 9112 section 7.1.1 allows white space before the semicolon, and nothing else there.
  #afterBlank(byte: number): State {
    this.#countExtension()
    if (byte === SEMICOLON) return "extension"
    if (byte === SPACE || byte === TAB) return "blank"
    throw this.#bad("a chunk size is followed by neither CRLF nor an extension")
  }

  #afterExtension(byte: number): State {
    if (byte === CR) return this.#endOfLine()
    this.#countExtension()
    if ((byte < SPACE && byte !== TAB) || byte === DELETE)
      throw this.#bad("a chunk extension holds a control character")
    return "extension"
  }

  #endOfLine(): State {
    return this.#left === 0 ? "trailers" : "size-lf"
  }

  // Over the whole message: nothing is kept of them, but reading them is work that carries no body.
  #countExtension(): void {
    if (++this.#extensionBytes <= this.#limits.headBytes) return
    const what = `more than ${this.#limits.headBytes} bytes of chunk extensions`
    throw violation(this.#side, "chunk-extensions-too-long", what)
  }

  #readTrailers(queue: ByteQueue): "end" | undefined {
    queue.join()
    if (queue.length < 2) return undefined
    if (queue.bytes[queue.start + 1] !== LF) throw this.#bad("the line of the last chunk does not end with CRLF")
    this.#trailerFinder ??= new BlockFinder(this.#limits, this.#side)
    const text = this.#trailerFinder.take(queue)
    if (text === undefined) return undefined
    if (text === "") return "end"
    const trailers = parseFields(text, 2, this.#limits, this.#side, undefined)
    const forbidden = trailers.lowerNames().find((name) => FORBIDDEN_TRAILERS.has(name))
    if (forbidden !== undefined)
      throw violation(this.#side, "forbidden-trailer", `the field ${quoted(forbidden)} stands in the trailers`)
    this.#trailers = trailers
    return "end"
  }

  #bad(what: string): Error {
    return violation(this.#side, "bad-chunk", what)
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const letter = byte | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
