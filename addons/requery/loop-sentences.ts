/**
 * Tells that a text only says again what it has said, in whatever order: of its last sentences few are different. Models
 * that reason go round in circles so ("Wait, let me reconsider"), with no two rounds the same.
 */
import { BLANK, type Kind, LINE, NUMBER, SIGN, WORD } from "./loop-tokens.ts"

/** Sentences that are looked at, and how many of them may be different: each has come six times. */
export const SENTENCES = 60
export const DIFFERENT_MAX = 10
/** Words of a sentence that counts; characters of one without spaces. A shorter one is a refrain, or a count of breaths. */
const WORDS_MIN = 4
const SIGNS_MIN = 8

export class LoopSentences {
  /** Of the last ones, by what they say: signs beside the words do not count. */
  readonly #last = new Int32Array(SENTENCES)
  readonly #times = new Map<number, number>()
  #count = 0
  #hash = 0
  #words = 0
  #signs = 0
  /** The last token was a mark that may end a sentence. */
  #mayEnd = false
  /** The line begins with a word, as prose does; undefined: it has not begun. */
  #isProse: boolean | undefined

  /** `ends`: the token is a mark that ends sentences. Returns whether the text goes round in circles. */
  see(kind: Kind, id: number, ends: boolean): boolean {
    // Scripts with spaces put one behind the mark; in a name of code nothing stands there.
    const isOver = this.#mayEnd && (kind === BLANK || kind === LINE || this.#signs > 0) && this.#end()
    this.#mayEnd = ends
    if (isOver) return true
    if (kind === LINE) {
      this.#begin() // A heading: none of it is a sentence.
      this.#isProse = undefined
      return false
    }
    this.#isProse ??= kind === WORD || kind === SIGN
    if (!this.#isProse) return false
    if (kind === WORD) this.#words += 1
    if (kind === SIGN) this.#signs += 1
    if (kind === WORD || kind === SIGN || kind === NUMBER)
      this.#hash = Math.imul(this.#hash ^ id, 0x9e3779b1) ^ (this.#hash >>> 15)
    return false
  }

  /** What comes is no prose: nothing that was said before it counts. */
  reset(): void {
    if (this.#count === 0 && this.#words + this.#signs === 0) return
    this.#begin()
    this.#mayEnd = false
    this.#isProse = undefined
    this.#times.clear()
    this.#count = 0
  }

  #begin(): void {
    this.#hash = 0
    this.#words = 0
    this.#signs = 0
  }

  #end(): boolean {
    const isSentence = this.#words >= WORDS_MIN || this.#signs >= SIGNS_MIN
    if (isSentence) this.#add(this.#hash)
    this.#begin()
    return isSentence && this.#count >= SENTENCES && this.#times.size <= DIFFERENT_MAX
  }

  #add(sentence: number): void {
    const at = this.#count % SENTENCES
    if (this.#count >= SENTENCES) this.#forget(this.#last[at] ?? 0)
    this.#last[at] = sentence
    this.#times.set(sentence, (this.#times.get(sentence) ?? 0) + 1)
    this.#count += 1
  }

  #forget(sentence: number): void {
    const times = this.#times.get(sentence) ?? 0
    if (times > 1) this.#times.set(sentence, times - 1)
    else this.#times.delete(sentence)
  }
}
