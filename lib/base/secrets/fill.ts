/** What stands for a secret in a text, and how it gets there. Pure. */

export const REDACTED = "***"

/** What is written for a secret of so many characters. */
export type Fill = (chars: number) => string
export const STARS: Fill = () => REDACTED

/** Puts together what is kept of a text and what stands for its secrets. */
export class Blanked {
  readonly #text: string
  readonly #fill: Fill
  readonly #parts: string[] = []
  #from = 0

  constructor(text: string, fill: Fill) {
    this.#text = text
    this.#fill = fill
  }

  blank(start: number, end: number): void {
    this.#parts.push(this.#text.slice(this.#from, start), this.#fill(end - start))
    this.#from = end
  }

  toString(): string {
    return this.#from === 0 ? this.#text : this.#parts.join("") + this.#text.slice(this.#from)
  }
}
