/**
 * Hands a child's answer to the parent's client: as its exact bytes where dialect and form agree, else decoded and
 * encoded again, stream or JSON, as the client asked.
 */
import type { RespondOptions } from "../flow.ts"
import { Headers } from "../headers.ts"
import { statusText } from "../http1/status-text.ts"
import { uuidv7 } from "../uuid.ts"
import type { AnswerState } from "./answer.ts"
import { STREAM_FIELDS } from "./client-delivery.ts"
import { dropBodyFields } from "./flow-request.ts"
import type { FlowState } from "./flow-state.ts"
import { generatedIncoming, type Incoming, wholeIncoming } from "./incoming.ts"
import {
  asFlowError,
  type Completion,
  type Dialect,
  deltasOf,
  type EncodeContext,
  errorContent,
  isObject,
  type JsonValue,
  type StreamEncoder,
  type Usage,
} from "./observe.ts"
import type { StreamResponseHead } from "./streams.ts"

/** The answer as what `flow` delivers. May read the answer to its end. Rejects when it breaks off before it began. */
export async function incomingFromAnswer(
  flow: FlowState,
  answer: AnswerState,
  options: RespondOptions,
): Promise<Incoming> {
  const client = flow.llm?.dialectOf
  const dialect = answer.dialect
  if (client === undefined || dialect === undefined) return rawIncoming(answer)
  if (answer.failure !== undefined) return failureIncoming(client, answer)
  const encoding = new AnswerEncoding(flow, client, answer, options)
  if (flow.llm?.request.stream !== true) return encoding.json()
  return encoding.stream()
}

/** Every byte as it comes. */
function rawIncoming(answer: AnswerState): Incoming {
  const headers = answer.headers.clone()
  dropBodyFields(headers)
  return generatedIncoming({ ...answer.head, headers }, rawPieces(answer))
}

async function* rawPieces(answer: AnswerState): AsyncGenerator<Buffer, void> {
  for (let piece = await answer.nextPiece(); piece !== undefined; piece = await answer.nextPiece()) yield piece
}

/** An answer that failed, as the error that it is. */
function failureIncoming(dialect: Dialect, answer: AnswerState): Incoming {
  const { failure } = answer
  const status = answer.status >= 400 ? answer.status : 502
  const error = failure?.error
  const { contentType, body } = errorContent(dialect, {
    status,
    code: error?.code ?? failure?.kind ?? "error",
    message: failure?.message ?? "the answer failed",
    ...(error?.type === undefined ? {} : { type: error.type }),
  })
  return wholeIncoming(
    { status, reason: statusText(status), headers: new Headers({ "Content-Type": contentType }) },
    body,
  )
}

class AnswerEncoding {
  #client: Dialect
  #answer: AnswerState
  #options: RespondOptions
  #flow: FlowState

  constructor(flow: FlowState, client: Dialect, answer: AnswerState, options: RespondOptions) {
    this.#flow = flow
    this.#client = client
    this.#answer = answer
    this.#options = options
  }

  async json(): Promise<Incoming> {
    const completion = await this.#answer.completion()
    const usage = await this.#usageFor(completion)
    const json = this.#client.writeAnswer({ ...completion, usage }, this.#context(completion.model))
    const headers = new Headers({ "Content-Type": "application/json" })
    return wholeIncoming({ status: 200, reason: "OK", headers }, Buffer.from(JSON.stringify(json)))
  }

  stream(): Incoming {
    const headers = new Headers([["Content-Type", this.#client.streamType], ...STREAM_FIELDS])
    const head: StreamResponseHead = { status: 200, reason: "OK", headers }
    if (!this.#answer.streaming) return generatedIncoming(head, this.#fromJson())
    const same = this.#answer.dialect === this.#client && this.#options.model === undefined
    return generatedIncoming(head, same && !this.#answer.transformed ? this.#sameBytes() : this.#encoded())
  }

  /** A JSON answer for a client that wants a stream. */
  async *#fromJson(): AsyncGenerator<Buffer, void> {
    const completion = await this.#answer.completion()
    const encoder = this.#client.encoder(this.#context(completion.model))
    const usage = await this.#usageFor(completion)
    for (const delta of deltasOf({ ...completion, usage })) {
      const text = encoder.delta(delta)
      if (text !== "") yield Buffer.from(text)
    }
    yield Buffer.from(encoder.end())
  }

  /** Each event as its own bytes; only a usage that is missing is added, before the end mark. */
  async *#sameBytes(): AsyncGenerator<Buffer, void> {
    const answer = this.#answer
    let encoder: StreamEncoder | undefined
    let hasUsage = false
    for (let event = await answer.nextEvent(); event !== undefined; event = await answer.nextEvent()) {
      hasUsage ||= event.deltas.some((delta) => delta.type === "usage")
      encoder ??= event.json === undefined ? undefined : this.#client.encoder(this.#context(undefined))
      encoder?.adopt(event.json, true)
      if (event.done && !hasUsage && encoder !== undefined && this.#options.usage !== undefined) {
        encoder.delta({ type: "usage", usage: await this.#usageFor(answer.assembler.finish(false)) })
        yield Buffer.from(encoder.end())
      } else yield event.raw
      if (event.error !== undefined) throw asFlowError(event.error)
    }
  }

  /** Another dialect, another model name, or a transform: every delta is written anew. */
  async *#encoded(): AsyncGenerator<Buffer, void> {
    const answer = this.#answer
    let encoder: StreamEncoder | undefined
    for (let event = await answer.nextEvent(); event !== undefined; event = await answer.nextEvent()) {
      if (event.error !== undefined) {
        const { status, message, code, type } = event.error
        yield Buffer.from(
          this.#client.errorEvent({ status, message, code: code ?? "error", ...(type === undefined ? {} : { type }) }),
        )
        throw asFlowError(event.error)
      }
      if (event.json === undefined && event.deltas.length === 0) continue // A comment, or the end mark.
      encoder ??= this.#encoderFor(event.json)
      const writer = encoder
      const text = event.deltas.map((delta) => (delta.type === "usage" ? "" : writer.delta(delta))).join("")
      if (text !== "") yield Buffer.from(text)
    }
    if (encoder === undefined) return
    encoder.delta({ type: "usage", usage: await this.#usageFor(answer.assembler.finish(false)) })
    yield Buffer.from(encoder.end())
  }

  async #usageFor(completion: Completion): Promise<Usage> {
    const { usage } = this.#options
    if (completion.usage.source !== "none" || usage === undefined) return completion.usage
    this.#flow.countedUsage = typeof usage === "function" ? await usage(completion) : usage
    return this.#flow.countedUsage
  }

  /** Within one dialect, id, time and fields that we do not know are the answer's own. */
  #encoderFor(json: JsonValue | undefined): StreamEncoder {
    const encoder = this.#client.encoder(this.#context(modelIn(json)))
    const { model } = this.#options
    if (this.#answer.dialect === this.#client && isObject(json))
      encoder.adopt(model === undefined ? json : { ...json, model })
    return encoder
  }

  #context(model: string | undefined): EncodeContext {
    const { clock } = this.#flow.core
    return {
      id: `${this.#client.name === "openai-completions" ? "cmpl" : "chatcmpl"}-${uuidv7(clock.now())}`,
      model: this.#options.model ?? model ?? this.#answer.child.llm?.request.model ?? "",
      created: Math.floor(clock.now() / 1000),
      request: this.#flow.llm?.request,
    }
  }
}

function modelIn(json: unknown): string | undefined {
  if (typeof json !== "object" || json === null || !("model" in json)) return undefined
  return typeof json.model === "string" && json.model !== "" ? json.model : undefined
}
