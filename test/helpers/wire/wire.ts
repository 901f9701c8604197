/**
 * A client's end of a connection for tests: exact bytes out, exact bytes in, and how it ended. Answers are read with
 * the codec, which has its own tests.
 */
import { connect as connectTcp, type Socket } from "node:net"
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls"
import type { Headers } from "../../../lib/base/headers.ts"
import type { ResponseHead } from "../../../lib/http1/message.ts"
import { ResponseParser } from "../../../lib/http1/parser.ts"

export interface WireResponse {
  readonly status: number
  readonly head: ResponseHead
  readonly headers: Headers
  readonly body: Buffer
  readonly text: string
  readonly trailers: Headers | undefined
  readonly informational: readonly ResponseHead[]
}

/** How a connection ended: `end` after a FIN (or close_notify), `reset` after an error. */
export type Ending = "end" | "reset"

export class Wire {
  readonly socket: Socket
  /** Resolves when nothing more will come. */
  readonly ended: Promise<Ending>
  /** Resolves when the socket has closed. */
  readonly closed: Promise<void>
  #seen: Buffer = Buffer.alloc(0)
  #taken = 0
  #over: Ending | undefined
  #wake: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    let end: (how: Ending) => void = () => {}
    this.ended = new Promise((resolve) => {
      end = resolve
    })
    const over = (how: Ending) => {
      this.#over ??= how
      end(this.#over)
      this.#changed()
    }
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()))
    socket.on("data", (bytes: Buffer) => {
      this.#seen = Buffer.concat([this.#seen, bytes])
      this.#changed()
    })
    socket.on("error", () => over("reset"))
    socket.once("end", () => over("end"))
    socket.once("close", () => over("reset"))
  }

  static connect(port: number, options: { allowHalfOpen?: boolean } = {}): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true, ...options })
      socket.once("error", reject)
      socket.once("connect", () => {
        socket.off("error", reject)
        resolve(new Wire(socket))
      })
    })
  }

  /** Connects and asks for a tunnel; resolves after the proxy's 200. */
  static async tunnel(port: number, authority: string, options: { allowHalfOpen?: boolean } = {}): Promise<Wire> {
    const wire = await Wire.connect(port, options)
    wire.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
    const response = await wire.response("CONNECT")
    if (response.status !== 200) throw new Error(`CONNECT ${authority}: ${response.status} ${response.text}`)
    return wire
  }

  /** TLS on this connection, as a client. Rejects when the handshake fails. */
  secure(options: ConnectionOptions): Promise<Wire> {
    this.socket.removeAllListeners("data")
    return new Promise((resolve, reject) => {
      const tls: TLSSocket = connectTls({ ...options, socket: this.socket })
      tls.once("error", reject)
      tls.once("close", () => reject(new Error("closed during the handshake")))
      tls.once("secureConnect", () => {
        tls.off("error", reject)
        resolve(new Wire(tls))
      })
    })
  }

  write(data: string | Buffer): void {
    this.socket.write(typeof data === "string" ? Buffer.from(data, "latin1") : data)
  }

  /** Everything that came and was not taken by `response` or `take`, latin1. */
  get text(): string {
    return this.bytes.toString("latin1")
  }

  get bytes(): Buffer {
    return this.#seen.subarray(this.#taken)
  }

  /** Everything that ever came, latin1. */
  get all(): string {
    return this.#seen.toString("latin1")
  }

  /** Bytes that ever came. */
  get count(): number {
    return this.#seen.length
  }

  /** Resolves with the text once it includes `part`. Rejects when the connection ends before. */
  async until(part: string): Promise<string> {
    for (;;) {
      if (this.text.includes(part)) return this.text
      if (this.#over !== undefined) throw new Error(`${this.#over} before ${JSON.stringify(part)}: ${this.text}`)
      await this.#change()
    }
  }

  /** Takes exactly the bytes that stand there now. */
  take(): Buffer {
    const bytes = this.bytes
    this.#taken = this.#seen.length
    return bytes
  }

  /** Reads one response to `method`. Rejects when it is cut or broken. */
  async response(method = "GET"): Promise<WireResponse> {
    const parser = new ResponseParser()
    parser.expect(method)
    const informational: ResponseHead[] = []
    const pieces: Buffer[] = []
    let head: ResponseHead | undefined
    for (let fed = false; ; ) {
      const event = parser.next()
      if (event === undefined) {
        if (this.bytes.length > 0) parser.feed(Buffer.from(this.take()))
        else if (this.#over === "reset" && !fed) throw new Error("reset")
        else if (this.#over !== undefined) {
          if (this.#over === "reset") throw new Error("reset")
          parser.finish()
          fed = true
        } else await this.#change()
      } else if (event.type === "informational") informational.push(event.head)
      else if (event.type === "head") head = event.head
      else if (event.type === "data") pieces.push(event.bytes)
      if (head !== undefined && (event?.type === "end" || (method === "CONNECT" && head.status < 300))) {
        this.#putBack(parser.rest())
        const body = Buffer.concat(pieces)
        const trailers = event?.type === "end" ? event.trailers : undefined
        const { status, headers } = head
        return { status, head, headers, body, text: body.toString("latin1"), trailers, informational }
      }
    }
  }

  /** Ends our half. */
  end(): void {
    this.socket.end()
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }

  #putBack(rest: Buffer): void {
    this.#taken = this.#seen.length - rest.length
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
