/**
 * What can be told of a key for OpenAI's API by looking at it: whether it is one of OpenAI's, or a word that people
 * write where a program insists on a key. A placeholder opens nothing, so no prompt is sent with it.
 */

/** OpenAI's keys begin with sk-, as do Anthropic's and OpenRouter's. */
const OPENAI_KEY = /^sk-(?!ant-|or-)/
/** Characters of a key that may stand for none: what is longer opens something. */
const PLACEHOLDER_CHARS_MAX = 200
const PLACEHOLDER =
  /^(sk-)?(|none|null|undefined|dummy|placeholder|changeme|ollama|lm-?studio|x+)$|not?[-_ ]?(key|need)/i
/** A key shorter than this is not shown in part: too little of it would be left. */
const SHOWN_CHARS_MIN = 20

/** Whether the key is one of OpenAI's, by its form. */
export function isOpenAiKey(key: string): boolean {
  return OPENAI_KEY.test(key) && !isPlaceholderKey(key)
}

/** Whether the key only stands where one has to stand. */
export function isPlaceholderKey(key: string): boolean {
  return key.length <= PLACEHOLDER_CHARS_MAX && PLACEHOLDER.test(key.replace(/^[:"'\s]+|["'\s]+$/g, ""))
}

/** As much of a key as tells a person which one it is: `sk-…1234`. */
export function shownKey(key: string): string {
  const [prefix = ""] = /^[A-Za-z]{2,4}[-_]/.exec(key) ?? []
  return key.length < SHOWN_CHARS_MIN ? `${prefix}…` : `${prefix}…${key.slice(-4)}`
}
