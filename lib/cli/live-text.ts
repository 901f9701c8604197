/**
 * A text that arrives in pieces, made fit for a terminal as it comes: indented, without control bytes, secrets blanked.
 * A secret may be cut between two pieces, so the last word waits until it is whole.
 */
import { blankSecrets, printable } from "../log.ts"

/** A word longer than this is printed before it is whole. */
const WORD_CHARS_MAX = 512

export class LiveText {
  readonly #indent: string
  #held = ""

  constructor(indent: string) {
    this.#indent = indent
  }

  /** What can be printed now; may be empty. */
  feed(piece: string): string {
    const text = this.#held + piece
    // "Bearer" and what follows it belong together.
    const word = /(?:\b(?:bearer|basic)[ \t]+)?\S*$/i.exec(text)
    const end = text.length - (word?.index ?? text.length) > WORD_CHARS_MAX ? text.length : (word?.index ?? text.length)
    this.#held = text.slice(end)
    return shownText(text.slice(0, end), this.#indent)
  }

  /** The rest. */
  finish(): string {
    const text = this.#held
    this.#held = ""
    return shownText(text, this.#indent)
  }
}

/** A text of several lines for a terminal: each line but the first is indented. */
export function shownText(text: string, indent: string): string {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => blankSecrets(printable(line)))
    .join(`\n${indent}`)
}
