/**
 * One turn of a conversation over a WebSocket: its flow, the client's end of it, and its upstream. What the server
 * says comes to the exchange as server-sent events, one a message; what the exchange sends to the client becomes
 * messages again. An event that passes untouched is the very message that came.
 */
import type { Duplex } from "node:stream"
import { FlowError } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import { TEXT } from "../../websocket/frame.ts"
import type { Incoming } from "../body/incoming.ts"
import {
  eventOf,
  type Framing,
  type FramingScan,
  framingScan,
  requestWithoutSocket,
  type SocketDialect,
  type Splitter,
  SseDecoder,
  streamFraming,
  textsIn,
} from "../body/observe.ts"
import { ask } from "../flow/ask.ts"
import type { FlowCore } from "../flow/core.ts"
import { FlowState } from "../flow/state.ts"
import { BufferBody } from "../io/body-queue.ts"
import type { Body, ClientStream, StreamRequestHead, StreamResponseHead } from "../streams.ts"
import type { SocketOutlet } from "./ends.ts"
import type { SocketMessage } from "./message.ts"
import type { SocketPipe } from "./pipe.ts"

/** Fields of the upgrade that say nothing of a turn. */
const UPGRADE_FIELD = /^(connection|upgrade|sec-websocket-.*)$/

/** Where a turn's messages go. */
export interface SocketLines {
  /** Of the client's messages. */
  readonly up: SocketPipe
  /** Of the server's. */
  readonly down: SocketPipe
  readonly toClient: SocketOutlet
  readonly toServer: SocketOutlet
}

export interface TurnOptions {
  /** The upgraded flow. */
  readonly socket: FlowCore
  readonly lines: SocketLines
  readonly dialect: SocketDialect
  /** See Flow.turn. */
  readonly number: number
  readonly lane: string | undefined
  /** What asked; undefined where the server answers by itself. */
  readonly message: SocketMessage | undefined
  readonly body: Buffer
  /** The server is asked now: what it says next may be for this turn. */
  onAsk(turn: Turn): void
}

interface Given {
  readonly message: SocketMessage
  readonly piece: Buffer
  taken(): void
}

export class Turn {
  readonly flow: FlowState
  readonly lane: string | undefined
  /** Resolves when the message that asked has been sent, or never will be. */
  readonly decided: Promise<void>
  /** The server has been asked. */
  asked = false
  /** It has begun to answer. */
  begun = false
  /** The id of the answer, once it has begun, if it has one. */
  answerId: string | undefined
  readonly #options: TurnOptions
  readonly #client: TurnClient
  /** Takes back that the turn fails with its connection. */
  readonly #release: () => void
  #decide: () => void = () => {}
  /** The server's message that waits to be read, and the one that is being looked at. */
  #next: Given | undefined
  #present: Given | undefined
  #last = false
  #deaf = false
  #error: FlowError | undefined
  #wake = () => {}

  constructor(options: TurnOptions) {
    const { socket, dialect, number, lane } = options
    this.#options = options
    this.lane = lane
    this.decided = new Promise((resolve) => {
      this.#decide = resolve
    })
    this.#client = new TurnClient(options, () => this.#settle())
    const origin = { turn: { number, socket }, dialect: dialect.dialect, ask: () => this.#ask() }
    this.flow = new FlowState(socket.core, this.#client, socket.chain, origin)
    this.flow.onFail((reason) => this.#stop(reason))
    this.#release = socket.onFail((reason) => this.flow.fail(reason))
  }

  /** A message of the server's. Resolves when the exchange has done with it. */
  async give(message: SocketMessage, last: boolean): Promise<void> {
    this.begun = true
    this.#last ||= last
    if (this.#deaf) {
      this.#options.lines.down.discard(message)
      return
    }
    const piece = asEvent(message.text)
    this.#client.came(piece, message)
    await new Promise<void>((taken) => {
      this.#next = { message, piece, taken }
      this.#wake()
    })
  }

  /** The connection ended before the answer did. */
  cut(): void {
    this.flow.fail(new FlowError("upstream", "cut", "the WebSocket ended before the response was complete"))
  }

  /** Nobody waits for the answer. */
  left(): void {
    this.flow.fail(
      new FlowError("client", "client-gone", "the client closed the WebSocket before the answer was complete"),
    )
  }

  /** The flow has run its last hook. */
  over(): void {
    this.#release()
    this.#settle()
    this.#stop(undefined)
  }

  /** The client's messages may go on: this one is sent, or will not be. */
  #settle(): void {
    const { message, lines } = this.#options
    if (message !== undefined && !message.isSent) lines.up.discard(message)
    this.#decide()
  }

  async #ask(): Promise<Incoming> {
    const { flow } = this
    const { message, lines, socket } = this.#options
    if (this.#leaves()) {
      this.#settle()
      flow.request.replace(requestWithoutSocket(flow.request.bytes))
      return ask(flow)
    }
    flow.locality.checkOn(socket.locality)
    flow.server = socket.server === undefined ? undefined : { ...socket.server, reused: true }
    this.asked = true
    this.#options.onAsk(this)
    if (message !== undefined) {
      if (flow.request.edited) message.text = flow.request.text
      flow.sizes.request = message.bytes.length
      lines.up.forward(message)
    }
    flow.mark("requestMs")
    this.#decide()
    await flow.orFail(this.#arrived())
    const headers = new Headers([["Content-Type", "text/event-stream"]])
    return {
      head: { status: 200, reason: "OK", headers },
      body: { length: undefined, read: () => this.#read() },
      trailers: () => undefined,
      abort: () => this.#stop(undefined),
      tunnel: undefined,
    }
  }

  /** Whether addons send the turn somewhere else than down this connection. */
  #leaves(): boolean {
    const { request, original } = this.flow
    return this.#options.message !== undefined && (this.flow.isRoutedAway || request.url !== original.url)
  }

  async #read(): Promise<Buffer | undefined> {
    this.#done()
    if (this.#last && this.#next === undefined) return undefined
    await this.#arrived()
    this.#present = this.#next
    this.#next = undefined
    return this.#present?.piece
  }

  /** The server has said something. Rejects when it never will. */
  async #arrived(): Promise<void> {
    while (this.#next === undefined) {
      if (this.#error !== undefined) throw this.#error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** The exchange wants the next message: the one before has been passed on, or something in its place. */
  #done(): void {
    const present = this.#present
    this.#present = undefined
    if (present === undefined) return
    if (!present.message.isSent) this.#options.lines.down.discard(present.message)
    present.taken()
  }

  /** Nobody reads any more: what the server still has to say of this turn does not reach the client. */
  #stop(reason: FlowError | undefined): void {
    this.#deaf = true
    this.#error ??= reason ?? new FlowError("llmproxy", "ended", "the turn has ended")
    this.#done()
    this.#present = this.#next
    this.#next = undefined
    this.#done()
    this.#wake()
  }
}

/** The client's end of a turn: what is written to it leaves as messages. */
class TurnClient implements ClientStream {
  readonly connection: ClientStream["connection"]
  readonly head: StreamRequestHead
  readonly body: Body
  readonly trailers = undefined
  readonly expectsContinue = false
  readonly baseUrl: boolean
  readonly #lines: SocketLines
  readonly #dialect: SocketDialect
  readonly #onRespond: () => void
  /** Takes a stream apart, once it is known to be one. */
  #events: Splitter<string | undefined> | undefined
  #scan: FramingScan | undefined
  #type: string | undefined
  /** Messages of the server's by the piece that the exchange was given for them. */
  readonly #messages = new WeakMap<Buffer, SocketMessage>()
  /** An answer that is no stream, or not yet known to be one. */
  #whole: Buffer[] = []
  #status = 0
  #over = false

  constructor({ socket, lines, dialect, body }: TurnOptions, onRespond: () => void) {
    const { scheme, host, port, path, headers } = socket.request
    this.connection = socket.connection
    this.baseUrl = socket.baseUrl
    this.body = new BufferBody(body)
    this.#lines = lines
    this.#dialect = dialect
    this.#onRespond = onRespond
    const kept = new Headers([...headers].filter(([name]) => !UPGRADE_FIELD.test(name.toLowerCase())))
    kept.set("Content-Type", "application/json")
    this.head = { method: "POST", scheme, host, port, path, headers: kept, version: "HTTP/1.1", upgrade: undefined }
  }

  /** `piece` stands for `message`. */
  came(piece: Buffer, message: SocketMessage): void {
    this.#messages.set(piece, message)
  }

  inform(): void {}

  respond({ status, reason, headers }: StreamResponseHead): void {
    this.#status = status
    this.#type = headers.get("content-type")
    if (status < 400) this.#scan = framingScan(this.#dialect.dialect, { status, reason, headers }, true)
    this.#onRespond()
  }

  write(bytes: Buffer): boolean {
    const message = this.#messages.get(bytes)
    if (message !== undefined) this.#lines.down.forward(message)
    else this.#take(bytes)
    return !this.#lines.toClient.full
  }

  #take(bytes: Buffer): void {
    if (this.#events !== undefined) {
      this.#sayAll(this.#events.feed(bytes))
      return
    }
    this.#whole.push(bytes)
    const framing = this.#scan?.feed(bytes)
    if (framing !== undefined) this.#framed(framing)
  }

  #framed(framing: Framing): void {
    this.#scan = undefined
    const stream = streamFraming(framing, this.#type)
    if (stream === undefined) return
    this.#events = textsIn(stream)
    this.#sayAll(this.#events.feed(Buffer.concat(this.#whole)))
    this.#whole = []
  }

  #sayAll(texts: readonly (string | undefined)[]): void {
    for (const text of texts) this.#say(text)
  }

  ready(): Promise<void> {
    return this.#lines.toClient.ready()
  }

  end(): void {
    this.#over = true
    if (this.#scan !== undefined) this.#framed(this.#scan.finish())
    if (this.#events !== undefined) this.#sayAll(this.#events.finish())
    else this.#say(JSON.stringify(wholeEvent(Buffer.concat(this.#whole).toString("utf8"), this.#status)))
  }

  /** A turn that breaks off says so, if it can: the connection goes on. */
  abort(reason: FlowError): void {
    if (this.#over) return
    this.#over = true
    const { status, code } = reason
    const event = this.#dialect.dialect.errorEvent({ status, code, message: `llmproxy: ${reason.message}` })
    for (const { data } of new SseDecoder().feed(Buffer.from(event))) this.#say(data)
  }

  /** The connection's end reaches the turn through the upgraded flow. */
  onAbort(): void {}

  tunnel(): Duplex {
    throw new FlowError("llmproxy", "no-tunnel", "a turn cannot be upgraded")
  }

  #say(text: string | undefined): void {
    if (text !== undefined && eventOf(text) !== undefined) this.#lines.toClient.message(TEXT, Buffer.from(text))
  }
}

/** A message as a server-sent event: each of its lines is a line of data. */
function asEvent(text: string): Buffer {
  return Buffer.from(`data: ${text.replace(/\r\n|\r|\n/g, "\ndata: ")}\n\n`)
}

/** A whole answer as one event: an error with its status, or a response that is complete. */
function wholeEvent(text: string, status: number): object {
  const json = eventOf(text)
  if (status >= 400) return { type: "error", status, ...(json ?? { error: { message: text.trim() } }) }
  return { type: "response.completed", response: json ?? { object: "response", status: "completed", output: [] } }
}
