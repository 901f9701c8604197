/**
 * Tells in how many rounds a row of tokens has come to its end: its period is how far back the same row is, found by its
 * last three tokens and held to for as long as it goes on. A few steps a token, whatever the text.
 */

/** Tokens of the longest round that is looked for. */
const PERIOD_MAX = 500
/** Tokens that are remembered. */
export const REMEMBERED = 1_024
const LAST_MASK = 2_047
/** Tokens that have to be the same before a period is one. */
const BEGIN = 3

export class Period {
  /** Tokens of a round; 0: nothing repeats itself. */
  tokens = 0
  /** Tokens that have been the same as those a round earlier. */
  matched = 0
  readonly #ids = new Int32Array(REMEMBERED)
  /** Where three tokens have ended last, by their hash; 0: nowhere. */
  readonly #last = new Int32Array(LAST_MASK + 1)
  #count = 0

  get rounds(): number {
    return this.tokens === 0 ? 0 : (this.matched + this.tokens) / this.tokens
  }

  get covered(): number {
    return this.matched + this.tokens
  }

  push(id: number): void {
    const at = this.#count
    this.#count += 1
    this.#ids[at % REMEMBERED] = id
    if (this.tokens > 0 && this.#idAt(at - this.tokens) === id) this.matched += 1
    else this.#begin(at)
    this.#last[this.#hashAt(at)] = at + 1
  }

  #begin(at: number): void {
    this.tokens = 0
    this.matched = 0
    const before = (this.#last[this.#hashAt(at)] ?? 0) - 1
    if (before < BEGIN - 1 || at - before > PERIOD_MAX) return
    for (let i = 0; i < BEGIN; i++) if (this.#idAt(at - i) !== this.#idAt(before - i)) return
    this.tokens = at - before
    this.matched = BEGIN
  }

  #idAt(at: number): number {
    return this.#ids[at % REMEMBERED] ?? 0
  }

  #hashAt(at: number): number {
    if (at < BEGIN - 1) return 0
    const first = Math.imul(this.#idAt(at), 0x9e3779b1) ^ Math.imul(this.#idAt(at - 1), 0x85ebca6b)
    return ((first ^ Math.imul(this.#idAt(at - 2), 0xc2b2ae35)) >>> 13) & LAST_MASK
  }
}
