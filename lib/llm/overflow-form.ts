/**
 * "The prompt does not fit" by its form, for servers whose words are on no list: a sentence that names a length of context
 * or prompt, two counts of tokens, and that one is more than the other. What is measured in something else, or limits
 * something else (the answer, a rate, a batch, a list), is not meant. Pure.
 */
import type { ContextOverflow } from "./model.ts"

/** Windows are larger: a smaller number is a count of something else. */
const LIMIT_MIN = 128

/** What is limited, in lower case. */
const CONTEXT_WORDS =
  /\b(?:n_ctx|n_keep|context (?:length|size|window|limit)|max_model_len|max_seq_len|max_position_embeddings|sequence length)\b/
/** Of these only where tokens are spoken of. */
const PROMPT_WORDS = /\b(?:prompts?|inputs?|messages|conversation|context|window)\b/
const TOKEN_WORDS = /\btokens?\b/

/** That one number is more than the other, or that there is a most. */
const COMPARISON =
  />=?|<=?|exceed|greater|larger|longer|more than|above|beyond|too (?:long|large|many)|only|at most|maximum|up to|less than|fewer|not fit|not enough|\bmax\b|limit/

/** Limits of something else. */
const OTHER_LIMITS =
  /max_(?:completion_|output_|new_)?tokens|n_predict|max_length|completion tokens|output tokens|new tokens|output limit|per (?:minute|min|day|hour|second)|\b[tr]pm\b|rate limit|quota|credits?\b|batch|array|string|thinking budget|budget_tokens/

/** That it fits, unless it is said as a demand ("must be less than"). */
const WITHIN = /less than|fewer than|smaller than|shorter than|below|within|\bfits?\b/
const DEMAND = /\b(?:must|should|has to|have to|needs?|not|cannot|expected|but)\b/

/** A whole number that no letter, digit or decimal touches; groups of thousands are read. */
const NUMBER = /(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\d,]|\.\d)|(?<![\w.,])\d{1,9}(?![\w]|\.\d|,\d)/g
/** What a number counts when it counts no tokens. */
const OTHER_UNITS =
  /^\)?\s*(?:bytes?|[kmg]i?b|characters?|chars?|pixels?|px|ms|milliseconds?|s|seconds?|minutes?|images?|items?|messages|documents?|tools?|files?|pages?|times|%)\b/
/** Behind these words stands what is the most. */
const BEFORE_LIMIT =
  /(?:limit|maximum|max|only|at most|up to|less than|<=?|>=?|n_ctx|max_model_len|max_seq_len|window|context length|context size|model length|length|size)(?: \(?(?:of|is|to|tokens?|allowed|supported|size|length|the|only)\)?)*[ :=(]*$/
const OPERATOR_PAIR = /(\d+)\)?(?: tokens)? ?>=? ?(?:[a-z_ ]{0,40}\(?)?(\d+)/

/** How far before a number a word still speaks of it, in characters. */
const NEAR_CHARS = 60

/** `message` is in lower case, and short. Undefined: it is of another form. */
export function overflowByForm(message: string): Required<ContextOverflow> | undefined {
  for (const sentence of sentencesOf(message)) {
    const found = inSentence(sentence)
    if (found !== undefined) return found
  }
  return undefined
}

/** Two sentences belong together where the first has the limit and the second has what was asked for. */
function sentencesOf(message: string): string[] {
  const sentences = message.split(/[.;!?]\s|\n/)
  return [...sentences, ...sentences.slice(1).map((sentence, index) => `${sentences[index]} ${sentence}`)]
}

function inSentence(text: string): { requested: number; limit: number } | undefined {
  const speaksOfLength = CONTEXT_WORDS.test(text) || (PROMPT_WORDS.test(text) && TOKEN_WORDS.test(text))
  if (!speaksOfLength || !COMPARISON.test(text) || OTHER_LIMITS.test(text)) return undefined
  if (WITHIN.test(text) && !DEMAND.test(text)) return undefined
  const [, more, less] = OPERATOR_PAIR.exec(text) ?? []
  if (more !== undefined && less !== undefined) return pairOf(Number(more), Number(less))
  const numbers = numbersIn(text)
  const values = numbers.map(({ value }) => value)
  // Of two numbers the larger one was asked for; of more, words must tell which is the limit.
  const limit = numbers.length === 2 ? Math.min(...values) : numbers.find(({ isLimit }) => isLimit)?.value
  const requested = Math.max(...values)
  return limit === undefined || requested === limit ? undefined : pairOf(requested, limit)
}

function pairOf(requested: number, limit: number): { requested: number; limit: number } | undefined {
  return requested >= limit && limit >= LIMIT_MIN ? { requested, limit } : undefined
}

function numbersIn(text: string): { value: number; isLimit: boolean }[] {
  return [...text.matchAll(NUMBER)]
    .filter(
      ({ 0: digits, index }) =>
        !OTHER_UNITS.test(text.slice(index + digits.length, index + digits.length + NEAR_CHARS)),
    )
    .map(({ 0: digits, index }) => ({
      value: Number(digits.replaceAll(",", "")),
      isLimit: BEFORE_LIMIT.test(text.slice(Math.max(0, index - NEAR_CHARS), index)),
    }))
}
