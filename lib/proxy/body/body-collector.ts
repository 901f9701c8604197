/**
 * Reads a body whole for an addon. Afterwards the body leaves as if nobody had read it: what was read, then the rest.
 * That holds whatever became of the reading: a limit, a cut, or a hook that began it and was given up.
 */
import type { FlowError } from "../../base/errors.ts"
import { Pieces } from "../../base/pieces.ts"
import type { Body } from "../streams.ts"
import type { MemoryShare } from "./memory.ts"

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
  #begun: Promise<void> | undefined
  #reading: Promise<Buffer> | undefined
  /** Bytes that the flow's memory has been asked for. */
  #booked = 0

  constructor(body: Body, limits: CollectorLimits) {
    this.#body = body
    this.#limits = limits
  }

  /**
   * Reads up to the piece of which `isEnough` is true, or to the end; once, before anything else. That piece is on its way
   * already: it counts as held only if the whole body is asked for. Rejects as `collect` does.
   */
  until(isEnough: (piece: Buffer) => boolean): Promise<void> {
    this.#begun ??= this.#take(isEnough)
    return this.#begun
  }

  /** The whole body; the same for whoever asks. Rejects when there is too much of it, and as the body does. */
  collect(): Promise<Buffer> {
    this.#reading ??= this.#read()
    return this.#reading
  }

  /** The body, for its one reader from now on. A collection that is under way comes to its end first. */
  rest(): Body {
    const reading = this.#reading ?? this.#begun
    return reading === undefined ? this.#body : new CollectedBody(reading, this.#pieces, this.#body)
  }

  async #read(): Promise<Buffer> {
    if (this.#begun !== undefined) await this.#begun
    this.#book()
    await this.#take(() => false)
    return this.#pieces.concat()
  }

  async #take(isEnough: (piece: Buffer) => boolean): Promise<void> {
    for (let piece = await this.#body.read(); piece !== undefined; piece = await this.#body.read()) {
      this.#pieces.push(piece)
      if (isEnough(piece)) return
      this.#book()
    }
  }

  #book(): void {
    const { bytes, memory, tooLarge } = this.#limits
    const held = this.#pieces.bytes
    if (held > bytes || !memory.take(held - this.#booked)) throw tooLarge()
    this.#booked = held
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
