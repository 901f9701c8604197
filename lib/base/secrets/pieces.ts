/**
 * Secrets in pieces: a model's answer is told in deltas, and a key may begin in one event and end in another. What stands
 * in the same place of each value (events, JSON lines, elements of an array) is put together, looked at as one text, and
 * covered piece by piece. Knows no dialect: a place is the names on the way to it, and the numbers that values give
 * themselves ("index": 1), so that the texts of two choices stay two. Pure, and linear.
 */
import type { Fill } from "./fill.ts"
import { closeOf, stickyAt } from "./members.ts"
import { covered, isMasked, JSON_ESCAPES, maskedRanges, type Range, viewOf } from "./views.ts"

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

  at(name: string): Place {
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
  readonly isList: boolean
  readonly above: Level | undefined
  readonly depth: number
  /** Levels below the last that is told apart. */
  deeper: number
  name: string
  /** "index", "output_index" and their like: whose text it is. */
  numbers: string
}

/**
 * `text` with the secrets covered that its pieces make. `masked` gives a text with its secrets masked (views.ts).
 */
export function blankPieces(text: string, masked: (joined: string) => string, fill: Fill): string {
  const ranges: Range[] = []
  for (const pieces of new PieceScan(text).groups()) {
    const views = pieces.map((piece) => viewIn(text, piece))
    const whole = masked(views.join(""))
    if (!isMasked(whole)) continue
    let at = 0
    for (const [i, piece] of pieces.entries()) {
      const chars = views[i]?.length ?? 0
      const source = text.slice(piece.start, piece.end)
      for (const [start, end] of maskedRanges(source, escapesOf(piece), whole.slice(at, at + chars)))
        ranges.push([piece.start + start, piece.start + end])
      at += chars
    }
  }
  return covered(
    text,
    ranges.sort(([one], [other]) => one - other),
    fill,
  )
}

/** Nothing is an escape. */
const PLAIN = { form: /(?!)/g, read: (text: string) => text }

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
      at = Math.max(end, at + (lead === "" ? 1 : 0))
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
    let level: Level | undefined
    for (let at = firstOf(TOKEN, text, from); at < end; at = firstOf(TOKEN, text, at)) {
      const token = text[at]
      if (token === "{" || token === "[") {
        if (level?.depth === DEPTH_MAX) level.deeper++
        else level = levelIn(level, token === "[", this.#root)
        at++
      } else if (token === '"') at = this.#string(at, end, level)
      else {
        at++
        if (level !== undefined && level.deeper > 0) level.deeper--
        else level = level?.above
        if (level === undefined) return at
      }
    }
    return end
  }

  /** A string is a name or a value. Gives where it ends. */
  #string(open: number, end: number, level: Level | undefined): number {
    const text = this.#text
    const close = Math.min(closeOf(text, open), end)
    if (level !== undefined && !level.isList && stickyAt(COLON, text, close + 1).length > 0) {
      level.name = close - open > NAME_CHARS_MAX ? "" : text.slice(open + 1, close)
      const [, number] = NUMBER_NAME.test(level.name) ? stickyAt(OWN_NUMBER, text, close + 1) : []
      if (number !== undefined && level.numbers.length < NUMBERS_CHARS_MAX) level.numbers += `${level.name}${number} `
    } else if (close > open + 1 && level !== undefined) {
      this.#add(placeIn(level), { start: open + 1, end: close, isPlain: false, level })
    }
    return close + 1
  }

  #add(place: Place, piece: Piece): void {
    place.pieces.push(piece)
    this.#places.add(place)
  }
}

function levelIn(above: Level | undefined, isList: boolean, root: Place): Level {
  const depth = (above?.depth ?? 0) + 1
  const place = above === undefined ? root : placeIn(above)
  return { place, isList, above, depth, deeper: 0, name: "", numbers: "" }
}

/** The elements of a list share its place. */
function placeIn({ place, isList, name }: Level): Place {
  return isList ? place : place.at(name)
}

/** The numbers on the way to a piece. */
function ownerOf(level: Level | undefined): string {
  let owner = ""
  for (let one = level; one !== undefined; one = one.above) if (one.numbers !== "") owner += `${one.numbers}/ `
  return owner
}

/** Where an expression is found first; the text's length where it is not. */
function firstOf(form: RegExp, text: string, from: number): number {
  form.lastIndex = from
  return form.exec(text)?.index ?? text.length
}
