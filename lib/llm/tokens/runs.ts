/**
 * Finds and cuts long runs: stretches that a pretokenizer leaves in one piece, such as a megabyte of one letter. What
 * merges a model's own vocabulary is not ours and may take a time that grows with the square of a piece's length, so
 * without a cut one message could hold the counting thread for minutes. A text without long runs stays whole and its
 * count exact. Also thins texts that are too long to count.
 */

// A text that is too long to count is represented by this many windows, at equal distances over its whole length.
const SAMPLE_WINDOWS = 64

const MARK = /\p{M}/u
const LETTER = /\p{L}/u
const DIGIT = /\p{N}/u
const SPACE = /\s/u

// A character may belong to two kinds of run: combining marks stand in words and among symbols, and a surrogate
// alone does not tell what its pair is.
const IN_WORD = 1
const IN_SYMBOLS = 2
const IN_SPACE = 4

const ASCII = Uint8Array.from({ length: 128 }, (_, code) => classify(code))

/** The text in pieces of which none holds a run over `charsMax`; one piece when there is no such run. */
export function splitRuns(text: string, charsMax: number): string[] {
  if (!hasLongRun(text, charsMax)) return [text]
  const pieces: string[] = []
  let start = 0
  let runLength = 0
  let common = 0
  for (let at = 0; at < text.length; at++) {
    const kinds = kindsAt(text, at)
    common = runLength === 0 ? kinds : common & kinds
    runLength = common === 0 ? 1 : runLength + 1
    if (common === 0) common = kinds
    if (runLength > charsMax && !isLowSurrogate(text.charCodeAt(at))) {
      pieces.push(text.slice(start, at))
      start = at
      runLength = 1
      common = kinds
    }
  }
  pieces.push(text.slice(start))
  return pieces
}

/** A run over the limit covers one of the positions limit, 2 x limit, ...: only these are looked at. */
function hasLongRun(text: string, charsMax: number): boolean {
  for (let at = charsMax; at < text.length; at += charsMax) {
    for (const kind of [IN_WORD, IN_SYMBOLS, IN_SPACE]) {
      if (runAround(text, at, kind, charsMax) > charsMax) return true
    }
  }
  return false
}

/** How many characters of one kind stand around `at`, counted no further than the limit in each direction. */
function runAround(text: string, at: number, kind: number, charsMax: number): number {
  let from = at
  while (from >= 0 && at - from <= charsMax && (kindsAt(text, from) & kind) !== 0) from--
  let to = at + 1
  while (to < text.length && to - at <= charsMax && (kindsAt(text, to) & kind) !== 0) to++
  return from === at ? 0 : to - from - 1
}

function kindsAt(text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code < 128 ? (ASCII[code] ?? 0) : classify(code)
}

/** Digits are in no run: every pretokenizer cuts them after three at the most. */
function classify(code: number): number {
  if (code >= 0xd800 && code <= 0xdfff) return IN_WORD | IN_SYMBOLS
  const char = String.fromCharCode(code)
  if (LETTER.test(char)) return IN_WORD
  if (SPACE.test(char)) return IN_SPACE
  if (DIGIT.test(char)) return 0
  return MARK.test(char) ? IN_WORD | IN_SYMBOLS : IN_SYMBOLS
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}

/** At most `charsMax` (64 or more) characters that stand for the text: itself, or windows at equal distances joined. */
export function sampleText(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text
  const width = Math.floor(charsMax / SAMPLE_WINDOWS)
  const step = (text.length - width) / (SAMPLE_WINDOWS - 1)
  let sample = ""
  for (let window = 0; window < SAMPLE_WINDOWS; window++) {
    const from = Math.floor(window * step)
    sample += text.slice(from, from + width)
  }
  return sample
}
