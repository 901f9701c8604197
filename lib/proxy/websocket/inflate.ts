/**
 * Takes permessage-deflate (RFC 7692) off the messages of one direction, with the window kept from one to the next.
 * It only ever reads: what leaves unchanged leaves as its own compressed bytes. Output is bounded, and booked while a
 * message grows: many small messages that become large ones at once would go past the limit before the first is whole.
 */
import { createInflateRaw, type InflateRaw } from "node:zlib"
import { WebSocketViolation } from "../../websocket/violation.ts"
import type { MemoryShare } from "../body/memory.ts"

/** What a sender leaves off the end of each message (RFC 7692, 7.2.1). */
const TAIL: Buffer = Buffer.from([0x00, 0x00, 0xff, 0xff])

export interface InflaterLimits {
  /** Bytes of a message that are kept; a longer one is inflated all the same, for the sake of the window. */
  readonly keepBytes: number
  /** Bytes that one message may become; more is an attack. */
  readonly messageBytes: number
  /** Where the present message is booked until it is whole. One that does not fit is not kept. */
  readonly memory: MemoryShare
}

export class MessageInflater {
  readonly #limits: InflaterLimits
  #stream: InflateRaw | undefined
  #pieces: Buffer[] = []
  #size = 0
  #booked = 0
  #keeping = true
  #fail: ((reason: Error) => void) | undefined
  #ended = () => {}
  #failure: Error | undefined
  #closed = false

  constructor(limits: InflaterLimits) {
    this.#limits = limits
  }

  /**
   * Takes a piece of the present message; `last`: it ends with it. Resolves, for the last piece, with the whole
   * message, or undefined where it is not kept; the caller books it from then on. Rejects with a WebSocketViolation. One call at a time.
   */
  async feed(piece: Buffer, last: boolean): Promise<Buffer | undefined> {
    if (this.#failure !== undefined) throw this.#failure
    const stream = this.#stream ?? this.#start()
    await new Promise<void>((resolve, reject) => {
      this.#fail = reject
      this.#ended = resolve
      stream.write(piece)
      if (last) stream.write(TAIL)
      stream.flush(() => resolve())
    })
    this.#fail = undefined
    if (stream.readableEnded) this.#restart(stream)
    return last ? this.#take() : undefined
  }

  close(): void {
    this.#closed = true
    this.#stream?.destroy()
    this.#forget()
    this.#failed(new Error("the connection has ended"))
  }

  #start(): InflateRaw {
    const stream = createInflateRaw()
    stream.on("data", (out: Buffer) => this.#add(out))
    // After a block that says it is the last one (RFC 7692, 7.2.3.4) the stream ends, and flush is never called back.
    stream.on("end", () => this.#ended())
    stream.on("error", (cause) =>
      this.#failed(new WebSocketViolation(`a message could not be decompressed: ${cause.message}`, 1007)),
    )
    this.#stream = stream
    return stream
  }

  #restart(stream: InflateRaw): void {
    stream.destroy()
    this.#stream = undefined
  }

  #add(out: Buffer): void {
    if (this.#closed) return
    this.#size += out.length
    if (this.#keeping) this.#keep(out)
    if (this.#size <= this.#limits.messageBytes) return
    this.#failed(new WebSocketViolation(`a message decompresses to more than ${this.#limits.messageBytes} bytes`, 1009))
    this.#stream?.destroy()
  }

  #keep(out: Buffer): void {
    if (this.#size <= this.#limits.keepBytes && this.#limits.memory.take(out.length)) {
      this.#booked += out.length
      this.#pieces.push(out)
      return
    }
    this.#keeping = false
    this.#forget()
  }

  #forget(): void {
    this.#pieces = []
    this.#limits.memory.give(this.#booked)
    this.#booked = 0
  }

  #take(): Buffer | undefined {
    const whole = this.#keeping ? Buffer.concat(this.#pieces) : undefined
    this.#forget()
    this.#size = 0
    this.#keeping = true
    return whole
  }

  #failed(reason: Error): void {
    this.#failure ??= reason
    this.#fail?.(this.#failure)
    this.#fail = undefined
  }
}
