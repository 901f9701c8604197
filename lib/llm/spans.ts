/**
 * Edits a JSON text without serialising again what did not change: finds the source ranges of the members and elements
 * that were edited and replaces only those. Prompt caches compare bytes, so a body written anew costs its user money.
 * Scanning and comparing use loops instead of recursion: a body of 100,000 brackets must not end the process.
 */
import { isObject, type JsonObject, type JsonValue, parseJson } from "../base/json.ts"

/** Changes deeper than this many levels are written by re-serialising the value at that level. */
export const EDIT_DEPTH_MAX = 32

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** A member of an object or an element of an array, in source positions. `[start, end)` includes the white space. */
export interface Span {
  /** Behind the bracket or comma before it. */
  readonly start: number
  /** The member's name; "" for an element. */
  readonly key: string
  /** Of the name, or of the value where there is no name. */
  readonly bodyStart: number
  readonly valueStart: number
  readonly valueEnd: number
  /** At the comma or bracket behind it. */
  readonly end: number
}

/**
 * `source` with the changes from `original` (what `source` parses to) to `current`. Unchanged members and elements keep
 * their text; new ones are appended or inserted, removed ones cut. A value whose text is not found is written anew.
 * Throws a RangeError only if a changed value nests too deeply for JSON.stringify.
 */
export function editJson(source: string, original: JsonObject, current: JsonObject): string {
  const start = skipSpace(source, 0)
  const end = skipValue(source, start)
  const edited = editValue({ source, start, end, depth: 0 }, original, current)
  return source.slice(0, start) + edited + source.slice(end)
}

/** The members of the object that begins at `start`; undefined when there is no object. */
export function memberSpans(source: string, start: number): Span[] | undefined {
  return spansOf(source, start, OPEN_BRACE, CLOSE_BRACE)
}

/** The elements of the array that begins at `start`; undefined when there is no array. */
export function elementSpans(source: string, start: number): Span[] | undefined {
  return spansOf(source, start, OPEN_BRACKET, CLOSE_BRACKET)
}

interface Place {
  readonly source: string
  readonly start: number
  readonly end: number
  readonly depth: number
}

/** Undefined where JSON has no text for `current` (a function that an addon put there). */
function editValue(place: Place, original: JsonValue | undefined, current: JsonValue): string | undefined {
  if (deepEqual(original, current)) return place.source.slice(place.start, place.end)
  let edited: string | undefined
  if (place.depth < EDIT_DEPTH_MAX) {
    if (isObject(original) && isObject(current)) edited = editMembers(place, original, current)
    else if (Array.isArray(original) && Array.isArray(current)) edited = editElements(place, original, current)
  }
  return edited ?? jsonText(current)
}

/** A piece of the new text. Joined by commas; what stands before the closing bracket stays there. */
interface Piece {
  readonly lead: string
  readonly body: string
  readonly trail: string
}

function editMembers(place: Place, original: JsonObject, current: JsonObject): string | undefined {
  const { source } = place
  const spans = memberSpans(source, place.start)
  if (!spans) return undefined
  const last = new Map(spans.map((span) => [span.key, span]))
  const pieces: Piece[] = []
  for (const span of spans) {
    const before = ownValue(original, span.key)
    const value = ownValue(current, span.key)
    const kept = deepEqual(before, value)
    // Of a repeated name the last one counts. Once it changes, the stale ones go: some readers take the first.
    if (value === undefined || (!kept && last.get(span.key) !== span)) continue
    const text = kept ? valueText(source, span) : editAt(place, span, before, value)
    if (text !== undefined) pieces.push(pieceOf(source, spans, span, text))
  }
  for (const [key, value] of Object.entries(current)) {
    const text = last.has(key) ? undefined : jsonText(value)
    if (text !== undefined)
      pieces.push(newPiece(source, spans, `${JSON.stringify(key)}${separator(source, spans)}${text}`))
  }
  return `{${joined(pieces)}${closing(source, spans)}}`
}

function editElements(place: Place, original: JsonValue[], current: JsonValue[]): string | undefined {
  const { source } = place
  const spans = elementSpans(source, place.start)
  if (spans?.length !== original.length) return undefined
  const { head, tail } = sameEnds(original, current)
  const kept = (span: Span): Piece => pieceOf(source, spans, span, valueText(source, span))
  const removed = spans.slice(head, spans.length - tail)
  const inserted = current.slice(head, current.length - tail)
  const sameCount = removed.length === inserted.length
  const moved = sameCount || inserted.length === 0 ? new Map<string, Span>() : byText(removed, original.slice(head))
  const middle = inserted.map((value, at): Piece => {
    const span = sameCount ? removed[at] : undefined
    if (span) return pieceOf(source, spans, span, editAt(place, span, original[head + at], value) ?? "null")
    const text = jsonText(value) ?? "null"
    const known = moved.get(text)
    return known ? kept(known) : newPiece(source, spans, text)
  })
  const pieces = [...spans.slice(0, head).map(kept), ...middle, ...spans.slice(spans.length - tail).map(kept)]
  return `[${joined(pieces)}${closing(source, spans)}]`
}

/** Where the text of each value stands in the source, so that an element keeps its text when others around it go. */
function byText(spans: readonly Span[], values: readonly JsonValue[]): Map<string, Span> {
  return new Map(spans.map((span, at) => [JSON.stringify(values[at]), span]))
}

/** How many elements are equal at the head, and behind that at the tail. */
function sameEnds(original: JsonValue[], current: JsonValue[]): { head: number; tail: number } {
  const shorter = Math.min(original.length, current.length)
  let head = 0
  while (head < shorter && deepEqual(original[head], current[head])) head++
  let tail = 0
  while (tail < shorter - head && deepEqual(original.at(-1 - tail), current.at(-1 - tail))) tail++
  return { head, tail }
}

function editAt(place: Place, span: Span, before: JsonValue | undefined, value: JsonValue): string | undefined {
  const inner = { source: place.source, start: span.valueStart, end: span.valueEnd, depth: place.depth + 1 }
  return editValue(inner, before, value)
}

/** A member or element of the source, its value's text replaced by `text`. */
function pieceOf(source: string, spans: readonly Span[], span: Span, text: string): Piece {
  const lead = source.slice(span.start, span.bodyStart)
  const trail = span === spans.at(-1) ? "" : source.slice(span.valueEnd, span.end)
  return { lead, body: source.slice(span.bodyStart, span.valueStart) + text, trail }
}

/** A piece that stands as the source's last one does: on a line of its own, if that does. */
function newPiece(source: string, spans: readonly Span[], body: string): Piece {
  const last = spans.at(-1)
  return { lead: last ? source.slice(last.start, last.bodyStart) : "", body, trail: "" }
}

function closing(source: string, spans: readonly Span[]): string {
  const last = spans.at(-1)
  return last ? source.slice(last.valueEnd, last.end) : ""
}

/** What stands between a name and its value in the last member: ":" or ": ". */
function separator(source: string, spans: readonly Span[]): string {
  const last = spans.at(-1)
  return last ? source.slice(skipString(source, last.bodyStart), last.valueStart) : ":"
}

function joined(pieces: readonly Piece[]): string {
  return pieces.map(({ lead, body, trail }) => lead + body + trail).join(",")
}

function valueText(source: string, span: Span): string {
  return source.slice(span.valueStart, span.valueEnd)
}

/** `__proto__` may be a member of JSON; reading it from an object without it would give the prototype. */
function ownValue(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

function jsonText(value: JsonValue | undefined): string | undefined {
  return JSON.stringify(value) as string | undefined
}

function spansOf(source: string, start: number, open: number, close: number): Span[] | undefined {
  if (source.charCodeAt(start) !== open) return undefined
  const spans: Span[] = []
  if (source.charCodeAt(skipSpace(source, start + 1)) === close) return spans
  // Ends at the end of the text at the latest: nothing stands behind it.
  for (let at = start + 1; ; ) {
    const bodyStart = skipSpace(source, at)
    const named = open === OPEN_BRACE ? skipName(source, bodyStart) : { key: "", valueStart: bodyStart }
    if (!named) return undefined
    const valueEnd = skipValue(source, named.valueStart)
    const end = skipSpace(source, valueEnd)
    spans.push({ start: at, ...named, bodyStart, valueEnd, end })
    const code = source.charCodeAt(end)
    if (code === close) return spans
    if (code !== COMMA) return undefined
    at = end + 1
  }
}

/** The name of the member that begins at `start`, escapes undone, and where its value begins. */
function skipName(source: string, start: number): { key: string; valueStart: number } | undefined {
  const end = skipString(source, start)
  const key = parseJson(source.slice(start, end))
  const colon = skipSpace(source, end)
  if (typeof key !== "string" || source.charCodeAt(colon) !== COLON) return undefined
  return { key, valueStart: skipSpace(source, colon + 1) }
}

function skipSpace(source: string, start: number): number {
  let at = start
  for (let code = source.charCodeAt(at); code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; ) {
    code = source.charCodeAt(++at)
  }
  return at
}

/** Behind the string that begins at `start`. */
function skipString(source: string, start: number): number {
  for (let at = source.indexOf('"', start + 1); at !== -1; at = source.indexOf('"', at + 1)) {
    let backslashes = 0
    while (source.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return at + 1
  }
  return source.length
}

/** Behind the value that begins at `start`. */
function skipValue(source: string, start: number): number {
  const first = source.charCodeAt(start)
  if (first === QUOTE) return skipString(source, start)
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return skipNested(source, start)
  let at = start
  while (!isDelimiter(source.charCodeAt(at))) at++
  return at
}

function skipNested(source: string, start: number): number {
  let depth = 0
  let at = start
  do {
    const code = source.charCodeAt(at)
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--
    at = code === QUOTE ? skipString(source, at) : at + 1
  } while (depth > 0 && at < source.length)
  return at
}

/** Behind the end of the text `code` is NaN. */
function isDelimiter(code: number): boolean {
  return code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || !(code > 0x20)
}

/** Whether the brackets of a JSON text nest more than `max` deep. */
export function isDeeperThan(source: string, max: number): boolean {
  let depth = 0
  for (let at = 0; at < source.length; at++) {
    const code = source.charCodeAt(at)
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--
    else if (code === QUOTE) at = skipString(source, at) - 1
    if (depth > max) return true
  }
  return false
}

/** Equal as JSON: the order of members does not count, a member that is undefined is none. */
export function deepEqual(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  const pairs: (JsonValue | undefined)[] = [a, b]
  while (pairs.length > 0) {
    const right = pairs.pop()
    const left = pairs.pop()
    if (left === right) continue
    if (Array.isArray(left) && Array.isArray(right)) {
      if (left.length !== right.length) return false
      for (let at = 0; at < left.length; at++) pairs.push(left[at], right[at])
    } else if (!isObject(left) || !isObject(right) || !pushMembers(pairs, left, right)) {
      return false
    }
  }
  return true
}

/** Pushes the values of both, name by name; false when the names differ. */
function pushMembers(pairs: (JsonValue | undefined)[], left: JsonObject, right: JsonObject): boolean {
  let extra = 0
  for (const key of Object.keys(right)) if (right[key] !== undefined) extra++
  for (const key of Object.keys(left)) {
    if (left[key] === undefined) continue
    const value = ownValue(right, key)
    if (value === undefined) return false
    extra--
    pairs.push(left[key], value)
  }
  return extra === 0
}

/** A copy that shares no object with `value`. */
export function deepCopy<T extends JsonValue>(value: T): T {
  const root: { value: JsonValue } = { value }
  const todo: (JsonValue[] | JsonObject)[] = [root]
  for (let parent = todo.pop(); parent; parent = todo.pop()) {
    for (const [key, child] of Object.entries(parent)) {
      if (typeof child !== "object" || child === null) continue
      const copy = Array.isArray(child) ? [...child] : { ...child }
      // Assigning to `__proto__` would set the prototype.
      Object.defineProperty(parent, key, { value: copy, writable: true, enumerable: true, configurable: true })
      todo.push(copy)
    }
  }
  return root.value as T
}
