/**
 * A body that an addon makes as it goes: an async iterable of strings and bytes, asked for more when the client has taken
 * what there was. It is told to stop (`return()`) when nobody wants the rest; who reads does not wait for that.
 */
import { FlowError, messageOf } from "../../base/errors.ts"
import type { Body } from "../streams.ts"

/** What a piece of a body may be. */
export type Piece = string | Uint8Array

export class IteratedBody implements Body {
  readonly length: number | undefined
  readonly #source: AsyncIterable<Piece>
  #iterator: AsyncIterator<Piece> | undefined
  #ended = false
  #stopped: FlowError | undefined
  #wake: (reason: FlowError) => void = () => {}
  /** Bytes that are to come; NaN: no length was promised. */
  #left: number

  /** `length`: what the head promises. The source is not touched before the first `read`. */
  constructor(source: AsyncIterable<Piece>, length: number | undefined) {
    this.#source = source
    this.length = length
    this.#left = length ?? Number.NaN
  }

  /** Rejects when the source fails, keeps no promise of a length, or the body was stopped. */
  async read(): Promise<Buffer | undefined> {
    if (this.#stopped !== undefined) throw this.#stopped
    while (!this.#ended) {
      const bytes = await this.#next()
      if (bytes === undefined || bytes.length > 0) return bytes
    }
    return undefined
  }

  /** Nobody wants the rest. A read that waits rejects with `reason`, whatever the source does. */
  stop(reason: FlowError): void {
    if (this.#ended || this.#stopped !== undefined) return
    this.#stopped = reason
    this.#wake(reason)
    this.#close()
  }

  async #next(): Promise<Buffer | undefined> {
    let bytes: Buffer | undefined
    try {
      const next = await this.#pull()
      bytes = next.done === true ? undefined : asBytes(next.value, "yield strings and Uint8Arrays")
    } catch (thrown) {
      if (this.#stopped !== undefined) throw this.#stopped
      this.#ended = true
      this.#close() // Of no effect on a source that has failed by itself.
      throw bodyFailed(messageOf(thrown), thrown)
    }
    this.#count(bytes)
    if (bytes === undefined) this.#ended = true
    return bytes
  }

  #pull(): Promise<IteratorResult<Piece>> {
    this.#iterator ??= this.#source[Symbol.asyncIterator]()
    const iterator = this.#iterator
    return new Promise((resolve, reject) => {
      this.#wake = reject
      iterator.next().then(resolve, reject)
    })
  }

  /** Too much is said at once; too little at the end. */
  #count(bytes: Buffer | undefined): void {
    this.#left -= bytes?.length ?? 0
    if (!(this.#left < 0 || (bytes === undefined && this.#left > 0))) return
    const wasOpen = bytes !== undefined
    this.#ended = true
    if (wasOpen) this.#close()
    throw bodyFailed(`it is ${wasOpen ? "longer" : "shorter"} than its Content-Length of ${this.length} bytes`)
  }

  #close(): void {
    try {
      const closing = this.#iterator?.return?.()
      void Promise.resolve(closing).catch(() => {})
    } catch {
      // The body is over; how its source takes that is the source's affair.
    }
  }
}

function bodyFailed(why: string, cause?: unknown): FlowError {
  const what = "flow.respond: the reply's body failed"
  const told = `${what}; the log of llmproxy has the reason`
  return new FlowError("addon", "body-failed", `${what}: ${why}`, { status: 500, cause, told })
}

/** A piece that an addon made, as bytes. `advice`: what it should have made. Throws a TypeError. */
export function asBytes(value: unknown, advice: string): Buffer {
  if (typeof value === "string") return Buffer.from(value)
  if (Buffer.isBuffer(value)) return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw new TypeError(`it made ${value === null ? "null" : `a value of type ${typeof value}`}; ${advice}`)
}
