/**
 * Writes to a socket so that a head and the body behind it leave together: everything that is written before the
 * present turn of the event loop ends goes out in one system call. Nothing waits longer than that.
 */
import type { Duplex } from "node:stream"
import { FlowError } from "../errors.ts"

/** Bytes in the socket's queue from which on the writer asks to wait. */
const WRITE_HIGH_WATER = 65_536
/** Up to this size a chunk is copied beside its framing: cheaper than three entries in the socket's queue. */
const COPY_BYTES_MAX = 8_192
const CRLF = Buffer.from("\r\n", "latin1")

export class SocketWriter {
  #socket: Duplex
  #corked = false

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  /** Latin1 text: heads and framing. */
  text(text: string): boolean {
    this.#cork()
    this.#socket.write(text, "latin1")
    return this.#hasRoom()
  }

  bytes(bytes: Buffer): boolean {
    this.#cork()
    this.#socket.write(bytes)
    return this.#hasRoom()
  }

  /** One chunk of the chunked coding; `head` is its size line. */
  chunk(head: string, bytes: Buffer): boolean {
    this.#cork()
    if (bytes.length > COPY_BYTES_MAX) {
      this.#socket.write(head, "latin1")
      this.#socket.write(bytes)
      this.#socket.write(CRLF)
      return this.#hasRoom()
    }
    const framed = Buffer.allocUnsafe(head.length + bytes.length + 2)
    framed.write(head, 0, "latin1")
    bytes.copy(framed, head.length)
    framed[framed.length - 2] = 13
    framed[framed.length - 1] = 10
    this.#socket.write(framed)
    return this.#hasRoom()
  }

  /** Resolves when the queue has drained; rejects when the socket closes first. */
  ready(): Promise<void> {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return Promise.reject(closed())
    if (!socket.writableNeedDrain) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const onDrain = () => {
        socket.off("close", onClose)
        resolve()
      }
      const onClose = () => {
        socket.off("drain", onDrain)
        reject(closed())
      }
      socket.once("drain", onDrain)
      socket.once("close", onClose)
    })
  }

  #hasRoom(): boolean {
    return this.#socket.writableLength < WRITE_HIGH_WATER
  }

  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#corked = false
      this.#socket.uncork()
    })
  }
}

function closed(): FlowError {
  return new FlowError("client", "connection-closed", "the connection closed while bytes were waiting to be sent")
}
