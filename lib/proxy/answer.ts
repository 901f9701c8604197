/**
 * An answer to a flow that an addon sent (`flow.send`): read just far enough to know whether it is any good, then read
 * by the addon or handed to the client. answer-encode.ts puts it into the client's dialect and form.
 */
import { FlowError, messageOf } from "../errors.ts"
import type { Answer, AnswerFailure, DeltaTransform, Flow } from "../flow.ts"
import { Headers } from "../headers.ts"
import { isStream } from "./answer-observer.ts"
import { AnswerTransform } from "./answer-transform.ts"
import { ContentDecoder } from "./content-coding.ts"
import type { FlowState } from "./flow-state.ts"
import type { InnerClient } from "./inner-client.ts"
import {
  Assembler,
  type Completion,
  type Delta,
  type Dialect,
  isContent,
  readAnswer,
  readError,
  type StreamDecoder,
  type StreamEvent,
} from "./observe.ts"
import type { StreamResponseHead } from "./streams.ts"

/** Bytes of an error body that are read for its meaning. */
const ERROR_BYTES_MAX = 65_536

export class AnswerState implements Answer {
  readonly child: FlowState
  readonly dialect: Dialect | undefined
  failure: AnswerFailure | undefined
  /** Set once a JSON answer has been read whole. */
  whole: Completion | undefined
  /** Whether it comes as a stream of events. Valid once there is a head. */
  streaming = false
  readonly assembler = new Assembler()
  #inner: InnerClient
  #head: StreamResponseHead | undefined
  #coding: ContentDecoder | undefined
  #decoder: StreamDecoder | undefined
  #events: StreamEvent[] = []
  #raw: Buffer[] = []
  #rawSize = 0
  #ended = false
  #transform: AnswerTransform | undefined

  constructor(
    child: FlowState,
    inner: InnerClient,
    dialect: Dialect | undefined,
    transform: DeltaTransform | undefined,
  ) {
    this.child = child
    this.dialect = dialect
    this.#inner = inner
    if (transform !== undefined) this.#transform = new AnswerTransform(transform)
  }

  /** Whether its events say something else than their bytes do. */
  get transformed(): boolean {
    return this.#transform !== undefined
  }

  get flow(): Flow {
    return this.child
  }

  get status(): number {
    return this.#head?.status ?? 0
  }

  get headers(): Headers {
    return this.#head?.headers ?? new Headers()
  }

  get head(): StreamResponseHead {
    return this.#head ?? { status: 502, reason: "Bad Gateway", headers: new Headers() }
  }

  /** Reads until `what` is known. Never rejects: what goes wrong is the answer's `failure`. */
  async until(what: "head" | "delta" | "end"): Promise<void> {
    try {
      await this.#readHead()
      if (what === "head") return
      if (this.status >= 400) await this.#readStatusError()
      else if (this.streaming) await this.#readEvents(what)
      else if (this.dialect !== undefined) await this.#readJson(this.dialect)
      else if (what === "end") await this.#readAll(this.child.core.settings.bodyLimit)
    } catch (thrown) {
      this.#fail(thrown)
    }
  }

  async *deltas(): AsyncGenerator<Delta, void> {
    for (let event = await this.nextEvent(); event !== undefined; event = await this.nextEvent()) {
      if (event.error !== undefined) throw new FlowError("upstream", event.error.code ?? "error", event.error.message)
      yield* event.deltas
    }
  }

  async completion(): Promise<Completion> {
    if (this.failure !== undefined) throw new FlowError("upstream", this.failure.kind, this.failure.message)
    if (this.whole !== undefined) return this.whole
    for await (const _ of this.deltas()) {
    }
    return this.whole ?? this.assembler.finish(false)
  }

  async text(): Promise<string> {
    const pieces: Buffer[] = this.#raw.splice(0)
    for (let piece = await this.nextPiece(); piece !== undefined; piece = await this.nextPiece()) pieces.push(piece)
    return Buffer.concat(pieces).toString("utf8")
  }

  abort(): void {
    this.child.fail(new FlowError("addon", "unused", "the answer was not used"))
  }

  /** The next event of a stream; undefined at its end. Rejects when it breaks off. */
  async nextEvent(): Promise<StreamEvent | undefined> {
    while (this.#events.length === 0) if (!(await this.#pull())) return undefined
    return this.#events.shift()
  }

  /** The next piece of the decoded body, for answers that are not read as events. */
  async nextPiece(): Promise<Buffer | undefined> {
    const known = this.#raw.shift()
    if (known !== undefined) return known
    while (!this.#ended) {
      const piece = await this.#inner.output.read()
      if (piece === undefined) this.#ended = true
      else if (this.#coding === undefined) return piece
      else {
        this.#raw.push(...(await this.#coding.feed(piece)))
        const decoded = this.#raw.shift()
        if (decoded !== undefined) return decoded
      }
    }
    return undefined
  }

  async #readHead(): Promise<void> {
    this.#head ??= await this.#inner.responded
    this.#coding = ContentDecoder.for(this.#head.headers.get("content-encoding"))
    this.streaming = this.dialect !== undefined && isStream(this.#head, this.child.llm?.request.stream ?? true)
    if (this.streaming) this.#decoder = this.dialect?.decoder()
  }

  /** Until the first piece of text, reasoning, refusal or tool call, or to the end. */
  async #readEvents(what: "delta" | "end"): Promise<void> {
    for (let seen = 0; ; ) {
      for (; seen < this.#events.length; seen++) {
        const event = this.#events[seen]
        if (event?.error !== undefined) {
          this.failure = { kind: "error", message: event.error.message, status: this.status, error: event.error }
          return
        }
        if (what === "delta" && event?.deltas.some(isContent) === true) return
      }
      if (!(await this.#pull())) break
    }
    if (!this.assembler.hasContent) this.#empty()
  }

  /** Reads one more piece of the body into events; false at the end. */
  async #pull(): Promise<boolean> {
    if (this.#ended) return false
    const piece = await this.nextPiece()
    const decoder = this.#decoder
    const decoded = (piece === undefined ? decoder?.finish() : decoder?.feed(piece)) ?? []
    const events = this.#transform?.events(decoded, piece === undefined) ?? decoded
    for (const event of events) {
      this.assembler.push(event)
      this.#events.push(event)
    }
    return piece !== undefined || events.length > 0
  }

  async #readJson(dialect: Dialect): Promise<void> {
    const bytes = await this.#readAll(this.child.core.settings.bodyLimit)
    const answer = readAnswer(dialect, bytes)
    if (answer === undefined) {
      const message = `the answer is no ${dialect.name} answer: ${bytes.subarray(0, 200).toString("utf8")}`
      this.failure = { kind: bytes.length === 0 ? "empty" : "error", message, status: this.status, error: undefined }
    } else if ("error" in answer) {
      this.failure = { kind: "error", message: answer.error.message, status: this.status, error: answer.error }
    } else {
      this.whole = this.#transform?.completion(answer.completion) ?? answer.completion
      const { text, reasoning, refusal, toolCalls } = this.whole
      if (text === "" && reasoning === "" && refusal === "" && toolCalls.length === 0) this.#empty()
    }
  }

  async #readStatusError(): Promise<void> {
    const bytes = await this.#readAll(ERROR_BYTES_MAX)
    const error = this.dialect === undefined ? undefined : readError(this.dialect, this.status, bytes)
    const message = error?.message ?? `status ${this.status}`
    this.failure = { kind: "status", message, status: this.status, error }
  }

  /** The whole decoded body, which stays readable; what exceeds `limit` is an error. */
  async #readAll(limit: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let piece = await this.nextPiece(); piece !== undefined; piece = await this.nextPiece()) {
      pieces.push(piece)
      this.#rawSize += piece.length
      if (this.#rawSize > limit)
        throw new FlowError("upstream", "answer-too-large", `the answer exceeds ${limit} bytes`)
    }
    this.#raw = pieces
    return Buffer.concat(pieces)
  }

  #empty(): void {
    const message = "the answer ended without a text or a tool call"
    this.failure = { kind: "empty", message, status: this.status, error: undefined }
  }

  #fail(thrown: unknown): void {
    const kind = this.#head === undefined ? "connect" : "cut"
    this.failure ??= { kind, message: messageOf(thrown), status: this.status, error: undefined }
  }
}
