/**
 * Sees, piece by piece, when a JSON object that arrives as text is whole. Each character is looked at once, however
 * many pieces there are: parsing at every piece would cost the square of the text.
 */
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

export class WholeObjectScan {
  #depth = 0
  #begun = false
  #inString = false
  #escaped = false
  #whole = false
  #none = false

  /** Whether what was fed is an object to its last bracket. A text that begins otherwise never is. */
  get whole(): boolean {
    return this.#whole
  }

  feed(text: string): void {
    for (let at = 0; at < text.length && !this.#whole && !this.#none; at++) this.#take(text.charCodeAt(at))
  }

  #take(code: number): void {
    if (this.#escaped) this.#escaped = false
    else if (this.#inString) {
      if (code === BACKSLASH) this.#escaped = true
      else if (code === QUOTE) this.#inString = false
    } else if (code === QUOTE) {
      this.#inString = true
      this.#none ||= !this.#begun
    } else if (isOpening(code)) {
      this.#depth++
      this.#none ||= !this.#begun && code !== OPEN_BRACE
      this.#begun = true
    } else if (isClosing(code)) {
      this.#depth--
      this.#whole = this.#begun && this.#depth === 0
    } else this.#none ||= !this.#begun && code > SPACE
  }
}

function isOpening(code: number): boolean {
  return code === OPEN_BRACE || code === OPEN_BRACKET
}

function isClosing(code: number): boolean {
  return code === CLOSE_BRACE || code === CLOSE_BRACKET
}
