/**
 * Who prints now. A streamed answer is shown as it arrives, so while it runs nothing else may be printed between its
 * words: what the others have to say waits, in order and within a limit, and is printed when it has ended.
 */

/** Characters that wait; what exceeds them is not shown, and said to be missing. */
const WAITING_CHARS_MAX = 262_144

/** Anything that tells one printer from another: a flow. */
export type Owner = object

interface Waiting {
  readonly owner: Owner | undefined
  text: string
  isOver: boolean
}

export class Turns {
  readonly #write: (text: string) => void
  #holder: Owner | undefined
  #waiting: Waiting[] = []
  #chars = 0
  #missing = 0

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Prints a whole text: at once, or when its turn comes. */
  print(text: string): void {
    if (this.#holder === undefined) this.#write(text)
    else this.#wait({ owner: undefined, text: "", isOver: true }, text)
  }

  /** Prints a piece of what `owner` has to say; nobody else prints until `end(owner)`. */
  live(owner: Owner, text: string): void {
    this.#holder ??= owner
    if (this.#holder === owner) {
      this.#write(text)
      return
    }
    const entry = this.#waiting.find((waiting) => waiting.owner === owner)
    this.#wait(entry ?? { owner, text: "", isOver: false }, text)
  }

  /** `owner` has said all, with `last` at the end. Without a `live` before it this is `print(last)`. */
  end(owner: Owner, last: string): void {
    const entry = this.#waiting.find((waiting) => waiting.owner === owner)
    if (entry !== undefined) {
      this.#wait(entry, last)
      entry.isOver = true
      return
    }
    if (this.#holder !== owner) {
      this.print(last)
      return
    }
    this.#write(last)
    this.#holder = undefined
    this.#printWaiting()
  }

  #wait(entry: Waiting, text: string): void {
    if (this.#chars + text.length > WAITING_CHARS_MAX) {
      this.#missing += text.length
      return
    }
    if (!this.#waiting.includes(entry)) this.#waiting.push(entry)
    entry.text += text
    this.#chars += text.length
  }

  /** What has waited, in order, up to one that still speaks: it is the holder then. */
  #printWaiting(): void {
    while (this.#holder === undefined) {
      const entry = this.#waiting.shift()
      if (entry === undefined) break
      this.#chars -= entry.text.length
      this.#write(entry.text)
      if (!entry.isOver) this.#holder = entry.owner
    }
    if (this.#missing > 0) this.#write(`(${this.#missing} characters not shown: too much at once)\n`)
    this.#missing = 0
  }
}
