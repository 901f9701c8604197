/**
 * A conversation with a model over a WebSocket, turn by turn. Each turn is a flow that the exchange serves like any
 * other, so that every hook, route, hold and transform works in it: its request's body is the message that asked, its
 * answer a stream whose events are the server's messages (turn.ts). A flow fires `llmResponse` once, which is
 * why one flow could not carry them all. It has no parent: a parent means that an addon has asked.
 *
 * The client's next message waits until the turn that the one before it began has asked its upstream, the server's until
 * the turn has taken the one before: order is kept, and a slow client slows its server down. Meanwhile the client is read,
 * so that one that leaves while an addon still looks for an answer is noticed.
 */
import { FlowError } from "../../base/errors.ts"
import { eventOf, type JsonObject, responseIdOf, type SocketDialect } from "../body/observe.ts"
import type { FlowCore } from "../flow/core.ts"
import { exchange } from "../flow/exchange.ts"
import { insistsOnMessages } from "../flow/insist.ts"
import type { SocketMessage } from "./message.ts"
import { type SocketLines, Turn } from "./turn.ts"

/**
 * Turns of one connection that have not run their last hook. What a client asks beyond that waits, and what follows it
 * waits in its socket; a server that begins more by itself is told to try again later. Nothing passes the addons by.
 */
export const TURNS_MAX = 64
/** The code of the error for such a server. */
export const TOO_MANY_TURNS = "too-many-turns"

/** The code of the error for a message that cannot be read, where an addon insists on it. */
export const NO_EVENT = "unreadable-message"

export class SocketTurns {
  readonly #flow: FlowCore
  readonly #dialect: SocketDialect
  readonly #lines: SocketLines
  /** Those that wait for the server, in the order in which they asked it. */
  #waiting: Turn[] = []
  readonly #running = new Map<Turn, Promise<void>>()
  /** The client's next message may go on. */
  #decided: Promise<void> = Promise.resolve()
  #count = 0
  /** Nobody is left to ask, or to be asked. */
  #over = false
  /** Wakes the message of the client that waits for a turn to end. */
  #wake = () => {}

  constructor(flow: FlowCore, dialect: SocketDialect, lines: SocketLines) {
    this.#flow = flow
    this.#dialect = dialect
    this.#lines = lines
  }

  /** A message of the client: passed on, or taken by a turn. */
  async fromClient(message: SocketMessage): Promise<void> {
    await this.#decided
    const event = this.#eventIn(message)
    if (event === undefined || !this.#dialect.asks(event)) {
      this.#lines.up.forward(message)
      return
    }
    if (this.#running.size >= TURNS_MAX && !(await this.#hasRoom())) {
      this.#lines.up.discard(message)
      return
    }
    this.#decided = this.#begin(message, message.bytes, this.#dialect.lane(event)).decided
  }

  /** A message of the server: passed on, or given to the turn that waits for it. */
  async fromServer(message: SocketMessage): Promise<void> {
    const event = this.#eventIn(message)
    let turn = event === undefined ? undefined : this.#turnOf(event)
    const part = event === undefined ? "foreign" : this.#dialect.part(event, turn?.begun === true)
    if (event === undefined || part === "foreign") {
      this.#lines.down.forward(message)
      return
    }
    if (part === "begins") turn = this.#beginning(event, turn)
    if (turn === undefined) {
      this.#lines.down.forward(message)
      return
    }
    if (part === "ends") this.#forget(turn)
    await turn.give(message, part === "ends")
  }

  /** Whose answer an event is a part of: the one that it names, else the one that began last, else who has waited longest. */
  #turnOf(event: JsonObject): Turn | undefined {
    const lane = this.#dialect.lane(event)
    const id = this.#waiting.length > 1 ? responseIdOf(event) : undefined
    let present: Turn | undefined
    let next: Turn | undefined
    for (const turn of this.#waiting) {
      if (lane !== undefined && turn.lane !== lane) continue
      if (id !== undefined && turn.answerId === id) return turn
      if (turn.begun) present = turn
      else next ??= turn
    }
    return present ?? next
  }

  /**
   * The turn whose answer begins: `turn` if that has not begun, or is told of it twice; else the one that waits behind it.
   * Servers also answer unasked: Realtime's when somebody has stopped speaking, Responses' when input was added to an answer.
   * Undefined: for a client that has left no turn begins, as nothing would end it.
   */
  #beginning(event: JsonObject, turn: Turn | undefined): Turn | undefined {
    const id = responseIdOf(event)
    if (turn?.begun === true && id !== undefined && turn.answerId === id) return turn
    const lane = this.#dialect.lane(event)
    const asked = this.#waiting.find((one) => !one.begun && (lane === undefined || one.lane === lane))
    const begun = asked ?? (this.#over ? undefined : this.#unasked(event))
    if (begun !== undefined) begun.answerId = id
    return begun
  }

  /** Undefined for what is no event; an addon that insists on reading stops it, because the other side may take it for one. */
  #eventIn(message: SocketMessage): JsonObject | undefined {
    const event = message.type === "text" ? eventOf(message.text) : undefined
    if (event !== undefined || !insistsOnMessages(this.#flow.chain, true)) return event
    const source = message.from === "client" ? "client" : "upstream"
    const text = `a WebSocket message of the ${message.from} is no JSON object in text, and an addon has to read it`
    throw new FlowError(source, NO_EVENT, text)
  }

  /** A message of the server was too large to be read: whose it was nobody knows. */
  missed(): void {
    for (const { flow } of this.#waiting) flow.unparsed ??= "a message was too large to be read"
  }

  /** The connection has ended: turns that have no whole answer break off. Resolves when all have run their last hook. */
  async ended(): Promise<void> {
    for (const turn of this.#running.keys()) if (!turn.asked || this.#waiting.includes(turn)) turn.cut()
    await Promise.all(this.#running.values())
  }

  /** The client has sent a Close, or is gone: what its server does not answer nobody waits for. */
  clientLeft(): void {
    for (const turn of this.#running.keys()) if (!turn.asked) turn.left()
    this.#stop()
  }

  /** The server says nothing more. */
  serverLeft(): void {
    this.#stop()
  }

  /** What waits for a turn to end is not asked any more. */
  #stop(): void {
    this.#over = true
    this.#wake()
  }

  /** Waits for one of the turns to end. False: the connection has. */
  async #hasRoom(): Promise<boolean> {
    while (this.#running.size >= TURNS_MAX && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return !this.#over
  }

  #unasked(event: JsonObject): Turn {
    if (this.#running.size >= TURNS_MAX) {
      const message = `the server began more than ${TURNS_MAX} turns on one WebSocket before the first of them had ended`
      throw new FlowError("upstream", TOO_MANY_TURNS, message)
    }
    const body = Buffer.from(JSON.stringify(this.#dialect.wouldAsk(event)))
    return this.#begin(undefined, body, this.#dialect.lane(event))
  }

  #begin(message: SocketMessage | undefined, body: Buffer, lane: string | undefined): Turn {
    this.#count += 1
    const options = {
      socket: this.#flow,
      lines: this.#lines,
      dialect: this.#dialect,
      number: this.#count,
      lane,
      // One that the server began by itself waits for it from the start.
      onAsk: (asking: Turn) => void (message !== undefined && this.#waiting.push(asking)),
    }
    const turn = new Turn({ ...options, message, body })
    if (message === undefined) this.#waiting.push(turn)
    const running = exchange(turn.flow).then(() => turn.over())
    this.#running.set(turn, running)
    void running.then(() => {
      this.#running.delete(turn)
      this.#wake()
    })
    return turn
  }

  #forget(turn: Turn): void {
    this.#waiting = this.#waiting.filter((one) => one !== turn)
  }
}
