/**
 * Secrets in pieces: a model's answer is told in deltas, and a key may begin in one event and end in another. What stands
 * in the same place of each value (events, JSON lines, elements of an array) is put together, looked at as one text, and
 * covered piece by piece. Knows no dialect: a place is the names on the way to it, and the numbers that values give
 * themselves ("index": 1), so that the texts of two choices stay two. Pure, and linear.
 */
import type { Fill } from "./fill.ts"
import { closeOf, stickyAt } from "./members.ts"
import { covered, type Escapes, isMasked, JSON_ESCAPES, maskedRanges, type Range, viewOf } from "./views.ts"

/** Levels of a value that are told apart; what is deeper counts as the last of them. */
const DEPTH_MAX = 64
/** Characters of the numbers that one value gives itself. */
const NUMBERS_CHARS_MAX = 128
/** Characters of a name that is told apart. */
const NAME_CHARS_MAX = 256

/** A string of JSON, without its quotes, or a line of plain text. */
interface Piece {
  readonly start: number
  readonly end: number
  readonly isPlain: boolean
  readonly level: Level | undefined
}

/** A place that strings of several values share. */
class Place {
  readonly #below = new Map<string, Place>()
  readonly pieces: Piece[] = []

  below(name: string): Place {
    const known = this.#below.get(name)
    if (known !== undefined) return known
    const made = new Place()
    this.#below.set(name, made)
    return made
  }
}

/** An object or a list that is open. */
interface Level {
  readonly place: Place
  readonly above: Level | undefined
  readonly depth: number
  /** Levels below the last that is told apart. */
  deeper: number
  /** Where the next value stands: below a name, or where the level itself does. The elements of a list share its place. */
  next: Place
  /** "index", "output_index" and their like: whose text it is. */
  numbers: string
}

/**
 * `text` with the secrets covered that its pieces make. `masked` gives a text with its secrets masked (views.ts).
 */
export function blankPieces(text: string, masked: (joined: string) => string, fill: Fill): string {
  const ranges: Range[] = []
  for (const pieces of new PieceScan(text).groups()) {
    const joined = masked(pieces.map((piece) => viewIn(text, piece)).join(""))
    if (isMasked(joined)) for (const range of rangesIn(text, pieces, joined)) ranges.push(range)
  }
  return covered(
    text,
    ranges.sort(([one], [other]) => one - other),
    fill,
  )
}

/** The places in `text` of what is masked in the view of all its pieces. */
function* rangesIn(text: string, pieces: readonly Piece[], masked: string): Generator<Range> {
  let at = 0
  for (const piece of pieces) {
    const source = text.slice(piece.start, piece.end)
    const chars = viewIn(text, piece).length
    for (const [start, end] of maskedRanges(source, escapesOf(piece), masked.slice(at, at + chars)))
      yield [piece.start + start, piece.start + end]
    at += chars
  }
}

/** Nothing is an escape. */
const PLAIN: Escapes = { ...JSON_ESCAPES, form: /(?!)/g }

const escapesOf = ({ isPlain }: Piece) => (isPlain ? PLAIN : JSON_ESCAPES)

function viewIn(text: string, piece: Piece): string {
  return viewOf(text.slice(piece.start, piece.end), escapesOf(piece))
}

/** A field of an event before its value, or what stands between values. */
const LEAD = /[\uFEFF\s,]{0,64}(?:(data|error):)?[ \t]{0,64}/y
/** What no line of plain text begins with. */
const VALUE_BEGIN = /[{[]\s{0,64}(?:["{}[\]\d-]|null|true|false)/y
const LINE_END = /[\r\n]|$/g
/** Between two events. */
const BLANK_LINE = /\n\r?\n|\r\r|$/g
const TOKEN = /["{}[\]]/g
const COLON = /\s{0,64}:/y
const OWN_NUMBER = /\s{0,64}:\s{0,64}(\d{1,9})/y
const NUMBER_NAME = /index$/i

class PieceScan {
  readonly #text: string
  readonly #root = new Place()
  readonly #plain = new Place()
  readonly #places = new Set<Place>()
  /** Where the event ends that is being read. */
  #eventEnd = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Pieces of one text each, in order. */
  *groups(): Generator<readonly Piece[]> {
    this.#scan()
    for (const { pieces } of this.#places) {
      const groups = new Map<string, Piece[]>()
      for (const piece of pieces) {
        const owner = ownerOf(piece.level)
        const group = groups.get(owner)
        if (group === undefined) groups.set(owner, [piece])
        else group.push(piece)
      }
      yield* groups.values()
    }
  }

  #scan(): void {
    const text = this.#text
    let isField = false
    for (let at = 0; at < text.length; ) {
      const [lead = "", field] = stickyAt(LEAD, text, at)
      // A field holds to the end of its line.
      isField = field !== undefined || (isField && !/[\r\n]/.test(lead))
      at += lead.length
      if (stickyAt(VALUE_BEGIN, text, at).length > 0) {
        at = this.#value(at, isField ? this.#endOfEvent(at) : text.length)
        continue
      }
      const end = firstOf(LINE_END, text, at)
      if (isField) this.#add(this.#plain, { start: at, end, isPlain: true, level: undefined })
      at = end
    }
  }

  /** Looked for once an event, however many values stand in it. */
  #endOfEvent(at: number): number {
    if (at >= this.#eventEnd) this.#eventEnd = firstOf(BLANK_LINE, this.#text, at)
    return this.#eventEnd
  }

  /** Reads the object or the list that begins at `from`; gives where it ends. */
  #value(from: number, end: number): number {
    const text = this.#text
    let level = levelIn(this.#root, undefined)
    for (let at = firstOf(TOKEN, text, from + 1); at < end; at = firstOf(TOKEN, text, at + 1)) {
      const token = text[at]
      if (token === '"') at = this.#string(at, end, level)
      else if (token === "{" || token === "[") {
        if (level.depth === DEPTH_MAX) level.deeper++
        else level = levelIn(level.next, level)
      } else if (level.deeper > 0) level.deeper--
      else if (level.above === undefined) return at + 1
      else level = level.above
    }
    return end
  }

  /** A string is a value, or with a colon behind it a name. Gives where it closes. */
  #string(open: number, end: number, level: Level): number {
    const text = this.#text
    const close = Math.min(closeOf(text, open), end)
    if (stickyAt(COLON, text, close + 1).length > 0) {
      const name = text.slice(open + 1, close).slice(0, NAME_CHARS_MAX)
      level.next = level.place.below(name)
      const [, number] = NUMBER_NAME.test(name) ? stickyAt(OWN_NUMBER, text, close + 1) : []
      if (number !== undefined && level.numbers.length < NUMBERS_CHARS_MAX) level.numbers += `${name}${number} `
    } else this.#add(level.next, { start: open + 1, end: close, isPlain: false, level })
    return close
  }

  #add(place: Place, piece: Piece): void {
    place.pieces.push(piece)
    this.#places.add(place)
  }
}

function levelIn(place: Place, above: Level | undefined): Level {
  return { place, above, depth: (above?.depth ?? 0) + 1, deeper: 0, next: place, numbers: "" }
}

/** The numbers on the way to a piece. */
function ownerOf(level: Level | undefined): string {
  const numbers: string[] = []
  for (let one = level; one !== undefined; one = one.above) numbers.push(one.numbers)
  return numbers.join("")
}

/** Where an expression is found first; the text's length where it is not. */
function firstOf(form: RegExp, text: string, from: number): number {
  form.lastIndex = from
  return form.exec(text)?.index ?? text.length
}
