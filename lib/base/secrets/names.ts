/**
 * Which names stand before secrets: head fields, query parameters, members of JSON, names in texts. One list for routes,
 * log, terminal, store and errors. A name is read as words (`X-Api-Key`, `apiKey` and `API_KEY` are one), and its last
 * word decides, with the one before it where the last alone would say too little. Pure.
 */

/**
 * Where a name stands. In a head or a query every `key` and every `auth` opens something; in JSON and in texts they are
 * words of all trades ("key": "C major"), so that another word has to say what they are.
 */
export type NamePlace = "field" | "json" | "text"

/** Last words that say it alone, wherever they stand. */
const SECRET_WORDS = words(
  "authorization cookie apikey apitoken accesskey secretkey privatekey accountkey authtoken accesstoken refreshtoken " +
    "sessiontoken secret secrets password passwd passphrase credential credentials token jwt",
)
/** Last words that say it in heads and queries only. */
const FIELD_WORDS = words("auth key sig signature dpop pwd pass bearer")
/** Last words that say it in a text, where their value must look random besides. */
const TEXT_WORDS = words("signature sig pwd")
/** Words before `key` that make it a secret in JSON and in texts. */
const KEY_LEADS = words(
  "api access secret private account subscription encryption license licence auth client service functions function " +
    "admin master signing shared sharedaccess app application deploy webhook openai anthropic azure gemini google mistral " +
    "groq cohere deepseek openrouter huggingface hf together perplexity replicate xai aws stripe cloud local",
)
/** Words before `key` and `token` that make them names of places, of kinds, or of what everybody may know. */
const HARMLESS_LEADS = words(
  "public cache primary foreign sort partition idempotency websocket surrogate object routing unique index shortcut event " +
    "group map row column eos bos pad unk sep cls mask stop start end next page continuation special prev previous first " +
    "last image audio video prompt per max min sync pagination of",
)
/** Words at the end of a name that only number or date a secret: OPENAI_API_KEY_2, PASSWORD_OLD. */
const SUFFIX = /^(?:v?\d+|prod|production|dev|staging|test|live|old|new|base64|b64|hex)$/
/** The name of an environment variable. */
const CONSTANT = /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$/
/** Longer names are none that people give. */
const NAME_CHARS_MAX = 200

/** What was found out of fields' names: a few hundred make up all traffic. */
const FIELDS = new Map<string, boolean>()
const FIELDS_MAX = 1_000

/** Whether the value of what is so named is a secret. */
export function isSecretName(name: string, place: NamePlace): boolean {
  if (name.length > NAME_CHARS_MAX) return false
  if (place !== "field") return judged(name, place)
  const known = FIELDS.get(name)
  if (known !== undefined) return known
  const isSecret = judged(name, place)
  // A copy, which does not keep the head alive from which the name was cut.
  if (FIELDS.size < FIELDS_MAX) FIELDS.set(Buffer.from(name).toString(), isSecret)
  return isSecret
}

function judged(name: string, place: NamePlace): boolean {
  const [last = "", lead = "", ...before] = wordsOf(name).reverse()
  if (HARMLESS_LEADS.has(lead) && (last === "token" || last === "key")) return false
  if (SECRET_WORDS.has(last) || SECRET_ENDING.test(last)) return true
  if (last === "id" && lead === "key") return place === "field" || before[0] === "access"
  if (place === "field") return FIELD_WORDS.has(last)
  if (last === "key") return KEY_LEADS.has(lead) || CONSTANT.test(name)
  return place === "text" && TEXT_WORDS.has(last)
}

/** Words that were written as one: xapikey, clientsecret, dbpassword. */
const SECRET_ENDING = /^[a-z0-9]{1,32}(?:apikey|secret|password|passwd|authorization|accesskey|secretkey)$/

/** The words of a name in lower case: camelCase, snake_case, kebab-case and dots alike, without what only numbers it. */
function wordsOf(name: string): string[] {
  const all = name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "")
  while (all.length > 1 && SUFFIX.test(all.at(-1) ?? "")) all.pop()
  const last = all.pop()
  return last === undefined ? [] : [...all, last.replace(/\d+$/, "")]
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(" "))
}
