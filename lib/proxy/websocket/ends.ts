/**
 * The two ends of one direction: where bytes are pulled from, and where frames are written. An outlet has two users,
 * the relay and addons that send messages of their own; what an addon sends waits until a message that is on its way
 * has passed, for frames of two messages must not be mixed (RFC 6455, 5.4).
 */
import { randomFillSync } from "node:crypto"
import type { Duplex } from "node:stream"
import type { Clock } from "../../base/clock.ts"
import { Pieces } from "../../base/pieces.ts"
import { writeClose } from "../../websocket/close.ts"
import { CLOSE, type DataOpcode, MASK_BYTES, writeFrame } from "../../websocket/frame.ts"
import { breakConnection, closeGently } from "../io/close.ts"
import { WriteGauge } from "../io/write-gauge.ts"

/** The connection ended without a FIN. */
export class BrokenSocket extends Error {
  override readonly name = "BrokenSocket"

  constructor() {
    super("the connection broke")
  }
}

/** Bytes that are read ahead of who asks, so that a FIN behind them is noticed while a hook takes its time. */
const READ_AHEAD_BYTES = 65_536

/** Pulls bytes from a socket. */
export class SocketSource {
  readonly #socket: Duplex
  readonly #onOver: (how: "ended" | "broken") => void
  #pieces = new Pieces()
  #state: "open" | "ended" | "broken" = "open"
  #wake = () => {}

  /** `onOver`: nothing more comes, though what came may not be read yet. */
  constructor(socket: Duplex, onOver: (how: "ended" | "broken") => void) {
    this.#socket = socket
    this.#onOver = onOver
    socket.on("data", this.#onData)
    socket.once("end", () => this.#over("ended"))
    socket.once("close", () => this.#over("broken"))
    socket.on("error", () => this.#over("broken"))
    if (socket.destroyed) this.#over("broken")
    else socket.resume()
  }

  /** Undefined after a FIN. Rejects with BrokenSocket. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      const piece = this.#pieces.shift()
      if (piece !== undefined) {
        if (this.#pieces.bytes < READ_AHEAD_BYTES && this.#state === "open") this.#socket.resume()
        return piece
      }
      if (this.#state === "ended") return undefined
      if (this.#state === "broken") throw new BrokenSocket()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Nobody will read any more: a `read` that waits rejects. */
  stop(): void {
    this.#socket.off("data", this.#onData)
    this.#pieces.clear()
    if (this.#state === "open") this.#state = "broken"
    this.#wake()
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#pieces.push(bytes)
    if (this.#pieces.bytes >= READ_AHEAD_BYTES) this.#socket.pause()
    this.#wake()
  }

  #over(how: "ended" | "broken"): void {
    if (this.#state !== "open") return
    this.#state = how
    this.#wake()
    this.#onOver(how)
  }
}

export class SocketOutlet {
  readonly #socket: Duplex
  readonly #gauge: WriteGauge
  readonly #masks: boolean
  readonly #clock: Clock
  /** A message is being passed on piece by piece. */
  #midMessage = false
  #midFrame = false
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #closing = false

  /** `masks`: it leads to a server. */
  constructor(socket: Duplex, masks: boolean, clock: Clock) {
    this.#socket = socket
    this.#gauge = new WriteGauge(socket)
    this.#masks = masks
    this.#clock = clock
  }

  /** Whether nothing more can be said: a Close or a FIN has been sent. */
  get closing(): boolean {
    return this.#closing
  }

  /** Bytes that the peer has not taken. */
  get queued(): number {
    return this.#socket.writableLength + this.#waitingBytes
  }

  /** Whether to wait for `ready` before more is written. */
  get full(): boolean {
    return this.#socket.writableNeedDrain || this.#gauge.full
  }

  /** Bytes of frames, as they are. */
  write(bytes: Buffer): void {
    if (this.#closing) return
    this.#gauge.count()
    this.#socket.write(bytes)
  }

  /** What the bytes that follow belong to. At the end of a message, what waited for it leaves. */
  at(place: "frame" | "between frames" | "between messages"): void {
    this.#midFrame = place === "frame"
    this.#midMessage = place !== "between messages"
    if (this.#midMessage) return
    for (const frame of this.#waiting.splice(0)) this.write(frame)
    this.#waitingBytes = 0
  }

  /** A message of ours, in one frame. */
  message(opcode: DataOpcode, payload: Buffer): void {
    const frame = writeFrame(opcode, payload, this.#mask())
    if (this.#midMessage) {
      this.#waiting.push(frame)
      this.#waitingBytes += frame.length
    } else this.write(frame)
  }

  /** A Close as it came: nothing may follow it. */
  passClose(raw: Buffer): void {
    this.write(raw)
    this.#closing = true
  }

  /** A Close of ours, then the end. In the middle of a frame no Close can be said: the connection is broken off. */
  close(code: number, reason: string): void {
    if (this.#midFrame) {
      breakConnection(this.#socket)
      return
    }
    this.write(writeFrame(CLOSE, writeClose(code, reason), this.#mask()))
    this.#closing = true
    closeGently(this.#socket, this.#clock)
  }

  /** The peer's FIN has come from the other side. */
  end(): void {
    this.#closing = true
    if (!this.#socket.destroyed) this.#socket.end()
  }

  break(): void {
    breakConnection(this.#socket)
  }

  /** Resolves when the peer has taken what was queued, or will never take it. */
  async ready(): Promise<void> {
    if (!this.#socket.destroyed && !this.#socket.writableEnded) await this.#gauge.ready()
  }

  #mask(): Buffer | undefined {
    return this.#masks ? randomFillSync(Buffer.allocUnsafe(MASK_BYTES)) : undefined
  }
}
