/**
 * Where a text is while it is written: within a fence, or within a JSON value that the answer began with. There things
 * repeat themselves that are right, and what ends there has not ended well.
 */
import { BLANK, type Kind, LINE, PUNCTUATION } from "./loop-tokens.ts"

export type Place = "text" | "fence" | "json"

const FENCE_SIGNS = 3
const code = (sign: string) => sign.charCodeAt(0)
const BACKTICK = code("`")
const TILDE = code("~")
const QUOTE = code('"')
const BACKSLASH = code("\\")
const OPENING = [code("{"), code("[")]
const CLOSING = [code("}"), code("]")]

export class LoopPlace {
  /** The sign that the fence was opened with. */
  #fence: number | undefined
  /** Fence signs at the line's begin so far; undefined: something else stands there. */
  #atBegin: { sign: number; count: number } | undefined = { sign: 0, count: 0 }
  #hasBegun = false
  #depth = 0
  #inString = false
  #escaped = false

  /** The place of a text that has begun elsewhere. */
  static within(place: Place): LoopPlace {
    const made = new LoopPlace()
    if (place === "fence") made.#fence = BACKTICK
    if (place === "json") made.#depth = 1
    made.#hasBegun = true
    return made
  }

  get now(): Place {
    if (this.#depth > 0) return "json"
    return this.#fence === undefined ? "text" : "fence"
  }

  see(kind: Kind, value: number): void {
    if (kind === LINE) this.#atBegin = { sign: 0, count: 0 }
    else if (kind !== BLANK) {
      const sign = kind === PUNCTUATION ? value : 0
      this.#fenceSign(sign)
      this.#jsonSign(sign)
      this.#hasBegun = true
    } else this.#escaped = false
  }

  #fenceSign(sign: number): void {
    const begin = this.#atBegin
    const isFence = (sign === BACKTICK || sign === TILDE) && (begin?.sign === 0 || begin?.sign === sign)
    if (begin === undefined || !isFence) {
      this.#atBegin = undefined
      return
    }
    begin.sign = sign
    begin.count += 1
    if (begin.count !== FENCE_SIGNS) return
    if (this.#fence === undefined) this.#fence = sign
    else if (this.#fence === sign) this.#fence = undefined
  }

  #jsonSign(sign: number): void {
    if (this.#depth === 0) {
      if (!this.#hasBegun && OPENING.includes(sign)) this.#depth = 1
    } else if (this.#inString) {
      if (!this.#escaped && sign === QUOTE) this.#inString = false
      this.#escaped = !this.#escaped && sign === BACKSLASH
    } else if (sign === QUOTE) this.#inString = true
    else if (OPENING.includes(sign)) this.#depth += 1
    else if (CLOSING.includes(sign)) this.#depth -= 1
  }
}
