/**
 * Hands a child's answer to the parent's client: as its exact bytes where dialect and form agree, else decoded and
 * encoded again, stream or JSON, as the client asked.
 */

import type { AnswerFailure, RespondOptions } from "../../api/flow.ts"
import { FlowError, messageOf } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import { uuidv7 } from "../../base/uuid.ts"
import { statusText } from "../../http1/status-text.ts"
import { STREAM_FIELDS } from "../body/client-delivery.ts"
import { generatedIncoming, type Incoming, wholeIncoming } from "../body/incoming.ts"
import {
  type Assembler,
  asFlowError,
  type Completion,
  type Delta,
  type Dialect,
  decoderFor,
  deltasOf,
  type EncodeContext,
  EventDraft,
  errorContent,
  framingOf,
  isObject,
  type JsonObject,
  type JsonValue,
  type LlmRequest,
  Reframer,
  type StreamEncoder,
  type StreamEvent,
  type StreamFraming,
  type Usage,
  withMembers,
} from "../body/observe.ts"
import type { Recipient } from "../flow/replied.ts"
import { ID_PREFIXES, requestOf } from "../flow/reply.ts"
import { dropBodyFields } from "../flow/request.ts"
import type { StreamResponseHead } from "../streams.ts"

const BOM = Buffer.from("\uFEFF")

/** What is needed of an answer that is put into a client's dialect and form: answer.ts has it. */
export interface EncodableAnswer {
  readonly dialect: Dialect | undefined
  /** The model that was asked for. */
  readonly askedModel: string | undefined
  readonly status: number
  readonly headers: Headers
  readonly head: StreamResponseHead
  readonly failure: AnswerFailure | undefined
  /** A JSON answer that has been read whole. */
  readonly whole: Completion | undefined
  /** Its decoded body, once `settle` has read it. */
  readonly json: Buffer
  /** Whether its body had a Content-Encoding, which is off by now. */
  readonly coded: boolean
  /** Whether its head says that a stream follows that was asked for. */
  readonly isLabelled: boolean
  readonly streaming: boolean
  readonly framing: StreamFraming | undefined
  /** Whether an event's bytes may be several events, or none. */
  readonly transformed: boolean
  readonly assembler: Pick<Assembler, "finish">
  /** Reads what it has to tell before it can be handed on. */
  settle(): Promise<void>
  completion(): Promise<Completion>
  nextEvent(): Promise<StreamEvent | undefined>
  nextPiece(): Promise<Buffer | undefined>
  abort(): void
}

/** The answer as what `flow` delivers. May read the answer to its end. Rejects when it breaks off before it began. */
export async function incomingFromAnswer(
  flow: Recipient,
  answer: EncodableAnswer,
  options: RespondOptions,
): Promise<Incoming> {
  if (!answer.isLabelled) await answer.settle()
  // A client that speaks no dialect gets the answer in its own.
  const client = flow.clientDialect ?? answer.dialect
  if (answer.failure !== undefined) return failureIncoming(client, answer)
  if (client === undefined || answer.dialect === undefined) return stopping(answer, rawIncoming(answer))
  const request = requestOf(flow, client)
  const encoding = new AnswerEncoding(flow, client, answer, options, request)
  return (request?.stream ?? (answer.isLabelled || answer.streaming))
    ? stopping(answer, encoding.stream())
    : encoding.json()
}

/** What is not wanted to its end is not made to its end. */
function stopping(answer: EncodableAnswer, incoming: Incoming): Incoming {
  return {
    ...incoming,
    abort: (reason) => {
      answer.abort()
      incoming.abort(reason)
    },
  }
}

/** Every byte as it comes, without a Content-Encoding. */
function rawIncoming(answer: EncodableAnswer): Incoming {
  const headers = answer.headers.clone()
  if (answer.coded) dropBodyFields(headers)
  return generatedIncoming({ ...answer.head, headers }, rawPieces(answer))
}

async function* rawPieces(answer: EncodableAnswer): AsyncGenerator<Buffer, void> {
  for (let piece = await answer.nextPiece(); piece !== undefined; piece = await answer.nextPiece()) yield piece
}

/** An answer that failed, as the error that it is. */
function failureIncoming(client: Dialect | undefined, answer: EncodableAnswer): Incoming {
  const { failure } = answer
  if (failure?.kind === "status" && (client === answer.dialect || client === undefined)) return rawIncoming(answer)
  const status = answer.status >= 400 ? answer.status : 502
  const error = failure?.error
  const { contentType, body } = errorContent(client, {
    status,
    code: error?.code ?? failure?.kind ?? "error",
    message: failure?.message ?? "the answer failed",
    ...(error?.type === undefined ? {} : { type: error.type }),
  })
  const headers = new Headers({ "Content-Type": contentType })
  const wait = answer.headers.get("retry-after")
  if (wait !== undefined) headers.set("Retry-After", wait)
  return wholeIncoming({ status, reason: statusText(status), headers }, body)
}

class AnswerEncoding {
  #client: Dialect
  #answer: EncodableAnswer
  #options: RespondOptions
  #flow: Recipient
  #request: LlmRequest | undefined

  constructor(
    flow: Recipient,
    client: Dialect,
    answer: EncodableAnswer,
    options: RespondOptions,
    request: LlmRequest | undefined,
  ) {
    this.#flow = flow
    this.#request = request
    this.#client = client
    this.#answer = answer
    this.#options = options
  }

  /** Whether the client can read the answer's own bytes. */
  get #same(): boolean {
    return this.#answer.dialect === this.#client
  }

  async json(): Promise<Incoming> {
    const completion = await this.#answer.completion()
    const usage = await this.#usageFor(completion)
    const headers = new Headers({ "Content-Type": "application/json" })
    const head: StreamResponseHead = { status: 200, reason: "OK", headers }
    const context = this.#context(completion.model)
    const model = this.#options.model ?? completion.model
    const json = this.#client.writeAnswer({ ...completion, model, usage }, context)
    if (!this.#same || this.#answer.streaming) return wholeIncoming(head, Buffer.from(JSON.stringify(json)))
    const changes: JsonObject = {}
    if (this.#options.model !== undefined) changes.model = this.#options.model
    if (usage !== completion.usage && isObject(json) && json.usage !== undefined) changes.usage = json.usage
    return wholeIncoming(head, withMembers(withoutBom(this.#answer.json), changes))
  }

  stream(): Incoming {
    const headers = new Headers([["Content-Type", this.#client.streamType], ...STREAM_FIELDS])
    return generatedIncoming({ status: 200, reason: "OK", headers }, this.#events())
  }

  async *#events(): AsyncGenerator<Buffer, void> {
    await this.#answer.settle()
    if (!this.#answer.streaming) yield* this.#fromJson()
    else yield* this.#same ? this.#sameBytes() : this.#encoded()
  }

  /** A JSON answer for a client that wants a stream. */
  async *#fromJson(): AsyncGenerator<Buffer, void> {
    const { failure, whole } = this.#answer
    if (failure !== undefined && whole === undefined) {
      // Its head had promised a stream, so that the client's head has left.
      const { status, message, error } = failure
      const reason = error === undefined ? new FlowError("upstream", failure.kind, message) : asFlowError(error)
      yield Buffer.from(this.#client.errorEvent({ status, message, code: reason.code }))
      throw reason
    }
    const completion = await this.#answer.completion()
    const encoder = this.#client.encoder(this.#context(completion.model))
    const usage = await this.#usageFor(completion)
    for (const delta of deltasOf({ ...completion, usage })) {
      const text = encoder.delta(delta)
      if (text !== "") yield Buffer.from(text)
    }
    yield Buffer.from(encoder.end())
  }

  /** Each event as its own bytes, save its model's name; a usage that is missing is added before the end mark. */
  async *#sameBytes(): AsyncGenerator<Buffer, void> {
    const answer = this.#answer
    const encoder = this.#client.encoder(this.#context(undefined))
    const rename = renaming(this.#options.model)
    const reframer = answer.framing === framingOf(this.#client) ? undefined : new Reframer(this.#client, encoder)
    let counts = this.#options.usage !== undefined
    for await (const event of this.#ownEvents()) {
      if (event.deltas.some((delta) => delta.type === "usage")) counts = false
      const renamed = rename(event)
      if (counts) encoder.adopt(renamed.json, true)
      if (event.done && counts) {
        counts = false
        encoder.delta({ type: "usage", usage: await this.#usageFor(answer.assembler.finish(false)) })
        yield Buffer.from(encoder.end())
      } else {
        const bytes =
          reframer === undefined ? withoutBom(renamed.raw) : Buffer.from(reframer.event({ ...event, ...renamed }))
        if (bytes.length > 0) yield bytes
      }
      if (event.error !== undefined) throw asFlowError(event.error)
    }
    // Without an end mark there is no place for it in the stream, but the hooks hear of it.
    const usage = counts ? await this.#usageFor(answer.assembler.finish(false)) : undefined
    if (reframer === undefined) return
    if (usage !== undefined) encoder.delta({ type: "usage", usage })
    const end = Buffer.from(reframer.end())
    if (end.length > 0) yield end
  }

  /** The events that are to reach the client: where a transform has edited them, what its bytes say. */
  async *#ownEvents(): AsyncGenerator<StreamEvent, void> {
    const answer = this.#answer
    const { transformed, framing = framingOf(this.#client) } = answer
    const decoder = transformed ? decoderFor(this.#client, framing) : undefined
    for (let event = await answer.nextEvent(); event !== undefined; event = await answer.nextEvent()) {
      if (decoder === undefined) yield event
      else yield* decoder.feed(event.raw)
    }
    if (decoder !== undefined) yield* decoder.finish()
  }

  /** Another dialect: every delta is written anew. */
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
      encoder ??= this.#client.encoder(this.#context(modelIn(event.json)))
      const writer = encoder
      const text = event.deltas.map((delta) => (this.#leftOut(delta) ? "" : writer.delta(delta))).join("")
      if (text !== "") yield Buffer.from(text)
    }
    if (encoder === undefined) return
    encoder.delta({ type: "usage", usage: await this.#usageFor(answer.assembler.finish(false)) })
    yield Buffer.from(encoder.end())
  }

  async #usageFor(completion: Completion): Promise<Usage> {
    const { usage } = this.#options
    if (completion.usage.source !== "none") this.#flow.noteUsage(completion.usage)
    if (completion.usage.source !== "none" || usage === undefined) return completion.usage
    try {
      const counted = typeof usage === "function" ? await usage(completion) : usage
      this.#flow.noteUsage(counted)
      return counted
    } catch (thrown) {
      // An answer is worth more than its count.
      this.#flow.core.log.warn(`flow.respond: counting the usage failed: ${messageOf(thrown)}`)
      return completion.usage
    }
  }

  /** Usage has its place at the end; another dialect's chunks have none. */
  #leftOut(delta: Delta): boolean {
    return delta.type === "usage" || delta.type === "other"
  }

  #context(model: string | undefined): EncodeContext {
    const { clock } = this.#flow.core
    return {
      id: ID_PREFIXES[this.#client.name] + uuidv7(clock.now()),
      model: this.#options.model ?? model ?? this.#answer.askedModel ?? "",
      created: Math.floor(clock.now() / 1000),
      request: this.#request,
    }
  }
}

/** Few readers of JSON skip a byte order mark, and behind comments it would spoil the first event. */
function withoutBom(raw: Buffer): Buffer {
  return raw.subarray(0, BOM.length).equals(BOM) ? raw.subarray(BOM.length) : raw
}

/** Newer formats tell the model one level down, with the rest of what they begin with. */
const MODEL_PARENTS = ["message", "response"]

function modelIn(json: JsonValue | undefined): string | undefined {
  if (!isObject(json)) return undefined
  const holder = MODEL_PARENTS.map((key) => json[key]).find((inner) => isObject(inner) && "model" in inner)
  const model = json.model ?? (isObject(holder) ? holder.model : undefined)
  return typeof model === "string" && model !== "" ? model : undefined
}

function withModel(json: JsonObject, model: string): JsonObject {
  if (typeof json.model === "string") return { ...json, model }
  const key = MODEL_PARENTS.find((parent) => modelIn(json[parent]) !== undefined)
  const inner = key === undefined ? undefined : json[key]
  return key !== undefined && isObject(inner) ? { ...json, [key]: { ...inner, model } } : json
}

/** Writes another model's name into events, and changes no other byte of them. */
function renaming(model: string | undefined): (event: StreamEvent) => { raw: Buffer; json: JsonValue | undefined } {
  if (model === undefined) return (event) => event
  return ({ raw, json }) => {
    const name = modelIn(json)
    if (name === undefined || !isObject(json)) return { raw, json }
    const draft = EventDraft.of(raw)
    for (const document of draft?.documents ?? [])
      if (isObject(document.value)) document.value = withModel(document.value, model)
    return { raw: draft?.bytes() ?? raw, json: withModel(json, model) }
  }
}
