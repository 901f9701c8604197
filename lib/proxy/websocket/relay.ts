/**
 * A WebSocket between a client and an upstream, read while it passes (RFC 6455): two pipes, one a direction, the hooks
 * for their messages, and how it ends. A Close passes from end to end with its code; a cut stays a cut; who breaks the
 * protocol is told so with a Close, and so is the other side. Turns with a model are turns.ts.
 */
import type { Duplex } from "node:stream"
import { FlowError, internalError, messageOf } from "../../base/errors.ts"
import { writeClose } from "../../websocket/close.ts"
import type { DeflateTerms } from "../../websocket/extensions.ts"
import { BINARY, TEXT } from "../../websocket/frame.ts"
import { WebSocketViolation } from "../../websocket/violation.ts"
import type { SocketDialect } from "../body/observe.ts"
import type { FlowCore } from "../flow/core.ts"
import { insistsOnMessages } from "../flow/insist.ts"
import { IdleTimer } from "../io/idle-timer.ts"
import { BrokenSocket, SocketOutlet, SocketSource } from "./ends.ts"
import { SocketMessage } from "./message.ts"
import { SocketPipe, unreadable } from "./pipe.ts"
import { type SocketTerms, WebSocketState } from "./state.ts"
import { NO_EVENT, SocketTurns, TOO_MANY_TURNS } from "./turns.ts"

/** The close code for a failure of ours or of an addon's (RFC 6455, 7.4.1). */
const INTERNAL_ERROR = 1011
/** Those of failures that have one of their own: RFC 6455, 7.4.1, and its registry for 1013, "try again later". */
const CLOSE_CODES: ReadonlyMap<string, number> = new Map([
  ["message-too-large", 1009],
  [TOO_MANY_TURNS, 1013],
  [NO_EVENT, 1007],
])

export interface WebSocketPlan {
  /** The dialect in which a model is spoken with. */
  readonly dialect: SocketDialect | undefined
  /** Whether an addon listens to messages. */
  readonly messages: boolean
  readonly deflate: DeflateTerms | undefined
  readonly terms: SocketTerms
}

export interface SocketEnds {
  readonly client: Duplex
  readonly upstream: Duplex
}

/** Resolves when both sides have ended and `websocketEnd` has run. Rejects with the flow's error. */
export function relayWebSocket(flow: FlowCore, ends: SocketEnds, plan: WebSocketPlan): Promise<void> {
  return new SocketRelay(flow, ends, plan).run()
}

type WebSocketCore = FlowCore & { websocket: WebSocketState }

class SocketRelay {
  readonly #flow: WebSocketCore
  readonly #plan: WebSocketPlan
  readonly #ends: SocketEnds
  readonly #sources: readonly [SocketSource, SocketSource]
  readonly #toClient: SocketOutlet
  readonly #toServer: SocketOutlet
  readonly #up: SocketPipe
  readonly #down: SocketPipe
  readonly #turns: SocketTurns | undefined
  readonly #idle: IdleTimer
  /** Close code and reason for both sides when the flow fails; undefined: they are cut off. */
  #failure: { readonly code: number; readonly reason: string } | undefined
  #over = false

  constructor(flow: FlowCore, ends: SocketEnds, plan: WebSocketPlan) {
    const { clock, settings } = flow.core
    const state = new WebSocketState(plan.terms, flow.memory, {
      send: (to, data) => this.#send(to, data),
      close: (code, reason) => this.#close(code, reason),
    })
    this.#flow = Object.assign(flow, { websocket: state })
    this.#plan = plan
    this.#ends = ends
    this.#toClient = new SocketOutlet(ends.client, false, clock)
    this.#toServer = new SocketOutlet(ends.upstream, true, clock)
    this.#sources = [
      new SocketSource(ends.client, (how) => this.#clientOver(how)),
      new SocketSource(ends.upstream, () => {}),
    ]
    this.#up = this.#pipe("client", this.#sources[0], this.#toServer)
    this.#down = this.#pipe("server", this.#sources[1], this.#toClient)
    this.#idle = new IdleTimer(clock, settings.idleTimeoutMs, () =>
      flow.fail(new FlowError("llmproxy", "idle-timeout", `nothing moved for ${settings.idleTimeoutMs / 1_000} s`)),
    )
    if (plan.dialect !== undefined) {
      const lines = { up: this.#up, down: this.#down, toClient: this.#toClient, toServer: this.#toServer }
      this.#turns = new SocketTurns(flow, plan.dialect, lines)
    }
  }

  async run(): Promise<void> {
    const flow = this.#flow
    const settled = flow.onFail(() => this.#cutOff())
    try {
      try {
        await flow.chain.run("websocketStart", flow, flow)
        flow.check()
        flow.locality.checkOn(flow.locality)
        await flow.orFail(Promise.all([this.#runPipe(this.#up, "client"), this.#runPipe(this.#down, "server")]))
        await flow.orFail(this.#closed())
      } catch (thrown) {
        this.#fail(thrown, "server")
      }
      this.#bothEnded()
    } finally {
      settled()
      this.#idle.stop()
    }
    await this.#turns?.ended()
    await flow.chain.run("websocketEnd", flow, flow)
    flow.check()
  }

  #pipe(from: "client" | "server", source: SocketSource, outlet: SocketOutlet): SocketPipe {
    const { memory, core, websocket } = this.#flow
    const { messages, dialect, deflate } = this.#plan
    const reads = messages || dialect !== undefined
    const noTakeover = from === "client" ? deflate?.clientNoContextTakeover : deflate?.serverNoContextTakeover
    return new SocketPipe({
      from,
      source,
      outlet,
      state: websocket,
      memory,
      messageBytesMax: core.settings.bodyLimit,
      deflate: deflate === undefined ? undefined : { takeover: noTakeover !== true },
      onMessage: reads ? (message) => this.#message(message) : undefined,
      onUnread: () => this.#unread(from),
      onEnd: from === "client" ? () => this.#turns?.clientLeft() : () => {},
      touch: () => this.#idle.touch(),
      now: () => core.clock.now(),
    })
  }

  /** One direction, until it ends. What breaks it breaks the flow, unless a Close was said before. */
  async #runPipe(pipe: SocketPipe, from: "client" | "server"): Promise<void> {
    try {
      await pipe.run()
    } catch (thrown) {
      const isEnd = thrown instanceof BrokenSocket && this.#flow.websocket.closeCode !== undefined
      if (!isEnd) this.#fail(thrown, from)
      else if (from === "client") this.#toServer.end()
      else this.#toClient.end()
    }
    if (from === "server") this.#turns?.serverLeft()
  }

  /** Noticed at once, also while a hook still looks at what the client said before. */
  #clientOver(how: "ended" | "broken"): void {
    if (how === "ended") this.#turns?.clientLeft()
    else if (this.#flow.websocket.closeCode === undefined) this.#fail(new BrokenSocket(), "client")
  }

  async #message(message: SocketMessage): Promise<void> {
    const flow = this.#flow
    const { websocket } = flow
    flow.check()
    if (this.#plan.messages) {
      websocket.keep(message)
      await flow.chain.run("websocketMessage", flow, flow, message)
      flow.check()
      if (message.changed) websocket.recount(message)
    }
    if (message.from === "client" && !message.dropped) flow.locality.checkOn(flow.locality)
    const pipe = message.from === "client" ? this.#up : this.#down
    if (this.#turns === undefined || message.dropped) pipe.forward(message)
    else if (message.from === "client") await this.#turns.fromClient(message)
    else await this.#turns.fromServer(message)
    flow.check()
  }

  /** A message passes that nobody could read; an addon that insists on reading stops it. */
  #unread(from: "client" | "server"): void {
    const { chain, core, request } = this.#flow
    const limit = core.settings.bodyLimit
    if (insistsOnMessages(chain, this.#turns !== undefined)) throw unreadable(from, limit)
    if (from === "client") this.#flow.locality.checkOn(this.#flow.locality)
    if (from === "server") this.#turns?.missed()
    core.log.warn(
      `${request.method} ${request.host}: a WebSocket message of the ${from} is passed on unread: too large`,
    )
  }

  #send(to: "client" | "server", data: string | Uint8Array): void {
    const { websocket, core } = this.#flow
    const outlet = to === "client" ? this.#toClient : this.#toServer
    if (this.#over || websocket.closeCode !== undefined || outlet.closing)
      throw new Error("flow.websocket.send: the connection is closing")
    if (to === "server") this.#flow.locality.checkOn(this.#flow.locality)
    const bytes = Buffer.from(data)
    if (outlet.queued + bytes.length > core.settings.bodyLimit)
      throw new Error(`flow.websocket.send: the ${to} has not read what was sent before (bodyLimit)`)
    const type = typeof data === "string" ? "text" : "binary"
    outlet.message(type === "text" ? TEXT : BINARY, bytes)
    const from = to === "client" ? "server" : "client"
    const source = { id: websocket.nextId(), from, type, timestamp: core.clock.now(), injected: true } as const
    const message = new SocketMessage(source, bytes)
    message.sent()
    if (this.#plan.messages) websocket.keep(message)
  }

  /** An addon closes: both sides are told, and nothing more is read. */
  #close(code: number, reason: string): void {
    writeClose(code, reason) // Throws for a code that must not be sent.
    if (!this.#over) this.#closeBoth(code, reason)
  }

  #closeBoth(code: number, reason: string): void {
    this.#turns?.serverLeft()
    // The reader goes first: what closes a socket gently reads it to its end by itself.
    for (const source of this.#sources) source.stop()
    this.#toClient.close(code, reason)
    this.#toServer.close(code, reason)
    this.#flow.websocket.closed({ code, reason }, undefined)
    this.#over = true
  }

  #fail(thrown: unknown, from: "client" | "server"): void {
    const flow = this.#flow
    if (flow.error !== undefined) return
    const source = from === "client" ? "client" : "upstream"
    if (thrown instanceof WebSocketViolation) {
      this.#failure = { code: thrown.closeCode, reason: "protocol error" }
      const message = `the ${from} broke the WebSocket protocol: ${thrown.message}`
      flow.core.log.warn(
        `${flow.request.method} ${flow.request.host}: ${message}; both sides are closed (${thrown.closeCode})`,
      )
      flow.fail(new FlowError(source, "websocket-violation", message))
    } else if (thrown instanceof BrokenSocket) {
      const code = from === "client" ? "client-gone" : "cut"
      flow.fail(new FlowError(source, code, `the ${from} broke the WebSocket off (1006)`))
    } else if (thrown instanceof FlowError) {
      this.#failure = { code: CLOSE_CODES.get(thrown.code) ?? INTERNAL_ERROR, reason: "" }
      flow.fail(thrown)
    } else {
      this.#failure = { code: INTERNAL_ERROR, reason: "" }
      flow.fail(internalError(`llmproxy failed: ${messageOf(thrown)}`, thrown))
    }
  }

  /** The flow has failed: both sides learn of it, with a Close where there is something to say. */
  #cutOff(): void {
    if (this.#over) return
    if (this.#failure !== undefined) {
      this.#closeBoth(this.#failure.code, this.#failure.reason)
      return
    }
    this.#over = true
    this.#turns?.serverLeft()
    for (const source of this.#sources) source.stop()
    this.#toClient.break()
    this.#toServer.break()
  }

  /** Both sockets have closed: what was queued for them is out. */
  async #closed(): Promise<void> {
    if (this.#over) return
    await Promise.all([closed(this.#ends.client), closed(this.#ends.upstream)])
  }

  /** Both directions have ended. Without a Close it was a cut, however gently the connection ended. */
  #bothEnded(): void {
    const { websocket } = this.#flow
    this.#over = true
    if (websocket.closeCode === undefined && this.#flow.error === undefined)
      this.#flow.fail(new FlowError("upstream", "cut", "the WebSocket ended without a Close (1006)"))
    websocket.ended()
  }
}

function closed(socket: Duplex): Promise<void> {
  if (socket.destroyed) return Promise.resolve()
  return new Promise((resolve) => socket.once("close", () => resolve()))
}
