/**
 * Anthropic's edited streams. Blocks keep their events: what an addon changes is changed in them, and their numbers move
 * where blocks come or go. A block's start waits for something to stand in it, so that a block from which all was taken
 * is gone; its stop waits where text was held back, so that what comes late still goes into it. What has no block gets
 * one of its own, as soon as no other is open.
 */

import { type JsonObject, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { AnswerLimit } from "../answer-limit.ts"
import { withCounts } from "../anthropic/read.ts"
import { stopWord } from "../anthropic/words.ts"
import type { StreamEncoder, StreamEvent } from "../dialect.ts"
import { namedEvent } from "../framing/sse-json.ts"
import { type Delta, NO_USAGE, type Usage } from "../model.ts"
import { mergeUsage } from "../usage.ts"
import { EventDraft } from "./event-draft.ts"
import type { EditedStream, EventEditor } from "./event-editor.ts"
import { Block, changedStart, deltaOf, emptyBlock, keyOf, keyOfPart, type Raw, withUsage } from "./message-blocks.ts"
import { isPiece, otherThan, type Piece, pieceText, sameDelta, shareOut } from "./pieces.ts"
import { moveUsage } from "./usage-edit.ts"
import { Leftover, mayStandAlone } from "./waiting.ts"

export class MessageEditor implements EventEditor {
  readonly #stream: EditedStream
  readonly #encoder: StreamEncoder
  readonly #limit = new AnswerLimit()
  readonly #blocks = new Map<number, Block>()
  /** Ended blocks from which all was taken: what comes late may bring one back. */
  #parked: Block[] = []
  /** The block that is open where the stream leaves. */
  #open: Block | undefined
  /** A block of our own that is open. */
  #own: { readonly index: number; readonly key: string } | undefined
  /** Something has left: the message's own start, before which nothing can stand. */
  #hasBegun = false
  /** By how much the numbers of blocks differ, and the next free one. */
  #shift = 0
  #next = 0
  /** Calls by their number: which block is theirs. */
  #calls = 0
  /** Whether one leaves. */
  #called = false
  readonly #left: Leftover
  #counts: JsonObject = {}
  #told: Usage = NO_USAGE
  #out: Buffer[] = []

  constructor(stream: EditedStream) {
    this.#stream = stream
    this.#encoder = stream.dialect.encoder(stream.context)
    this.#left = new Leftover({
      keyOf,
      place: (piece, last) => this.#place(piece, last),
      isBusy: () => this.#isBusy(),
      write: (type, json) => this.#write(type, json),
      note: (delta) => this.#encoder.delta(delta),
    })
  }

  edit(event: StreamEvent, made: readonly (readonly Delta[])[]): Buffer {
    const json = objectOf(event.json)
    this.#called ||= made.some((deltas) => deltas.some(({ type }) => type === "toolCall"))
    const { told, before, behind } = shareOut(event.deltas, made)
    const type = stringOf(json?.type) ?? EventDraft.of(event.raw).name
    // Behind the message's end nothing of it can stand.
    const ends = type === "message_delta" || type === "message_stop"
    this.#left.leave(ends ? [...before, ...behind] : before)
    if (json === undefined) this.#out.push(event.raw)
    else this.#take({ raw: event.raw, json }, type, event.deltas, told)
    this.#hasBegun = true
    this.#left.leave(ends ? [] : behind)
    return this.#taken()
  }

  silent(raw: Buffer): Buffer {
    for (const block of this.#blocks.values()) if (!block.taken) this.#begin(block)
    this.#out.push(raw)
    return this.#taken()
  }

  close(): Buffer {
    this.#settle(true)
    this.#out.push(this.#stream.write(this.#encoder.end()))
    return this.#taken()
  }

  /** It ended before the message did: what waits leaves, as far as it belongs to what came. */
  finish(): Buffer {
    for (const block of this.#blocks.values()) if (!block.taken) this.#begin(block)
    this.#left.flush(false)
    this.#endOpen()
    return this.#taken()
  }

  #taken(): Buffer {
    const bytes = Buffer.concat(this.#out)
    this.#out = []
    return bytes
  }

  #take(event: Raw, type: string | undefined, given: readonly Delta[], told: readonly (Delta | undefined)[]): void {
    const number = numberOf(event.json.index) ?? 0
    switch (type) {
      case "content_block_start":
        this.#start(event, this.#block(number), given, told)
        break
      case "content_block_delta":
        this.#piece(event, this.#blocks.get(number) ?? this.#block(number), given[0], told[0])
        break
      case "content_block_stop":
        this.#stop(event, number, given[0], told[0])
        break
      case "message_start":
      case "message_delta":
        if (type === "message_delta") this.#settle(false)
        this.#message(event, given, told)
        break
      case "message_stop":
        this.#settle(false)
        if (this.#left.owed === undefined) this.#say(event)
        else this.#out.push(this.#stream.write(this.#encoder.end()))
        break
      default:
        this.#other(event, given[0], told[0])
    }
  }

  #block(number: number): Block {
    const block = new Block(number)
    this.#blocks.set(number, block)
    return block
  }

  #start(event: Raw, block: Block, [given]: readonly Delta[], [told]: readonly (Delta | undefined)[]): void {
    block.start = event
    const content = objectOf(event.json.content_block)
    if (given?.type === "other") {
      block.gone = told === undefined
      if (block.gone) {
        block.start = undefined
        this.#shift--
      } else this.#begin(block, otherThan(told, given))
      return
    }
    block.key = content?.type === "tool_use" ? `call ${this.#calls++}` : stringOf(content?.type)
    block.whole = given?.type === "toolCall" && given.arguments !== ""
    if (given === undefined) return
    block.taken = told === undefined
    if (block.whole && told && isPiece(told) && sameDelta(told, given)) block.repeats = pieceText(told)
    if (told === undefined) return
    this.#begin(block, isPiece(told) && !sameDelta(told, given) ? changedStart(event.json, told) : undefined)
  }

  #piece(event: Raw, block: Block, given: Delta | undefined, told: Delta | undefined): void {
    if (block.gone) return
    const { json } = event
    const delta = objectOf(json.delta)
    if (block.start === undefined && block.index === undefined) block.key ??= keyOfPart(delta?.type)
    if (given === undefined) {
      // It tells nothing: an empty piece, or one of arguments that came whole.
      if (block.start !== undefined && block.taken) return
      if (!block.repeats.includes(stringOf(delta?.partial_json) ?? "")) return
      this.#say(event, this.#begin(block))
    } else if (given.type === "other") {
      if (told === undefined) return
      const changed = otherThan(told, given)
      const waits = block.start !== undefined && block.taken && block.key !== "thinking"
      if (waits) block.later.push([this.#keep(event), changed])
      else this.#say(event, this.#begin(block), changed)
    } else if (told === undefined || !isPiece(told) || pieceText(told) === "") block.taken = true
    else {
      const isSame = sameDelta(told, given)
      block.late ||= !isSame
      const index = this.#begin(block, startFor(block, told))
      this.#say(event, index, isSame ? undefined : { ...json, delta: { ...delta, ...deltaOf(told) } })
      this.#sayLater(block)
    }
  }

  #stop(event: Raw, number: number, given: Delta | undefined, told: Delta | undefined): void {
    const block = this.#blocks.get(number)
    this.#blocks.delete(number)
    if (block === undefined) this.#say(event, number + this.#shift)
    else if (block.gone) return
    else if (block.start !== undefined && block.taken) {
      block.stop = this.#keep(event)
      this.#parked.push(block)
      this.#shift--
      if (told?.type === "toolCall") this.#left.leave([told])
    } else {
      const index = this.#begin(block)
      // Without pieces its arguments are `{}`.
      if (told?.type === "toolCall" && given && !sameDelta(told, given)) this.#pieceOf(told, index)
      if ((block.taken || block.late) && this.#open === block) block.stop = event
      else this.#end(block, event)
      this.#left.flush(false)
    }
  }

  #message(event: Raw, given: readonly Delta[], told: readonly (Delta | undefined)[]): void {
    const { json } = event
    const holder = objectOf(json.message) ?? json
    let changed: JsonObject | undefined
    let usage = this.#told
    for (const [at, delta] of given.entries()) {
      const after = told[at]
      if (delta.type === "usage") this.#told = usage = delta.usage
      if (after !== undefined && sameDelta(after, delta)) continue
      if (delta.type === "finish")
        changed = { ...json, ...changed, delta: { ...objectOf(json.delta), stop_reason: this.#word(after) } }
      if (delta.type !== "usage") continue
      usage = after?.type === "usage" ? after.usage : NO_USAGE
    }
    if (this.#left.owed && json.type === "message_delta") usage = mergeUsage(usage, this.#left.owed)
    if (json.type === "message_delta") this.#left.owed = undefined
    const counts = { ...objectOf(holder.usage) }
    moveUsage("anthropic-messages", counts, this.#told, usage, this.#counts)
    this.#counts = withCounts(this.#counts, { ...objectOf(holder.usage) })
    if (usage !== this.#told) changed = withUsage(changed ?? json, counts)
    this.#say(event, undefined, changed)
  }

  #word(delta: Delta | undefined): string | null {
    return delta?.type === "finish" ? stopWord(delta.reason, this.#called) : null
  }

  #other(event: Raw, given: Delta | undefined, told: Delta | undefined): void {
    if (given !== undefined && told === undefined) return
    const block = [...this.#blocks.values()].find(({ number }) => number === event.json.index)
    if (block?.gone) return
    if (block === undefined) this.#endOpen()
    this.#say(event, block && this.#begin(block), otherThan(told, given))
  }

  #isBusy(): boolean {
    return this.#open !== undefined && this.#open.stop === undefined
  }

  #place(piece: Piece, last: boolean): boolean {
    if (!this.#hasBegun) return false
    const key = keyOf(piece)
    const held = [...this.#blocks.values()].find((block) => block.start !== undefined && block.key === key)
    const block = this.#open?.key === key ? this.#open : held
    if (block !== undefined) {
      if (block !== this.#open && this.#isBusy()) return false
      this.#pieceOf(piece, this.#begin(block, startFor(block, piece)))
      this.#sayLater(block)
      return true
    }
    if (this.#isBusy()) return false
    const parked = this.#parked.find((block) => block.key === key)
    if (parked !== undefined) this.#revive(parked, piece)
    else if (this.#own?.key === key) this.#pieceOf(piece, this.#own.index)
    else if (mayStandAlone(piece, last)) this.#openOwn(piece, key)
    else return false
    return true
  }

  /** A block from which all was taken gets something after all. */
  #revive(block: Block, piece: Piece): void {
    this.#parked = this.#parked.filter((known) => known !== block)
    this.#shift++
    const { stop } = block
    const isWhole = block.whole && piece.type === "toolCall"
    const index = this.#begin(block, startFor(block, piece), this.#next)
    if (!isWhole) this.#pieceOf(piece, index)
    this.#sayLater(block)
    block.stop = stop
  }

  #openOwn(piece: Piece, key: string): void {
    this.#endOpen()
    const index = this.#next++
    this.#shift++
    this.#write("content_block_start", {
      type: "content_block_start",
      index,
      content_block: emptyBlock(piece, this.#stream.context.id),
    })
    this.#own = { index, key }
    if (pieceText(piece) !== "") this.#pieceOf(piece, index)
  }

  #pieceOf(piece: Piece, index: number): void {
    this.#write("content_block_delta", { type: "content_block_delta", index, delta: deltaOf(piece) })
  }

  /** Lets a block's start go, if it waits; whatever else is open ends before it. Returns the number that it has now. */
  #begin(block: Block, changed?: JsonObject, at?: number): number {
    const { start } = block
    block.start = undefined
    if (start === undefined) {
      block.index ??= block.number + this.#shift
      return block.index
    }
    this.#endOpen()
    const index = at ?? (numberOf(start.json.index) ?? this.#next) + this.#shift
    block.index = index
    this.#next = index + 1
    this.#open = block
    this.#say(start, index, changed)
    return index
  }

  #sayLater(block: Block): void {
    for (const [event, changed] of block.later.splice(0)) this.#say(event, block.index, changed)
  }

  #end(block: Block, stop: Raw): void {
    this.#say(stop, block.index)
    if (this.#open === block) this.#open = undefined
  }

  #endOpen(): void {
    if (this.#own !== undefined) this.#writeStop(this.#own.index)
    this.#own = undefined
    const open = this.#open
    if (open?.stop !== undefined) this.#end(open, open.stop)
  }

  /** No block follows: what waits is written, and what is open then ends. `closing`: in any case. */
  #settle(closing: boolean): void {
    for (const block of this.#blocks.values()) if (!block.taken) this.#begin(block)
    this.#left.flush(false)
    const open = this.#open
    if (open && this.#isBusy() && (closing || this.#left.any)) {
      this.#writeStop(this.#begin(open))
      this.#open = undefined
    }
    this.#left.flush(true)
    this.#endOpen()
    this.#parked = []
  }

  #writeStop(index: number): void {
    this.#write("content_block_stop", { type: "content_block_stop", index })
  }

  #write(type: string, json: JsonObject): void {
    this.#encoder.adopt(json, true)
    this.#out.push(this.#stream.write(namedEvent(type, json)))
  }

  /** An event of the stream's own, with the number that its block has now. */
  #say({ raw, json }: Raw, index?: number, changed?: JsonObject): void {
    const moved = index !== undefined && json.index !== undefined && json.index !== index
    if (!moved && changed === undefined) {
      this.#encoder.adopt(json, true)
      this.#out.push(raw)
      return
    }
    const value = { ...(changed ?? json), ...(moved ? { index } : {}) }
    this.#encoder.adopt(value, true)
    this.#out.push(EventDraft.of(raw).set(value).bytes())
  }

  #keep(event: Raw): Raw {
    this.#limit.hold(event.raw.toString("latin1"))
    return event
  }
}

/** The start of a call that waits, which is to tell the call. */
function startFor({ start }: Block, piece: Piece): JsonObject | undefined {
  return start && piece.type === "toolCall" ? changedStart(start.json, piece) : undefined
}
