/**
 * An answer's decoded body whose framing its first bytes tell: afterwards it is read piece by piece, those first ones
 * included, or whole. What has to be read for that is bounded as all collected bodies are.
 */

import type { BodyCollector } from "../body/body-collector.ts"
import {
  type Dialect,
  type FramingScan,
  framingScan,
  isLabelledOwn,
  type StreamFraming,
  streamFraming,
} from "../body/observe.ts"
import type { StreamResponseHead } from "../streams.ts"
import type { FlowCore } from "./core.ts"
import { collectorOf } from "./whole-answer.ts"

export class FramedBody {
  /** Whether the label says that it is a stream of its dialect, so that nothing need wait for the bytes to say it. */
  readonly isLabelled: boolean
  readonly #head: StreamResponseHead
  readonly #scan: FramingScan
  readonly #collector: BodyCollector
  readonly #pieces: AsyncGenerator<Buffer, void>
  /** The first piece that is not white space alone. */
  #told: Buffer | undefined
  #stream: Promise<StreamFraming | undefined> | undefined

  constructor(
    flow: Pick<FlowCore, "core" | "llm" | "memory">,
    dialect: Dialect,
    head: StreamResponseHead,
    pieces: AsyncGenerator<Buffer, void>,
  ) {
    const asked = flow.llm?.request.stream
    this.isLabelled = isLabelledOwn(dialect, head, asked)
    this.#head = head
    this.#scan = framingScan(dialect, head, asked)
    this.#pieces = pieces
    this.#collector = collectorOf(flow, { length: undefined, read: () => this.#read() })
  }

  /** White space that comes alone at the beginning, as it comes: servers keep clients waiting with it. Before `stream`. */
  async *lead(): AsyncGenerator<Buffer, void> {
    for (let piece = await this.#read(); piece !== undefined; piece = await this.#read()) {
      if (!isSpace(piece)) {
        this.#told = piece
        return
      }
      this.#scan.feed(piece)
      yield piece
    }
  }

  async #read(): Promise<Buffer | undefined> {
    const told = this.#told
    this.#told = undefined
    if (told !== undefined) return told
    const next = await this.#pieces.next()
    return next.done === true ? undefined : next.value
  }

  /** How its events are framed; undefined where it is no stream by its bytes. Rejects as the body does. */
  stream(): Promise<StreamFraming | undefined> {
    this.#stream ??= this.#find()
    return this.#stream
  }

  async #find(): Promise<StreamFraming | undefined> {
    await this.#collector.until((piece) => this.#scan.feed(piece) !== undefined)
    const framing = this.#scan.finish()
    return framing === "none" ? undefined : streamFraming(framing, this.#head.headers.get("content-type"))
  }

  /** Every piece, once `stream` has resolved. */
  async *pieces(): AsyncGenerator<Buffer, void> {
    const body = this.#collector.rest()
    try {
      for (let piece = await body.read(); piece !== undefined; piece = await body.read()) yield piece
    } finally {
      await this.#pieces.return()
    }
  }

  /** All of it. Rejects when it is too large, and as the body does. */
  whole(): Promise<Buffer> {
    return this.#collector.collect()
  }
}

const SPACES: ReadonlySet<number> = new Set(Buffer.from(" \t\r\n"))

function isSpace(piece: Buffer): boolean {
  return piece.every((byte) => SPACES.has(byte))
}
