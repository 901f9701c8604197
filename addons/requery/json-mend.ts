/**
 * Mends JSON as models break it, without loss or not at all: quotes of another kind, keys without any, Python's words,
 * comments, commas too many or too few, brackets that are missing, line breaks and backslashes within strings. Each
 * character of each string and each number is in what comes out; where a text can be read in two ways it throws, and
 * somebody has to ask again.
 */

/** Words of Python and JavaScript that mean one of JSON's. */
const WORDS: Readonly<Record<string, string>> = {
  true: "true",
  false: "false",
  null: "null",
  True: "true",
  False: "false",
  None: "null",
}
const QUOTES: Readonly<Record<string, string>> = { '"': '"', "'": "'", "“": "”" }
const ESCAPES: Readonly<Record<string, string>> = { '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t" }
/** Brackets within brackets: what is deeper is no answer, and costs a frame each. */
export const DEPTH_MAX = 1_000
/** RFC 8259 section 6. */
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?=[\s,\]}/]|$)/y
const WORD = /[A-Za-z_$][\w$]*/y
const HEX = /[0-9A-Fa-f]{4}/y
const BLANK = /\s/
/** Characters after which a string's text is set aside: millions of small pieces cost more than their sum. */
const PART_CHARS = 4_096

/** What may come next. */
type Due = "value" | "key" | "colon" | "comma"

interface Frame {
  readonly closer: string
  /** Of an object. A reader would drop one of two that are the same. */
  readonly keys: Set<string>
}

/** The text as JSON. Throws an Error that says why it cannot be had without loss. */
export function mendJson(text: string): string {
  return new Mender(text).mend()
}

/** Whether the quote at `at` ends its string: what may stand behind a string follows, not more text. */
export function closesString(text: string, at: number): boolean {
  let next = at + 1
  for (; BLANK.test(text.charAt(next)); next++) if (text[next] === "\n") return true
  if (next >= text.length || /[,:\]}]/.test(text.charAt(next))) return true
  return text[next] === "/" && /[/*]/.test(text.charAt(next + 1))
}

class Mender {
  readonly #text: string
  readonly #pieces: string[] = []
  readonly #frames: Frame[] = []
  #at = 0
  #due: Due = "value"
  /** Behind the last value, key or bracket in `pieces`: there a comma belongs, and there one is taken away. */
  #end = 0
  /** Whether a comma stands there that no value has followed yet. */
  #hasComma = false
  /** Whether what came last ends by a sign of its own, and not where another sign begins. */
  #isClosed = false
  #isNewLine = false

  constructor(text: string) {
    this.#text = text
  }

  mend(): string {
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) this.#token(this.#text.charAt(this.#at))
    if (this.#pieces.length === 0 || this.#due === "colon" || (this.#due === "value" && !this.#mayClose("]")))
      throw this.#fault("a value is missing")
    while (this.#frames.length > 0) this.#close()
    return this.#pieces.join("")
  }

  #token(sign: string): void {
    if (this.#due !== "value" && this.#frames.length === 0) throw this.#fault("something stands behind it")
    if (this.#due === "colon") this.#colon(sign)
    else if (sign === "}" || sign === "]") this.#closeTo(sign)
    else if (sign === ",") this.#comma()
    else {
      if (this.#due === "comma") this.#missingComma()
      if (this.#due === "key") this.#key(sign)
      else this.#value(sign)
    }
  }

  #colon(sign: string): void {
    if (sign !== ":") throw this.#fault("a colon is missing")
    this.#at += 1
    this.#put(sign)
    this.#due = "value"
  }

  #comma(): void {
    if (this.#due !== "comma") throw this.#fault("a value is missing")
    this.#at += 1
    this.#insertComma()
  }

  #missingComma(): void {
    if (!this.#isClosed && !this.#isNewLine) throw this.#fault("a comma is missing")
    this.#insertComma()
  }

  #insertComma(): void {
    this.#pieces.splice(this.#end, 0, ",")
    this.#hasComma = true
    this.#due = this.#frames.at(-1)?.closer === "}" ? "key" : "value"
  }

  #key(sign: string): void {
    const quote = QUOTES[sign]
    const key = quote === undefined ? JSON.stringify(this.#word()) : this.#string(quote)
    const { keys } = this.#frames.at(-1) ?? { keys: new Set<string>() }
    if (keys.has(key)) throw this.#fault(`the key ${key} stands there twice`)
    keys.add(key)
    this.#put(key)
    this.#due = "colon"
  }

  #value(sign: string): void {
    const quote = QUOTES[sign]
    if (sign === "{" || sign === "[") {
      if (this.#frames.length === DEPTH_MAX) throw this.#fault("it is too deep")
      this.#at += 1
      this.#put(sign)
      this.#frames.push({ closer: sign === "{" ? "}" : "]", keys: new Set() })
      this.#due = sign === "{" ? "key" : "value"
      return
    }
    if (quote !== undefined) this.#put(this.#string(quote), true)
    else if (/[A-Za-z_$]/.test(sign)) this.#put(this.#literal())
    else this.#put(this.#number())
    this.#due = "comma"
  }

  /** Whether the innermost bracket is this one's, and may close now. */
  #mayClose(closer: string): boolean {
    return this.#frames.at(-1)?.closer === closer
  }

  /** Closes brackets up to this one; those between have none of their own. */
  #closeTo(sign: string): void {
    if (this.#due === "value" && !this.#mayClose("]")) throw this.#fault("a value is missing")
    if (!this.#frames.some(({ closer }) => closer === sign)) throw this.#fault("a bracket closes nothing")
    while (!this.#mayClose(sign)) this.#close()
    this.#at += 1
    this.#close()
  }

  #close(): void {
    const frame = this.#frames.pop()
    if (frame === undefined) return
    if (this.#hasComma) this.#pieces.splice(this.#end, 1)
    this.#put(frame.closer, true)
    this.#due = "comma"
  }

  #put(piece: string, isClosed = false): void {
    this.#pieces.push(piece)
    this.#end = this.#pieces.length
    this.#hasComma = false
    this.#isClosed = isClosed
    this.#isNewLine = false
  }

  /** White space stays, comments go. */
  #skipBlank(): void {
    do this.#blank()
    while (this.#comment())
  }

  #blank(): void {
    const from = this.#at
    while (BLANK.test(this.#text.charAt(this.#at))) this.#at += 1
    if (this.#at === from) return
    const blank = this.#text.slice(from, this.#at)
    this.#isNewLine ||= blank.includes("\n")
    // JSON knows four kinds of white space.
    this.#pieces.push(blank.replace(/[^ \t\r\n]/g, " "))
  }

  /** Whether there was one. One that says that something is left out is no mere comment. */
  #comment(): boolean {
    const mark = this.#text.slice(this.#at, this.#at + 2)
    if (mark !== "//" && mark !== "/*") return false
    const end = mark === "//" ? this.#text.indexOf("\n", this.#at) : this.#text.indexOf("*/", this.#at + 2)
    if (end === -1 && mark === "/*") throw this.#fault("a comment does not end")
    const until = end === -1 ? this.#text.length : end + (mark === "//" ? 0 : 2)
    const text = this.#text.slice(this.#at, until)
    if (/\.\.\.|…/.test(text)) throw this.#fault("a comment leaves something out")
    // It may as well be a string whose first quote is missing.
    if (text.split('"').length % 2 === 0) throw this.#fault("a comment holds half a string")
    this.#at = until
    return true
  }

  #word(): string {
    const word = this.#match(WORD)
    if (word === undefined) throw this.#fault("a value is missing")
    return word
  }

  #literal(): string {
    const word = this.#word()
    const literal = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined
    if (literal === undefined) throw this.#fault(`${word.slice(0, 20)} is no value`)
    return literal
  }

  #number(): string {
    const number = this.#match(NUMBER)
    if (number === undefined) throw this.#fault("a number is none")
    return number
  }

  #match(expression: RegExp): string | undefined {
    expression.lastIndex = this.#at
    const found = expression.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  /** The string at the reading place, in JSON's own form. */
  #string(quote: string): string {
    const string = new StringMender(this.#text, this.#at + 1, quote)
    const made = string.read()
    if (made === undefined) throw this.#fault("a string does not end")
    if (string.isAmbiguous) throw this.#fault("a string's backslashes or quotes can be read in two ways")
    this.#at = string.at
    return made
  }

  #fault(why: string): Error {
    return new Error(`${why} (at character ${this.#at})`)
  }
}

/** One string, from the character behind its quote on. */
class StringMender {
  at: number
  readonly #text: string
  readonly #quote: string
  readonly #parts: string[] = []
  #made = '"'
  #hasInvalid = false
  /** It holds an escape that may be one, or the beginning of a name in a path. */
  #hasDoubtful = false
  #hasDoubtfulQuote = false

  constructor(text: string, at: number, quote: string) {
    this.#text = text
    this.at = at
    this.#quote = quote
  }

  get isAmbiguous(): boolean {
    return (this.#hasInvalid && this.#hasDoubtful) || this.#hasDoubtfulQuote
  }

  /** Undefined: it does not end. */
  read(): string | undefined {
    for (; this.at < this.#text.length; this.at++) {
      const sign = this.#text.charAt(this.at)
      if (sign === "\\") this.#escape(this.#text.charAt(this.at + 1))
      else if (sign === this.#quote && closesString(this.#text, this.at)) {
        this.at += 1
        return `${this.#parts.join("")}${this.#made}"`
      } else this.#sign(sign)
      if (this.#made.length > PART_CHARS) this.#setAside()
    }
    return undefined
  }

  #setAside(): void {
    this.#parts.push(this.#made)
    this.#made = ""
  }

  #sign(sign: string): void {
    // Two strings without a comma between them, or one with quotes in it.
    if (sign === this.#quote && /^[ \t]{0,100}["'“]/.test(this.#text.slice(this.at + 1, this.at + 102)))
      this.#hasDoubtfulQuote = true
    this.#made += sign === '"' || sign < " " ? (ESCAPES[sign] ?? JSON.stringify(sign).slice(1, -1)) : sign
  }

  #escape(next: string): void {
    if (next !== "" && '"\\/bfnrt'.includes(next)) {
      this.#hasDoubtful ||= /[bfnrt]/.test(next) && /\p{L}/u.test(this.#text.charAt(this.at + 2))
      this.#made += `\\${next}`
      this.at += 1
    } else if (next === "'" && this.#quote === "'") {
      this.#made += next
      this.at += 1
    } else if (next === "u") this.#unicode()
    else {
      this.#hasInvalid = true
      this.#made += "\\\\"
    }
  }

  #unicode(): void {
    this.#hasDoubtful = true
    HEX.lastIndex = this.at + 2
    if (HEX.test(this.#text)) {
      this.#made += this.#text.slice(this.at, this.at + 6)
      this.at += 5
      return
    }
    this.#hasInvalid = true
    this.#made += "\\\\"
  }
}
