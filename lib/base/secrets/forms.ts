/**
 * Secrets in texts: by their own form, or by what stands before them. A word of prose or of a program is none, because
 * these texts are data sets, too: what is found by its surroundings must look random besides. Pure, and linear: no
 * search looks farther than a named number of characters from where it began, or at the same characters again.
 */
import { percentDecoded } from "../percent.ts"
import { Blanked, type Fill, STARS } from "./fill.ts"
import { isSecretName } from "./names.ts"
import { blankViewed, PERCENT } from "./views.ts"

/** A secret with a beginning of its own. */
interface Form {
  readonly start: RegExp
  /** The whole of it, from its start on. */
  readonly whole: RegExp
  /** How much of it is no secret and stays: "sk-". */
  readonly kept?: RegExp
  isSecret?(rest: string): boolean
  /** Where it is none, none begins within these characters either: they are not looked at again. */
  readonly run?: RegExp
}

/** What a provider puts behind "sk-" to say what the key is for. */
const KEY_KIND = /^(?:proj|svcacct|admin|live|test|ant|or-v1|lf)[-_]/
const ONE_PIECE = /^[A-Za-z0-9]{12,}$/

const FORMS: readonly Form[] = [
  {
    start: /(?:sk|pk|rk)[-_]/g,
    whole: /[a-z]{2}[-_][A-Za-z0-9_-]{8,}/y,
    kept: /^[a-z]{2}[-_]/,
    isSecret: (rest) => isKeyBody(rest) || ONE_PIECE.test(rest.replace(KEY_KIND, "")),
  },
  {
    // Programs use these beginnings for names as well (npm_config_cache), so that the rest must look random.
    start:
      /gh[oprsu]_|github_pat_|glpat-|gsk_|hf_|npm_|xai-|pplx-|r8_|tgp_|fw_|csk-|nvapi-|pcsk_|tvly-|jina_|lsv2_|lin_api_|dop_v1_|shpat_|whsec_|GOCSPX-|pypi-|SG\./g,
    whole: /[A-Za-z0-9]+[-_.][A-Za-z0-9_.-]{16,}/y,
    isSecret: (whole) => isKeyBody(whole.replace(/^(?:github_pat_|lin_api_|dop_v1_|[A-Za-z0-9]+[-_.])/, "")),
  },
  // The program's own: addons/keys/key.ts.
  { start: /llmproxy-/g, whole: /llmproxy-[a-z2-7]{32}(?![a-z2-7])/y, kept: /^llmproxy-/ },
  { start: /xox[abeprs]-/g, whole: /xox[a-z]-[A-Za-z0-9-]{10,}/y },
  { start: /AIza/g, whole: /AIza[A-Za-z0-9_-]{30,}/y },
  { start: /AKIA|ASIA/g, whole: /A[A-Z]IA[A-Z0-9]{16}(?![A-Za-z0-9])/y },
  {
    start: /eyJ/g,
    whole: /eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?/y,
    run: /[A-Za-z0-9_-]*/y,
  },
  { start: /ya29\./g, whole: /ya29\.[A-Za-z0-9_.-]{20,}/y },
]

/** The end of an escape, or of a terminal's colour: `\n`, `\u000a`, `%0A`, `[31m`. What follows begins there. */
const ESCAPE_END = /(?:\\[abefnrtv]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|\[[0-9;]{0,12}m)$/
/** Characters of the longest of these. */
const ESCAPE_CHARS_MAX = 16

const KEY_BEGIN = /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?=(?:\s|\\[nr]){0,16}(?:[A-Za-z0-9+/=]{16}|Proc-Type))/g
const KEY_END = "-----END "
/** Characters of the line that ends a key. */
const KEY_END_CHARS_MAX = 64

/** `Bearer` and what authenticates, unless it is a plain word. */
const BEARER = /\b((?:bearer|negotiate|ntlm)(?:\s|%20){1,8})([A-Za-z0-9._~+/-]{8,}={0,2})/gi
const PLAIN_WORD = /^[A-Za-z]?[a-z]+[.]?$/
const TOKEN = /\b((?:digest|token|apikey)\s{1,8})([A-Za-z0-9._~+/-]{12,}={0,2})/gi
const BASIC = /\b(basic(?:\s|%20){1,8})([A-Za-z0-9+/]{8,}={0,2})/gi
/** A parameter of a URL in a text. */
const PARAMETER = {
  lead: /([?&])([A-Za-z0-9_.~%-]{1,64})=/g,
  value: /[A-Za-z0-9%._~+/:-][^&\s"'`#<>\\(){}[\]|]*/y,
}
/** A URL in a parameter of a URL, so many times. */
const ENCODED_TIMES_MAX = 4

/** `://user:password@` and `://token@`; before SimpleX's servers stands what everybody may know: `smp://fingerprint@`. */
const USER_INFO =
  /((?:\b(?:smp|xftp))?:\/\/)([^\s/:@"'`<>{}$\\]{0,256})(?:(:)([^\s/@"'`<>{}\\]{1,1024}))?@(?=[A-Za-z0-9[])/g

/** What a manual writes there. */
const PLACEHOLDER_USER = /^(?:user|username|name)$/i
const PLACEHOLDER_PASSWORD = /^(?:password|pass|passwd)$/i

/** What may be the value behind a name; a longer one is blanked to its end all the same. */
const VALUE = /[A-Za-z0-9._~+/%!@#^*-]{12,}={0,2}/y

/**
 * Something of what every form has, in any case: most of what is shown of a flow has none of it, and is looked at once
 * instead of a dozen times.
 */
const HINT = new RegExp(
  [
    ...FORMS.map(({ start }) => start.source),
    "-----BEGIN|bearer|negotiate|ntlm|digest|token|apikey|basic",
    "auth|key|secret|pass|cookie|credential|jwt|sig|pwd",
    "[?&@]",
  ].join("|"),
  "i",
)

/**
 * The text with everything that has a secret's form, or stands where one does and looks like it, blanked out; in
 * percent-encoding, too. Of a text with a value that is longer than V8 can match (some millions of characters), all is.
 */
export function blankForms(text: string, fill = STARS): string {
  try {
    return blankViewed(text, PERCENT, blankPlain, fill)
  } catch (thrown) {
    if (thrown instanceof RangeError) return fill(text.length)
    throw thrown
  }
}

function blankPlain(text: string, fill: Fill): string {
  if (!HINT.test(text)) return text
  let result = blankPrivateKeys(text, fill)
  for (const form of FORMS) result = blankForm(result, form, fill)
  result = blankLed(result, BEARER, fill, (value) => !PLAIN_WORD.test(value))
  result = blankLed(result, TOKEN, fill, looksRandom)
  result = blankLed(result, BASIC, fill, isUserAndPassword)
  result = blankNamed(blankParameters(result, PARAMETER, fill), fill)
  return result.replace(USER_INFO, (...found: string[]) => blankUserInfo(found, fill))
}

/**
 * The text without the values of secret parameters. `lead` finds a name (its second group) with the sign behind it,
 * `value` what belongs to it from there on. A value that is no secret is looked at again: it may be a URL.
 */
export function blankParameters(text: string, { lead, value }: typeof PARAMETER, fill: Fill): string {
  const blanked = new Blanked(text, fill)
  lead.lastIndex = 0
  for (let found = lead.exec(text); found !== null; found = lead.exec(text)) {
    if (!isSecretParameter(found[2] ?? "")) continue
    const start = lead.lastIndex
    const end = start + stickyAt(value, text, start).length
    if (end > start) blanked.blank(start, end)
    lead.lastIndex = end
  }
  return blanked.toString()
}

/** Whether the value of a parameter is a secret, whose name may be percent-encoded, more than once. */
export function isSecretParameter(name: string): boolean {
  let read = name
  for (let times = 0; times < ENCODED_TIMES_MAX && read.includes("%"); times++) read = percentDecoded(read)
  return isSecretName(read, "field")
}

/** A PEM file's private key, to its last line, or to the end where that is missing. */
function blankPrivateKeys(text: string, fill: Fill): string {
  const blanked = new Blanked(text, fill)
  let from = 0
  for (const { index } of text.matchAll(KEY_BEGIN)) {
    if (index < from) continue
    const end = text.indexOf(KEY_END, index)
    const close = end < 0 ? -1 : text.indexOf("-----", end + KEY_END.length)
    from = end < 0 ? text.length : close < 0 || close - end > KEY_END_CHARS_MAX ? end + KEY_END.length : close + 5
    blanked.blank(index, from)
  }
  return blanked.toString()
}

function blankForm(text: string, { start, whole, kept, isSecret, run }: Form, fill: Fill): string {
  const blanked = new Blanked(text, fill)
  start.lastIndex = 0
  for (let found = start.exec(text); found !== null; found = start.exec(text)) {
    const { index } = found
    start.lastIndex = index + 1
    if (!isBeginning(text, index)) continue
    const value = stickyAt(whole, text, index)
    if (value === "") {
      if (run !== undefined) start.lastIndex = index + stickyAt(run, text, index).length
      continue
    }
    start.lastIndex = index + value.length
    const keptChars = kept?.exec(value)?.[0].length ?? 0
    if (isSecret === undefined || isSecret(value.slice(keptChars))) blanked.blank(index + keptChars, start.lastIndex)
  }
  return blanked.toString()
}

/** What a sticky expression finds at a place; empty where it finds nothing. */
function stickyAt(form: RegExp, text: string, at: number): string {
  form.lastIndex = at
  return form.exec(text)?.[0] ?? ""
}

/** Whether a secret may begin here: behind no letter and no digit, or behind an escape that ends in one. */
function isBeginning(text: string, at: number): boolean {
  return (
    at === 0 ||
    !isWordChar(text.charCodeAt(at - 1)) ||
    ESCAPE_END.test(text.slice(Math.max(0, at - ESCAPE_CHARS_MAX), at))
  )
}

function blankLed(text: string, form: RegExp, fill: Fill, isSecret: (value: string) => boolean): string {
  return text.replace(form, (whole: string, lead: string, value: string, at: number) =>
    text[at + whole.length] !== "(" && isSecret(value) ? lead + fill(value.length) : whole,
  )
}

/** Signs between a name and its value. */
const SIGN = /[=:]/g
/** Spaces before and behind the sign. */
const SPACES_MAX = 4
const NAME_CHARS_MAX = 80
/** Behind the sign: `=>`, `:=`, spaces, a quote, escaped or not. */
const OPENING = /[>=]?\s{0,4}\\{0,4}["'`]?/y
/** What every secret's name holds: a quick look, because most signs stand behind other names. */
const NAME_HINT = /auth|key|token|secret|pass|cookie|credential|jwt|sig|pwd/i

/** `name = value`, `"name": "value"`, `name=value`, in source code, JSON, shells and connection strings. */
function blankNamed(text: string, fill: Fill): string {
  const blanked = new Blanked(text, fill)
  SIGN.lastIndex = 0
  for (let found = SIGN.exec(text); found !== null; found = SIGN.exec(text)) {
    const name = nameBefore(text, found.index)
    if (!NAME_HINT.test(name) || !isSecretName(name, "text")) continue
    const opening = stickyAt(OPENING, text, SIGN.lastIndex)
    const start = SIGN.lastIndex + opening.length
    const value = stickyAt(VALUE, text, start)
    // `token = next2(` is a call; a password may hold such a sign, but nobody writes it behind a space.
    const isCode = /\s$/.test(opening) && /[([]/.test(text[start + value.length] ?? "")
    if (value === "" || isCode || !looksRandom(value)) continue
    SIGN.lastIndex = start + value.length
    blanked.blank(start, SIGN.lastIndex)
  }
  return blanked.toString()
}

/** The name that ends before the sign at `at`, without quotes and what an escape has left before it. */
function nameBefore(text: string, at: number): string {
  let end = at
  while (end > 0 && at - end < SPACES_MAX && isBlank(text.charCodeAt(end - 1))) end--
  if (text[end - 1] === "]") end--
  if (/["'`]/.test(text[end - 1] ?? "")) end--
  while (end > 0 && text[end - 1] === "\\") end--
  let start = end
  while (start > 0 && end - start < NAME_CHARS_MAX && isNameChar(text.charCodeAt(start - 1))) start--
  const name = text.slice(start, end)
  if (text[start - 1] === "\\") return name.replace(/^(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrt])/, "")
  return text[start - 1] === "%" ? name.slice(2) : name
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 10 || code === 13
}

function isNameChar(code: number): boolean {
  return isWordChar(code) || code === 95 || code === 45 || code === 46 // _ - .
}

function isWordChar(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
}

function blankUserInfo([whole = "", slashes = "", user = "", colon = "", password = ""]: string[], fill: Fill): string {
  if (colon === "") return slashes === "://" && looksRandom(user) ? `${slashes}${fill(user.length)}@` : whole
  const isWord = password.startsWith("$") || (PLACEHOLDER_USER.test(user) && PLACEHOLDER_PASSWORD.test(password))
  return isWord ? whole : `${slashes}${user}:${fill(password.length)}@`
}

/** RFC 7617: a name, a colon, a password. */
function isUserAndPassword(value: string): boolean {
  return /^[\x20-\x7e]*:[\x20-\x7e]*$/.test(Buffer.from(value, "base64").toString("latin1"))
}

/** What follows the beginning of a key: all of one piece, or random at least. */
function isKeyBody(value: string): boolean {
  const isOnePiece = value.length >= 16 && !/[-_.]/.test(value)
  const isMixed = /\d/.test(value) || /[a-z][A-Z]|[A-Z]{2}/.test(value)
  return looksRandom(value) || (isOnePiece && isMixed) || LONG_WORD.test(value)
}

/** No word has so many letters. */
const LONG_WORD = /[A-Za-z]{20}/
/** Letters of a name on average between two capitals, digits or signs: fewer are no words. */
const WORD_CHARS_MIN = 3
/** Characters from which on letters alone can be a secret. */
const LETTERS_MIN = 16
/** No word has so many consonants in a row. */
const CONSONANTS = /[bcdfghjklmnpqrstvwxz]{6}/i
/** Characters of a value that are looked at. */
const LOOKED_AT_MAX = 256

/**
 * Whether a value is made of no words: `getNextToken2024` and `gpt-4-0125-preview` are, `9fK2-x1Lq` is not. Random
 * letters and digits change between small letters, capitals and digits every other character; names do so at words.
 */
export function looksRandom(text: string): boolean {
  const value = text.slice(0, LOOKED_AT_MAX)
  const count = (form: RegExp) => value.match(form)?.length ?? 0
  const letters = count(/[A-Za-z]/g)
  if (letters === 0) return false
  const digits = count(/[0-9]/g)
  if (letters < WORD_CHARS_MIN * count(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g)) return digits > 0 || letters >= LETTERS_MIN
  const glued = count(/[A-Za-z][0-9]+(?=[A-Za-z])/g)
  return glued > 1 || (digits > 0 && CONSONANTS.test(value))
}
