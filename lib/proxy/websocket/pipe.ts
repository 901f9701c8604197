/**
 * One direction of a WebSocket: bytes in, frames understood, the same bytes out. Where messages are read, each is held
 * until its handler has passed it on or discarded it; ping and pong pass between the frames of a message that is not
 * whole yet. Where they are not, frames pass as they come, and only the Close is looked at.
 *
 * Compressed messages leave as they came, as long as nothing before them was changed: their bytes may refer to earlier
 * messages (context takeover). From the first compressed message on that the receiver does not get as it was, all
 * others leave uncompressed, which every receiver takes.
 */
import { FlowError } from "../../base/errors.ts"
import { readClose } from "../../websocket/close.ts"
import {
  applyMask,
  BINARY,
  CLOSE,
  CONTINUATION,
  type ControlOpcode,
  type FrameHead,
  TEXT,
} from "../../websocket/frame.ts"
import { type FrameEvent, FrameParser } from "../../websocket/frame-parser.ts"
import { FrameCollector } from "../../websocket/message.ts"
import { WebSocketViolation } from "../../websocket/violation.ts"
import type { MemoryShare } from "../body/memory.ts"
import type { SocketOutlet, SocketSource } from "./ends.ts"
import { MessageInflater } from "./inflate.ts"
import { SocketMessage } from "./message.ts"
import type { WebSocketState } from "./state.ts"

/** How many times bodyLimit a message may decompress to. */
const BOMB_FACTOR = 32
const EMPTY: Buffer = Buffer.alloc(0)

export interface PipeOptions {
  readonly from: "client" | "server"
  readonly source: SocketSource
  readonly outlet: SocketOutlet
  readonly state: WebSocketState
  readonly memory: MemoryShare
  /** Bytes of a message that is read; a longer one passes unread. */
  readonly messageBytesMax: number
  /** permessage-deflate was agreed on; whether messages of this direction may refer to earlier ones. */
  readonly deflate: { readonly takeover: boolean } | undefined
  /** Gets each message, and ends with `forward` or `discard`. Undefined: messages are not read. */
  readonly onMessage: ((message: SocketMessage) => Promise<void>) | undefined
  /** A message is too large to be read. May throw. */
  onUnread(): void
  /** The side has said its last: a Close, or a FIN without one. */
  onEnd(): void
  /** Bytes came. */
  touch(): void
  now(): number
}

export class SocketPipe {
  readonly #options: PipeOptions
  readonly #parser: FrameParser
  readonly #inflater: MessageInflater | undefined
  /** The message whose frames are coming; undefined while one passes unread. */
  #held: FrameCollector | undefined
  #frame: FrameHead | undefined
  #frameOffset = 0
  /** The present message is compressed. */
  #compressed = false
  /** The receiver has not got every compressed message as it was. */
  #diverged = false
  #closed = false

  constructor(options: PipeOptions) {
    const { from, deflate, messageBytesMax, memory, onMessage } = options
    this.#options = options
    this.#parser = new FrameParser({ from, deflate: deflate !== undefined })
    if (deflate !== undefined && onMessage !== undefined)
      this.#inflater = new MessageInflater({
        keepBytes: messageBytesMax,
        messageBytes: BOMB_FACTOR * messageBytesMax,
        memory,
      })
  }

  /** Resolves at a FIN. Rejects with a WebSocketViolation, a BrokenSocket, or what the handler threw. */
  async run(): Promise<void> {
    const { source, outlet } = this.#options
    try {
      for (let bytes = await source.read(); bytes !== undefined; bytes = await source.read()) {
        this.#options.touch()
        await this.#take(bytes)
        await outlet.ready()
      }
    } finally {
      this.#inflater?.close()
    }
    if (!this.#closed) this.#options.onEnd()
    outlet.end()
  }

  /** Sends a message on: its own frames if nobody has changed it. */
  forward(message: SocketMessage): void {
    const { outlet } = this.#options
    if (message.dropped) this.#missed(message.compressed)
    else if (!message.changed && !(message.compressed && this.#diverged))
      for (const raw of message.raw) outlet.write(raw)
    else {
      this.#missed(message.compressed)
      outlet.message(message.type === "text" ? TEXT : BINARY, message.bytes)
    }
    message.sent()
  }

  /** The receiver does not get the message. */
  discard(message: SocketMessage): void {
    this.#missed(message.compressed)
    message.sent()
  }

  async #take(bytes: Buffer): Promise<void> {
    for (const event of this.#parser.feed(bytes)) {
      // What follows a Close is discarded (RFC 6455, 1.4).
      if (this.#closed) return
      const pending = this.#event(event)
      if (pending !== undefined) await pending
      if (this.#options.outlet.full) await this.#options.outlet.ready()
    }
  }

  #event(event: FrameEvent): void | Promise<void> {
    if (event.type === "head") return this.#head(event.head, event.raw)
    if (event.type === "data") return this.#data(event.raw)
    if (event.type === "end") return this.#end()
    return this.#control(event.opcode, event.payload, event.raw)
  }

  #control(opcode: ControlOpcode, payload: Buffer, raw: Buffer): void {
    const { state, from, outlet } = this.#options
    if (opcode !== CLOSE) {
      outlet.write(raw)
      return
    }
    state.closed(readClose(payload), from)
    outlet.passClose(raw)
    this.#closed = true
    this.#options.onEnd()
  }

  #head(head: FrameHead, raw: Buffer): void | Promise<void> {
    this.#frame = head
    this.#frameOffset = 0
    if (head.opcode !== CONTINUATION) {
      this.#compressed = head.compressed
      this.#held = this.#options.onMessage === undefined ? undefined : new FrameCollector(head)
    }
    const held = this.#held
    if (held === undefined) return this.#passHead(raw)
    const before = held.cost
    held.head(head, raw)
    const { messageBytesMax, memory } = this.#options
    if (held.cost + 2 * head.length <= 2 * messageBytesMax && memory.take(held.cost - before)) return undefined
    return this.#giveUp(held, before)
  }

  #data(raw: Buffer): void | Promise<void> {
    const held = this.#held
    if (held === undefined) return this.#passData(raw)
    const before = held.cost
    held.data(raw)
    this.#frameOffset += raw.length
    return this.#options.memory.take(held.cost - before) ? undefined : this.#giveUp(held, before)
  }

  #end(): void | Promise<void> {
    const { outlet } = this.#options
    const isLast = this.#frame?.fin === true
    if (this.#held !== undefined) return isLast ? this.#whole(this.#held) : undefined
    outlet.at(isLast ? "between messages" : "between frames")
    if (isLast && this.#compressed && this.#inflater !== undefined)
      return this.#inflater.feed(EMPTY, true).then(() => undefined)
    return undefined
  }

  #passHead(raw: Buffer): void {
    const { outlet } = this.#options
    outlet.at("frame")
    outlet.write(raw)
  }

  /** A piece of a message that is not read. The inflater sees it all the same: later messages may refer to it. */
  async #passData(raw: Buffer): Promise<void> {
    const { outlet } = this.#options
    outlet.write(raw)
    const offset = this.#frameOffset
    this.#frameOffset += raw.length
    if (this.#compressed && this.#inflater !== undefined) {
      const payload = Buffer.from(raw)
      if (this.#frame?.mask !== undefined) applyMask(raw, this.#frame.mask, offset, payload)
      await this.#inflater.feed(payload, false)
    }
    await outlet.ready()
  }

  /** The message is too large: what was held of it leaves, and the rest will pass. `booked`: what it holds of memory. */
  async #giveUp(held: FrameCollector, booked: number): Promise<void> {
    const { outlet, memory } = this.#options
    this.#skip(held.compressed)
    this.#held = undefined
    outlet.at("frame")
    for (const raw of held.raw) outlet.write(raw)
    if (held.compressed) await this.#inflater?.feed(held.payload(), false)
    memory.give(booked)
    await outlet.ready()
  }

  /** A message passes unread. */
  #skip(compressed: boolean): void {
    const { state, onUnread } = this.#options
    state.unread += 1
    onUnread()
    if (compressed && this.#diverged)
      throw new WebSocketViolation("a compressed message is too large to be written anew, after one was changed", 1009)
  }

  async #whole(held: FrameCollector): Promise<void> {
    const { state, memory, from, now, outlet, onMessage } = this.#options
    const { type, raw, compressed } = held
    this.#held = undefined
    let booked = held.cost
    try {
      const payload = held.payload()
      const content = compressed ? await this.#inflater?.feed(payload, true) : payload
      if (content !== undefined && compressed && memory.take(content.length)) booked += content.length
      else if (content === undefined || compressed) {
        this.#skip(compressed)
        for (const frame of raw) outlet.write(frame)
        return
      }
      const message = new SocketMessage({ id: state.nextId(), from, type, timestamp: now(), raw, compressed }, content)
      await onMessage?.(message)
    } finally {
      memory.give(booked)
    }
  }

  #missed(compressed: boolean): void {
    if (compressed && this.#options.deflate?.takeover !== false) this.#diverged = true
  }
}

/** Why a message that an addon has to read cannot be. */
export function unreadable(from: "client" | "server", limit: number): FlowError {
  const message = `a WebSocket message exceeds bodyLimit (${limit} bytes) or the memory limit, and an addon has to read it`
  return new FlowError(from === "client" ? "client" : "upstream", "message-too-large", message, { status: 413 })
}
