/**
 * An answer to a flow that an addon sent (`flow.send`): read just far enough to know whether it is any good, then read
 * by the addon or handed to the client. encode.ts puts it into the client's dialect and form.
 */
import type { AnswerFailure, DeltaTransform, Flow, RespondOptions } from "../../api/flow.ts"
import { FlowError, messageOf } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import type { Sender } from "../../loader/chain.ts"
import type { Incoming } from "../body/incoming.ts"
import {
  Assembler,
  asFlowError,
  type Completion,
  type Delta,
  type Dialect,
  decoderFor,
  deltasOf,
  type Framing,
  type FramingScan,
  framingIn,
  framingScan,
  isConclusion,
  isContent,
  isLabelledOwn,
  readAnswer,
  readError,
  type StreamDecoder,
  type StreamEvent,
  type StreamFraming,
  streamFraming,
} from "../body/observe.ts"
import { type GivenAnswer, INCOMING, type Recipient } from "../flow/replied.ts"
import type { FlowState } from "../flow/state.ts"
import { contextOf } from "../flow/transform.ts"
import type { StreamResponseHead } from "../streams.ts"
import { AnswerBody } from "./body.ts"
import { type EncodableAnswer, incomingFromAnswer } from "./encode.ts"
import type { InnerClient } from "./inner-client.ts"
import { AnswerTransform } from "./transform.ts"

/** Bytes of an error body that are read for its meaning. */
const ERROR_BYTES_MAX = 65_536

export interface AnswerOptions {
  readonly transform?: DeltaTransform | undefined
  /** Who has sent it; undefined: it is not known. */
  readonly sender?: Sender | undefined
}

export class AnswerState implements GivenAnswer, EncodableAnswer {
  readonly child: FlowState
  readonly dialect: Dialect | undefined
  failure: AnswerFailure | undefined
  /** Set once a JSON answer has been read whole. */
  whole: Completion | undefined
  /** How its events are framed, where it is a stream by its bytes. Valid once it has settled. */
  framing: StreamFraming | undefined
  /** Whether its head says that a stream follows that was asked for: a client's need not wait for the bytes to say it. */
  isLabelled = false
  readonly assembler = new Assembler()
  #inner: InnerClient
  #head: StreamResponseHead | undefined
  #body: AnswerBody | undefined
  /** Until its bytes have told how they are framed. */
  #scan: FramingScan | undefined
  #framed: Promise<void> | undefined
  #decoder: StreamDecoder | undefined
  #events: StreamEvent[] = []
  #raw: Buffer[] = []
  #held = 0
  #concluded = false
  /** An event that says something has come, be it in part. */
  #begun = false
  /** The decoder has been told of the end. */
  #drained = false
  #transform: AnswerTransform | undefined
  #sender: Sender | undefined

  constructor(child: FlowState, inner: InnerClient, dialect: Dialect | undefined, options: AnswerOptions = {}) {
    const { transform, sender } = options
    this.child = child
    this.dialect = dialect
    this.#inner = inner
    this.#sender = sender
    if (transform !== undefined) this.#transform = new AnswerTransform(transform)
  }

  get transformed(): boolean {
    return this.#transform !== undefined
  }

  get streaming(): boolean {
    return this.framing !== undefined
  }

  get flow(): Flow {
    return this.#sender === undefined ? this.child : this.child.viewFor(this.#sender.addon)
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

  get coded(): boolean {
    return this.#body?.coded === true
  }

  get json(): Buffer {
    return Buffer.concat(this.#raw)
  }

  get askedModel(): string | undefined {
    return this.child.llm?.request.model
  }

  [INCOMING](flow: Recipient, options: RespondOptions): Promise<Incoming> {
    return incomingFromAnswer(flow, this, options)
  }

  /** Reads until `what` is known. Never rejects: what goes wrong is the answer's `failure`. */
  async until(what: "head" | "delta" | "end"): Promise<void> {
    try {
      await this.#readHead()
      if (what !== "head") await this.#settle(what)
    } catch (thrown) {
      this.#fail(thrown)
    }
  }

  /** Reads what an answer has to tell before it can be handed on: what it is; an error, or a JSON answer, whole. */
  async settle(): Promise<void> {
    try {
      await this.#readHead()
      await this.#frame()
    } catch (thrown) {
      this.#fail(thrown)
    }
    if (!this.streaming) await this.until("delta")
  }

  /** A stream's deltas as they come; those of a JSON answer all at once. */
  deltas(): AsyncGenerator<Delta, void> {
    const deltas = this.#deltas()
    const next = deltas.next.bind(deltas)
    deltas.next = () => this.#wait(next())
    return deltas
  }

  async *#deltas(): AsyncGenerator<Delta, void> {
    await this.settle()
    const { failure } = this
    if (failure !== undefined && failure.kind !== "empty" && (!this.streaming || this.status >= 400))
      throw this.#failed(failure)
    if (this.whole !== undefined) yield* deltasOf(this.whole)
    for (let event = await this.nextEvent(); event !== undefined; event = await this.nextEvent()) {
      if (event.error !== undefined) throw asFlowError(event.error)
      yield* event.deltas
    }
  }

  /** Reads on to the end. What was read stays there: the answer can still be handed to a client. */
  completion(): Promise<Completion> {
    return this.#wait(this.#completion())
  }

  async #completion(): Promise<Completion> {
    await this.until("end")
    // An empty answer is whole, unless no byte of it has come.
    const isWhole = this.failure?.kind === "empty" && (this.streaming || this.whole !== undefined)
    if (this.failure !== undefined && !isWhole) throw this.#failed(this.failure)
    return this.whole ?? this.assembler.finish(false)
  }

  text(): Promise<string> {
    return this.#wait(this.#text())
  }

  async #text(): Promise<string> {
    const limit = this.child.core.settings.bodyLimit
    await this.#frame()
    if (!this.streaming) return (await this.#readAll(limit)).toString("utf8")
    const pieces: Buffer[] = []
    for (let size = 0; ; ) {
      const event = await this.nextEvent()
      if (event === undefined) return Buffer.concat(pieces).toString("utf8")
      size += event.raw.length
      if (size > limit) throw tooLarge(limit)
      pieces.push(event.raw)
    }
  }

  abort(): void {
    this.child.leave(new FlowError("addon", "unused", "the answer was not used"))
    this.#body?.close()
  }

  /** The next event of a stream; undefined at its end. Rejects when it breaks off. */
  async nextEvent(): Promise<StreamEvent | undefined> {
    while (this.#events.length === 0) if (!(await this.#pull())) return undefined
    return this.#events.shift()
  }

  /** The next piece of the decoded body, for answers that are not read as events. */
  async nextPiece(): Promise<Buffer | undefined> {
    return this.#raw.shift() ?? (await this.#body?.next())
  }

  async #readHead(): Promise<void> {
    if (this.#head !== undefined) return
    const head = await this.#inner.responded.wait()
    this.#head = head
    const { dialect } = this
    this.#body = new AnswerBody(head, this.#inner.output)
    if (dialect === undefined || head.status >= 400) return
    const { llm } = this.child
    this.isLabelled = isLabelledOwn(dialect, head, llm?.request.stream)
    this.#scan = framingScan(dialect, head, llm?.request.stream)
  }

  /** Reads as much as it takes to know whether it is a stream. */
  #frame(): Promise<void> {
    this.#framed ??= this.#scan === undefined ? Promise.resolve() : this.#find(this.#scan)
    return this.#framed
  }

  async #find(scan: FramingScan): Promise<void> {
    while (scan.found === undefined) {
      const piece = await this.#body?.next()
      if (piece === undefined) break
      this.#raw.push(piece)
      this.#hold(scan.feed(piece) === undefined ? piece.length : 0)
    }
    const framing = scan.finish()
    this.#check(framing)
    this.framing = streamFraming(framing, this.headers.get("content-type"))
    if (this.framing === undefined || this.dialect === undefined) return
    this.#decoder = decoderFor(this.dialect, this.framing)
    this.#transform?.streams(this.dialect, this.framing, contextOf(this.child))
  }

  /** Behind a coding that nobody knows, bytes that can be read as nothing are the coded ones. */
  #check(framing: Framing): void {
    if (framing === "none" && this.#body?.undecodable !== undefined) throw this.#body.undecodable
  }

  async #settle(what: "delta" | "end"): Promise<void> {
    if (this.failure !== undefined) return
    await this.#frame()
    if (this.status >= 400) await this.#readStatusError()
    else if (this.streaming) await this.#readEvents(what)
    else if (this.whole !== undefined) return
    else if (this.dialect !== undefined) await this.#readJson(this.dialect)
    else if (what === "end") await this.#readAll(this.child.core.settings.bodyLimit)
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
        this.#hold(event?.raw.length ?? 0)
      }
      if (!(await this.#pull())) break
    }
    if (!this.assembler.hasContent) this.#empty()
  }

  /** Reads one more piece of the body into events; false at the end. */
  async #pull(): Promise<boolean> {
    await this.#frame()
    if (this.#drained || (this.#body?.ended === true && !this.streaming)) return false
    const piece = await this.#nextOfStream()
    this.#drained = piece === undefined
    const decoded = (piece === undefined ? this.#decoder?.finish() : this.#decoder?.feed(piece)) ?? []
    this.#concluded ||= decoded.some(isConclusion)
    this.#begun ||= decoded.some(({ json }) => json !== undefined || piece === undefined)
    if (piece === undefined && this.#isCut()) throw new FlowError("upstream", "cut", CUT)
    const events = this.#transform?.events(decoded, piece === undefined) ?? decoded
    for (const event of events) {
      this.assembler.push(event)
      this.#events.push(event)
    }
    return piece !== undefined || events.length > 0
  }

  /** What breaks off behind the dialect's end mark has said all that it had to say. */
  async #nextOfStream(): Promise<Buffer | undefined> {
    try {
      return await this.nextPiece()
    } catch (thrown) {
      if (!this.assembler.done) throw thrown
      if (this.#body !== undefined) this.#body.ended = true
      return undefined
    }
  }

  /** The stream itself has to say that it is whole: hosts that fail end it cleanly, too. One without an event is empty. */
  #isCut(): boolean {
    return !this.#concluded && this.#begun
  }

  /** Books what is read before anybody wants it. The parent holds it: the child may have ended long ago. */
  #hold(bytes: number): void {
    const { parent, core } = this.child
    this.#held += bytes
    const fits = parent === undefined || parent.ended || parent.memory.take(bytes)
    if (!fits || this.#held > core.settings.bodyLimit) throw tooLarge(core.settings.bodyLimit)
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
      const edited = this.#transform?.whole(dialect, bytes, contextOf(this.child))
      if (edited !== undefined) this.#raw = [edited.bytes]
      this.whole = edited?.completion ?? answer.completion
      const { text, reasoning, refusal, toolCalls } = this.whole
      if (text === "" && reasoning === "" && refusal === "" && toolCalls.length === 0) this.#empty()
    }
  }

  /** The beginning of the error body tells what it means; the rest is for whoever wants it. */
  async #readStatusError(): Promise<void> {
    const pieces: Buffer[] = []
    for (let size = 0; size < ERROR_BYTES_MAX; ) {
      const piece = await this.nextPiece()
      if (piece === undefined) break
      size += piece.length
      pieces.push(piece)
    }
    this.#raw = pieces
    const bytes = Buffer.concat(pieces).subarray(0, ERROR_BYTES_MAX)
    const error = this.dialect === undefined ? undefined : readError(this.dialect, this.status, bytes)
    const message = error?.message ?? `status ${this.status}`
    this.failure = { kind: "status", message, status: this.status, error }
  }

  /** The whole decoded body, which stays readable; what exceeds `limit` is an error. */
  async #readAll(limit: number): Promise<Buffer> {
    const pieces = this.#raw
    let size = pieces.reduce((sum, piece) => sum + piece.length, 0)
    for (let piece = await this.#body?.next(); piece !== undefined; piece = await this.#body?.next()) {
      pieces.push(piece)
      size += piece.length
      this.#hold(piece.length)
      if (size > limit) throw tooLarge(limit)
    }
    const bytes = Buffer.concat(pieces)
    this.#check(framingIn(bytes))
    return bytes
  }

  /** The sender's time stands still while it waits for the upstream. */
  #wait<T>(promise: Promise<T>): Promise<T> {
    return this.#sender === undefined ? promise : this.#sender.wait(promise)
  }

  #failed({ kind, message, error }: AnswerFailure): FlowError {
    return error === undefined ? new FlowError("upstream", kind, message) : asFlowError(error)
  }

  #empty(): void {
    const message = "the answer ended without a text or a tool call"
    this.failure = { kind: "empty", message, status: this.status, error: undefined }
  }

  #fail(thrown: unknown): void {
    // What the sender's own transform throws is the sender's way to stop it, and fails no flow.
    const isAddons = this.child.error?.source === "addon" && thrown === this.child.error
    const kind = isAddons ? "addon" : this.#head === undefined ? "connect" : "cut"
    const message = thrown instanceof FlowError ? thrown.told : messageOf(thrown) // It may be handed on to a client.
    if (thrown !== this.child.error && message !== messageOf(thrown)) this.child.core.log.error(messageOf(thrown))
    this.failure ??= { kind, message, status: this.status, error: undefined }
  }
}

const CUT = "the answer ended before its dialect's end: it has neither a finish reason nor an end mark"

function tooLarge(limit: number): FlowError {
  const message = `the answer exceeds bodyLimit (${limit} bytes) or the memory limit, and is to be read whole`
  return new FlowError("upstream", "answer-too-large", message)
}
