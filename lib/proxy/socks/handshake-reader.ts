/**
 * A socket as whole messages of a binary handshake, for both ends of SOCKS. Between two messages the socket is paused,
 * so that a peer costs one message and one chunk of the socket (64 KiB) at most. What was not read is put back.
 */
import type { Socket } from "node:net"
import type { FlowError } from "../../base/errors.ts"

/** A message, and how many bytes it took. */
export interface Read<T> {
  readonly value: T
  readonly size: number
}

export class HandshakeReader {
  #socket: Socket
  #gone: FlowError
  #seen: Buffer = Buffer.alloc(0)
  #over: FlowError | undefined
  #wake = () => {}

  /** `gone`: what a read rejects with when the peer leaves. */
  constructor(socket: Socket, gone: FlowError) {
    this.#socket = socket
    this.#gone = gone
    socket.on("data", this.#onData)
    socket.on("end", this.#onGone)
    socket.on("close", this.#onGone)
    socket.pause()
    if (socket.destroyed) this.end(gone)
  }

  /** The next message: `read` gets all bytes so far, and returns undefined until it is whole. Rejects with what it throws. */
  async read<T>(read: (bytes: Buffer) => Read<T> | undefined): Promise<T> {
    for (;;) {
      const message = read(this.#seen)
      if (message !== undefined) {
        this.#seen = this.#seen.subarray(message.size)
        return message.value
      }
      if (this.#over !== undefined) throw this.#over
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#socket.resume()
      })
    }
  }

  /** Nothing more will be read. */
  end(error: FlowError): void {
    this.#over ??= error
    this.#wake()
  }

  /** Gives the socket back, paused. */
  stop(): void {
    const socket = this.#socket
    socket.off("data", this.#onData)
    socket.off("end", this.#onGone)
    socket.off("close", this.#onGone)
    if (this.#over !== undefined || socket.writableEnded) return // It is being closed: what comes is thrown away.
    socket.pause()
    if (this.#seen.length > 0) socket.unshift(this.#seen)
  }

  #onData = (bytes: Buffer): void => {
    this.#socket.pause()
    this.#seen = this.#seen.length === 0 ? bytes : Buffer.concat([this.#seen, bytes])
    this.#wake()
  }

  #onGone = (): void => this.end(this.#gone)
}
