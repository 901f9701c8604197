/**
 * Tells when a text has begun to go round in circles: its end is the same row of tokens again and again, or one in which
 * a number counts up, or sentences that were all said before (loop-sentences.ts). How many rounds that takes depends on what is repeated, and where (loop-rounds.ts). A text may
 * come in pieces; each token costs a few steps.
 */
import { Period, REMEMBERED } from "./loop-period.ts"
import { LoopPlace } from "./loop-place.ts"
import { isCounted, isCountedAtOpenEnd, isLoop, isLoopAtOpenEnd, type Round } from "./loop-rounds.ts"
import { LoopSentences } from "./loop-sentences.ts"
import { BLANK, isSpoken, type Kind, LINE, LoopTokens, NUMBER, PUNCTUATION, SIGN, WORD } from "./loop-tokens.ts"

/** Characters of a whole answer that are looked at, from its end: what came before has been left behind. */
const WHOLE_CHARS_MAX = 65_536
/** Tokens between two looks: what is repeated is looked at as a whole. */
const STEP_TOKENS = 16
/** Characters that are read before it is asked whether to go on. */
const STEP_CHARS = 2_048
/** Rounds below this are none of anything. */
const ROUNDS_MIN = 5
/** Rounds in which a number has to count up, each time by as much. */
const COUNTED_ROUNDS = 8
/** What begins a line of a list, a table, a quotation, markup, a heading or a comment. */
const MARKS = new Set([..."-*+|<>#\u2022\u2013/;@$%=[{"].map((sign) => sign.codePointAt(0) ?? 0))
const SENTENCE_ENDS = new Set(
  [...".!?\u2026\u3002\uff01\uff1f\u061f\u06d4\u0964"].map((sign) => sign.codePointAt(0) ?? 0),
)

export class LoopDetector {
  readonly #tokens: LoopTokens
  readonly #place: LoopPlace
  readonly #same = new Period()
  /** Numbers are all the same to it. */
  readonly #counted = new Period()
  readonly #sentences = new LoopSentences()
  readonly #kinds = new Uint8Array(REMEMBERED)
  readonly #values = new Float64Array(REMEMBERED)
  #count = 0
  #found = false

  constructor(place = new LoopPlace()) {
    this.#place = place
    this.#tokens = new LoopTokens((kind, id, value) => this.#token(kind, id, value))
  }

  /** Whether the text, with this piece, has turned out to loop. */
  feed(text: string): boolean {
    // What has been found to loop is not read on.
    for (let at = 0; at < text.length && !this.#found; at += STEP_CHARS)
      this.#tokens.feed(text.slice(at, at + STEP_CHARS))
    return this.#found
  }

  /** Whether the text, which ends here, loops. `wasCut`: something stopped it, it did not end by itself. */
  finish(wasCut: boolean): boolean {
    // A cut may go through a word, which then differs from its like: it is looked at without it, and with it.
    const loopsHere = () => this.#loops() || ((wasCut || this.#place.now !== "text") && this.#loopsAtOpenEnd())
    if (this.#found || loopsHere()) return true
    this.#tokens.finish()
    return loopsHere()
  }

  #token(kind: Kind, id: number, value: number): void {
    const at = this.#count % REMEMBERED
    this.#kinds[at] = kind
    this.#values[at] = value
    this.#count += 1
    this.#place.see(kind, value)
    this.#same.push(id)
    this.#counted.push(kind === NUMBER ? NUMBER : id)
    if (this.#place.now !== "text") this.#sentences.reset()
    else this.#found ||= this.#sentences.see(kind, id, kind === PUNCTUATION && SENTENCE_ENDS.has(value))
    if (this.#count % STEP_TOKENS === 0) this.#found ||= this.#loops()
  }

  #loops(): boolean {
    const { now } = this.#place
    if (this.#same.rounds >= ROUNDS_MIN && isLoop(this.#round(this.#same), this.#same.covered, now)) return true
    if (this.#counted.rounds < COUNTED_ROUNDS) return false
    const round = this.#round(this.#counted)
    const isText = round.hasSentence || this.#hasNumeral(this.#counted.tokens)
    return isText && isCounted(round, this.#counted.covered, now) && this.#countsUp(this.#counted.tokens)
  }

  #loopsAtOpenEnd(): boolean {
    const { rounds, covered } = this.#same
    if (rounds >= ROUNDS_MIN && isLoopAtOpenEnd(this.#round(this.#same), covered)) return true
    if (this.#counted.rounds < COUNTED_ROUNDS) return false
    const isMany = isCountedAtOpenEnd(this.#round(this.#counted), this.#counted.covered)
    return isMany && this.#countsUp(this.#counted.tokens)
  }

  #kindAt(back: number): number | undefined {
    return back < Math.min(this.#count, REMEMBERED) ? this.#kinds[(this.#count - 1 - back) % REMEMBERED] : undefined
  }

  #valueAt(back: number): number {
    return this.#values[(this.#count - 1 - back) % REMEMBERED] ?? 0
  }

  /** The last round, read from its end. */
  #round({ tokens }: Period): Round {
    const counts = new Uint32Array(BLANK + 1)
    let hasSentence = false
    // Behind the line break before the round, where it begins with a line.
    let isMarked = this.#kindAt(tokens) === LINE && this.#isMarkedAt(tokens - 1)
    for (let back = 0; back < tokens; back++) {
      const kind = this.#kindAt(back) ?? 0
      counts[kind] = (counts[kind] ?? 0) + 1
      if (kind === LINE) isMarked ||= this.#isMarkedAt(back - 1)
      if (kind === PUNCTUATION && SENTENCE_ENDS.has(this.#valueAt(back)))
        hasSentence ||= isSpoken(this.#kindAt(back + 1))
    }
    const of = (kind: Kind) => counts[kind] ?? 0
    return {
      tokens,
      words: of(WORD),
      signs: of(SIGN),
      numbers: of(NUMBER),
      punctuation: of(PUNCTUATION),
      lines: of(LINE),
      hasSentence,
      isMarked,
      isInMarkedLine: this.#isMarkedAt(this.#lineBegin()),
    }
  }

  /** How far back the first token of the unfinished line is; -1 where it is not known any more. */
  #lineBegin(): number {
    let back = 0
    while (back < REMEMBERED && this.#kindAt(back) !== undefined && this.#kindAt(back) !== LINE) back += 1
    return back === REMEMBERED ? -1 : back - 1
  }

  #isMarkedAt(begin: number): boolean {
    let back = begin
    while (back >= 0 && this.#kindAt(back) === BLANK) back -= 1
    return back >= 0 && this.#kindAt(back) === PUNCTUATION && MARKS.has(this.#valueAt(back))
  }

  /** "17." or "17)" or "17:". */
  #hasNumeral(tokens: number): boolean {
    for (let back = 1; back < tokens; back++)
      if (this.#kindAt(back) === NUMBER && this.#kindAt(back - 1) === PUNCTUATION) return true
    return false
  }

  /** Whether a number of the round is more by as much in each of the last rounds. */
  #countsUp(tokens: number): boolean {
    for (let back = 0; back < tokens; back++)
      if (this.#kindAt(back) === NUMBER && this.#risesAt(back, tokens)) return true
    return false
  }

  #risesAt(back: number, tokens: number): boolean {
    if (back + COUNTED_ROUNDS * tokens >= Math.min(this.#count, REMEMBERED)) return false
    const step = this.#valueAt(back) - this.#valueAt(back + tokens)
    if (!(step > 0)) return false
    for (let round = 1; round < COUNTED_ROUNDS - 1; round++) {
      const at = back + round * tokens
      if (this.#valueAt(at) - this.#valueAt(at + tokens) !== step) return false
    }
    return true
  }
}

/** Whether a whole text loops; see `LoopDetector.finish`. */
export function loops(text: string, wasCut: boolean): boolean {
  const begin = Math.max(0, text.length - WHOLE_CHARS_MAX)
  const detector = new LoopDetector(begin === 0 ? new LoopPlace() : placeAt(text, begin))
  return detector.feed(text.slice(begin)) || detector.finish(wasCut)
}

/** Where a long text is at a place in it, without reading all of it token by token. */
function placeAt(text: string, at: number): LoopPlace {
  if (/^\s*[{[]/.test(text)) return LoopPlace.within("json")
  const fences = text.slice(0, at).match(/^[ \t]{0,3}(?:```|~~~)/gm)?.length ?? 0
  return LoopPlace.within(fences % 2 === 1 ? "fence" : "text")
}
