/**
 * Field lines in the order, case and number in which they came (RFC 9110 section 5).
 * A line that nobody changes keeps its raw form, white space included, so that it can leave byte for byte.
 * Text is latin1: one character is one byte, whatever the sender meant by it.
 */

/** A field name: RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** What no field value may hold: NUL, CR, LF and the other controls but tab (RFC 9110 section 5.5), and what is no byte. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]|[^\u0000-\u00ff]/

export type HeadersInit = Headers | Iterable<readonly [string, string]> | Record<string, string | readonly string[]>

export class Headers {
  // Three columns instead of one list of objects: a head is read and written on the hot path.
  #lower: string[] = []
  #values: string[] = []
  #lines: string[] = []

  constructor(init?: HeadersInit) {
    if (init === undefined) return
    const entries = Symbol.iterator in init ? init : Object.entries(init)
    for (const [name, value] of entries as Iterable<readonly [string, string | readonly string[]]>)
      for (const one of typeof value === "string" ? [value] : value) this.append(name, one)
  }

  /** Takes a line as it stood on the wire, without its CRLF. The caller has validated name and value. */
  appendRaw(line: string, name: string, value: string): void {
    this.#lower.push(name.toLowerCase())
    this.#values.push(value)
    this.#lines.push(line)
  }

  /** Adds a line after the others. Throws a TypeError on a name or value that would break the head. */
  append(name: string, value: string): void {
    this.appendRaw(fieldLine(name, value), name, value)
  }

  /** The first value of the field, or undefined. */
  get(name: string): string | undefined {
    const index = this.#lower.indexOf(name.toLowerCase())
    return index < 0 ? undefined : this.#values[index]
  }

  /** Every value of the field, in order. */
  getAll(name: string): string[] {
    const lower = name.toLowerCase()
    return this.#values.filter((_, index) => this.#lower[index] === lower)
  }

  has(name: string): boolean {
    return this.#lower.includes(name.toLowerCase())
  }

  /** Puts one line in place of every line of that name; the first one's place and case are kept. */
  set(name: string, value: string): void {
    const first = this.#lower.indexOf(name.toLowerCase())
    if (first < 0) {
      this.append(name, value)
      return
    }
    const kept = this.#nameAt(first)
    const line = fieldLine(kept, value)
    this.#remove(name.toLowerCase(), first + 1)
    this.#values[first] = value
    this.#lines[first] = line
  }

  /** Removes every line of that name. */
  delete(name: string): void {
    this.#remove(name.toLowerCase(), 0)
  }

  get size(): number {
    return this.#lower.length
  }

  /** Every line, as it stood or as it was set, without CRLF. */
  lines(): readonly string[] {
    return this.#lines
  }

  /** The lower-case name of line `index`: what the framing code compares. */
  lowerNames(): readonly string[] {
    return this.#lower
  }

  [Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    return this.entries().values()
  }

  /** Name and value of every line: a copy. */
  entries(): [name: string, value: string][] {
    return this.#values.map((value, index) => [this.#nameAt(index), value])
  }

  clone(): Headers {
    const copy = new Headers()
    copy.#lower = this.#lower.slice()
    copy.#values = this.#values.slice()
    copy.#lines = this.#lines.slice()
    return copy
  }

  #nameAt(index: number): string {
    return (this.#lines[index] ?? "").slice(0, this.#lower[index]?.length)
  }

  #remove(lower: string, from: number): void {
    for (let index = this.#lower.length - 1; index >= from; index--) {
      if (this.#lower[index] !== lower) continue
      this.#lower.splice(index, 1)
      this.#values.splice(index, 1)
      this.#lines.splice(index, 1)
    }
  }
}

function fieldLine(name: string, value: string): string {
  if (!TOKEN.test(name))
    throw new TypeError(`header name ${JSON.stringify(name)} is not a token (RFC 9110 section 5.6.2)`)
  if (BAD_VALUE.test(value))
    throw new TypeError(`header ${name}: its value holds a control character or a character that is no byte`)
  return `${name}: ${value}`
}
