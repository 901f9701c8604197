/**
 * OpenAI's edited Responses. Items keep their events: what an addon changes is changed in them and wherever the stream
 * says it again; their numbers and those of the events move where some come or go. As in message-edit.ts, an item's start
 * waits for something to stand in it, and its end where text was held back. What has no item gets one of its own.
 */

import { arrayOf, isObject, type JsonObject, objectOf } from "../../base/json.ts"
import { AnswerLimit } from "../answer-limit.ts"
import type { StreamEvent } from "../dialect.ts"
import type { Delta } from "../model.ts"
import { kindOf } from "../responses/correlate.ts"
import { OutputItem } from "../responses/items.ts"
import { deepCopy, deepEqual } from "../spans.ts"
import type { EditedStream, EventEditor } from "./event-editor.ts"
import { isPiece, otherThan, type Piece, pieceText, sameDelta, shareOut } from "./pieces.ts"
import { changedPiece, endOf, keyOf, newItem, restateOutput, setEnd, type Told } from "./response-end.ts"
import { ARGUMENTS, partOf, type Raw, TEXTS, Track, Tracks, textsOf } from "./response-track.ts"
import { ResponseWriter } from "./response-writer.ts"
import { Leftover, mayStandAlone } from "./waiting.ts"

const ENDS = new Set(["completed", "incomplete", "cancelled", "failed"].map((how) => `response.${how}`))
const REPEATS = new Set(["response.created", "response.queued", "response.in_progress", "error"])
const PARTS = /\.(?:content_part|reasoning_summary_part)\.(added|done)$/

export class ResponseEditor implements EventEditor {
  readonly #stream: EditedStream
  readonly #writer: ResponseWriter
  readonly #limit = new AnswerLimit()
  readonly #tracks = new Tracks()
  /** The item that is open where the stream leaves; one of our own. */
  #open: Track | undefined
  #own: { readonly item: OutputItem; readonly key: string } | undefined
  readonly #added: OutputItem[] = []
  #shift = 0
  #next = 0
  readonly #left: Leftover

  constructor(stream: EditedStream) {
    this.#stream = stream
    this.#writer = new ResponseWriter(stream)
    this.#left = new Leftover({
      keyOf,
      place: (piece, last) => this.#place(piece, last),
      isBusy: () => this.#isBusy(),
      write: (type, json) => this.#writer.write(this.#writer.emit(type, json)),
      note: (delta) => this.#writer.note(delta),
    })
  }

  edit(event: StreamEvent, made: readonly (readonly Delta[])[]): Buffer {
    const json = objectOf(event.json)
    const { told, before, behind } = shareOut(event.deltas, made)
    // Behind the response's end nothing of it can stand.
    this.#left.leave(event.done ? [...before, ...behind] : before)
    if (json === undefined) this.#writer.pass(event.raw)
    else this.#take(this.#writer.came(event.raw, json), event.deltas, told)
    this.#left.leave(event.done ? [] : behind)
    return this.#writer.take()
  }

  failed(event: StreamEvent): Buffer {
    return objectOf(event.json)?.response ? this.edit(event, []) : this.silent(event.raw)
  }

  silent(raw: Buffer): Buffer {
    for (const track of this.#tracks.all) if (!track.taken && !track.ended) this.#begin(track)
    this.#writer.pass(raw)
    return this.#writer.take()
  }

  close(): Buffer {
    this.#left.flush(false)
    if (this.#open?.ended) this.#endOpen()
    this.#writer.end(this.#left.take())
    return this.#writer.take()
  }

  /** It ended before the response did: what waits leaves, as far as it belongs to what came. */
  finish(): Buffer {
    for (const track of this.#tracks.all) if (!track.taken && !track.gone) this.#begin(track)
    this.#left.flush(false)
    this.#endOpen()
    return this.#writer.take()
  }

  #take(event: Raw, given: readonly Delta[], told: Told): void {
    const { json, type } = event
    const dot = type.lastIndexOf(".")
    const base = type.slice(0, dot)
    const text = TEXTS.get(base)?.[0]
    if (ENDS.has(type)) this.#end(event, given, told)
    else if (REPEATS.has(type) && isObject(json.response)) this.#repeat(event, deepCopy(json.response), [])
    else if (type === "response.output_item.added") this.#begun(event, given[0], told[0])
    else if (type === "response.output_item.done") this.#done(event, given, told)
    else if (text) {
      const track = this.#tracks.find(json, text === "reasoning" ? "reasoning" : "message")
      this.#piece(event, track, partOf(base, json), given[0], told[0])
    } else if (ARGUMENTS.has(base)) this.#piece(event, this.#tracks.find(json, "call"), "call", given[0], told[0])
    else if (PARTS.test(type)) this.#partEvent(event, type.endsWith("added"))
    else this.#other(event, given[0], told[0])
  }

  #begun(event: Raw, given: Delta | undefined, told: Delta | undefined): void {
    const kind = kindOf(objectOf(event.json.item))
    const track = this.#tracks.find(event.json, kind, "added")
    track.opening.push(event)
    // What is thought of encrypted says nothing until it ends, and clients show that it has begun.
    if (kind === "reasoning") this.#begin(track)
    if (given === undefined) return
    if (given.type === "other") {
      if (told === undefined) this.#drop(track)
      else this.#begin(track, otherThan(told, given))
      return
    }
    track.taken = told === undefined
    if (told === undefined) return
    track.nameAs(given, told)
    if (isPiece(given) && isPiece(told) && pieceText(given) + pieceText(told) !== "")
      track.tell("toolCall", "call", pieceText(given), pieceText(told))
    this.#begin(track)
  }

  #drop(track: Track): void {
    track.gone = true
    track.opening = []
    this.#shift--
  }

  /** A piece of a text, or a text whole. */
  #piece(event: Raw, track: Track, part: string, given: Delta | undefined, told: Delta | undefined): void {
    if (track.gone) return
    const isWhole = !event.type.endsWith(".delta")
    if (given !== undefined && isPiece(given)) {
      const left = told !== undefined && isPiece(told) ? pieceText(told) : ""
      track.tell(given.type, part, pieceText(given), this.#limit.hold(left))
      if (!isWhole) track.templates.set(given.type, event)
      track.taken ||= left === ""
      track.late ||= told === undefined || !sameDelta(told, given)
      if (told) track.nameAs(given, told)
      if (left === "" && !isWhole) return
      if (!isWhole) {
        this.#goOn(event, track, sameDelta(given, told ?? given) ? undefined : changedPiece(event.json, left))
        this.#sayLater(track)
        return
      }
      if (left !== "") this.#begin(track)
    }
    if (isWhole) this.#closing(event, track)
    else if (track.opening.length === 0 || !track.taken) this.#goOn(event, track)
  }

  #partEvent(event: Raw, added: boolean): void {
    const track = this.#tracks.withPart(event.json)
    if (track?.gone) return
    if (track !== undefined && !added) this.#closing(event, track)
    else if (track !== undefined && track.opening.length > 0) track.opening.push(this.#keep(event))
    else this.#goOn(event, track)
  }

  /** An event of an item that goes on: what says earlier texts of it whole leaves before. */
  #goOn(event: Raw, track: Track | undefined, changed?: JsonObject): void {
    if (track) this.#begin(track)
    if (track?.ended === false) this.#sayClosing(track)
    this.#say(event, track, changed)
  }

  /** What says a text whole waits where some of it was held back. */
  #closing(event: Raw, track: Track): void {
    if (track.isEmpty && track.opening.length === 0) return
    const waits = (track.taken || track.late) && (track.opening.length > 0 || this.#open === track)
    if (waits) track.closing.push(this.#keep(event))
    else {
      this.#begin(track)
      this.#say(event, track)
    }
  }

  #done(event: Raw, given: readonly Delta[], told: Told): void {
    const item = objectOf(event.json.item) ?? {}
    const kind = kindOf(item)
    const track = this.#tracks.find(event.json, kind, "done")
    if (track.gone) return
    const [first] = given
    if (first?.type === "other") {
      if (told[0] === undefined && kind !== "reasoning") {
        track.gone = true
        return
      }
      this.#begin(track)
      track.bare = told[0] === undefined
      this.#say(
        event,
        track,
        otherThan(told[0], first) ?? (track.bare ? { ...event.json, item: track.item(item) } : undefined),
      )
      this.#ended(track)
      return
    }
    this.#wholeTexts(track, item, given, told)
    if (track.isEmpty && track.opening.length === 0) this.#drop(track)
    else this.#closing(event, track)
    this.#ended(track)
  }

  /** Texts that an item tells only at its end. */
  #wholeTexts(track: Track, item: JsonObject, given: readonly Delta[], told: Told): void {
    const texts = textsOf(item).filter(({ part }) => !track.knows(part))
    for (const [at, delta] of given.entries()) {
      if (!isPiece(delta)) continue
      const after = told[at]
      const left = after !== undefined && isPiece(after) ? pieceText(after) : ""
      if (after) track.nameAs(delta, after)
      const [text] =
        delta.type === "toolCall"
          ? [{ part: "call", text: "" }]
          : texts.splice(0, delta.type === "reasoning" ? texts.length : 1)
      if (text) track.tell(delta.type, text.part, pieceText(delta), this.#limit.hold(left))
      track.taken ||= left === "" && pieceText(delta) !== ""
      if (left !== "") this.#begin(track)
    }
  }

  #ended(track: Track): void {
    track.ended = true
    if (track.opening.length > 0) {
      track.parked = true
      this.#shift--
    } else if (track.closing.length === 0) {
      if (this.#open === track) this.#open = undefined
    }
    this.#left.flush(false)
  }

  #other(event: Raw, given: Delta | undefined, told: Delta | undefined): void {
    const track = this.#tracks.named(event.json)
    if (track?.gone || (given !== undefined && told === undefined)) return
    if (track && track.opening.length > 0 && track.taken) {
      track.later.push(this.#keep(event))
      return
    }
    if (track) this.#begin(track)
    if (track !== this.#open && this.#open?.ended !== false) this.#endOpen()
    this.#goOn(event, track, otherThan(told, given))
  }

  #isBusy(): boolean {
    return this.#open !== undefined && !this.#open.ended
  }

  #place(piece: Piece, last: boolean): boolean {
    const key = keyOf(piece)
    const open = this.#open
    if (open?.key === key && open.templates.has(piece.type)) {
      this.#put(open, piece)
      return true
    }
    if (this.#isBusy()) return false
    const held = this.#tracks.all.find((track) => track.opening.length > 0 && !track.ended && track.key === key)
    if (held?.templates.has(piece.type)) {
      this.#put(held, piece)
      return true
    }
    const parked = this.#tracks.all.find((track) => track.parked && track.key === key)
    if (parked !== undefined) this.#revive(parked, piece)
    else if (this.#own?.key === key) this.#pieceOfOwn(piece)
    else if (mayStandAlone(piece, last)) this.#openOwn(piece, key)
    else return false
    return true
  }

  /** More of a text that has come, in an event like the one before. */
  #put(track: Track, piece: Piece): void {
    track.nameAs(undefined, piece)
    track.add(piece.type, pieceText(piece))
    const template = track.templates.get(piece.type)
    this.#begin(track)
    if (template)
      this.#writer.say(template, track.indexAt(this.#shift), changedPiece(template.json, pieceText(piece)), true)
    this.#sayLater(track)
  }

  /** An item from which all was taken gets something after all. */
  #revive(track: Track, piece: Piece): void {
    track.parked = false
    this.#shift++
    track.index = this.#next
    this.#put(track, piece)
  }

  #openOwn(piece: Piece, key: string): void {
    this.#endOpen()
    const index = this.#next++
    this.#shift++
    const item = new OutputItem(this.#writer.emit, index, newItem(piece, index, this.#stream.context))
    this.#added.push(item)
    this.#own = { item, key }
    this.#writer.write(item.begin())
    this.#pieceOfOwn(piece)
  }

  #pieceOfOwn(piece: Piece): void {
    const { item } = this.#own ?? {}
    if (item)
      this.#writer.write(piece.type === "toolCall" ? item.piece(piece.arguments) : item.text(piece.type, piece.text))
  }

  /** Lets the events go that open an item; whatever else is open ends before it. */
  #begin(track: Track, changed?: JsonObject): void {
    const opening = track.opening.splice(0)
    const [first, ...parts] = opening
    if (first === undefined) return
    this.#endOpen()
    track.index = track.indexAt(this.#shift) ?? this.#next
    this.#next = track.index + 1
    this.#open = track
    this.#say(first, track, changed)
    for (const event of parts) this.#say(event, track)
  }

  #sayLater(track: Track): void {
    for (const event of track.later.splice(0)) this.#say(event, track)
  }

  #endOpen(): void {
    const own = this.#own
    this.#own = undefined
    if (own) this.#writer.write(own.item.close())
    const open = this.#open
    if (open === undefined) return
    this.#sayClosing(open)
    if (open.ended) this.#open = undefined
  }

  #say(event: Raw, track: Track | undefined, changed?: JsonObject): void {
    if (track) track.begun = true
    this.#writer.say(event, track?.indexAt(this.#shift), changed ?? (track ?? new Track(undefined)).restated(event))
  }

  #sayClosing(track: Track): void {
    for (const event of track.closing.splice(0)) this.#say(event, track)
  }

  #end(event: Raw, given: readonly Delta[], told: Told): void {
    for (const track of this.#tracks.all) if (!track.taken && !track.gone) this.#begin(track)
    this.#left.flush(true)
    if (this.#open && this.#left.any) this.#open.ended = true
    this.#left.flush(true)
    this.#endOpen()
    const response = deepCopy(objectOf(event.json.response) ?? {})
    if (given.some((delta) => isPiece(delta) || delta.type === "other")) this.#tellWhole(response, given, told)
    setEnd(response, given, told, this.#left.owed)
    this.#left.owed = undefined
    this.#repeat(event, response, this.#added)
  }

  /** An event that says the response, with what of it has left and the items that were `added`. */
  #repeat(event: Raw, response: JsonObject, added: readonly OutputItem[]): void {
    restateOutput(response, this.#tracks, added, this.#shift)
    const isSame = deepEqual(response, objectOf(event.json.response))
    const type = ENDS.has(event.type) ? endOf(event.type, response) : event.type
    this.#writer.say(event, undefined, isSame ? undefined : { ...event.json, type, response })
  }

  /** Items that nothing but the end tells. */
  #tellWhole(response: JsonObject, given: readonly Delta[], told: Told): void {
    let from = 0
    for (const [at, value] of arrayOf(response.output).entries()) {
      const item = objectOf(value) ?? {}
      const kind = kindOf(item)
      const track = this.#tracks.find({ output_index: at, item }, kind)
      const count = kind === "message" ? textsOf(item).length : 1
      const [deltas, made] = [given.slice(from, from + count), told.slice(from, from + count)]
      from += count
      this.#wholeTexts(track, item, deltas, made)
      if (deltas.length === 0 || made.some((delta) => delta !== undefined)) continue
      if (track.ended) track.bare = kind === "reasoning"
      else track.gone = true
    }
  }

  #keep(event: Raw): Raw {
    this.#limit.hold(event.raw.toString("latin1"))
    return event
  }
}
