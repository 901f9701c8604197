/**
 * A text that arrives in pieces, made fit for a terminal as it comes: indented, without control bytes, secrets blanked.
 * A secret may be cut between two pieces, so the last word waits until it is whole, with the words before it that would
 * make it one ("api_key: "), and a private key until its last line.
 */
import { printable } from "../../base/log.ts"
import { Redactor } from "../../base/secrets/redactor.ts"

/** A word longer than this is printed before it is whole. */
const WORD_CHARS_MAX = 512
/** Characters at its end that wait all the same: a secret that began earlier would be known as one. */
const WORD_TAIL_CHARS = 256
/** Characters before a word in which a name that makes it a secret is looked for. */
const LEAD_CHARS_MAX = 120
/** A private key longer than this is not waited for, and not shown. */
const KEY_CHARS_MAX = 16_384
const KEY_BEGIN = "-----BEGIN "
const KEY_END = "-----END "
const FORMS_ONLY = new Redactor()

/** What is left out, and up to where. */
type Skipping = "a word" | "a key"

export class LiveText {
  readonly #indent: string
  readonly #redactor: Redactor
  #held = ""
  #skipping: Skipping | undefined
  /** Of what is skipped, as much as its end may have begun in. */
  #tail = ""

  constructor(indent: string, redactor = FORMS_ONLY) {
    this.#indent = indent
    this.#redactor = redactor
  }

  /** What can be printed now; may be empty. */
  feed(piece: string): string {
    const text = this.#held + this.#afterSkipped(piece)
    const key = openKeyIn(text)
    const end = Math.min(key, heldFrom(text))
    const held = text.length - end
    if (key < text.length && held > KEY_CHARS_MAX) return this.#skip("a key", text)
    if (key === text.length && held > WORD_CHARS_MAX) {
      if (this.#redactor.text(text.slice(end)) !== text.slice(end)) return this.#skip("a word", text)
      const tail = text.length - WORD_TAIL_CHARS
      this.#held = text.slice(tail)
      return this.#shown(text.slice(0, tail))
    }
    this.#held = text.slice(end)
    return this.#shown(text.slice(0, end))
  }

  /** The rest. */
  finish(): string {
    const text = this.#held
    this.#held = ""
    this.#skipping = undefined
    this.#tail = ""
    return this.#shown(text)
  }

  #shown(text: string): string {
    return shownText(text, this.#indent, this.#redactor)
  }

  /** Prints what there is, with its secret blanked out, and nothing of what follows of that. */
  #skip(what: Skipping, text: string): string {
    this.#skipping = what
    this.#held = ""
    return this.#shown(text)
  }

  /** Nothing is held while something is skipped. */
  #afterSkipped(piece: string): string {
    if (this.#skipping === undefined) return piece
    const text = this.#tail + piece
    const isKey = this.#skipping === "a key"
    const end = isKey ? text.indexOf(KEY_END) : text.search(/[^\x21-\x7e]/)
    this.#tail = isKey && end < 0 ? text.slice(1 - KEY_END.length) : ""
    if (end < 0) return ""
    this.#skipping = undefined
    return text.slice(end)
  }
}

/** Where a private key begins that has no end yet; the text's length: there is none. */
function openKeyIn(text: string): number {
  const begin = text.lastIndexOf(KEY_BEGIN)
  return begin < 0 || text.includes(KEY_END, begin) ? text.length : begin
}

/** Names before names that are looked for: what ends like a name may be a secret itself, behind "Basic". */
const LEADS_MAX = 4

/** Where the last word begins, or the name before it that makes it a secret. */
function heldFrom(text: string): number {
  let begin = wordBegin(text, text.length)
  for (let leads = 0; leads < LEADS_MAX; leads++) {
    const [lead = ""] = LEAD.exec(text.slice(Math.max(0, begin - LEAD_CHARS_MAX), begin)) ?? []
    if (lead === "") break
    begin = wordBegin(text, begin - lead.length)
  }
  return begin
}

/** `Bearer `, `api_key = `, `"password": `, and a word that may get its sign in the next piece. Runs on a few characters. */
const LEAD =
  /(?:\b(?:bearer|basic|digest|negotiate|ntlm)[ \t]{1,8}|[\w.%-]{0,64}(?:key|token|secret|passw\w{1,8}|pwd|authorization|cookie|credentials?|signature|sig|jwt)\w{0,16}[\\"'`\]]{0,6}[ \t]{0,4}(?:(?:[:=]|%3[AaDd])[=>]?[ \t]{0,4})?[\\"'`]{0,6})$/i

/** A text without spaces may be Chinese: what is no ASCII is no part of a secret. */
function wordBegin(text: string, end: number): number {
  let begin = end
  while (begin > 0 && isVisible(text.charCodeAt(begin - 1))) begin--
  return begin
}

function isVisible(code: number): boolean {
  return code > 32 && code < 127
}

/** A text of several lines for a terminal: each line but the first is indented. */
export function shownText(text: string, indent: string, redactor = FORMS_ONLY): string {
  return redactor
    .text(text)
    .split(/\r\n|\r|\n/)
    .map(printable)
    .join(`\n${indent}`)
}
