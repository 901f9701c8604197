/**
 * How many writes wait in a stream's queue. Node counts their bytes alone, but each costs a hundred and more beside
 * them: what is passed on byte by byte would hold a hundred times what the stream's limit says.
 */
import type { Writable } from "node:stream"

/** Writes that wait in one stream's queue before the writer is asked to. */
const WRITES_MAX = 256
const NOTHING: Buffer = Buffer.alloc(0)

export class WriteGauge {
  readonly #stream: Writable
  #count = 0

  constructor(stream: Writable) {
    this.#stream = stream
  }

  /** Before each write. */
  count(): void {
    if (this.#stream.writableLength === 0) this.#count = 0
    this.#count++
  }

  get full(): boolean {
    return this.#count >= WRITES_MAX && this.#stream.writableLength > 0
  }

  /** Resolves when what is queued now has left, or never will. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#stream.off("close", done)
        this.#count = 0
        resolve()
      }
      this.#stream.once("close", done)
      this.#stream.write(NOTHING, done) // `drain` comes only where a write has returned false.
    })
  }
}
