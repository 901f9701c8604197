/**
 * One WebSocket message as addons see it (WebSocketMessage), and what the relay needs beside it: the frames as they
 * came, so that a message that nobody changed leaves as it came.
 */
import { isUtf8 } from "node:buffer"
import type { WebSocketMessage } from "../../api/flow.ts"
import { WebSocketViolation } from "../../websocket/violation.ts"

export interface MessageSource {
  readonly id: number
  readonly from: "client" | "server"
  readonly type: "text" | "binary"
  readonly timestamp: number
  /** Default: false. */
  readonly injected?: boolean
  /** The frames as they came; empty for an injected message. */
  readonly raw?: readonly Buffer[]
  /** Whether those are compressed. */
  readonly compressed?: boolean
}

export class SocketMessage implements WebSocketMessage {
  readonly id: number
  readonly from: "client" | "server"
  readonly type: "text" | "binary"
  readonly timestamp: number
  readonly injected: boolean
  readonly compressed: boolean
  /** The frames as they came, until the message is sent. */
  raw: readonly Buffer[]
  #bytes: Buffer
  #changed = false
  #dropped = false
  #sent = false

  /** Throws a WebSocketViolation for a text that is no UTF-8 (RFC 6455, 8.1). */
  constructor(source: MessageSource, bytes: Buffer) {
    const { id, from, type, timestamp, injected = false, raw = [], compressed = false } = source
    if (type === "text" && !isUtf8(bytes)) throw new WebSocketViolation("a text message is no UTF-8", 1007)
    this.id = id
    this.from = from
    this.type = type
    this.timestamp = timestamp
    this.injected = injected
    this.raw = raw
    this.compressed = compressed
    this.#bytes = bytes
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  set bytes(value: Uint8Array) {
    const bytes = Buffer.from(value)
    if (this.type === "text" && !isUtf8(bytes))
      throw new TypeError("message.bytes: a text message takes UTF-8; drop it and flow.websocket.send() the bytes")
    this.#change(bytes)
  }

  get text(): string {
    if (this.type === "binary") throw new TypeError("message.text: the message is binary; read message.bytes")
    return this.#bytes.toString("utf8")
  }

  set text(value: string) {
    this.#change(Buffer.from(value, "utf8"))
  }

  get changed(): boolean {
    return this.#changed
  }

  /** It has been passed on, or never will be. */
  get isSent(): boolean {
    return this.#sent
  }

  get dropped(): boolean {
    return this.#dropped
  }

  drop(): void {
    this.#check()
    this.#dropped = true
  }

  /** From the relay: it has been passed on, and the frames are not needed any more. */
  sent(): void {
    this.#sent = true
    this.raw = []
  }

  #change(bytes: Buffer): void {
    this.#check()
    this.#bytes = bytes
    this.#changed = true
  }

  #check(): void {
    if (this.#sent) throw new Error("the WebSocket message has been sent; change or drop it in websocketMessage")
  }
}
