/**
 * Whether a question was asked before, in about the same words: the share of runs of five characters that two texts have
 * in common, once case, punctuation and white space are gone.
 */

const SHINGLE_CHARS = 5
/** Jaccard similarity from which on two questions are the same one. */
const SAME = 0.85
const WORDS_MIN = 5
/** GPT Pilot takes what is longer for the specification, not for a question. */
const CHARS_MAX = 500

/** Whether a text, as a whole, is one short question. */
export function isQuestion(text: string): boolean {
  const trimmed = text.trim()
  if (trimmed.length >= CHARS_MAX || !/[?？][*_"'”)\s]*$/.test(trimmed)) return false
  return trimmed.split(/\s+/).length >= WORDS_MIN
}

export function areAlike(a: string, b: string): boolean {
  const one = shingles(a)
  const other = shingles(b)
  let common = 0
  for (const shingle of one) if (other.has(shingle)) common += 1
  const all = one.size + other.size - common
  return all > 0 && common / all >= SAME
}

function shingles(text: string): Set<string> {
  const plain = text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim()
  const found = new Set<string>()
  for (let i = 0; i + SHINGLE_CHARS <= plain.length; i++) found.add(plain.slice(i, i + SHINGLE_CHARS))
  if (found.size === 0 && plain !== "") found.add(plain)
  return found
}
