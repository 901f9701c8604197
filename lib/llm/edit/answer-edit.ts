/**
 * Edits a whole answer as a stream is edited, delta by delta, in the provider's own JSON: what a delta tells of is
 * changed or taken out where it stands, what has no place there is added beside it, everything else keeps its bytes.
 * Only an answer in a form that holds more than we find is written anew, and keeps its other members.
 */

import {
  arrayOf,
  isObject,
  type JsonObject,
  type JsonValue,
  numberOf,
  objectOf,
  parseJson,
  withoutBom,
} from "../../base/json.ts"
import { completionFrom, deltasOf } from "../assemble.ts"
import type { Dialect, EncodeContext } from "../dialect.ts"
import type { Completion, Delta } from "../model.ts"
import { saysSomething } from "../openai/read.ts"
import { kindOf } from "../responses/correlate.ts"
import { deepCopy, deepEqual } from "../spans.ts"
import { edited } from "./event-draft.ts"
import { type EditDelta, isPiece, keyOf, pieceText, sameDelta, shareOut, unchanged } from "./pieces.ts"
import { type Place, placesOf, requestWords } from "./places.ts"
import { restateText } from "./response-end.ts"
import { dropUntoldIn, holdsMore, Read } from "./untold.ts"

/** The edited bytes, `bytes` itself where nothing changed; undefined when `bytes` is no answer of `dialect`. */
export function editAnswer(
  dialect: Dialect,
  bytes: Buffer,
  context: EncodeContext,
  edit: EditDelta,
): Buffer | undefined {
  const text = bytes.toString("utf8")
  const source = withoutBom(text)
  const json = parseJson(source)
  const answer = json === undefined ? undefined : dialect.parseAnswer(json)
  if (json === undefined || answer === undefined) return undefined
  if (answer.completion === undefined) return withoutTexts(source, json, bytes)
  const { completion } = answer
  const told = deltasOf(completion)
  const copy = deepCopy(json)
  const read = new Read()
  const places = placesOf(dialect.name, copy, context, read)
  const inPlace = tells(places, told)
  const given = inPlace ? inOrder(places, told) : told
  const made = given.map((delta) => edit(delta))
  const isSame = unchanged(given, made)
  if (isSame && !inPlace && !holdsMore(json, told)) return bytes
  dropUntoldIn(copy, inPlace ? read : new Read())
  if (isObject(copy)) restateText(copy)
  if (isSame && inPlace && deepEqual(copy, json)) return bytes
  if (inPlace) {
    const left = placeAll(places, given, made)
    if (left.length > 0) addTo(copy, dialect.writeAnswer(completionFrom(left, headOf(completion)), context), left)
    if (isObject(copy)) restateText(copy)
    return Buffer.from(edited(source, json, copy))
  }
  const written = dialect.writeAnswer(completionFrom(made.flat(), headOf(completion)), context)
  // Who asked with a list of prompts reads a list.
  const merged = isObject(copy) && isObject(written) ? { ...copy, ...written } : [written].flat()
  return Buffer.from(edited(source, json, merged))
}

/** An error tells nothing: a response that has failed holds what it had said until then, others may do so elsewhere. */
function withoutTexts(source: string, json: JsonValue, bytes: Buffer): Buffer {
  if (!isObject(json)) return bytes
  const copy = deepCopy(json)
  if (Array.isArray(copy.output)) {
    copy.output = copy.output.filter((item) => kindOf(objectOf(item)) === "other")
    restateText(copy)
  }
  dropUntoldIn(copy, new Read().add(copy, "output", ...requestWords(copy)))
  return deepEqual(copy, json) ? bytes : Buffer.from(edited(source, json, copy))
}

function headOf({ id, model, created }: Completion): JsonObject {
  return { id: id ?? null, model: model ?? null, created: created ?? null }
}

/** Whether the places hold all that the answer says: an odd form may hold more. */
function tells(places: readonly Place[], told: readonly Delta[]): boolean {
  const all = new Map<string, string>()
  for (const delta of told) if (isPiece(delta)) all.set(keyOf(delta), pieceText(delta))
  for (const { delta } of places) {
    if (!isPiece(delta)) continue
    const key = keyOf(delta)
    const rest = all.get(key)
    if (!rest?.startsWith(pieceText(delta))) return false
    all.set(key, rest.slice(pieceText(delta).length))
  }
  return [...all.values()].every((rest) => rest === "")
}

/** The pieces of each choice, then its end. */
function inOrder(places: readonly Place[], told: readonly Delta[]): Delta[] {
  const pieces = places.map(({ delta }) => delta).filter(isPiece)
  const order: Delta[] = []
  for (const delta of told) {
    if (delta.type === "finish") order.push(...pieces.filter((piece) => piece.index === delta.index), delta)
    else if (!isPiece(delta)) order.push(delta)
  }
  return order
}

/** Puts what was made into its places, and returns what has none. */
function placeAll(places: readonly Place[], given: readonly Delta[], made: readonly (readonly Delta[])[]): Delta[] {
  const { told, before, behind } = shareOut(given, made)
  const left: Delta[] = []
  for (const [at, delta] of given.entries()) {
    const after = told[at]
    if (after !== undefined && sameDelta(after, delta)) continue
    const place = places.find((known) => known.delta === delta || (!isPiece(delta) && matches(known.delta, delta)))
    if (place !== undefined) place.set(after, delta)
    else if (after !== undefined) left.push(after)
  }
  const rest = [...before, ...left, ...behind].filter((delta) => delta.type !== "other")
  const counts = places.find((place) => place.delta.type === "usage")
  for (const delta of rest) if (delta.type === "usage") counts?.set(delta, counts.delta)
  return rest
}

function matches(place: Delta, delta: Delta): boolean {
  return keyOf(place) === keyOf(delta)
}

/** Adds what `written` says of `left` to the answer `copy`. */
function addTo(copy: JsonValue, written: JsonValue, left: readonly Delta[]): void {
  const answers = Array.isArray(copy) ? copy : [copy]
  const added = Array.isArray(written) ? written : [written]
  for (const more of added.filter(isObject)) {
    const answer = answers.filter(isObject).find((one) => isOfChoice(one, more))
    if (answer === undefined) answers.push(more)
    else addMembers(answer, more, left)
  }
}

function isOfChoice(one: JsonObject, added: JsonObject): boolean {
  return (numberOf(one.index) ?? 0) === (numberOf(added.index) ?? 0)
}

function addMembers(answer: JsonObject, more: JsonObject, left: readonly Delta[]): void {
  if (left.some(({ type }) => type === "usage") && more.usage !== undefined) answer.usage ??= more.usage
  for (const list of ["content", "output"]) {
    const present = answer[list]
    if (Array.isArray(present) && Array.isArray(more[list])) present.push(...arrayOf(more[list]))
  }
  addTexts(objectOf(answer.message) ?? answer, objectOf(more.message) ?? more)
  const choices = answer.choices
  if (!Array.isArray(choices)) return
  for (const added of arrayOf(more.choices).filter(isObject)) {
    const choice = choices.filter(isObject).find((one) => isOfChoice(one, added))
    if (choice === undefined) choices.push(added)
    else addToChoice(choice, added, left)
  }
}

/** A choice that says nothing may have no place for a text at all. */
function addToChoice(choice: JsonObject, added: JsonObject, left: readonly Delta[]): void {
  const message = objectOf(choice.delta) ?? objectOf(choice.message)
  if (message !== undefined) addTexts(message, objectOf(added.message) ?? { content: added.text })
  else if (choice.text !== undefined) addTexts(choice, added)
  else Object.assign(choice, { ...added, ...choice })
  if (left.some((delta) => delta.type === "finish" && delta.index === added.index))
    choice.finish_reason = added.finish_reason
}

/** Texts where there were none, and calls behind those that are there. */
function addTexts(holder: JsonObject, more: JsonObject): void {
  for (const name of ["reasoning_content", "thinking", "content", "response", "text", "refusal", "function_call"]) {
    const added = more[name]
    if (saysSomething(added) && !Array.isArray(added) && !saysSomething(holder[name])) holder[name] = added
  }
  if (!Array.isArray(more.tool_calls)) return
  holder.tool_calls = [...arrayOf(holder.tool_calls), ...more.tool_calls]
}
