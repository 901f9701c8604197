/**
 * Cuts a text into what a model says at a time: words, numbers, signs, line breaks, and single characters where a script
 * puts no spaces between words. Only whether two of them are the same counts, so each is a number. A text may come in
 * pieces: a word that may go on waits.
 */

/** Characters of a word or a number that are one token: one that never ends is a loop of its parts. */
const TOKEN_CHARS = 16
/** The same of white space within a line. */
const BLANK_CHARS = 4

export const WORD = 1
/** A character of a script without spaces. */
export const SIGN = 2
export const NUMBER = 3
export const PUNCTUATION = 4
export const LINE = 5
export const BLANK = 6
export type Kind = typeof WORD | typeof SIGN | typeof NUMBER | typeof PUNCTUATION | typeof LINE | typeof BLANK

/** `id`: the same for the same text; `value`: a number's own, else its first character's code point. */
export type Taker = (kind: Kind, id: number, value: number) => void

const WITHOUT_SPACES = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u
const LETTER = /[\p{L}\p{M}]/u
const DIGIT = /\p{N}/u
const SPACE = /\s/u

export class LoopTokens {
  readonly #take: Taker
  #kind: Kind | undefined
  #length = 0
  #id = 0
  #value = 0

  constructor(take: Taker) {
    this.#take = take
  }

  feed(text: string): void {
    for (const sign of text) this.#sign(sign, sign.codePointAt(0) ?? 0)
  }

  /** The text has ended: what waits is whole. */
  finish(): void {
    if (this.#kind !== undefined) this.#take(this.#kind, this.#id, this.#value)
    this.#kind = undefined
  }

  #sign(sign: string, code: number): void {
    if (code === 13) return // Of a line break.
    const kind = kindOf(sign, code)
    const isFull = this.#length >= (kind === BLANK ? BLANK_CHARS : TOKEN_CHARS)
    if (kind !== this.#kind || isFull) this.finish()
    if (kind === PUNCTUATION || kind === LINE || kind === SIGN) {
      this.#take(kind, hashed(kind, code), code)
      return
    }
    const isFirst = this.#kind === undefined
    if (isFirst) this.#length = 0
    this.#kind = kind
    this.#length += 1
    this.#id = hashed(isFirst ? kind : this.#id, code)
    if (kind === NUMBER) this.#value = (isFirst ? 0 : this.#value * 10) + digitOf(sign, code)
    else if (isFirst) this.#value = code
  }
}

/** Whether letters are one word or some of them words: both count as such. */
export function isSpoken(kind: number | undefined): boolean {
  return kind === WORD || kind === SIGN
}

/** Where the decimal digits of other scripts begin, ten in a row: Arabic's, Persian's, India's, Thailand's, full-width. */
const ZEROS = [
  0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20, 0x1040, 0x17e0,
  0xff10,
]

/** NaN for what is a number but no digit: Roman numerals, fractions. */
function digitOf(sign: string, code: number): number {
  if (code < 128) return Number(sign)
  const zero = ZEROS.find((first) => code >= first && code < first + 10)
  return zero === undefined ? Number.NaN : code - zero
}

function hashed(before: number, code: number): number {
  return Math.imul(before ^ code, 0x01000193) ^ (code << 8)
}

function kindOf(sign: string, code: number): Kind {
  if (code < 128) return kindOfAscii(code)
  if (WITHOUT_SPACES.test(sign)) return SIGN
  if (LETTER.test(sign)) return WORD
  if (DIGIT.test(sign)) return NUMBER
  if (code === 0x2028 || code === 0x2029) return LINE
  return SPACE.test(sign) ? BLANK : PUNCTUATION
}

function kindOfAscii(code: number): Kind {
  if ((code >= 97 && code <= 122) || (code >= 65 && code <= 90)) return WORD
  if (code >= 48 && code <= 57) return NUMBER
  if (code === 10) return LINE
  return code === 32 || (code >= 9 && code <= 12) ? BLANK : PUNCTUATION
}
