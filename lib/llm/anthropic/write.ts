/**
 * Anthropic's streams as we write them: one block open at a time, each with its start, pieces and stop, as the SDKs
 * demand. What would interrupt a tool call that is not whole waits for its end, so that no piece of it is lost.
 */

import { isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { AnswerLimit } from "../answer-limit.ts"
import type { EncodeContext, StreamEncoder } from "../dialect.ts"
import { finishReasonOf } from "../finish-words.ts"
import { namedEvent } from "../framing/sse-json.ts"
import type { Delta, FinishReason, Usage } from "../model.ts"
import { argumentsObject, isWholeObject } from "../tool-arguments.ts"
import { mergeUsage } from "../usage.ts"
import { withCounts } from "./read.ts"
import { stopWord, usageAsTold } from "./words.ts"

type CallDelta = Extract<Delta, { type: "toolCall" }>

interface OpenBlock {
  readonly index: number
  readonly type: string
  /** Of a tool call: which one, and its arguments so far. */
  readonly call: number | undefined
  readonly json: string[]
}

/** What is known of a call before its block opens: the start must hold the whole name. */
interface KnownCall {
  id: string | undefined
  name: string
  /** Arguments that came before it opened. */
  held: string
  opened: boolean
}

/** Blocks of the pieces that no delta of ours tells. */
const PIECE_BLOCK: ReadonlyMap<string, string> = new Map([
  ["signature_delta", "thinking"],
  ["citations_delta", "text"],
])

export class MessageEncoder implements StreamEncoder {
  readonly #fallbackId: string
  readonly #limit = new AnswerLimit()
  #message: JsonObject
  #started = false
  #next = 0
  #open: OpenBlock | undefined
  /** A block of the answer that we read has ended; the next piece of its kind begins a block of its own. */
  #endOfBlock = false
  readonly #calls = new Map<number, KnownCall>()
  #waiting: Delta[] = []
  #finish: FinishReason | undefined
  /** The reason to stop has left as it came. */
  #endSent = false
  #stopSequence: JsonValue = null
  #usage: Usage | undefined
  /** The counts of the answer that we read, in its own words. */
  #counts: JsonObject = {}

  constructor(context: EncodeContext) {
    this.#fallbackId = context.id
    this.#message = { id: context.id, type: "message", role: "assistant", model: context.model }
  }

  adopt(json: JsonValue | undefined, sent = false): void {
    if (!isObject(json)) return
    if (json.type === "message_start") this.#adoptMessage(objectOf(json.message) ?? {})
    this.#counts = withCounts(this.#counts, objectOf(json.usage) ?? objectOf(objectOf(json.message)?.usage) ?? {})
    if (json.type === "message_delta") this.#stopSequence = objectOf(json.delta)?.stop_sequence ?? null
    if (sent) this.#noteSent(json)
    else if (json.type === "content_block_stop" && this.#open?.call === undefined) this.#endOfBlock = true
  }

  delta(delta: Delta): string {
    switch (delta.type) {
      case "usage":
        this.#usage = mergeUsage(this.#usage, delta.usage)
        return ""
      case "finish":
        if (delta.index === 0) this.#finish = delta.reason
        return ""
      default:
        return this.#content(delta)
    }
  }

  end(): string {
    let text = this.#start() + this.#close()
    const waiting = this.#waiting
    this.#waiting = []
    for (const block of new Set(waiting.map(blockOf))) {
      for (const delta of waiting) if (blockOf(delta) === block) text += this.#write(delta)
      text += this.#close()
    }
    for (const [number, call] of this.#calls) {
      if (call.opened) continue
      text += this.#openCall(number, call)
      if (call.held.trim() !== "") text += this.#argumentsPiece(JSON.stringify(argumentsObject(call.held)))
    }
    return text + this.#close() + this.#ending() + namedEvent("message_stop", { type: "message_stop" })
  }

  #ending(): string {
    if (this.#endSent && !this.#usage) return ""
    const delta = { stop_reason: stopWord(this.#finish, this.#calls.size > 0), stop_sequence: this.#stopSequence }
    return namedEvent("message_delta", { type: "message_delta", delta, usage: usageAsTold(this.#counts, this.#usage) })
  }

  #content(delta: Delta): string {
    // A message is one choice.
    if ("index" in delta && delta.index !== 0) return ""
    const open = this.#open
    const interrupts = open?.call !== undefined && blockOf(delta) !== `call ${open.call}`
    if (interrupts && (this.#waiting.length > 0 || !isWholeObject(open.json.join("")))) {
      this.#limit.hold(JSON.stringify(delta))
      this.#waiting.push(delta)
      return ""
    }
    return this.#write(delta)
  }

  #write(delta: Delta): string {
    switch (delta.type) {
      case "text":
      case "refusal": // Anthropic has a reason to stop for it, but no field.
        return this.#ensure("text", { text: "" }) + this.#piece({ type: "text_delta", text: delta.text })
      case "reasoning":
        return this.#ensure("thinking", EMPTY_THINKING) + this.#piece({ type: "thinking_delta", thinking: delta.text })
      case "toolCall":
        return this.#call(delta)
      case "other":
        return isObject(delta.raw) ? this.#other(delta.raw) : ""
      default:
        return ""
    }
  }

  #call(delta: CallDelta): string {
    let call = this.#calls.get(delta.call)
    if (!call) {
      call = { id: undefined, name: "", held: "", opened: false }
      this.#calls.set(delta.call, call)
    }
    if (call.opened) return this.#continueCall(delta)
    call.id ??= delta.id
    call.name += delta.name ?? ""
    call.held += this.#limit.hold(delta.arguments)
    // Clients parse the pieces as they come, and throw at what cannot become an object: that waits, to be wrapped.
    if (!call.held.trimStart().startsWith("{")) return ""
    return this.#openCall(delta.call, call) + this.#argumentsPiece(call.held)
  }

  /** A call that was whole may have been closed: only white space can follow. */
  #continueCall(delta: CallDelta): string {
    if (this.#open?.call !== delta.call || delta.arguments === "") return ""
    return this.#argumentsPiece(this.#limit.hold(delta.arguments))
  }

  #argumentsPiece(json: string): string {
    this.#open?.json.push(json)
    return this.#piece({ type: "input_json_delta", partial_json: json })
  }

  #openCall(number: number, call: KnownCall): string {
    call.opened = true
    const id = call.id ?? `toolu_${this.#fallbackId}_${number}`
    return this.#openBlock({ type: "tool_use", id, name: call.name, input: {} }, number)
  }

  /** What no delta of ours tells, of the same dialect: the blocks of server tools, signatures, citations. */
  #other(raw: JsonObject): string {
    if (raw.type === "content_block_start" && isObject(raw.content_block)) return this.#openBlock(raw.content_block)
    if (raw.type !== "content_block_delta" || !isObject(raw.delta)) {
      const type = stringOf(raw.type)
      // Another dialect's event has no type, or one with dots.
      return type === undefined || type.includes(".") ? "" : this.#start() + namedEvent(type, raw)
    }
    const wanted = PIECE_BLOCK.get(stringOf(raw.delta.type) ?? "")
    const empty = wanted === "thinking" ? EMPTY_THINKING : { text: "" }
    return (wanted === undefined ? "" : this.#ensure(wanted, empty)) + this.#piece(raw.delta)
  }

  #ensure(type: string, empty: JsonObject): string {
    return this.#open?.type === type && !this.#endOfBlock ? "" : this.#openBlock({ type, ...empty })
  }

  #openBlock(block: JsonObject, call?: number): string {
    const before = this.#start() + this.#close()
    const index = this.#next++
    this.#open = { index, type: stringOf(block.type) ?? "", call, json: [] }
    return before + namedEvent("content_block_start", { type: "content_block_start", index, content_block: block })
  }

  #piece(delta: JsonObject): string {
    if (!this.#open) return ""
    return namedEvent("content_block_delta", { type: "content_block_delta", index: this.#open.index, delta })
  }

  #close(): string {
    const open = this.#open
    this.#open = undefined
    this.#endOfBlock = false
    return open ? namedEvent("content_block_stop", { type: "content_block_stop", index: open.index }) : ""
  }

  #start(): string {
    if (this.#started) return ""
    this.#started = true
    const rest = { content: [], stop_reason: null, stop_sequence: null, usage: usageAsTold(this.#counts, this.#usage) }
    return namedEvent("message_start", { type: "message_start", message: { ...this.#message, ...rest } })
  }

  #adoptMessage({ content: _, stop_reason: __, stop_sequence: ___, usage: ____, ...message }: JsonObject): void {
    this.#message = { ...this.#message, ...message }
  }

  /** Follows a stream whose events left as they came, so that we can go on where they end. */
  #noteSent(json: JsonObject): void {
    this.#started = true
    switch (json.type) {
      case "content_block_start":
        this.#noteBlock(numberOf(json.index) ?? this.#next, objectOf(json.content_block) ?? {})
        break
      case "content_block_delta":
        this.#open?.json.push(this.#limit.hold(stringOf(objectOf(json.delta)?.partial_json) ?? ""))
        break
      case "content_block_stop":
        this.#open = undefined
        break
      case "message_delta":
        this.#endSent = true
        this.#finish = finishReasonOf(stringOf(objectOf(json.delta)?.stop_reason) ?? "")
        break
    }
  }

  #noteBlock(index: number, block: JsonObject): void {
    this.#next = index + 1
    const type = stringOf(block.type) ?? ""
    const call = type === "tool_use" ? this.#calls.size : undefined
    if (call !== undefined) this.#calls.set(call, { id: stringOf(block.id), name: "", held: "", opened: true })
    this.#open = { index, type, call, json: [] }
  }
}

const EMPTY_THINKING = { thinking: "", signature: "" }

/** Which block a delta belongs to. */
function blockOf(delta: Delta): string {
  return delta.type === "toolCall" ? `call ${delta.call}` : delta.type
}
