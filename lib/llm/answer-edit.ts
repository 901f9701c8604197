/**
 * Edits a whole answer as a stream is edited, delta by delta, in the provider's own JSON: what a delta tells of is
 * replaced where it stands, everything else keeps its bytes. Where an edit has no place there (a text where there was
 * none, another reason to stop), the members that hold the answer are written anew and the others stay.
 */

import { type AnswerPlace, placesOf } from "./answer-places.ts"
import { completionFrom, deltasOf } from "./assemble.ts"
import type { Dialect, EncodeContext } from "./dialect.ts"
import { isObject, type JsonObject, type JsonValue, parseJson } from "./json.ts"
import type { Completion, Delta } from "./model.ts"
import { deepCopy, deepEqual, editJson } from "./spans.ts"

/** What an addon makes of a delta. */
export type EditDelta = (delta: Delta) => readonly Delta[]

const BOM = "\uFEFF"
/** An answer may be a list (llama.cpp); only objects are edited. */
const WRAP = '{"_":'

/** The edited bytes, `bytes` itself where nothing changed; undefined when `bytes` is no answer of `dialect`. */
export function editAnswer(
  dialect: Dialect,
  bytes: Buffer,
  context: EncodeContext,
  edit: EditDelta,
): Buffer | undefined {
  const text = bytes.toString("utf8")
  const source = text.startsWith(BOM) ? text.slice(1) : text
  const json = parseJson(source)
  const answer = json === undefined ? undefined : dialect.parseAnswer(json)
  if (json === undefined || answer === undefined) return undefined
  if (answer.completion === undefined) return bytes
  const told = deltasOf(answer.completion)
  const copy = deepCopy(json)
  const places = placesOf(dialect.name, copy)
  const inPlace = tells(places, told)
  const given = inPlace ? inOrder(places, told) : told
  const made = given.map((delta) => edit(delta))
  if (made.every((deltas, at) => deltas.length === 1 && deltas[0] === given[at])) return bytes
  if (inPlace && placeAll(places, given, made)) return Buffer.from(edited(source, json, copy))
  const { id = null, model = null, created = null } = answer.completion
  const completion: Completion = completionFrom(made.flat(), { id, model, created })
  const written = dialect.writeAnswer(completion, context)
  const merged = isObject(json) && isObject(written) ? { ...json, ...written } : written
  return Buffer.from(edited(source, json, merged))
}

function edited(source: string, json: JsonValue, current: JsonValue): string {
  return editJson(`${WRAP}${source}}`, { _: json }, { _: current }).slice(WRAP.length, -1)
}

/** Whether the places hold all that the answer says: an odd form may hold more. */
function tells(places: readonly AnswerPlace[], told: readonly Delta[]): boolean {
  const all = new Map<string, string>()
  for (const delta of told) if (isPiece(delta)) all.set(keyOf(delta), textOf(delta))
  for (const { delta } of places) {
    const key = keyOf(delta)
    const rest = all.get(key)
    if (!rest?.startsWith(textOf(delta))) return false
    all.set(key, rest.slice(textOf(delta).length))
  }
  return [...all.values()].every((rest) => rest === "")
}

/** The pieces of each choice, then its end. */
function inOrder(places: readonly AnswerPlace[], told: readonly Delta[]): Delta[] {
  const pieces = places.map(({ delta }) => delta)
  const order: Delta[] = []
  for (const delta of told) {
    if (delta.type === "finish") order.push(...pieces.filter((piece) => piece.index === delta.index), delta)
    else if (!isPiece(delta)) order.push(delta)
  }
  return order
}

/** Puts what was made into its places. False where something has none. */
function placeAll(
  places: readonly AnswerPlace[],
  given: readonly Delta[],
  made: readonly (readonly Delta[])[],
): boolean {
  const texts = new Map<AnswerPlace, string>()
  const byDelta = new Map<Delta, AnswerPlace>(places.map((place) => [place.delta, place]))
  for (const [at, deltas] of made.entries()) {
    const before = given[at]
    const place = before === undefined ? undefined : byDelta.get(before)
    if (place !== undefined) texts.set(place, texts.get(place) ?? "")
    // What neither moved nor changed is where it was; a call, an end or a count that is gone has to be taken out.
    if (before !== undefined && deltas.length === 0 && !isText(before)) return false
    for (const delta of deltas) {
      if (isPiece(delta)) {
        const own = place !== undefined && keyOf(place.delta) === keyOf(delta) ? place : lastOf(texts, delta)
        if (own === undefined || !keepsHead(own.delta, delta)) return false
        texts.set(own, (texts.get(own) ?? "") + textOf(delta))
      } else if (before === undefined || !deepEqual(asJson(before), asJson(delta))) return false
    }
  }
  for (const [place, text] of texts) if (text !== textOf(place.delta)) place.set(text)
  return true
}

type Piece = AnswerPlace["delta"]

function lastOf(texts: ReadonlyMap<AnswerPlace, string>, delta: Piece): AnswerPlace | undefined {
  return [...texts.keys()].findLast((place) => keyOf(place.delta) === keyOf(delta))
}

/** Whether a call keeps its name and id, which have no place of their own here. */
function keepsHead(before: Piece, after: Piece): boolean {
  if (before.type !== "toolCall" || after.type !== "toolCall") return true
  return (after.name ?? before.name) === before.name && (after.id ?? before.id) === before.id
}

function isPiece(delta: Delta): delta is Piece {
  return isText(delta) || delta.type === "toolCall"
}

function isText(delta: Delta): delta is Extract<Delta, { text: string }> {
  return delta.type === "text" || delta.type === "reasoning" || delta.type === "refusal"
}

function keyOf(delta: Piece): string {
  return `${delta.type} ${delta.index} ${delta.type === "toolCall" ? delta.call : ""}`
}

function textOf(delta: Piece): string {
  return delta.type === "toolCall" ? delta.arguments : delta.text
}

function asJson(delta: Delta): JsonObject | undefined {
  const json = parseJson(JSON.stringify(delta))
  return isObject(json) ? json : undefined
}
