/**
 * Reads a body whole for an addon. Afterwards the body leaves as if nobody had read it: what was read, then the rest.
 * That holds whatever became of the reading: a limit, a cut, or a hook that began it and was given up.
 */
import type { FlowError } from "../errors.ts"
import { Pieces } from "../pieces.ts"
import type { MemoryShare } from "./memory.ts"
import type { Body } from "./streams.ts"

export interface CollectorLimits {
  /** Bytes that may be held. */
  readonly bytes: number
  readonly memory: MemoryShare
  /** What exceeds them. */
  tooLarge(): FlowError
}

export class BodyCollector {
  readonly #body: Body
  readonly #limits: CollectorLimits
  readonly #pieces = new Pieces()
  #reading: Promise<Buffer> | undefined

  constructor(body: Body, limits: CollectorLimits) {
    this.#body = body
    this.#limits = limits
  }

  /** The whole body; the same for whoever asks. Rejects when there is too much of it, and as the body does. */
  collect(): Promise<Buffer> {
    this.#reading ??= this.#read()
    return this.#reading
  }

  /** The body, for its one reader from now on. A collection that is under way comes to its end first. */
  rest(): Body {
    return this.#reading === undefined ? this.#body : new CollectedBody(this.#reading, this.#pieces, this.#body)
  }

  async #read(): Promise<Buffer> {
    const { bytes, memory, tooLarge } = this.#limits
    for (let piece = await this.#body.read(); piece !== undefined; piece = await this.#body.read()) {
      this.#pieces.push(piece)
      if (this.#pieces.bytes > bytes || !memory.take(piece.length)) throw tooLarge()
    }
    return this.#pieces.concat()
  }
}

class CollectedBody implements Body {
  readonly length: number | undefined
  #reading: Promise<unknown> | undefined
  readonly #pieces: Pieces
  readonly #rest: Body

  constructor(reading: Promise<unknown>, pieces: Pieces, rest: Body) {
    this.#reading = reading.catch(() => {}) // The rest of the body tells of a cut by itself.
    this.#pieces = pieces
    this.#rest = rest
    this.length = rest.length
  }

  async read(): Promise<Buffer | undefined> {
    if (this.#reading !== undefined) await this.#reading
    this.#reading = undefined
    return this.#pieces.shift() ?? this.#rest.read()
  }
}
