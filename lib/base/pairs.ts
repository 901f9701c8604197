/**
 * Names with values in one text, as a query and a Cookie field have them: a live view that edits the text. What nobody
 * changes keeps its characters, however odd; what is set is written as its form demands.
 */

import { BAD_VALUE } from "./headers.ts"

/** Where the text stands. */
export interface PairsPlace {
  read(): string
  write(text: string): void
}

/** How a pair is written. */
interface PairForm {
  readonly separator: string
  /** Undefined for a piece that is no pair. */
  decode(piece: string): readonly [name: string, value: string] | undefined
  /** Throws a TypeError for what has no form. */
  encode(name: string, value: string): string
}

/** application/x-www-form-urlencoded (WHATWG URL, section 5). */
const QUERY: PairForm = {
  separator: "&",
  // Alone a question mark would be taken for the beginning of a query.
  decode: (piece) => new URLSearchParams(`&${piece}`).entries().next().value,
  encode: (name, value) => new URLSearchParams([[name, value]]).toString(),
}

/** RFC 6265, section 4.2.1. There is no encoding: values are what stands there, quotes included. */
const COOKIES: PairForm = {
  separator: ";",
  decode(piece) {
    const equals = piece.indexOf("=")
    return equals < 0 ? undefined : [piece.slice(0, equals).trim(), piece.slice(equals + 1).trim()]
  },
  encode(name, value) {
    if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) throw new TypeError(`cookie name ${JSON.stringify(name)} is no token`)
    if (value.includes(";") || value !== value.trim() || BAD_VALUE.test(value))
      throw new TypeError(`cookie ${name}: its value has a character that no cookie can hold; encode it first`)
    return ` ${name}=${value}`
  },
}

export class PairList {
  readonly #place: PairsPlace
  readonly #form: PairForm

  private constructor(place: PairsPlace, form: PairForm) {
    this.#place = place
    this.#form = form
  }

  static query(place: PairsPlace): PairList {
    return new PairList(place, QUERY)
  }

  static cookies(place: PairsPlace): PairList {
    return new PairList(place, COOKIES)
  }

  get size(): number {
    return [...this].length
  }

  get(name: string): string | undefined {
    for (const [known, value] of this) if (known === name) return value
    return undefined
  }

  getAll(name: string): string[] {
    return [...this].filter(([known]) => known === name).map(([, value]) => value)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** The first of the name gets the value, the others go; without one it is appended. */
  set(name: string, value: string): void {
    const [first, ...others] = this.getAll(name)
    if (first === value && others.length === 0) return
    const made = this.#form.encode(name, value)
    let isPlaced = false
    const pieces = this.#pieces.flatMap((piece) => {
      if (!this.#is(piece, name)) return [piece]
      if (isPlaced) return []
      isPlaced = true
      return [made]
    })
    this.#write(isPlaced ? pieces : [...pieces, made])
  }

  append(name: string, value: string): void {
    this.#write([...this.#pieces, this.#form.encode(name, value)])
  }

  delete(name: string): void {
    if (this.has(name)) this.#write(this.#pieces.filter((piece) => !this.#is(piece, name)))
  }

  *[Symbol.iterator](): Generator<[name: string, value: string]> {
    for (const piece of this.#pieces) {
      const pair = this.#form.decode(piece)
      if (pair !== undefined) yield [...pair]
    }
  }

  get #pieces(): string[] {
    const text = this.#place.read()
    return text === "" ? [] : text.split(this.#form.separator)
  }

  #is(piece: string, name: string): boolean {
    return this.#form.decode(piece)?.[0] === name
  }

  #write(pieces: readonly string[]): void {
    this.#place.write(pieces.join(this.#form.separator))
  }
}
