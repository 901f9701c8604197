/**
 * Text in lines that fit a terminal: broken between words, continued under an indent. Pure.
 */

/** What takes two columns: East Asian wide and full-width characters, and pictures (Unicode Standard Annex 11). */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/gu
/** What takes none: marks that stand on the character before. */
const MARKS = /\p{M}/gu
/** Narrower than this, nothing is broken: there would be a word a line. */
const COLUMNS_MIN = 20

/** Columns that a text of one line takes. */
export function widthOf(text: string): number {
  let width = text.length
  for (const _ of text.matchAll(/[\u{10000}-\u{10ffff}]/gu)) width -= 1
  for (const _ of text.matchAll(WIDE)) width += 1
  for (const _ of text.matchAll(MARKS)) width -= 1
  return width
}

/** Lines of at most `width` columns, where the words allow it. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/**
 * The same for a text that comes in pieces and has line breaks of its own: what is too long goes on in the next line,
 * under `indent`. A word that is longer than a line is broken where the line ends.
 */
export class Wrapper {
  readonly #columns: number
  readonly #indent: string
  #column: number
  /** White space that is written before the next word, if that is on the same line. */
  #space = ""

  /** `columns`: undefined breaks nothing. The text begins behind as many columns as the indent has. */
  constructor(columns: number | undefined, indent: string) {
    const fits = columns !== undefined && columns - indent.length >= COLUMNS_MIN
    this.#columns = fits ? columns : Number.POSITIVE_INFINITY
    this.#indent = indent
    this.#column = indent.length
  }

  feed(text: string): string {
    if (this.#columns === Number.POSITIVE_INFINITY) return text
    let result = ""
    for (const [part] of text.matchAll(/\n|[^\S\n]+|\S+/g)) {
      if (part === "\n") {
        result += part
        this.#column = 0
        this.#space = ""
      } else if (part.trim() === "") this.#space += part
      else result += this.#word(part)
    }
    return result
  }

  #word(word: string): string {
    const space = this.#space
    this.#space = ""
    const width = widthOf(word)
    const isFirst = this.#column + widthOf(space) <= this.#indent.length
    if (!isFirst && this.#column + widthOf(space) + width > this.#columns) {
      this.#column = this.#indent.length
      return `\n${this.#indent}${this.#pieces(word)}`
    }
    this.#column += widthOf(space)
    return space + this.#pieces(word)
  }

  /** The word, broken where it is longer than what is left of the line. */
  #pieces(word: string): string {
    let result = ""
    for (const char of word) {
      const width = widthOf(char)
      if (this.#column + width > this.#columns) {
        result += `\n${this.#indent}`
        this.#column = this.#indent.length
      }
      result += char
      this.#column += width
    }
    return result
  }
}
