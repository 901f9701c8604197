/**
 * A scripted origin: a server on a free loopback port that answers with exact bytes, in steps that the test controls,
 * and keeps the exact bytes of what it was sent. It knows no HTTP beyond finding where a request ends.
 */
import { createServer, type Server, type Socket } from "node:net"
import { createServer as createTlsServer } from "node:tls"

/** A request as its bytes stood on the wire. */
export interface OriginRequest {
  readonly method: string
  readonly target: string
  /** The head, latin1, without the empty line. */
  readonly head: string
  /** The body with its framing (chunk sizes included), and without it. */
  readonly rawBody: Buffer
  readonly body: Buffer
  /** Which connection it came on, counted from 1. */
  readonly connection: number
}

/** Answers one request: write bytes to the socket, whenever; destroy it to cut. */
export type ReplyScript = (request: OriginRequest, socket: Socket) => void | Promise<void>

export interface OriginTls {
  readonly key: string
  readonly cert: string
}

export class ScriptedOrigin {
  /** Whole requests, in order. */
  readonly requests: OriginRequest[] = []
  /** Connections that were made. */
  connections = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #waiters: { count: number; resolve(): void }[] = []

  private constructor(reply: ReplyScript, tls: OriginTls | undefined) {
    const serve = (socket: Socket) => this.#serve(socket, reply)
    this.#server = tls === undefined ? createServer({ noDelay: true }, serve) : createTlsServer({ ...tls }, serve)
    this.#server.on("tlsClientError", () => {}) // A test of refused certificates: the client tells of it.
  }

  /** Listens on 127.0.0.1. With `tls`, speaks TLS. */
  static async start(reply: ReplyScript, tls?: OriginTls): Promise<ScriptedOrigin> {
    const origin = new ScriptedOrigin(reply, tls)
    await new Promise<void>((resolve) => origin.#server.listen(0, "127.0.0.1", resolve))
    return origin
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }

  /** Resolves once `count` requests have come whole. */
  received(count: number): Promise<void> {
    if (this.requests.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ count, resolve }))
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(socket: Socket, reply: ReplyScript): void {
    const connection = ++this.connections
    this.#sockets.add(socket)
    let seen: Buffer = Buffer.alloc(0)
    socket.on("error", () => {}) // Resets are part of what is tested; `close` follows.
    socket.once("close", () => this.#sockets.delete(socket))
    socket.on("data", (bytes: Buffer) => {
      seen = Buffer.concat([seen, bytes])
      for (let taken = takeRequest(seen, connection); taken !== undefined; taken = takeRequest(seen, connection)) {
        seen = seen.subarray(taken.length)
        this.requests.push(taken.request)
        for (const waiter of this.#waiters) if (this.requests.length >= waiter.count) waiter.resolve()
        void reply(taken.request, socket)
      }
    })
  }
}

function takeRequest(bytes: Buffer, connection: number): { request: OriginRequest; length: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n")
  if (headEnd < 0) return undefined
  const head = bytes.toString("latin1", 0, headEnd)
  const [method = "", target = ""] = head.split(" ", 2)
  const start = headEnd + 4
  const chunked = /\r\ntransfer-encoding: *chunked/i.test(head)
  const taken = chunked ? takeChunked(bytes, start) : takeLength(bytes, start, head)
  if (taken === undefined) return undefined
  const { body, end } = taken
  return { request: { method, target, head, body, rawBody: bytes.subarray(start, end), connection }, length: end }
}

function takeLength(bytes: Buffer, start: number, head: string): { body: Buffer; end: number } | undefined {
  const end = start + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
  return bytes.length < end ? undefined : { body: bytes.subarray(start, end), end }
}

function takeChunked(bytes: Buffer, start: number): { body: Buffer; end: number } | undefined {
  const pieces: Buffer[] = []
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16)
    if (size === 0) {
      const end = bytes.indexOf("\r\n\r\n", lineEnd)
      return end < 0 ? undefined : { body: Buffer.concat(pieces), end: end + 4 }
    }
    const next = lineEnd + 2 + size + 2
    if (bytes.length < next) return undefined
    pieces.push(bytes.subarray(lineEnd + 2, next - 2))
    at = next
  }
}
