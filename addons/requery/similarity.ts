/**
 * Whether a question was asked before, in about the same words and with the same numbers: the share of runs of five
 * characters that two texts have in common, once case, punctuation and white space are gone. In any script.
 */

const SHINGLE_CHARS = 5
/** Jaccard similarity from which on two questions are the same one. */
const SAME = 0.85
const WORDS_MIN = 5
/** GPT Pilot takes what is longer for the specification, not for a question. */
const CHARS_MAX = 500

/**
 * Finds words where none are spaced: Chinese and Japanese write them without. Made when the first question is, because
 * what ICU loads for it takes a start longer than all else of this addon.
 */
let segmenter: Intl.Segmenter | undefined
/** Latin, Chinese and Japanese, Arabic, Greek, Armenian and Ethiopic question marks, and what may close behind them. */
const QUESTION_END = /[?？؟\u037e՞፧][*_"'’”»」』）)\s]*$/

/** Whether a text, as a whole, is one short question. */
export function isQuestion(text: string): boolean {
  const trimmed = text.trim()
  if (trimmed.length >= CHARS_MAX || !QUESTION_END.test(trimmed)) return false
  let words = 0
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "word" })
  for (const { isWordLike } of segmenter.segment(trimmed)) words += isWordLike === true ? 1 : 0
  return words >= WORDS_MIN
}

export function areAlike(a: string, b: string): boolean {
  const [plain, otherPlain] = [plainOf(a), plainOf(b)]
  if (numbersIn(plain) !== numbersIn(otherPlain)) return false
  const one = shingles(plain)
  const other = shingles(otherPlain)
  let common = 0
  for (const shingle of one) if (other.has(shingle)) common += 1
  const all = one.size + other.size - common
  return all > 0 && common / all >= SAME
}

function plainOf(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, " ")
    .trim()
}

function numbersIn(plain: string): string {
  return (plain.match(/\p{N}+/gu) ?? []).join(" ")
}

function shingles(plain: string): Set<string> {
  const found = new Set<string>()
  for (let i = 0; i + SHINGLE_CHARS <= plain.length; i++) found.add(plain.slice(i, i + SHINGLE_CHARS))
  if (found.size === 0 && plain !== "") found.add(plain)
  return found
}
