/**
 * Field lines in the order, case and number in which they came (RFC 9110 section 5).
 * A line that nobody changes keeps its raw form, white space included, so that it can leave byte for byte.
 * Text is latin1: one character is one byte, whatever the sender meant by it.
 */

/** A field name: RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** What no field value may hold: NUL, CR, LF and the other controls but tab (RFC 9110 section 5.5), and what is no byte. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
export const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]|[^\u0000-\u00ff]/

export type HeadersInit = Headers | Iterable<readonly [string, string]> | Record<string, string | readonly string[]>

export class Headers {
  // Two columns instead of a list of objects, and values cut from their lines when asked for: a head is read and
  // written on the hot path, and what recorders keep of it costs the garbage collector by the object.
  #lower: string[] = []
  #lines: string[] = []
  /** The columns are a clone's as well: who changes something copies them first. */
  #shared = false
  /** What was set or added by name since `watch`, in order: name and line. */
  #written: readonly (readonly [lower: string, value: string])[] | undefined

  constructor(init?: HeadersInit) {
    if (init === undefined) return
    const entries = Symbol.iterator in init ? init : Object.entries(init)
    for (const [name, value] of entries as Iterable<readonly [string, string | readonly string[]]>)
      for (const one of typeof value === "string" ? [value] : value) this.append(name, one)
  }

  /** Takes a line as it stood on the wire, without its CRLF. The caller has validated it; it begins with `name`. */
  appendRaw(line: string, name: string): void {
    this.appendParsed(line, lowerCase(name))
  }

  /** The same where the caller has the name's lower-case form already. */
  appendParsed(line: string, lowerName: string): void {
    if (this.#shared) this.#own()
    this.#lower.push(lowerName)
    this.#lines.push(line)
  }

  /** Adds a line after the others. Throws a TypeError on a name or value that would break the head. */
  append(name: string, value: string): void {
    this.appendRaw(fieldLine(name, value), name)
    if (this.#written !== undefined) this.#written = [...this.#written, [lowerCase(name), value]]
  }

  /** The first value of the field, without white space around it, or undefined. */
  get(name: string): string | undefined {
    const index = this.#lower.indexOf(lowerCase(name))
    return index < 0 ? undefined : this.#valueAt(index)
  }

  /** Every value of the field, in order. */
  getAll(name: string): string[] {
    const lower = lowerCase(name)
    const values: string[] = []
    for (let at = this.#lower.indexOf(lower); at >= 0; at = this.#lower.indexOf(lower, at + 1))
      values.push(this.#valueAt(at))
    return values
  }

  has(name: string): boolean {
    return this.#lower.includes(lowerCase(name))
  }

  /** Puts one line in place of every line of that name; the first one's place and case are kept. */
  set(name: string, value: string): void {
    const lower = lowerCase(name)
    const first = this.#lower.indexOf(lower)
    if (first < 0) {
      this.append(name, value)
      return
    }
    const line = fieldLine(this.#nameAt(first), value)
    if (this.#shared) this.#own()
    this.#remove(lower, first + 1)
    this.#lines[first] = line
    if (this.#written !== undefined)
      this.#written = [...this.#written.filter(([other]) => other !== lower), [lower, value]]
  }

  /** Removes every line of that name. */
  delete(name: string): void {
    const lower = lowerCase(name)
    this.#remove(lower, 0)
    if (this.#written !== undefined) this.#written = this.#written.filter(([other]) => other !== lower)
  }

  /** From here on it is known which fields were set or added, also where they were given the value that they had. */
  watch(): void {
    this.#written = NONE_WRITTEN
  }

  /** The values that a field was given since `watch`. */
  written(name: string): string[] {
    const lower = lowerCase(name)
    return (this.#written ?? []).flatMap(([other, value]) => (other === lower ? [value] : []))
  }

  get size(): number {
    return this.#lower.length
  }

  /** Every line, as it stood or as it was set, without CRLF. */
  lines(): readonly string[] {
    return this.#lines
  }

  /** The lower-case name of each line: what the framing code compares. */
  lowerNames(): readonly string[] {
    return this.#lower
  }

  [Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    return this.entries().values()
  }

  /** Name and value of every line: a copy. */
  entries(): [name: string, value: string][] {
    return this.#lines.map((_, index) => [this.#nameAt(index), this.#valueAt(index)])
  }

  clone(): Headers {
    const copy = new Headers()
    copy.#lower = this.#lower
    copy.#lines = this.#lines
    copy.#shared = true
    this.#shared = true
    return copy
  }

  #own(): void {
    this.#lower = this.#lower.slice()
    this.#lines = this.#lines.slice()
    this.#shared = false
  }

  #nameAt(index: number): string {
    return (this.#lines[index] ?? "").slice(0, this.#lower[index]?.length)
  }

  #valueAt(index: number): string {
    const line = this.#lines[index] ?? ""
    let first = (this.#lower[index]?.length ?? 0) + 1
    let last = line.length
    while (first < last && isBlank(line.charCodeAt(first))) first++
    while (last > first && isBlank(line.charCodeAt(last - 1))) last--
    return line.slice(first, last)
  }

  #remove(lower: string, from: number): void {
    for (let index = this.#lower.length - 1; index >= from; index--) {
      if (this.#lower[index] !== lower) continue
      if (this.#shared) this.#own()
      this.#lower.splice(index, 1)
      this.#lines.splice(index, 1)
    }
  }
}

/** One for all heads: most are never written to. */
const NONE_WRITTEN: readonly (readonly [string, string])[] = []

/** Lower-case forms of names that were seen: a few hundred names make up all traffic. */
const lowerNames = new Map<string, string>()
const LOWER_NAMES_MAX = 1_000
const KEPT_NAME = /^[\x21-\x7e]{1,64}$/

function lowerCase(name: string): string {
  const known = lowerNames.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  if (lowerNames.size < LOWER_NAMES_MAX && KEPT_NAME.test(name)) lowerNames.set(flat(name), flat(lower))
  return lower
}

/** A copy that does not keep the head alive from which it was cut. */
function flat(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1")
}

/** Optional white space: RFC 9110 section 5.6.3. */
function isBlank(code: number): boolean {
  return code === 32 || code === 9
}

function fieldLine(name: string, value: string): string {
  if (!TOKEN.test(name))
    throw new TypeError(`header name ${JSON.stringify(name)} is not a token (RFC 9110 section 5.6.2)`)
  if (BAD_VALUE.test(value))
    throw new TypeError(`header ${name}: its value holds a control character or a character that is no byte`)
  return `${name}: ${value}`
}
