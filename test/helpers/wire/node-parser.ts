/**
 * Node's own HTTP parser as the second opinion, reached through public means: bytes go into an http.Server or an
 * http.ClientRequest over a stream in memory. No socket, no port.
 */
import { type ClientRequest, createServer, type IncomingMessage, request, type Server } from "node:http"
import { Duplex } from "node:stream"

/** One message as Node read it. Text is latin1. */
export interface NodeMessage {
  /** Method and target, or status and reason. */
  readonly start: string
  readonly fields: readonly string[]
  readonly keepAlive: boolean | undefined
  /** Behind it, Node no longer reads HTTP: CONNECT or an upgrade. */
  tunnel: boolean
  body: string
  trailers: readonly string[]
  whole: boolean
}

export interface NodeReading {
  readonly messages: readonly NodeMessage[]
  readonly informational: number
  /** Code and reason, as in "HPE_INVALID_METHOD Invalid method encountered". */
  readonly error: string | undefined
}

/** Head limit in bytes: above what any case holds, so that sizes are no disagreement. */
const HEAD_BYTES_MAX = 65_536

class MemorySocket extends Duplex {
  readonly #pieces: Buffer[]

  constructor(pieces: readonly Buffer[]) {
    super({ allowHalfOpen: true })
    this.#pieces = [...pieces]
  }

  // One piece a turn of the event loop: a message's own "end" is told before a later piece can fail.
  override _read(): void {
    setImmediate(() => this.push(this.#pieces.shift() ?? null))
  }

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done()
  }

  // node:http calls these of a net.Socket.
  setTimeout(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }
}

interface Recording {
  readonly messages: NodeMessage[]
  error: string | undefined
}

const recordings = new WeakMap<object, Recording>()

/** A server that answers every request at once and records what it read, by connection. */
export function nodeServer(): Server {
  const server = createServer({ maxHeaderSize: HEAD_BYTES_MAX, requireHostHeader: false, keepAliveTimeout: 0 })
  server.timeout = 0
  server.on("request", (message, response) => {
    record(message, response.shouldKeepAlive, () => response.end())
  })
  server.on("checkExpectation", (message, response) => {
    record(message, response.shouldKeepAlive, () => response.end())
  })
  const tunnel = (message: IncomingMessage, socket: Duplex): void => {
    markTunnel(record(message, undefined, () => {}))
    socket.destroy()
  }
  server.on("connect", tunnel)
  server.on("upgrade", tunnel)
  server.on("clientError", (error, socket) => {
    const recording = recordings.get(socket)
    if (recording !== undefined) recording.error ??= described(error)
    socket.destroy()
  })
  return server
}

/** What `server` makes of the pieces and the end of input behind them. */
export function nodeReadsRequests(server: Server, pieces: readonly Buffer[]): Promise<NodeReading> {
  const socket = new MemorySocket(pieces)
  const recording: Recording = { messages: [], error: undefined }
  recordings.set(socket, recording)
  server.emit("connection", socket)
  return new Promise((resolve) => {
    socket.on("close", () => resolve({ ...recording, informational: 0 }))
  })
}

/** What Node's client makes of the pieces as the answer to one request, and of the end of input behind them. */
export function nodeReadsResponse(method: string, pieces: readonly Buffer[]): Promise<NodeReading> {
  const messages: NodeMessage[] = []
  let informational = 0
  let error: string | undefined
  return new Promise((resolve) => {
    const socket = new MemorySocket(pieces)
    const sent: ClientRequest = request({
      createConnection: () => socket,
      maxHeaderSize: HEAD_BYTES_MAX,
      host: "in.memory",
      method,
    })
    sent.on("information", () => informational++)
    sent.on("response", (message) => messages.push(recordInto(message, responseStart(message), undefined, () => {})))
    sent.on("upgrade", (message, stream) => {
      const recorded = recordInto(message, responseStart(message), undefined, () => {})
      markTunnel(recorded)
      messages.push(recorded)
      stream.destroy()
    })
    sent.on("error", (thrown) => {
      error ??= described(thrown)
    })
    // The stream outlives the request's own events: data and end of the response come in between.
    sent.on("close", () => setImmediate(() => resolve({ messages, informational, error })))
    sent.end()
  })
}

function record(message: IncomingMessage, keepAlive: boolean | undefined, onEnd: () => void): NodeMessage {
  const recorded = recordInto(message, `${message.method} ${message.url}`, keepAlive, onEnd)
  recordings.get(message.socket)?.messages.push(recorded)
  return recorded
}

function responseStart(message: IncomingMessage): string {
  return `${message.statusCode} ${message.statusMessage}`
}

function recordInto(
  message: IncomingMessage,
  start: string,
  keepAlive: boolean | undefined,
  onEnd: () => void,
): NodeMessage {
  const fields = message.rawHeaders
  const recorded = { start, fields, keepAlive, tunnel: false, body: "", trailers: [] as string[], whole: false }
  message.on("data", (bytes: Buffer) => {
    recorded.body += bytes.toString("latin1")
  })
  message.on("end", () => {
    recorded.whole = message.complete
    recorded.trailers = message.rawTrailers
    onEnd()
  })
  message.on("error", () => {}) // what ended it is told by the connection
  return recorded
}

function markTunnel(recorded: NodeMessage): void {
  recorded.tunnel = true
  recorded.whole = true
}

function described(error: Error): string {
  const code = "code" in error ? String(error.code) : error.name
  const reason = "reason" in error ? String(error.reason) : error.message
  return `${code} ${reason}`
}
