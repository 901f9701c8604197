/**
 * A text that stands in another one in escapes, and the way back: what is a secret in the text as it is read is covered
 * in the text as it is written. That works because a mask is as long as what it covers, so that places stay places. Pure.
 */
import { Blanked, type Fill, REDACTED } from "./fill.ts"

/** No character (Unicode, section 23.7): what a mask is made of. */
const MASK = "\uFFFF"
const MASKS = /\uFFFF+/g

/** Covers a secret and keeps its length. */
export const mask: Fill = (chars) => MASK.repeat(chars)

/** A masked text as people are to see it. */
export function unmasked(text: string): string {
  return text.replace(MASKS, REDACTED)
}

export function isMasked(text: string): boolean {
  return text.includes(MASK)
}

/** How a text writes characters: each escape stands for one (a UTF-16 unit). */
export interface Escapes {
  /** Global. */
  readonly form: RegExp
  read(written: string): string
}

const LETTERS: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }

/** Of a string in JSON (RFC 8259, section 7). */
export const JSON_ESCAPES: Escapes = {
  form: /\\(?:u[0-9A-Fa-f]{4}|[\s\S])/g,
  read: (written) =>
    written.length > 2
      ? String.fromCharCode(Number.parseInt(written.slice(2), 16))
      : (LETTERS[written[1] ?? ""] ?? written[1] ?? ""),
}

const readPercent = (written: string) => String.fromCharCode(Number.parseInt(written.slice(-2), 16))

/** Of ASCII in a URL (RFC 3986, section 2.1). */
export const PERCENT: Escapes = { form: /%[0-7][0-9A-Fa-f]/g, read: readPercent }
/** Of a query and a form: a plus sign is a space there (WHATWG URL, section 5.1). */
export const FORM_ESCAPES: Escapes = {
  form: /\+|%[0-7][0-9A-Fa-f]/g,
  read: (written) => (written === "+" ? " " : readPercent(written)),
}

/** The text as it is read. */
export function viewOf(text: string, { form, read }: Escapes): string {
  return text.replace(form, read)
}

/** Ranges of a text: where each begins and where it ends. */
export type Range = readonly [start: number, end: number]

/** The places in `text` of what is masked in its view. */
export function* maskedRanges(text: string, { form }: Escapes, masked: string): Generator<Range> {
  const escapes = text.matchAll(form)
  let next = escapes.next()
  // How far both were followed: behind an escape, or at the beginning.
  let textAt = 0
  let viewAt = 0
  const placeOf = (place: number) => {
    while (!next.done && viewAt + next.value.index - textAt < place) {
      viewAt += next.value.index - textAt + 1
      textAt = next.value.index + next.value[0].length
      next = escapes.next()
    }
    return textAt + place - viewAt
  }
  for (const { index, 0: run } of masked.matchAll(MASKS)) {
    const start = placeOf(index)
    yield [start, placeOf(index + run.length)]
  }
}

/** `text` with the ranges filled, which stand in it in order. */
export function covered(text: string, ranges: Iterable<Range>, fill: Fill): string {
  const blanked = new Blanked(text, fill)
  for (const [start, end] of ranges) blanked.blank(start, end)
  return blanked.toString()
}

/** URLs in parameters of URLs, so many times. */
const LEVELS_MAX = 3

/** `text` without what `blank` finds in it, in its view, in the view's own view. */
export function blankViewed(
  text: string,
  escapes: Escapes,
  blank: (text: string, fill: Fill) => string,
  fill: Fill,
  level = 0,
): string {
  escapes.form.lastIndex = 0
  if (level === LEVELS_MAX || !escapes.form.test(text)) return blank(text, fill)
  const masked = blankViewed(viewOf(text, escapes), escapes, blank, mask, level + 1)
  return blank(isMasked(masked) ? covered(text, maskedRanges(text, escapes, masked), fill) : text, fill)
}
