/**
 * Tells when a text has begun to go round in circles: its end is one piece, again and again. Looked at every 256
 * characters by the prefix function of the reversed end, whose smallest period is the piece, so it needs no tokenizer
 * and costs some tens of microseconds. One repeated line of code is no loop, nor is a table or a list of numbers.
 */

/** Characters of the end that are looked at. */
const WINDOW_CHARS = 8_192
/** Characters between two looks. */
const STEP_CHARS = 256
/** A loop covers at least so many characters, and has so many rounds. */
const COVERED_CHARS = 240
const ROUNDS = 8
/** The same for pieces without a letter: rulers, tables and lists of numbers repeat themselves and end. */
const PLAIN_COVERED_CHARS = 1_024
const PLAIN_ROUNDS = 32

export class LoopDetector {
  #tail = ""
  #fresh = 0

  /** Whether the text, with this piece, has turned out to loop. */
  feed(text: string): boolean {
    if (text.length > WINDOW_CHARS) {
      // An answer that came whole: a loop is what it ends in, and looking everywhere would take too long.
      this.#tail = text.slice(-WINDOW_CHARS)
      this.#fresh = 0
      return endsInLoop(this.#tail)
    }
    let found = false
    // A long piece is looked at in steps, as if it had come in short ones.
    for (let at = 0; at < text.length && !found; ) {
      const piece = text.slice(at, at + STEP_CHARS - this.#fresh)
      at += piece.length
      this.#tail = (this.#tail + piece).slice(-WINDOW_CHARS)
      this.#fresh += piece.length
      if (this.#fresh < STEP_CHARS) continue
      this.#fresh = 0
      found = endsInLoop(this.#tail)
    }
    return found
  }
}

/** Whether the end of a text is a loop. Of a long text only the last 8,192 characters count. */
export function endsInLoop(text: string): boolean {
  const length = Math.min(text.length, WINDOW_CHARS)
  if (length < COVERED_CHARS) return false
  const last = text.length - 1
  const at = (index: number) => text.charCodeAt(last - index)
  // borders[i]: the longest proper prefix of the reversed text's first i + 1 characters that is also their suffix.
  const borders = new Int32Array(length)
  for (let i = 1, border = 0; i < length; i++) {
    while (border > 0 && at(i) !== at(border)) border = borders[border - 1] ?? 0
    if (at(i) === at(border)) border += 1
    borders[i] = border
    const covered = i + 1
    if (covered >= COVERED_CHARS && isLoop(text, covered, covered - border)) return true
  }
  return false
}

function isLoop(text: string, covered: number, period: number): boolean {
  if (covered / period < ROUNDS) return false
  if (covered >= PLAIN_COVERED_CHARS && covered / period >= PLAIN_ROUNDS) return true
  return /\p{L}/u.test(text.slice(text.length - period))
}
