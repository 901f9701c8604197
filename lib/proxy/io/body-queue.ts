/**
 * Turns pieces that a socket pushes into a body that is pulled. The queue is bounded: `push` says when the socket has
 * to be paused, and `onRoom` is called when it may flow again. That is the whole of backpressure inside the process.
 */
import type { FlowError } from "../../base/errors.ts"
import { Pieces } from "../../base/pieces.ts"
import type { Body } from "../streams.ts"

/** Bytes that wait in a queue before the socket is paused. */
const QUEUE_BYTES_MAX = 65_536

interface Waiter {
  resolve(piece: Buffer | undefined): void
  reject(error: FlowError): void
}

export class BodyQueue implements Body {
  /** What the head promised, once it is known. */
  length: number | undefined
  #pieces = new Pieces()
  #ended = false
  #error: FlowError | undefined
  #waiter: Waiter | undefined
  #onRoom: () => void

  /** `length`: what the head promised. `onRoom`: the reader has made room after `push` had returned false. */
  constructor(length: number | undefined, onRoom: () => void) {
    this.length = length
    this.#onRoom = onRoom
  }

  /** Whether the last piece has been pushed (not: read). */
  get ended(): boolean {
    return this.#ended
  }

  get full(): boolean {
    return this.#pieces.bytes >= QUEUE_BYTES_MAX
  }

  /** Adds a piece. False: pause until `onRoom`. */
  push(piece: Buffer): boolean {
    if (this.#waiter !== undefined) {
      const waiter = this.#waiter
      this.#waiter = undefined
      waiter.resolve(piece)
      return true
    }
    this.#pieces.push(piece)
    return !this.full
  }

  finish(): void {
    this.#ended = true
    this.#waiter?.resolve(undefined)
    this.#waiter = undefined
  }

  /** The body breaks off. Pieces that are queued can still be read before the error shows. */
  fail(error: FlowError): void {
    if (this.#ended || this.#error !== undefined) return
    this.#error = error
    this.#waiter?.reject(error)
    this.#waiter = undefined
  }

  take(): Buffer | "end" | undefined {
    const wasFull = this.full
    const piece = this.#pieces.shift()
    if (piece === undefined) return this.#ended ? "end" : undefined
    if (wasFull && !this.full) this.#onRoom()
    return piece
  }

  /** Throws while an earlier `read` waits: of two readers each would get a part, and neither would know. */
  read(): Promise<Buffer | undefined> {
    if (this.#waiter !== undefined) throw new Error("a body has one reader, and another one is reading it")
    const piece = this.take()
    if (piece !== undefined && piece !== "end") return Promise.resolve(piece)
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#ended) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }
}

/** The next piece, without a promise where it is here; undefined after the last one. */
export function nextPiece(body: Body): Buffer | undefined | Promise<Buffer | undefined> {
  const taken = body.take?.()
  if (taken === undefined) return body.read()
  return taken === "end" ? undefined : taken
}

/** A body that is already there. */
export class BufferBody implements Body {
  readonly length: number
  #bytes: Buffer | undefined

  constructor(bytes: Buffer) {
    this.length = bytes.length
    this.#bytes = bytes.length === 0 ? undefined : bytes
  }

  read(): Promise<Buffer | undefined> {
    const bytes = this.#bytes
    this.#bytes = undefined
    return Promise.resolve(bytes)
  }
}

/** No body at all. */
export const NO_BODY: Body = { length: 0, read: () => Promise.resolve(undefined) }
