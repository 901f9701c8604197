/**
 * How many rounds are a loop: few of a sentence, more of a word, many of a line, because logs, lists and refrains repeat
 * theirs, and very many within code, tables and JSON. The table of ROUNDS is the one in ARCHITECTURE.md.
 */
import type { Place } from "./loop-place.ts"

/** What is repeated, as far as it matters. */
export interface Round {
  readonly tokens: number
  /** Words, and characters of scripts that put no spaces between them. */
  readonly words: number
  readonly signs: number
  readonly numbers: number
  readonly punctuation: number
  readonly lines: number
  /** A word is followed by a mark that ends a sentence. */
  readonly hasSentence: boolean
  /** A line of it begins as a list, a table, a quotation, markup or a comment does. */
  readonly isMarked: boolean
  /** The unfinished line begins so. */
  readonly isInMarkedLine: boolean
}

/** So many rounds, which cover so many tokens, are a loop. */
interface Limit {
  readonly rounds: number
  readonly tokens: number
}

const ROUNDS = {
  /** Several sentences, or a long one, without a line that could be an entry. */
  passage: { rounds: 6, tokens: 300 },
  sentence: { rounds: 8, tokens: 96 },
  /** Some sentences on lines of their own, as in a song. */
  verse: { rounds: 12, tokens: 200 },
  /** A line of words: an entry of a log, or of a song. */
  line: { rounds: 48, tokens: 400 },
  /** Two or three words, and one. */
  words: { rounds: 24, tokens: 96 },
  word: { rounds: 64, tokens: 64 },
  /** White space alone; numbers and signs alone. */
  blank: { rounds: 400, tokens: 400 },
  plain: { rounds: 32, tokens: 1_024 },
  /** Lists, tables, code, markup, whatever stands in a fence. */
  structure: { rounds: 100, tokens: 1_500 },
  /** The same, of a round that is long. */
  block: { rounds: 24, tokens: 3_000 },
  /** A JSON value that has not ended. */
  json: { rounds: 400, tokens: 20_000 },
  /** A sentence with a number that counts up. */
  counted: { rounds: 16, tokens: 160 },
  /** What an answer ends in that has not ended: an open fence or JSON value, or a host that stopped at its limit. */
  openEnd: { rounds: 12, tokens: 120 },
  openPlain: { rounds: 100, tokens: 200 },
  openCounted: { rounds: 24, tokens: 240 },
} as const satisfies Record<string, Limit>

/** Tokens of a round from which on it is a passage or a block. */
const LONG_TOKENS = 60
/** Tokens of a line that may be an entry; what is longer, or has several lines, is said and not listed. */
const ENTRY_TOKENS = 25
/** Words of a sentence; of one that ends as such; characters of one without spaces. */
const SENTENCE_WORDS = 4
const SHORT_WORDS = 3
const SENTENCE_SIGNS = 6
/** Of a text that people read, so many of the tokens are words. */
const SPOKEN_SHARE = 0.6

export function isLoop(round: Round, covered: number, place: Place): boolean {
  return exceeds(limitOf(round, place), round, covered)
}

/** Whether the end of an answer that is not a good end is a loop. */
export function isLoopAtOpenEnd(round: Round, covered: number): boolean {
  const isPlain = round.words + round.signs === 0 || round.tokens <= 3
  return exceeds(isPlain ? ROUNDS.openPlain : ROUNDS.openEnd, round, covered)
}

/** The same of rounds that differ in a number, which counts up. */
export function isCounted(round: Round, covered: number, place: Place): boolean {
  return place === "text" && isSaid(round) && !isEntryOfList(round) && exceeds(ROUNDS.counted, round, covered)
}

export function isCountedAtOpenEnd(round: Round, covered: number): boolean {
  return round.words + round.signs > 0 && exceeds(ROUNDS.openCounted, round, covered)
}

function exceeds({ rounds, tokens }: Limit, round: Round, covered: number): boolean {
  return covered >= tokens && covered / round.tokens >= rounds
}

function limitOf(round: Round, place: Place): Limit {
  const { tokens, words, signs, numbers, punctuation, lines, hasSentence } = round
  if (words + signs + numbers + punctuation === 0) return ROUNDS.blank
  if (place === "json") return ROUNDS.json
  const isLong = tokens >= LONG_TOKENS
  if (place === "fence") return isLong ? ROUNDS.block : ROUNDS.structure
  if (words + signs === 0 && (lines === 0 || numbers === 0)) return ROUNDS.plain
  if (isEntryOfList(round)) return isLong ? ROUNDS.block : ROUNDS.structure
  if (isSaid(round)) {
    if (isLong) return ROUNDS.passage
    const isEntry = lines === 1 && tokens < ENTRY_TOKENS
    if (isEntry || (lines > 0 && !hasSentence)) return ROUNDS.line
    return lines > 0 ? ROUNDS.verse : ROUNDS.sentence
  }
  if (lines > 0 || numbers > 0 || punctuation > words + signs) return isLong ? ROUNDS.block : ROUNDS.structure
  return words + signs > 1 ? ROUNDS.words : ROUNDS.word
}

/** A sentence that comes again and again within one entry is none. */
function isEntryOfList(round: Round): boolean {
  return round.isMarked || (round.isInMarkedLine && !isSaid(round))
}

/** Whether it is something that one says: words, most of all. */
function isSaid({ words, signs, numbers, punctuation, hasSentence }: Round): boolean {
  if (words < (hasSentence ? SHORT_WORDS : SENTENCE_WORDS) && signs < SENTENCE_SIGNS) return false
  return (words + signs) / (words + signs + numbers + punctuation) >= SPOKEN_SHARE
}
