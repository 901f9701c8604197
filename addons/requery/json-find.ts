/**
 * Finds the JSON values that stand in what a model wrote, beside prose, fences and code. It knows strings and brackets,
 * and what may stand behind an opening one, and nothing else: whether a value is JSON is for JSON.parse to say, and what
 * is broken for the repair. Looks at each character once, whatever they are.
 */
import { closesString, DEPTH_MAX } from "./json-mend.ts"

/** A place in the text. */
interface Span {
  readonly start: number
  /** Where the character behind it is; undefined while it is open at the text's end. */
  readonly end: number | undefined
}

/** What an unfinished text ends in. */
type OpenEnd = "string" | "value" | "brackets"

export interface FoundJson {
  /** Values that stand in no other one, the longest first. */
  readonly values: readonly Span[]
  /** What the value that is open at the text's end ends in; undefined: there is none. */
  readonly unfinished: OpenEnd | undefined
}

/** Values that are looked at, the longest ones: nobody writes more of them beside the one that is meant. */
const VALUES_MAX = 100

/** An object begins with its end, a key or a comment; a list with its end or a value. What prose brackets does not. */
const BEGINS_OBJECT = /\{\s{0,500}(?:["'“}/]|[A-Za-z_$][\w$]{0,100}\s{0,20}:)/y
const BEGINS_LIST = /\[\s{0,500}(?:["'“{[\]/\d-]|(?:true|false|null|True|False|None)\b)/y
const BLANK = /\s/
const QUOTES: Readonly<Record<string, string>> = { '"': '"', "'": "'", "“": "”" }

interface Frame {
  readonly start: number
  readonly closer: string
  /** Values directly in it that have closed: all there is, if the frame turns out to be a brace in prose. */
  readonly inner: Span[]
}

export function findJson(text: string): FoundJson {
  const finder = new Finder(text)
  for (let at = 0; at < text.length; ) at = finder.step(at)
  return finder.found()
}

class Finder {
  readonly #text: string
  readonly #outer: Span[] = []
  #frames: Frame[] = []
  /** Frames that wait for each closer: a closer that none waits for is not looked for. */
  #waiting: Record<string, number> = { "}": 0, "]": 0 }
  /** What ends the string that is open. */
  #quote: string | undefined
  /** The last character that was not blank, outside of strings. */
  #last = ""
  #isNewLine = false

  constructor(text: string) {
    this.#text = text
  }

  /** Looks at the character at `at`; returns where to go on. */
  step(at: number): number {
    const sign = this.#text.charAt(at)
    if (this.#quote !== undefined) return this.#inString(sign, at)
    if (this.#frames.length === 0) {
      if (sign === "{" || sign === "[") this.#begin(sign, at)
    } else if (BLANK.test(sign)) this.#isNewLine ||= sign === "\n"
    else this.#between(sign, at)
    return at + 1
  }

  found(): FoundJson {
    const [open] = this.#frames
    const closed = [...this.#outer, ...this.#frames.flatMap(({ inner }) => inner)]
    const values = open === undefined ? closed : [...closed, { start: open.start, end: undefined }]
    const lengthOf = ({ start, end }: Span) => (end ?? this.#text.length) - start
    return {
      values: values.toSorted((a, b) => lengthOf(b) - lengthOf(a)).slice(0, VALUES_MAX),
      unfinished: open === undefined ? undefined : this.#openEnd(),
    }
  }

  #openEnd(): OpenEnd {
    if (this.#quote !== undefined) return "string"
    // A number or a word may be longer than it looks.
    return /["'”}\]]/.test(this.#last) ? "brackets" : "value"
  }

  #inString(sign: string, at: number): number {
    if (sign === "\\") return at + 2
    if (sign !== this.#quote || !closesString(this.#text, at)) return at + 1
    this.#quote = undefined
    this.#last = sign
    return at + 1
  }

  #begin(sign: string, at: number): void {
    const begins = sign === "{" ? BEGINS_OBJECT : BEGINS_LIST
    begins.lastIndex = at
    if (begins.test(this.#text)) this.#push(sign, at)
  }

  #between(sign: string, at: number): void {
    const mayBegin = /[{[,:]/.test(this.#last) || this.#isNewLine
    this.#last = sign
    this.#isNewLine = false
    if (sign === "{" || sign === "[") this.#push(sign, at)
    else if (sign === "}" || sign === "]") this.#close(sign, at)
    else if (mayBegin) this.#quote = QUOTES[sign]
  }

  #push(sign: string, at: number): void {
    if (this.#frames.length === DEPTH_MAX) {
      // A flood of brackets holds no value: it begins anew behind them.
      this.#frames = []
      this.#waiting = { "}": 0, "]": 0 }
    }
    const closer = sign === "{" ? "}" : "]"
    this.#frames.push({ start: at, closer, inner: [] })
    this.#waiting[closer] = (this.#waiting[closer] ?? 0) + 1
    this.#last = sign
  }

  #close(sign: string, at: number): void {
    if (this.#waiting[sign] === 0) return
    for (;;) {
      const frame = this.#frames.pop()
      if (frame === undefined) return
      this.#waiting[frame.closer] = (this.#waiting[frame.closer] ?? 0) - 1
      if (frame.closer !== sign) continue // Its own bracket is missing.
      const siblings = this.#frames.at(-1)?.inner ?? this.#outer
      siblings.push({ start: frame.start, end: at + 1 })
      return
    }
  }
}
