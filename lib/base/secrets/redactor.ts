/**
 * Takes secrets out of whatever leaves for a person, a disk or another program: by the name before them, by their form,
 * and by the value itself once it was seen where a secret stands (hosts echo keys in their errors). Which names there are
 * is names.ts, which forms secret-forms.ts. Pure; who writes what it returns does not matter here.
 */
import type { JsonValue } from "../json.ts"
import { type Fill, REDACTED, STARS } from "./fill.ts"
import { blankForms, blankParameters, isSecretParameter, looksRandom } from "./forms.ts"
import { blankMembers, isSecretMember } from "./members.ts"
import { isSecretName } from "./names.ts"
import { blankParts } from "./parts.ts"
import { blankPieces } from "./pieces.ts"
import { blankViewed, FORM_ESCAPES, mask, PERCENT, unmasked } from "./views.ts"

/** Values that were secrets somewhere, the latest of them. */
const LEARNED_MAX = 64
/** Characters from which on a value is looked for elsewhere: a shorter one would be found in any text. */
const LEARNED_CHARS_MIN = 8
/** Below this depth a JSON value is left out: nothing that a person wrote is nested so far. */
const DEPTH_MAX = 64
/** JSON in a string of JSON, so many times. */
const LEVELS_MAX = 3

/** What people write where a local host wants any key at all. It is no secret, and a word of many texts. */
const PLACEHOLDER =
  /^(lm-?studio|(not|no)[-_ ]?(key[-_]?)?(needed|required|key)|sk-no-key-required|dummy|anything|placeholder|(your|my)[-_]api[-_]key|api[-_]?key)$/i
/** Words and short numbers: many write them where a key has to stand, and they stand in any text ("undefined"). */
const WORDS = /^(?:[A-Za-z]+(?:[-_. ][A-Za-z]+)*|\d+)$/
/** Characters from which on they are a password that somebody has chosen, and in no other text. */
const WORDS_CHARS_MIN = 14
/** A parameter of a URL or of a form, as it stands there. */
const PARAMETER = { lead: /([?&])([^=&#\s]{1,256})=/g, value: /[^&#\s]*/y }
const LEARNED_PARAMETER = /[?&]([^=&#\s]{1,256})=([^&#\s]*)/g
/** A field whose value is a URL that the other side will use, with what it authenticates by. */
const LOCATION = "location"
const FORM_TYPE = /^application\/x-www-form-urlencoded/i

/** One for everything that a program shows or keeps: it remembers the secrets that it has seen. */
export class Redactor {
  /** The values, in the order in which they were last seen. */
  readonly #learned = new Set<string>()
  /** What secret fields held when they were seen last: most requests of a client bring the same. */
  readonly #latest = new Map<string, string>()
  /** Those that the program was given: they are never forgotten. */
  #known: readonly string[] = []

  /** Takes values of the program's own (its keys, its passwords) in the place of those that it was given before. */
  know(secrets: Iterable<string>): void {
    this.#known = [...new Set([...secrets].flatMap((secret) => [...spellings(secret), ...inBase64(secret)]))].filter(
      isTelling,
    )
  }

  /** Remembers the values of secret fields and parameters, so that they are found wherever else they are repeated. */
  learn(headers: Iterable<readonly [string, string]>, url = ""): void {
    for (const [name, value] of headers) {
      if (name.length === LOCATION.length && name.toLowerCase() === LOCATION) this.#learnParameters(value)
      if (!isSecretName(name, "field") || this.#latest.get(name) === value) continue
      for (const secret of secretsIn(name, value)) this.#remember(secret)
      if (this.#latest.size >= LEARNED_MAX) this.#latest.clear()
      this.#latest.set(name, value)
    }
    this.#learnParameters(url)
  }

  /** A text with everything that looks like a secret, or is known as one, blanked out. */
  text(text: string): string {
    return this.#text(text, STARS)
  }

  /** A URL, or any text, with the values of secret parameters blanked out, whatever they look like. */
  url(url: string): string {
    return this.#query(url, STARS)
  }

  /** A field's value; the whole of it where the name is a secret's. */
  field(name: string, value: string): string {
    return isSecretName(name, "field") ? REDACTED : this.url(value)
  }

  /** Head fields with the values of secret ones blanked out. */
  headers(headers: Iterable<readonly [string, string]>): [string, string][] {
    return [...headers].map(([name, value]) => [name, this.field(name, value)])
  }

  /**
   * The text of a body, whole or cut: members of JSON (in events and lines, too), parameters and parts of a form that are
   * named like secrets lose their values, whatever these look like.
   */
  body(text: string, type = ""): string {
    return this.#body(text, type, STARS)
  }

  /**
   * The text of a body as it came, at most its first `chars` characters: a secret may stand in it in pieces, one an event,
   * and be cut where the text that is shown ends. What `text` has beyond that is what tells.
   */
  wire(text: string, type = "", chars = text.length): string {
    return unmasked(this.#masked(text, type).slice(0, chars))
  }

  /** A copy of a JSON value: secret names' values and everything secret in its texts is blanked out. */
  json(value: JsonValue, depth = 0): JsonValue {
    if (typeof value === "string") return this.text(value)
    if (typeof value !== "object" || value === null) return value
    if (depth > DEPTH_MAX) return REDACTED
    if (Array.isArray(value)) return value.map((item) => this.json(item, depth + 1))
    const copy: Record<string, JsonValue> = {}
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue
      const name = this.text(key)
      // Not an assignment: a key may be "__proto__".
      const kept = this.#member(key, item, depth + 1)
      Object.defineProperty(copy, name, { value: kept, enumerable: true, configurable: true, writable: true })
    }
    return copy
  }

  #text(text: string, fill: Fill): string {
    const values = (one: string, fill: Fill) => this.#values(one, fill)
    return blankForms(blankViewed(text, PERCENT, values, fill), fill)
  }

  /** What is known by its value. */
  #values(text: string, fill: Fill): string {
    let result = text
    for (const secrets of [this.#known, this.#learned]) {
      for (const secret of secrets)
        if (result.includes(secret)) result = result.replaceAll(secret, () => fill(secret.length))
    }
    return result
  }

  /** A text whose parameters are encoded as those of a form are. */
  #query(text: string, fill: Fill): string {
    // A parameter's value may be JSON.
    const named = (one: string, fill: Fill) => blankMembers(blankParameters(one, PARAMETER, fill), fill)
    const blank = (one: string, fill: Fill) => blankForms(this.#values(named(one, fill), fill), fill)
    return blankViewed(text, FORM_ESCAPES, blank, fill)
  }

  /** Strings of JSON may be JSON again, as arguments are. */
  #masked(text: string, type = "", level = 0): string {
    const hasPieces = level <= LEVELS_MAX && (level === 0 || text.includes('"'))
    const pieces = hasPieces ? blankPieces(text, (joined) => this.#masked(joined, "", level + 1), mask) : text
    return this.#body(pieces, type, mask)
  }

  #body(text: string, type: string, fill: Fill): string {
    const parts = blankParts(text, fill)
    return FORM_TYPE.test(type) ? this.#query(`&${parts}`, fill).slice(1) : this.#text(blankMembers(parts, fill), fill)
  }

  #member(key: string, value: JsonValue, depth: number): JsonValue {
    if (isSecretMember(key)) {
      // A schema that describes a password is none, and neither is a count of tokens.
      if (typeof value === "string" && value !== "") return REDACTED
      if (Array.isArray(value)) return value.map((item) => this.#member(key, item, depth + 1))
    }
    // Arguments of a tool are JSON in a text.
    if (key === "arguments" && typeof value === "string") return this.body(value)
    return this.json(value, depth)
  }

  #learnParameters(url: string): void {
    for (const [, name = "", value = ""] of url.matchAll(LEARNED_PARAMETER)) {
      if (isSecretParameter(name)) this.#remember(value)
    }
  }

  #remember(secret: string): void {
    for (const spelling of spellings(secret)) {
      if (!isTelling(spelling) || isWords(spelling)) continue
      this.#learned.delete(spelling)
      this.#learned.add(spelling)
      const [oldest] = this.#learned
      if (this.#learned.size <= LEARNED_MAX || oldest === undefined) continue
      this.#learned.delete(oldest)
      this.#latest.clear() // It may be one of these.
    }
  }
}

/** Whether a value can be looked for: long enough, and no word that everybody writes. */
function isTelling(secret: string): boolean {
  return secret.length >= LEARNED_CHARS_MIN && !PLACEHOLDER.test(secret)
}

function isWords(secret: string): boolean {
  return secret.length < WORDS_CHARS_MIN && WORDS.test(secret) && !looksRandom(secret)
}

/** A value as it stands, in a URL and out of one, and in JSON. */
function spellings(secret: string): string[] {
  const all = new Set([secret, JSON.stringify(secret).slice(1, -1)])
  try {
    all.add(decodeURIComponent(secret))
    all.add(encodeURIComponent(secret))
  } catch {
    // A lone % or half a surrogate: then there is no other spelling.
  }
  return [...all]
}

/**
 * A value as it stands in the base64 of a user and a password (RFC 7617), whoever the user is: which characters it has
 * there depends on how many bytes stand before it, modulo three.
 */
function inBase64(secret: string): string[] {
  const bytes = Buffer.from(secret)
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64")
    // The first character may hold bits of what stands before, the last one of what follows.
    const own = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6))
    return [own, own.replaceAll("+", "-").replaceAll("/", "_")]
  })
}

/** The secrets of a field: the value without its scheme; a cookie's values, each; the parts of a signature. */
function secretsIn(name: string, value: string): string[] {
  if (/cookie/i.test(name)) return value.split(";").flatMap(randomPart) // "dark" and "production" are in many texts.
  const [, scheme = "", credentials = ""] = /^([A-Za-z][A-Za-z0-9-]*)\s+(.+)$/.exec(value) ?? []
  if (scheme === "") return [value]
  if (/^basic$/i.test(scheme)) {
    const decoded = Buffer.from(credentials, "base64").toString("utf8")
    return [credentials, decoded.slice(decoded.indexOf(":") + 1)]
  }
  return [credentials, ...(credentials.includes("=") ? credentials.split(",").flatMap(randomPart) : [])]
}

function randomPart(part: string): string[] {
  const value = part.slice(part.indexOf("=") + 1).trim()
  return looksRandom(value) ? [value] : []
}
