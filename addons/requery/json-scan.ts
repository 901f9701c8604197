/**
 * Finds JSON objects in what a model writes, fences and prose around them included, character by character, so that an
 * answer can be judged while it streams. It knows strings and brackets and nothing else; a whole answer is read by
 * json-find.ts.
 */

/** Characters of a key that are read: longer ones are no keys that anybody asks for. */
const KEY_CHARS_MAX = 100

export interface ScannedObject {
  /** Where it begins in the text, and where the character behind it is; undefined while it is open. */
  readonly start: number
  end: number | undefined
  /** Its own keys, in order. */
  readonly keys: string[]
  /** Those of them whose value is an empty list. */
  readonly empty: string[]
}

export class JsonScanner {
  /** Objects that stand in no other one, in order. */
  readonly objects: ScannedObject[] = []
  #at = 0
  #open: string[] = []
  #inString = false
  #escaped = false
  #string = ""
  /** The last string at the first level, until it is known to be a key. */
  #candidate: string | undefined
  #key: string | undefined
  /** The list that opened last at the first level has had nothing in it. */
  #listIsEmpty = false

  /** Reads on. Any split of a text gives the same result. */
  feed(text: string): void {
    for (const sign of text) {
      if (this.#open.length === 0) this.#outside(sign)
      else if (this.#inString) this.#inside(sign)
      else this.#between(sign)
      this.#at += sign.length
    }
  }

  #outside(sign: string): void {
    if (sign !== "{") return
    this.#open.push("}")
    this.#candidate = undefined
    this.#key = undefined
    this.objects.push({ start: this.#at, end: undefined, keys: [], empty: [] })
  }

  #inside(sign: string): void {
    if (this.#escaped) this.#escaped = false
    else if (sign === "\\") this.#escaped = true
    else if (sign === '"') {
      this.#inString = false
      if (this.#open.length === 1) this.#candidate = this.#string
      return
    }
    if (this.#open.length === 1 && this.#string.length < KEY_CHARS_MAX) this.#string += sign
  }

  #between(sign: string): void {
    if (/\s/.test(sign)) return
    if (this.#open.length === 2 && sign !== "]") this.#listIsEmpty = false
    if (sign === '"') {
      this.#inString = true
      this.#string = ""
    } else if (sign === "{" || sign === "[") this.#enter(sign)
    else if (sign === "}" || sign === "]") this.#leave(sign)
    else if (sign === ":" && this.#open.length === 1 && this.#candidate !== undefined) {
      this.#key = this.#candidate
      this.#candidate = undefined
      this.objects.at(-1)?.keys.push(this.#key)
    }
  }

  #enter(sign: string): void {
    if (this.#open.length === 1) this.#listIsEmpty = sign === "["
    this.#open.push(sign === "{" ? "}" : "]")
  }

  #leave(sign: string): void {
    // A bracket that closes nothing is the repair's business.
    if (this.#open.at(-1) !== sign) return
    this.#open.pop()
    const object = this.objects.at(-1)
    if (object === undefined) return
    if (this.#open.length === 0) object.end = this.#at + 1
    const isEmptyList = sign === "]" && this.#open.length === 1 && this.#listIsEmpty
    if (isEmptyList && this.#key !== undefined) object.empty.push(this.#key)
  }
}
