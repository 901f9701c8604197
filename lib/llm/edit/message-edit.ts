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
import { Block, changedStart, deltaOf, emptyBlock, keyOf, PIECES, type Raw, withUsage } from "./message-blocks.ts"
import { isPiece, type Piece, pieceText, sameDelta, shareOut } from "./pieces.ts"
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
    this.#left.leave(before)
    if (json === undefined) this.#out.push(event.raw)
    else this.#take({ raw: event.raw, json }, event.deltas, told)
    this.#left.leave(behind)
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

  #take(event: Raw, given: readonly Delta[], told: readonly (Delta | undefined)[]): void {
    const { json } = event
    const type = stringOf(json.type) ?? EventDraft.of(event.raw).name
    const number = numberOf(json.index) ?? 0
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
    const block = new Block()
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
      } else this.#begin(block, told?.type === "other" && !sameDelta(told, given) ? objectOf(told.raw) : undefined)
      return
    }
    block.key = content?.type === "tool_use" ? `call ${this.#calls++}` : stringOf(content?.type)
    block.whole = given?.type === "toolCall" && given.arguments !== ""
    if (given === undefined) return
    block.taken = told === undefined
    if (block.whole && told && isPiece(told) && sameDelta(told, given)) block.repeats = pieceText(told)
    if (told !== undefined) this.#begin(block, sameDelta(told, given) ? undefined : changedStart(event.json, told))
  }

  #piece(event: Raw, block: Block, given: Delta | undefined, told: Delta | undefined): void {
    if (block.gone) return
    const { json } = event
    const delta = objectOf(json.delta) ?? {}
    const kind = Object.keys(PIECES).find((name) => PIECES[name]?.[0] === delta.type)
    if (block.start === undefined && block.index === undefined) block.key ??= kind === "call" ? undefined : kind
    if (given === undefined) {
      // It tells nothing: an empty piece, or one of arguments that came whole.
      if (block.start !== undefined && block.taken) return
      if (!block.repeats.includes(stringOf(delta.partial_json) ?? "")) return
      this.#begin(block)
      this.#say(event, block.index)
    } else if (given.type === "other") {
      if (told === undefined) return
      if (block.start !== undefined && block.taken && block.key !== "thinking") block.later.push(this.#keep(event))
      else {
        this.#begin(block)
        this.#say(event, block.index, told.type === "other" && !sameDelta(told, given) ? objectOf(told.raw) : undefined)
      }
    } else if (told === undefined || !isPiece(told) || pieceText(told) === "") block.taken = true
    else {
      block.late ||= !sameDelta(told, given)
      this.#begin(
        block,
        block.start && told.type === "toolCall" ? changedStart(block.start.json, told, given) : undefined,
      )
      const [, field = "text"] = PIECES[kind ?? "text"] ?? []
      this.#say(
        event,
        block.index,
        sameDelta(told, given) ? undefined : { ...json, delta: { ...delta, [field]: pieceText(told) } },
      )
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
      this.#begin(block)
      // Without pieces its arguments are `{}`.
      if (told?.type === "toolCall" && given && !sameDelta(told, given)) this.#pieceOf(told, block.index ?? 0)
      if (block.taken || block.late) block.stop = event
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
    this.#counts = withCounts(this.#counts, objectOf(holder.usage) ?? {})
    if (usage !== this.#told) changed = withUsage(changed ?? json, counts)
    this.#say(event, undefined, changed)
  }

  #word(delta: Delta | undefined): string | null {
    return delta?.type === "finish" ? stopWord(delta.reason, this.#called) : null
  }

  #other(event: Raw, given: Delta | undefined, told: Delta | undefined): void {
    if (given !== undefined && told === undefined) return
    const number = numberOf(event.json.index)
    const block = number === undefined ? undefined : this.#blocks.get(number)
    if (block?.gone) return
    if (block) this.#begin(block)
    else this.#endOpen()
    const changed = told?.type === "other" && given && !sameDelta(told, given) ? objectOf(told.raw) : undefined
    this.#say(event, block?.index, changed)
  }

  #isBusy(): boolean {
    return this.#open !== undefined && this.#open.stop === undefined
  }

  #place(piece: Piece, last: boolean): boolean {
    const key = keyOf(piece)
    const held = [...this.#blocks.values()].find((block) => block.start !== undefined && block.key === key)
    const block = this.#open?.key === key ? this.#open : held
    if (block !== undefined) {
      if (block !== this.#open && this.#isBusy()) return false
      this.#begin(block, block.start && piece.type === "toolCall" ? changedStart(block.start.json, piece) : undefined)
      this.#pieceOf(piece, block.index ?? 0)
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
    const { start, stop } = block
    const isWhole = block.whole && piece.type === "toolCall"
    this.#begin(block, start && piece.type === "toolCall" ? changedStart(start.json, piece) : undefined, this.#next)
    if (!isWhole) this.#pieceOf(piece, block.index ?? 0)
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

  /** Lets a block's start go, if it waits; whatever else is open ends before it. */
  #begin(block: Block, changed?: JsonObject, index?: number): void {
    const { start } = block
    block.start = undefined
    if (start === undefined) {
      block.index ??= this.#numberOf(block)
      return
    }
    this.#endOpen()
    block.index = index ?? (numberOf(start.json.index) ?? this.#next) + this.#shift
    this.#next = block.index + 1
    this.#open = block
    this.#say(start, block.index, changed)
  }

  /** The number of a block that has no start. */
  #numberOf(block: Block): number {
    const [number = 0] = [...this.#blocks].find(([, known]) => known === block) ?? []
    return number + this.#shift
  }

  #sayLater(block: Block): void {
    for (const event of block.later.splice(0)) this.#say(event, block.index)
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
    if (this.#isBusy() && (closing || this.#left.any)) {
      this.#writeStop(this.#open?.index ?? 0)
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
