/**
 * Watches the bytes of an answer and says what they mean: deltas as they come, then a completion or an error. It gets
 * a copy after the bytes were written on, never holds them up, and what it cannot read it gives up on, saying why.
 */
import { messageOf } from "../../base/errors.ts"
import { Pieces } from "../../base/pieces.ts"
import type { StreamResponseHead } from "../streams.ts"
import { ContentDecoder } from "./content-coding.ts"
import {
  Assembler,
  type Completion,
  completionOf,
  type Delta,
  type Dialect,
  decoderFor,
  type Framing,
  type FramingScan,
  framingScan,
  isConclusion,
  isContent,
  isLabelledOwn,
  isObject,
  type LlmError,
  parseJson,
  readAnswer,
  readError,
  type StreamDecoder,
  type StreamEvent,
  streamFraming,
} from "./observe.ts"

/** Bytes of an error body that are read for its meaning. */
const ERROR_BYTES_MAX = 65_536
/** Decoded bytes of one answer that are looked at: what it decodes to is the upstream's choice. */
const DECODED_BYTES_MAX = 1_073_741_824
/** Bytes of a JSON answer that are read for its meaning. */
const ANSWER_BYTES_MAX = 33_554_432

export interface AnswerObserverOptions {
  readonly dialect: Dialect
  readonly head: StreamResponseHead
  /** Whether the client asked for a stream. */
  readonly stream: boolean
  /** Milliseconds since the request was whole. */
  elapsed(): number
  onDelta(delta: Delta): void
}

export interface Observed {
  readonly completion: Completion | undefined
  readonly error: LlmError | undefined
  /** Why the answer could not be read. */
  readonly unparsed: string | undefined
}

export class AnswerObserver {
  #options: AnswerObserverOptions
  #coding: ContentDecoder | undefined
  /** Until the bytes have told how they are framed; an error's are collected, whatever they are. */
  #scan: FramingScan | undefined
  #decoder: StreamDecoder | undefined
  #assembler = new Assembler()
  #pieces = new Pieces()
  #size = 0
  #unparsed: string | undefined
  #firstDeltaMs: number | undefined
  #concluded = false

  constructor(options: AnswerObserverOptions) {
    this.#options = options
    if (options.head.status < 400) this.#scan = framingScan(options.dialect, options.head, options.stream)
    try {
      this.#coding = ContentDecoder.for(options.head.headers.get("content-encoding"), DECODED_BYTES_MAX)
    } catch (thrown) {
      this.#unparsed = messageOf(thrown)
    }
  }

  /** Whether what was fed is a whole answer: a stream with its dialect's end mark, or JSON to its last byte. */
  get complete(): boolean {
    if (this.#unparsed !== undefined) return false
    if (this.#decoder !== undefined) return this.#assembler.done
    const { dialect, head, stream } = this.#options
    if (this.#scan !== undefined && isLabelledOwn(dialect, head, stream)) return false // Of a stream not even an event has ended.
    return isObject(parseJson(this.#pieces.concat().toString("utf8")))
  }

  /** A promise only where a Content-Encoding has to be taken off. */
  feed(piece: Buffer): Promise<void> | undefined {
    if (this.#unparsed !== undefined) return undefined
    if (this.#coding === undefined) {
      this.#decoded(piece)
      return undefined
    }
    return this.#feedCoded(this.#coding, piece)
  }

  async #feedCoded(coding: ContentDecoder, piece: Buffer): Promise<void> {
    try {
      for await (const decoded of coding.feed(piece)) this.#decoded(decoded)
    } catch (thrown) {
      this.#giveUp(messageOf(thrown))
    }
  }

  /**
   * The answer has ended. `broken`: it broke off. Call once. A stream that says nowhere that it, or a choice of it, has
   * ended is cut as well, whatever its HTTP framing says: hosts and gateways that fail often end it cleanly.
   */
  finish(broken: boolean): Observed {
    this.#coding?.close()
    if (this.#unparsed === undefined) this.#finishStream()
    const cut = broken || (this.#unparsed === undefined && this.#decoder !== undefined && !this.#concluded)
    const totalMs = this.#options.elapsed()
    const timings = { firstDeltaMs: this.#firstDeltaMs, totalMs }
    const { head, dialect } = this.#options
    if (head.status >= 400)
      return {
        completion: undefined,
        error: readError(dialect, head.status, this.#pieces.concat()),
        unparsed: undefined,
      }
    if (this.#unparsed === undefined && this.#decoder === undefined && !cut) {
      const answer = readAnswer(dialect, this.#pieces.concat())
      if (answer === undefined) this.#giveUp(`the answer is no ${dialect.name} answer`)
      else if ("error" in answer) return { completion: undefined, error: answer.error, unparsed: undefined }
      else return { completion: completionOf({ ...answer.completion, timings }), error: undefined, unparsed: undefined }
    }
    if (this.#assembler.error !== undefined)
      return { completion: undefined, error: this.#assembler.error, unparsed: this.#unparsed }
    return { completion: this.#assembler.finish(cut, timings), error: undefined, unparsed: this.#unparsed }
  }

  #decoded(piece: Buffer): void {
    const framing = this.#scan?.feed(piece)
    if (framing !== undefined) this.#framed(framing)
    if (this.#unparsed !== undefined) return
    const decoder = this.#decoder
    if (decoder !== undefined) {
      this.#take(decoder, piece)
      return
    }
    const limit = this.#options.head.status >= 400 ? ERROR_BYTES_MAX : ANSWER_BYTES_MAX
    this.#size += piece.length
    if (this.#size <= limit) this.#pieces.push(piece)
    else if (this.#options.head.status < 400) this.#giveUp(`the answer exceeds ${ANSWER_BYTES_MAX} bytes`)
  }

  /** What has come so far is read as what it is. */
  #framed(framing: Framing): void {
    this.#scan = undefined
    const { dialect, head } = this.#options
    const stream = streamFraming(framing, head.headers.get("content-type"))
    if (stream === undefined) return
    const decoder = decoderFor(dialect, stream)
    this.#decoder = decoder
    const held = this.#pieces.concat()
    this.#pieces.clear()
    if (held.length > 0) this.#take(decoder, held)
  }

  #finishStream(): void {
    if (this.#scan !== undefined) this.#framed(this.#scan.finish())
    const decoder = this.#decoder
    if (decoder !== undefined) this.#take(decoder, undefined)
  }

  /** `piece`: undefined at the end. */
  #take(decoder: StreamDecoder, piece: Buffer | undefined): void {
    try {
      const events = piece === undefined ? decoder.finish() : decoder.feed(piece)
      for (const event of events) this.#event(event)
    } catch (thrown) {
      this.#giveUp(messageOf(thrown))
    }
  }

  #event(event: StreamEvent): void {
    this.#assembler.push(event)
    this.#concluded ||= isConclusion(event)
    for (const delta of event.deltas) {
      if (this.#firstDeltaMs === undefined && isContent(delta)) this.#firstDeltaMs = this.#options.elapsed()
      this.#options.onDelta(delta)
    }
  }

  #giveUp(why: string): void {
    this.#unparsed = why
    this.#pieces.clear()
  }
}
