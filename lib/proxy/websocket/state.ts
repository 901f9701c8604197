/**
 * `flow.websocket`: how the connection stands and what was said on it. It keeps the latest messages, bounded; what an
 * addon wants to send or to close it hands to the relay (websocket.ts).
 */
import type { FlowWebSocket } from "../../api/flow.ts"
import { type CloseContent, CUT_CODE } from "../../websocket/close.ts"
import type { MemoryShare } from "../body/memory.ts"
import type { SocketMessage } from "./message.ts"

/** Messages that one connection keeps. */
const MESSAGES_MAX = 1_000
/** Bytes of messages that one connection keeps. */
const MESSAGES_BYTES_MAX = 8_388_608
/** Bytes that a kept message costs beyond its content. */
const MESSAGE_COST_BYTES = 256

/** What addons may do to a connection. */
export interface SocketActions {
  send(to: "client" | "server", data: string | Uint8Array): void
  close(code: number, reason: string): void
}

export interface SocketTerms {
  readonly subprotocol: string | undefined
  readonly extensions: string | undefined
}

export class WebSocketState implements FlowWebSocket {
  readonly subprotocol: string | undefined
  readonly extensions: string | undefined
  unread = 0
  closeCode: number | undefined
  closeReason: string | undefined
  closedBy: "client" | "server" | undefined
  #messages: SocketMessage[] = []
  #booked: number[] = []
  #bytes = 0
  #count = 0
  readonly #memory: MemoryShare
  readonly #actions: SocketActions

  constructor(terms: SocketTerms, memory: MemoryShare, actions: SocketActions) {
    this.subprotocol = terms.subprotocol
    this.extensions = terms.extensions
    this.#memory = memory
    this.#actions = actions
  }

  get messages(): readonly SocketMessage[] {
    return this.#messages
  }

  send(to: "client" | "server", data: string | Uint8Array): void {
    this.#actions.send(to, data)
  }

  close(code = 1000, reason = ""): void {
    this.#actions.close(code, reason)
  }

  /** The number of the next message. */
  nextId(): number {
    this.#count += 1
    return this.#count
  }

  /** Keeps `message`, and lets go of older ones until there is room. One that has no room at all is not kept. */
  keep(message: SocketMessage): void {
    const cost = message.bytes.length + MESSAGE_COST_BYTES
    if (cost > MESSAGES_BYTES_MAX) return
    while (this.#messages.length >= MESSAGES_MAX || this.#bytes + cost > MESSAGES_BYTES_MAX) this.#dropOldest()
    while (!this.#memory.take(cost)) {
      if (!this.#dropOldest()) return
    }
    this.#bytes += cost
    this.#booked.push(cost)
    this.#messages.push(message)
  }

  /** Counts the last message again: a hook has changed it. */
  recount(message: SocketMessage): void {
    const last = this.#messages.lastIndexOf(message)
    if (last < 0) return
    this.#release(this.#booked[last] ?? 0)
    this.#messages.splice(last, 1)
    this.#booked.splice(last, 1)
    this.keep(message)
  }

  /** The first Close counts: what follows answers it. */
  closed({ code, reason }: CloseContent, by: "client" | "server" | undefined): void {
    if (this.closeCode !== undefined) return
    this.closeCode = code
    this.closeReason = reason
    this.closedBy = by
  }

  /** Nothing more will come. */
  ended(): void {
    this.closed({ code: CUT_CODE, reason: "" }, undefined)
  }

  #dropOldest(): boolean {
    if (this.#messages.shift() === undefined) return false
    this.#release(this.#booked.shift() ?? 0)
    return true
  }

  #release(cost: number): void {
    this.#bytes -= cost
    this.#memory.give(cost)
  }
}
