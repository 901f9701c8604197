/**
 * Edited streams whose events stand for themselves: chunks of OpenAI's two older dialects, Ollama's lines, llama.cpp's
 * objects. What changed is changed in its event; what was added is written by the dialect's encoder, in events of its
 * own; an event from which all was taken is gone, unless it says something else.
 */

import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { AnswerLimit } from "../answer-limit.ts"
import type { Dialect, EncodeContext, StreamEncoder, StreamEvent } from "../dialect.ts"
import { type Delta, NO_USAGE, type Usage } from "../model.ts"
import { saysSomething } from "../openai/read.ts"
import { deepEqual } from "../spans.ts"
import { mergeUsage } from "../usage.ts"
import { EventDraft } from "./event-draft.ts"
import type { EditedStream, EventEditor } from "./event-editor.ts"
import { type CallDelta, isPiece, keyOf, pieceText, sameDelta, shareOut, unchanged } from "./pieces.ts"
import { type Place, placesOf } from "./places.ts"
import { dropUntoldIn, holdsMore, Read } from "./untold.ts"
import { moveUsage } from "./usage-edit.ts"

/** What every event says, and what says nothing without a text. */
const FRAME = new Set([
  "id",
  "object",
  "created",
  "created_at",
  "model",
  "remote_model",
  "remote_host",
  "provider",
  "system_fingerprint",
  "service_tier",
  "obfuscation",
  "index",
  "role",
  "id_slot",
  "tokens_predicted",
  "tokens_evaluated",
])

/** What an addon has made of a call, as later events of it have to say it. */
interface Call {
  /** Its number among those that leave. */
  readonly number: number
  /** Its name as it came and as it leaves, for servers that repeat it. */
  readonly names: { from: string; to: string }
}

export class ChunkEditor implements EventEditor {
  readonly finds = true
  readonly #leave: EditedStream["write"]
  readonly #dialect: Dialect
  readonly #context: EncodeContext
  readonly #encoder: StreamEncoder
  /** Calls of which something has left. */
  readonly #calls = new Map<string, Call>()
  /** How many, by choice. */
  readonly #counts = new Map<number, number>()
  /** Choices of which something has left: the first chunk of one tells the role. */
  readonly #opened = new Set<number>()
  /** All text of choices that say it again in every event: as it came, and as it left. */
  readonly #said = new Map<number, { readonly came: string; readonly left: string }>()
  readonly #limit = new AnswerLimit()
  /** A usage that had no place in its event. */
  #owed: Usage | undefined

  constructor({ dialect, context, write }: EditedStream) {
    this.#leave = write
    this.#dialect = dialect
    this.#context = context
    this.#encoder = dialect.encoder(context)
  }

  edit(event: StreamEvent, made: readonly (readonly Delta[])[]): Buffer {
    // Calls are numbered in the order in which they leave.
    for (const delta of made.flat()) if (delta.type === "toolCall") this.#callOf(delta)
    const same = unchanged(event.deltas, made)
    const stays = same && !event.deltas.some((delta) => this.#differs(delta)) && !(event.done && this.#owed)
    if (stays && !isSeveral(event.raw) && !holdsMore(event.json, event.deltas)) return this.#asItCame(event)
    if (event.json === undefined && event.done) return this.finish()
    const draft = EventDraft.of(event.raw)
    const read = new Read()
    const places = draft.documents.flatMap(({ value }) => placesOf(this.#dialect.name, value, this.#context, read))
    const own = paired(places, event.deltas)
    for (const { value } of draft.documents) this.#sayAgain(value, event.deltas, made.flat(), read)
    const others = event.deltas.flatMap((delta) => (delta.type === "other" ? [delta.raw] : []))
    for (const { json, value } of draft.documents)
      if (!others.some((raw) => deepEqual(raw, json))) dropUntoldIn(value, own ? read : new Read())
    const [first] = draft.documents
    if (!own || first === undefined) return this.#anew(first?.value, made.flat())
    if (!stays) return this.#inPlace(event, draft, own, made)
    return this.#asItCame({ ...event, raw: draft.bytes(), json: draft.documents[0]?.value })
  }

  #asItCame({ raw, deltas, json }: StreamEvent): Buffer {
    for (const delta of deltas) if (delta.type === "toolCall") this.#named(delta, delta)
    this.#adopt(json, true)
    return raw
  }

  /** Some servers say beside each piece all that has been said until then. */
  #sayAgain(json: JsonValue, given: readonly Delta[], made: readonly Delta[], read: Read): void {
    for (const choice of arrayOf(objectOf(json)?.choices).filter(isObject)) {
      const message = objectOf(choice.message)
      if (!message || !isObject(choice.delta) || typeof message.content !== "string") continue
      const index = numberOf(choice.index) ?? 0
      const { came, left } = this.#said.get(index) ?? { came: "", left: "" }
      const said = { came: came + this.#limit.hold(textIn(given, index)), left: left + textIn(made, index) }
      this.#said.delete(index)
      if (message.content !== said.came) continue
      this.#said.set(index, said)
      message.content = said.left
      read.add(message, "content")
    }
  }

  close(): Buffer {
    this.#owed = undefined
    return this.#leave(this.#encoder.end())
  }

  finish(): Buffer {
    return this.#owed === undefined ? Buffer.alloc(0) : this.close()
  }

  #inPlace(
    event: StreamEvent,
    draft: EventDraft,
    places: readonly (Place | undefined)[],
    made: readonly (readonly Delta[])[],
  ): Buffer {
    const { deltas } = event
    const { told, before, behind } = shareOut(deltas, made)
    for (const [at, delta] of deltas.entries()) {
      const after = told[at]
      const place = places[at]
      if (after?.type === "other" && !sameDelta(after, delta)) this.#replaceOther(draft, after.raw)
      else if (after === undefined || !sameDelta(after, delta)) place?.set(after, delta)
      if (after?.type === "toolCall" && delta.type === "toolCall") this.#head(place, delta, after)
    }
    const isGone = told.every((delta) => delta === undefined) && !draft.documents.some(({ value }) => this.#says(value))
    const ends = event.done || deltas.some(({ type }) => type === "finish")
    if (event.done) this.#placeOwed(draft)
    const first = ends ? [...before, ...behind] : before
    for (const { value } of draft.documents) this.#adopt(value, false)
    let text = this.#written(first)
    if (ends && this.#dialect.name === "ollama") text += this.#flush(told)
    const main = isGone ? Buffer.alloc(0) : draft.bytes()
    if (!isGone) for (const { value } of draft.documents) this.#adopt(value, true)
    return Buffer.concat([this.#leave(text), main, this.#leave(ends ? "" : this.#written(behind))])
  }

  /** Written anew: the JSON holds what is told in a form that we do not find. */
  #anew(json: JsonValue | undefined, deltas: readonly Delta[]): Buffer {
    this.#adopt(json, false)
    return this.#leave(this.#written(deltas))
  }

  #written(deltas: readonly Delta[]): string {
    return deltas.map((delta) => this.#write(delta)).join("")
  }

  #write(delta: Delta): string {
    if (delta.type === "usage") this.#owed = mergeUsage(this.#owed, delta.usage)
    if (delta.type === "usage" && this.#dialect.name !== "openai-chat" && this.#dialect.name !== "openai-completions")
      return ""
    if ("index" in delta) this.#opened.add(delta.index)
    if (delta.type !== "toolCall") return this.#encoder.delta(delta)
    return this.#encoder.delta({ ...delta, call: this.#callOf(delta).number })
  }

  /** A call of Ollama's leaves in one piece: what is not whole at the end leaves as it is. */
  #flush(told: readonly (Delta | undefined)[]): string {
    const finish = told.find((delta) => delta?.type === "finish")
    return finish === undefined ? "" : this.#encoder.delta(finish)
  }

  /** A usage that had no place stands in the last event, where that has one. */
  #placeOwed(draft: EventDraft): void {
    const { name } = this.#dialect
    const last = draft.documents.at(-1)?.value
    if (this.#owed === undefined || !isObject(last) || (name !== "ollama" && name !== "llamacpp")) return
    moveUsage(name, last, { ...NO_USAGE }, this.#owed)
    this.#owed = undefined
  }

  #replaceOther(draft: EventDraft, raw: JsonValue): void {
    const [document] = draft.documents
    if (document === undefined) return
    const before = objectOf(document.value)
    document.value = isObject(raw) && before ? { ...before, ...raw } : raw
  }

  /** Whether an event of this call does not leave as it came, although nobody changed it. */
  #differs(delta: Delta): boolean {
    if (delta.type !== "toolCall") return false
    const { number, names } = this.#callOf(delta)
    return number !== delta.call || names.from !== names.to
  }

  #callOf(delta: CallDelta): Call {
    const key = keyOf(delta)
    const known = this.#calls.get(key)
    if (known !== undefined) return known
    const number = this.#counts.get(delta.index) ?? 0
    this.#counts.set(delta.index, number + 1)
    const call = { number, names: { from: "", to: "" } }
    this.#calls.set(key, call)
    return call
  }

  #head(place: Place | undefined, before: CallDelta, after: CallDelta): void {
    const { number, names } = this.#callOf(after)
    this.#named(before, after)
    if (place?.call === undefined) return
    const { entry, inner } = place.call
    // Some say the name with every piece.
    if (before.name === undefined && names.from !== names.to && inner.name === names.from) inner.name = names.to
    // A server whose numbers are not those of its calls keeps them.
    for (const holder of new Set([entry, inner])) if (holder.index === before.call) holder.index = number
  }

  #named(before: CallDelta, after: CallDelta): void {
    const { names } = this.#callOf(after)
    names.from += before.name ?? ""
    names.to += after.name ?? ""
  }

  #adopt(json: JsonValue | undefined, sent: boolean): void {
    this.#encoder.adopt(json, sent)
    if (!sent) return
    for (const choice of arrayOf(objectOf(json)?.choices)) this.#opened.add(numberOf(objectOf(choice)?.index) ?? 0)
  }

  /** Whether an event from which all texts and calls were taken still says something. */
  #says(json: JsonValue): boolean {
    if (!isObject(json)) return false
    const choices = arrayOf(json.choices).filter(isObject)
    const isFirst = choices.some((choice) => {
      const role = stringOf((objectOf(choice.delta) ?? objectOf(choice.message))?.role)
      return role !== undefined && !this.#opened.has(numberOf(choice.index) ?? 0)
    })
    if (isFirst || json.done === true || json.stop === true) return true
    return saysMore({ ...json, choices: undefined }) || choices.some(saysMore)
  }
}

function textIn(deltas: readonly Delta[], index: number): string {
  return deltas.map((delta) => (delta.type === "text" && delta.index === index ? delta.text : "")).join("")
}

/** Whether an event may hold several documents, or one over several lines. */
function isSeveral(raw: Buffer): boolean {
  return raw.includes("\ndata") || raw.includes("\rdata")
}

/** Whether there is anything but what every event has. */
function saysMore(json: JsonObject): boolean {
  return Object.entries(json).some(([name, value]) => {
    if (FRAME.has(name) || value === false) return false
    if (name === "delta" || name === "message") return isObject(value) && saysMore(value)
    if (name === "logprobs" || name === "content") return Array.isArray(value) && value.some(hasText)
    return saysSomething(value)
  })
}

/** A part of a list that holds more than an empty text. */
function hasText(part: JsonValue): boolean {
  const { type: _, text, thinking, summary, ...more } = objectOf(part) ?? {}
  return (
    saysSomething(text) ||
    arrayOf(thinking).some(hasText) ||
    arrayOf(summary).some(hasText) ||
    Object.values(more).some(saysSomething)
  )
}

/** The place of each delta; undefined where the JSON tells something else than the deltas do. */
function paired(places: readonly Place[], deltas: readonly Delta[]): (Place | undefined)[] | undefined {
  const found: (Place | undefined)[] = []
  let at = 0
  for (const delta of deltas) {
    while (places[at] !== undefined && !tells(places[at], delta) && !isPieceAt(places[at])) at++
    const place = places[at]
    if (place !== undefined && tells(place, delta)) at++
    else if (isPiece(delta)) return undefined
    found.push(place !== undefined && tells(place, delta) ? place : undefined)
  }
  return places.slice(at).some(isPieceAt) ? undefined : found
}

function isPieceAt(place: Place | undefined): boolean {
  return place !== undefined && isPiece(place.delta)
}

function tells(place: Place | undefined, delta: Delta): boolean {
  if (place === undefined || place.delta.type !== delta.type) return false
  if ("index" in delta && "index" in place.delta && delta.index !== place.delta.index) return false
  return !isPiece(delta) || !isPiece(place.delta) || pieceText(delta) === pieceText(place.delta)
}
