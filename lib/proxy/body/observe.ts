/**
 * The one door from sockets to meaning: which dialect a flow speaks, its request read and written back, errors in its
 * form, its answers observed. No other file of lib/proxy imports lib/llm.
 */

import type { FlowLlm, Reply } from "../../api/flow.ts"
import { FlowError } from "../../base/errors.ts"
import { isObject, type JsonObject, type JsonValue, parseJson } from "../../base/json.ts"
import { Assembler, completionOf, deltasOf, isConclusion, isContent } from "../../llm/assemble.ts"
import type { Dialect, EncodeContext, StreamDecoder, StreamEncoder, StreamEvent } from "../../llm/dialect.ts"
import { editAnswer } from "../../llm/edit/answer-edit.ts"
import { changedChoices, completionEdit, copyOf } from "../../llm/edit/completion-edit.ts"
import { EventDraft } from "../../llm/edit/event-draft.ts"
import type { EditDelta } from "../../llm/edit/pieces.ts"
import { StreamEditor } from "../../llm/edit/stream-edit.ts"
import {
  type Framing,
  FramingScan,
  framingIn,
  framingLabelled,
  type StreamFraming,
  streamFraming,
} from "../../llm/framing/framing.ts"
import { decoderFor, framingOf, Reframer, type Splitter, textsIn } from "../../llm/framing/reframe.ts"
import { SseDecoder } from "../../llm/framing/sse.ts"
import { dialectFor, dialectNamed, socketDialectFor } from "../../llm/index.ts"
import type {
  Choice,
  Completion,
  CompletionChange,
  Delta,
  DialectName,
  LlmError,
  LlmRequest,
  Usage,
} from "../../llm/model.ts"
import { RequestBody } from "../../llm/request-body.ts"
import { sumOfUsage } from "../../llm/usage-sum.ts"
import type { SocketDialect } from "../../llm/websocket-events.ts"
import { eventOf, requestWithoutSocket, responseIdOf } from "../../llm/websocket-events.ts"
import type { StreamResponseHead } from "../streams.ts"
import type { StreamFormat } from "./client-delivery.ts"

export type {
  Choice,
  Completion,
  CompletionChange,
  Delta,
  Dialect,
  DialectName,
  EditDelta,
  EncodeContext,
  Framing,
  JsonObject,
  JsonValue,
  LlmError,
  LlmRequest,
  SocketDialect,
  Splitter,
  StreamDecoder,
  StreamEncoder,
  StreamEvent,
  StreamFraming,
  Usage,
}
export {
  Assembler,
  changedChoices,
  completionEdit,
  completionOf,
  copyOf,
  decoderFor,
  deltasOf,
  dialectFor,
  dialectNamed,
  EventDraft,
  editAnswer,
  eventOf,
  FramingScan,
  framingIn,
  framingOf,
  isConclusion,
  isContent,
  isObject,
  parseJson,
  Reframer,
  requestWithoutSocket,
  responseIdOf,
  SseDecoder,
  StreamEditor,
  socketDialectFor,
  streamFraming,
  sumOfUsage,
  textsIn,
}

/** What a flow that speaks a dialect carries. */
export class LlmState implements FlowLlm {
  readonly dialectOf: Dialect
  readonly request: LlmRequest
  completion: Completion | undefined
  error: LlmError | undefined
  /** Whether `llmRequest` was fired: then exactly one of `llmResponse` and `llmError` follows the response head. */
  announced = false
  #body: RequestBody

  constructor(dialect: Dialect, body: RequestBody, request: LlmRequest) {
    this.dialectOf = dialect
    this.#body = body
    this.request = request
  }

  get dialect(): DialectName {
    return this.dialectOf.name
  }

  /** Whether the client waits for a stream in a form that can be kept alive. */
  get streams(): boolean {
    return this.request.stream && this.dialectOf.streamType === "text/event-stream"
  }

  get format(): StreamFormat {
    const { streamType, comment } = this.dialectOf
    return { contentType: streamType, comment }
  }

  /** The body with what addons changed; undefined when nothing was. */
  editedBody(): Buffer | undefined {
    return this.#body.changed() ? this.#body.bytes() : undefined
  }
}

/** Reads a body as a request of `dialect`; a text says why it is none. */
export function readLlmRequest(dialect: Dialect, bytes: Buffer, path: string): LlmState | string {
  const body = RequestBody.parse(bytes)
  if (body === undefined) return "the body is no JSON object"
  const request = dialect.parseRequest(body.json, path)
  if (request === undefined) return `the body is no ${dialect.name} request`
  return new LlmState(dialect, body, request)
}

/** What the client gets for an error: in its dialect where it speaks one, else one line of text. */
export function errorContent(
  dialect: Dialect | undefined,
  error: { status: number; code: string; message: string; type?: string; param?: string },
): { contentType: string; body: Buffer } {
  if (dialect === undefined)
    return { contentType: "text/plain; charset=utf-8", body: Buffer.from(`${error.message}\n`) }
  return { contentType: "application/json", body: Buffer.from(JSON.stringify(dialect.writeError(error))) }
}

/** The type of bytes of which nothing more is known. */
export const BINARY = "application/octet-stream"

/** A reply's status, content type and body. */
export function replyContent(
  dialect: Dialect | undefined,
  reply: Reply,
): { status: number; contentType: string; body: Buffer } {
  if (reply.error !== undefined) {
    const status = reply.status ?? 400
    return { status, ...errorContent(dialect, { status, ...reply.error }) }
  }
  const status = reply.status ?? 200
  const { bytes } = reply
  if (bytes !== undefined)
    return { status, contentType: BINARY, body: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
  if (reply.json !== undefined)
    return { status, contentType: "application/json", body: Buffer.from(JSON.stringify(reply.json)) }
  if (status >= 400 && dialect !== undefined && reply.text !== undefined) {
    // A text with an error status, as in "budget spent": an SDK can only show it in its own form.
    return { status, ...errorContent(dialect, { status, code: "refused", message: reply.text }) }
  }
  return { status, contentType: "text/plain; charset=utf-8", body: Buffer.from(reply.text ?? "") }
}

/** Finds out how the body behind a head is framed. `asked`: for a stream; undefined where that is not known. */
export function framingScan(
  dialect: Dialect,
  { headers }: StreamResponseHead,
  asked: boolean | undefined,
): FramingScan {
  return new FramingScan({ label: framingLabelled(headers.get("content-type")), own: framingOf(dialect), asked })
}

/** Whether a stream was asked for and is labelled as one, in the dialect's own framing: then nothing waits for its bytes. */
export function isLabelledOwn(dialect: Dialect, { headers }: StreamResponseHead, asked: boolean | undefined): boolean {
  return asked !== false && framingLabelled(headers.get("content-type")) === framingOf(dialect)
}

/** The meaning of an error answer's body, also of one that came as an event. */
export function readError(dialect: Dialect, status: number, body: Buffer): LlmError {
  const framing = streamFraming(framingIn(body), undefined)
  const decoder = framing === undefined ? undefined : decoderFor(dialect, framing)
  const events = decoder === undefined ? [] : [...decoder.feed(body), ...decoder.finish()]
  const failed = events.find(({ error, json }) => error !== undefined && json !== undefined)
  return dialect.parseError(status, failed === undefined ? body.toString("utf8") : JSON.stringify(failed.json))
}

/** A JSON answer of `dialect`, or why it is none. */
export function readAnswer(
  dialect: Dialect,
  body: Buffer,
): { completion: Completion } | { error: LlmError } | undefined {
  const json = parseJson(body.toString("utf8"))
  if (json === undefined) return undefined
  const answer = dialect.parseAnswer(json)
  if (answer === undefined) return undefined
  return answer.completion !== undefined ? { completion: answer.completion } : { error: answer.error }
}

/** A JSON object's bytes with some members changed or added; every other byte stays. Bytes that are none stay as well. */
export function withMembers(bytes: Buffer, members: JsonObject): Buffer {
  if (Object.keys(members).length === 0) return bytes
  const body = RequestBody.parse(bytes)
  if (body === undefined) return bytes
  Object.assign(body.json, members)
  return body.bytes()
}

/** An in-stream error or an error body as an error of ours, to break a flow off with. */
export function asFlowError(error: LlmError): FlowError {
  return new FlowError("upstream", error.code ?? error.kind, error.message, {
    status: error.status >= 400 ? error.status : 502,
  })
}
