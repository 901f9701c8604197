/**
 * Takes secrets out of what is kept: by the name of a field, by the form of a value, and by the value itself once it
 * was seen in a field that holds one (hosts echo keys in their errors). Pure, and without a judgement on who reads:
 * whatever is written to a disk goes through here first. A word of prose is no secret: what is blanked by its form
 * must look random, because these texts are data sets, too.
 */
import { isObject, type JsonValue } from "../llm/json.ts"

export const REDACTED = "***"

/** Values that were secrets somewhere, the latest of them. */
const LEARNED_MAX = 64
/** Characters from which on a value is looked for elsewhere: a shorter one would be found in any text. */
const LEARNED_CHARS_MIN = 8
/** Below this depth a JSON value is left out: nothing that a person wrote is nested so far. */
const DEPTH_MAX = 64

/** Names of fields, parameters and keys whose value is a secret: the last word of the name decides. */
const SECRET_NAME =
  /(^|[-_.])(authorization|auth|cookie2?|api[-_]?key|[a-z]*key[-_]?id|key|(access|refresh|id|auth|session|security|csrf|xsrf)?[-_]?token|secret|password|passwd|credentials?|signature|sig)$/i
const JSON_SECRET_NAME =
  /^([a-z]+[-_])*(authorization|cookie|api[-_]?key|(access|secret|private|account|subscription|encryption|license|auth)[-_]?key|(access|refresh|id|auth|session|security|bearer|api)[-_]?token|token|(client[-_]?)?secret|password|passwd|credentials?)$/i
/** A camelCase name, cut into words: apiKey is api_key. */
const CAMEL = /([a-z0-9])([A-Z])/g

/** Secrets that are known by their own form. */
const FORMS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\b(?:gh[oprsu]_|github_pat_|glpat-|gsk_|hf_|npm_|xai-|pplx-|r8_|tgp_|fw_)[A-Za-z0-9_-]{16,}/g,
  /\bxox[abeprs]-[A-Za-z0-9-]{10,}/g,
  /\bAIza[A-Za-z0-9_-]{30,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}/g,
]
/** Secrets that are known by what stands before them, with what the value must be like to be one and not prose. */
const LED: readonly (readonly [RegExp, (value: string) => boolean])[] = [
  [/\b((?:sk|pk|rk)[-_])([A-Za-z0-9_-]{8,})/g, (value) => looksRandom(value) || /[A-Za-z]{20}/.test(value)],
  [/\b((?:bearer|negotiate|digest)\s+)([A-Za-z0-9._~+/=-]{8,})/gi, (value) => !/^[A-Za-z]?[a-z]+[.]?$/.test(value)],
  [/\b(basic\s+)([A-Za-z0-9+/=]{8,})/gi, (value) => /^[\x20-\x7e]*:[\x20-\x7e]*$/.test(atob64(value))],
  [
    /((?:api[-_]?key|access[-_]?token|auth[-_]?token|secret|password|passwd|token)\\*["']?\s*[=:]\s*\\*["']?)([A-Za-z0-9._~+/=-]{12,})/gi,
    looksRandom,
  ],
  [/([?&](?:[a-z]+[-_])*(?:key|token|sig|signature|secret|password)=)([^&\s"'#]{8,})/gi, looksRandom],
]
/** What people write where a local host wants any key at all. It is no secret, and a word of many texts. */
const PLACEHOLDER =
  /^(lm-?studio|(not|no)[-_ ]?(key[-_]?)?(needed|required|key)|sk-no-key-required|dummy|anything|placeholder|(your|my)[-_]api[-_]key|api[-_]?key)$/i
const USER_INFO = /(:\/\/[^\s/:@"']{0,256}:)[^\s/@"']{1,1024}@/g

/** One for everything that a program keeps: it remembers the secrets that it has seen. */
export class Redactor {
  /** The values, in the order in which they were last seen. */
  readonly #learned = new Set<string>()

  /** Remembers the values of secret fields and parameters, so that they are found wherever else they are repeated. */
  learn(headers: Iterable<readonly [string, string]>, url = ""): void {
    for (const [name, value] of headers) {
      if (isSecretName(name)) for (const secret of secretsIn(name, value)) this.#remember(secret)
    }
    for (const [, name = "", value = ""] of url.matchAll(/[?&]([^=&#]+)=([^&#]*)/g)) {
      if (isSecretName(name)) this.#remember(value)
    }
  }

  /** A text with everything that looks like a secret, or is known as one, blanked out. */
  text(text: string): string {
    let result = text
    for (const secret of this.#learned) if (result.includes(secret)) result = result.replaceAll(secret, REDACTED)
    for (const form of FORMS) result = result.replace(form, REDACTED)
    for (const [form, isSecret] of LED) {
      result = result.replace(form, (whole: string, lead: string, value: string) =>
        isSecret(value) ? lead + REDACTED : whole,
      )
    }
    return result.replace(USER_INFO, `$1${REDACTED}@`)
  }

  /** A copy of a JSON value: secret keys' values and everything secret in its texts is blanked out. */
  json(value: JsonValue, depth = 0): JsonValue {
    if (typeof value === "string") return this.text(value)
    if (typeof value !== "object" || value === null) return value
    if (depth > DEPTH_MAX) return REDACTED
    if (Array.isArray(value)) return value.map((item) => this.json(item, depth + 1))
    const copy: Record<string, JsonValue> = {}
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue
      const name = this.#learned.has(key) ? REDACTED : key
      // Not an assignment: a key may be "__proto__".
      const kept = isSecretKey(key) && isSecretValue(item) ? REDACTED : this.json(item, depth + 1)
      Object.defineProperty(copy, name, { value: kept, enumerable: true, configurable: true, writable: true })
    }
    return copy
  }

  /** Head fields with the values of secret ones blanked out. */
  headers(headers: Iterable<readonly [string, string]>): [string, string][] {
    return [...headers].map(([name, value]) => [name, isSecretName(name) ? REDACTED : this.url(value)])
  }

  /** A URL, or any text, with the values of secret parameters blanked out, whatever they look like. */
  url(url: string): string {
    const blanked = url.replace(/([?&])([^=&#\s]+)=([^&#\s]*)/g, (whole, lead: string, name: string) =>
      isSecretName(name) ? `${lead}${name}=${REDACTED}` : whole,
    )
    return this.text(blanked)
  }

  #remember(secret: string): void {
    if (secret.length < LEARNED_CHARS_MIN || PLACEHOLDER.test(secret)) return
    this.#learned.delete(secret)
    this.#learned.add(secret)
    const [oldest] = this.#learned
    if (this.#learned.size > LEARNED_MAX && oldest !== undefined) this.#learned.delete(oldest)
  }
}

function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name.replace(CAMEL, "$1_$2"))
}

function isSecretKey(key: string): boolean {
  return JSON_SECRET_NAME.test(key.replace(CAMEL, "$1_$2"))
}

/** A schema that describes a password is none, and neither is a count of tokens. */
function isSecretValue(value: JsonValue): boolean {
  return typeof value === "string" && value !== ""
}

/** The secrets of a field: the value without its scheme; a cookie's values, each. */
function secretsIn(name: string, value: string): string[] {
  if (/cookie/i.test(name))
    return value.split(";").flatMap((part) => {
      const cookie = part.slice(part.indexOf("=") + 1).trim()
      return looksRandom(cookie) ? [cookie] : [] // "dark" and "production" are in many texts.
    })
  const [, credentials] = /^[A-Za-z]+\s+(.+)$/.exec(value) ?? []
  return [credentials ?? value]
}

/** Whether a value is no word of a language or of a program: letters and digits, or capitals within. */
function looksRandom(value: string): boolean {
  if (/[A-Za-z]/.test(value) && /[0-9]/.test(value)) return !/^[a-z]+([-_.][a-z]+)*[-_.]?\d{0,3}$/.test(value)
  return value.length >= 16 && /[a-z][A-Z][A-Z]|[A-Z]{2}[a-z]/.test(value) && !/[./]/.test(value)
}

function atob64(value: string): string {
  return Buffer.from(value, "base64").toString("latin1")
}

/** Whether a value is JSON that can be kept: what addons leave in a flow's metadata may be anything. */
export function asJson(value: unknown, depth = 0): JsonValue | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value
  if (typeof value === "number") return Number.isFinite(value) ? value : null
  if (depth > DEPTH_MAX || typeof value !== "object") return undefined
  if (Array.isArray(value)) return value.map((item) => asJson(item, depth + 1) ?? null)
  if (!isObject(value) || !isPlain(value)) return undefined
  const entries = Object.entries(value).map(([key, item]) => [key, asJson(item, depth + 1)] as const)
  return Object.fromEntries(entries.filter(([, item]) => item !== undefined))
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
