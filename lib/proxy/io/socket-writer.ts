/**
 * Writes to a socket so that a head and the body behind it leave together: everything that is written before the
 * present turn of the event loop ends goes out in one system call. Nothing waits longer than that. One of them serves
 * all messages of a connection.
 */
import type { Duplex } from "node:stream"
import { FlowError } from "../../base/errors.ts"
import { WriteGauge } from "./write-gauge.ts"

/** Bytes in the socket's queue from which on the writer asks to wait. */
const WRITE_HIGH_WATER = 65_536
/** Up to this size bytes are copied beside their head or framing. */
const COPY_BYTES_MAX = 16_384
const CRLF = "\r\n"

export class SocketWriter {
  #socket: Duplex
  #gauge: WriteGauge
  #corked = false
  /** Text that waits for the bytes behind it: one copy is cheaper than two entries in the socket's queue. */
  #pending = ""

  constructor(socket: Duplex) {
    this.#socket = socket
    this.#gauge = new WriteGauge(socket)
  }

  /** Latin1 text: heads and framing. Leaves with the next bytes, with `flush`, or at the end of this turn. */
  text(text: string): boolean {
    this.#cork()
    this.#pending += text
    return this.#hasRoom()
  }

  bytes(bytes: Buffer): boolean {
    this.#cork()
    this.#gauge.count()
    if (this.#pending !== "" && bytes.length <= COPY_BYTES_MAX) this.#socket.write(this.#join(this.#take(), bytes, ""))
    else {
      this.flush()
      this.#socket.write(bytes)
    }
    return this.#hasRoom()
  }

  /** One chunk of the chunked coding; `head` is its size line. */
  chunk(head: string, bytes: Buffer): boolean {
    this.#cork()
    this.#gauge.count()
    if (bytes.length <= COPY_BYTES_MAX) {
      this.#socket.write(this.#join(this.#take() + head, bytes, CRLF))
    } else {
      this.#socket.write(this.#take() + head, "latin1")
      this.#socket.write(bytes)
      this.#socket.write(CRLF, "latin1")
    }
    return this.#hasRoom()
  }

  /** Hands text that waits to the socket: before the socket is ended or given away. */
  flush(): void {
    if (this.#pending !== "") this.#socket.write(this.#take(), "latin1")
  }

  /** Resolves when the queue has drained; rejects when the socket closes first. */
  async ready(): Promise<void> {
    const socket = this.#socket
    this.flush()
    if (socket.destroyed || socket.writableEnded || !(await this.#gauge.ready())) throw closed()
  }

  #hasRoom(): boolean {
    return this.#socket.writableLength < WRITE_HIGH_WATER && !this.#gauge.full
  }

  #take(): string {
    const text = this.#pending
    this.#pending = ""
    return text
  }

  #join(before: string, bytes: Buffer, after: string): Buffer {
    const joined = Buffer.allocUnsafe(before.length + bytes.length + after.length)
    joined.write(before, 0, "latin1")
    joined.set(bytes, before.length)
    if (after !== "") joined.write(after, before.length + bytes.length, "latin1")
    return joined
  }

  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
    process.nextTick(this.#uncork)
  }

  #uncork = (): void => {
    this.#corked = false
    this.flush()
    this.#socket.uncork()
  }
}

function closed(): FlowError {
  return new FlowError("client", "connection-closed", "the connection closed while bytes were waiting to be sent")
}
