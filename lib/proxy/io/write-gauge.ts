/**
 * Whether a stream takes more, and when it does again. It counts the writes that wait in the stream's queue: Node counts
 * their bytes alone, but each costs a hundred and more beside them, so that what is passed on byte by byte would hold a
 * hundred times what the stream's limit says.
 */
import type { Writable } from "node:stream"

/** Writes that wait in one stream's queue before the writer is asked to. */
const WRITES_MAX = 256
const NOTHING: Buffer = Buffer.alloc(0)
const CLOSE = ["close"]
const TAKES_MORE = Promise.resolve(true)

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

  /**
   * Resolves when the stream takes more: true; false where one of `endings` has come first. `drain` alone would not tell
   * it: it comes only where a write has returned false.
   */
  ready(endings: readonly string[] = CLOSE): Promise<boolean> {
    const stream = this.#stream
    if (!stream.writableNeedDrain) return this.full ? this.flushed().then(() => true) : TAKES_MORE
    return new Promise((resolve) => {
      const settle = (takesMore: boolean) => {
        stream.off("drain", onDrain)
        for (const ending of endings) stream.off(ending, onEnd)
        resolve(takesMore)
      }
      const onDrain = () => settle(true)
      const onEnd = () => settle(false)
      stream.on("drain", onDrain)
      for (const ending of endings) stream.on(ending, onEnd)
    })
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
