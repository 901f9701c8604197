/**
 * One end of a WebSocket in a test, the client's or the server's: RFC 6455 without extensions. Messages that came wait to be
 * taken; a ping is answered.
 */
import { createHash, randomBytes } from "node:crypto"
import type { Socket } from "node:net"
import type { Headers } from "../base/headers.ts"
import { CUT_CODE, readClose, writeClose } from "../websocket/close.ts"
import { BINARY, CLOSE, MASK_BYTES, PING, PONG, TEXT, writeFrame } from "../websocket/frame.ts"
import { FrameParser } from "../websocket/frame-parser.ts"
import { FrameCollector } from "../websocket/message.ts"

export interface WebSocketClosed {
  /** Of the other side's Close; 1005: it had none; 1006: there was no Close. */
  readonly code: number
  readonly reason: string
}

export interface TestWebSocket {
  /** A text for a string, else a binary message. */
  send(data: string | Uint8Array): void
  /** The next message; undefined when the other side has closed. */
  next(): Promise<string | Buffer | undefined>
  /** Says that it is over. Default: 1000. Resolves as `closed`; the client's end once the flow has run its last hook, too. */
  close(code?: number, reason?: string): Promise<WebSocketClosed>
  /** Breaks the connection off. */
  cut(): void
  readonly closed: Promise<WebSocketClosed>
}

/** RFC 6455, 1.3. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

export function acceptKey(key: string): string {
  return createHash("sha1")
    .update(key + ACCEPT_SUFFIX)
    .digest("base64")
}

/** Answers an upgrade. The first subprotocol that is asked for is taken. */
export function acceptWebSocket(socket: Socket, headers: Headers): TestWebSocket {
  const [protocol] = headers.get("sec-websocket-protocol")?.split(",") ?? []
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptKey(headers.get("sec-websocket-key") ?? "")}`,
    ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol.trim()}`]),
  ]
  socket.write(`${lines.join("\r\n")}\r\n\r\n`)
  return new WebSocketEnd(socket, "server")
}

export class WebSocketEnd implements TestWebSocket {
  readonly closed: Promise<WebSocketClosed>
  readonly #socket: Socket
  readonly #isClient: boolean
  readonly #parser: FrameParser
  #message: FrameCollector | undefined
  readonly #came: (string | Buffer)[] = []
  #waiting: (() => void)[] = []
  #isOver = false
  #isSaid = false
  #close: WebSocketClosed = { code: CUT_CODE, reason: "" }

  /** `side`: which end this is. */
  constructor(socket: Socket, side: "client" | "server") {
    this.#socket = socket
    this.#isClient = side === "client"
    this.#parser = new FrameParser({ from: this.#isClient ? "server" : "client", deflate: false })
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#end()
        resolve(this.#close)
      })
    })
    socket.on("error", () => {}) // A cut; `close` follows.
    socket.on("data", (bytes: Buffer) => this.#take(bytes))
    socket.resume()
  }

  send(data: string | Uint8Array): void {
    this.#write(typeof data === "string" ? TEXT : BINARY, Buffer.from(data))
  }

  async next(): Promise<string | Buffer | undefined> {
    while (this.#came.length === 0 && !this.#isOver) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.#came.shift()
  }

  close(code = 1000, reason = ""): Promise<WebSocketClosed> {
    this.#sayClose(writeClose(code, reason))
    return this.closed
  }

  cut(): void {
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    for (const event of this.#parser.feed(bytes)) {
      if (event.type === "head") {
        this.#message ??= new FrameCollector(event.head)
        this.#message.head(event.head, event.raw)
        this.#isLast = event.head.fin
      } else if (event.type === "data") this.#message?.data(event.raw)
      else if (event.type === "end") this.#finish()
      else if (event.opcode === PING) this.#write(PONG, event.payload)
      else if (event.opcode === CLOSE) this.#closeCame(event.payload)
    }
  }

  #isLast = false

  #finish(): void {
    if (!this.#isLast || this.#message === undefined) return
    const payload = this.#message.payload()
    this.#came.push(this.#message.type === "text" ? payload.toString("utf8") : payload)
    this.#message = undefined
    this.#wake()
  }

  #closeCame(payload: Buffer): void {
    this.#close = readClose(payload)
    this.#end()
    this.#sayClose(payload)
    this.#socket.end()
  }

  #sayClose(payload: Buffer): void {
    if (!this.#isSaid) this.#write(CLOSE, payload)
    this.#isSaid = true
  }

  #end(): void {
    this.#isOver = true
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #write(opcode: Parameters<typeof writeFrame>[0], payload: Buffer): void {
    if (!this.#socket.writable) return
    this.#socket.write(writeFrame(opcode, payload, this.#isClient ? randomBytes(MASK_BYTES) : undefined))
  }
}
