/**
 * What an upstream says in a test, by meaning: a completion, the pieces of a stream or an error, written in the dialect that
 * was asked in; or any other HTTP answer. Pure: test-upstream.ts has the socket.
 */
import { Headers, type HeadersInit } from "../base/headers.ts"
import type { JsonValue } from "../base/json.ts"
import { completionFrom } from "../llm/assemble.ts"
import type { Dialect, EncodeContext } from "../llm/dialect.ts"
import type { Delta, FinishUnified, LlmRequest, Usage } from "../llm/model.ts"
import { ID_PREFIXES } from "../proxy/flow/reply.ts"

/** What a model says: of the fields, those that it says something in. */
export interface TestCompletion {
  readonly text?: string
  readonly reasoning?: string
  readonly refusal?: string
  /** `id` by default "call_1" and so on. */
  readonly toolCalls?: readonly { readonly id?: string; readonly name: string; readonly arguments: string }[]
  /** Default: "toolCalls" where there are some, else "stop". */
  readonly finishReason?: FinishUnified
  /** Default: none is told. */
  readonly usage?: Partial<Omit<Usage, "source">>
  /** Default: the one that was asked for. */
  readonly model?: string
}

/**
 * An answer of the upstream; at most one of the contents. A completion, deltas and an error are written in the dialect of the
 * request's path, as a stream where the request asks for one; in a request that speaks none they are plain text.
 */
export interface TestAnswer {
  /** Default: 200; of an `error` 400. */
  readonly status?: number
  readonly headers?: HeadersInit
  readonly completion?: TestCompletion
  /** Each an event of its own where the answer streams. A string is a piece of text; an end is added where there is none. */
  readonly deltas?: readonly (string | Delta)[]
  readonly error?: { readonly code: string; readonly message: string; readonly type?: string; readonly param?: string }
  readonly text?: string
  readonly json?: JsonValue
  readonly bytes?: Uint8Array
  /** Pieces that are sent as they are made, so that a test holds the answer at any point. */
  readonly body?: AsyncIterable<string | Uint8Array>
  /** Interim answers (103 and the like) that are sent before. */
  readonly interim?: readonly { readonly status: number; readonly headers?: HeadersInit }[]
  /** The connection breaks off behind the content, in the place of its end; without a content and a status before the head. */
  readonly cut?: boolean
}

/** What was asked, as far as the answer depends on it. */
interface Asked {
  readonly dialect: Dialect | undefined
  readonly request: LlmRequest | undefined
  /** Seconds since the epoch. */
  readonly created: number
  /** Which request it is, from 1: ids are made of it. */
  readonly number: number
}

export interface WrittenAnswer {
  readonly status: number
  readonly headers: Headers
  readonly pieces: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>
}

/** What is written to the client; undefined: nothing at all, the connection is cut. */
export function writtenAnswer(answer: TestAnswer, asked: Asked): WrittenAnswer | undefined {
  const { status = answer.error === undefined ? 200 : 400 } = answer
  const content = contentOf(answer, status, asked)
  if (content === undefined && answer.cut === true && answer.status === undefined) return undefined
  const headers = new Headers(answer.headers)
  const { type, pieces } = content ?? { type: undefined, pieces: [] }
  if (type !== undefined && !headers.has("content-type")) headers.set("Content-Type", type)
  return { status, headers, pieces }
}

interface Content {
  readonly type: string
  readonly pieces: WrittenAnswer["pieces"]
}

const TEXT = "text/plain; charset=utf-8"
const JSON_TYPE = "application/json"
const BINARY = "application/octet-stream"

function contentOf(answer: TestAnswer, status: number, asked: Asked): Content | undefined {
  const { completion, deltas, error, text, json, bytes, body, cut = false } = answer
  if (completion !== undefined) return saidAs(deltasIn(completion), cut, asked, completion.model)
  if (deltas !== undefined) return saidAs(deltas.map(asDelta), cut, asked)
  if (error !== undefined && asked.dialect !== undefined)
    return { type: JSON_TYPE, pieces: [JSON.stringify(asked.dialect.writeError({ status, ...error }))] }
  if (error !== undefined) return { type: TEXT, pieces: [error.message] }
  if (text !== undefined) return { type: TEXT, pieces: [text] }
  if (json !== undefined) return { type: JSON_TYPE, pieces: [JSON.stringify(json)] }
  if (bytes !== undefined) return { type: BINARY, pieces: [bytes] }
  return body === undefined ? undefined : { type: BINARY, pieces: body }
}

/** What a model says, in the form that was asked for. */
function saidAs(given: readonly Delta[], cut: boolean, asked: Asked, model?: string): Content {
  const { dialect, request, created, number } = asked
  const hasEnd = given.some(({ type }) => type === "finish")
  const deltas = hasEnd || cut ? given : [...given, finish(given.some(({ type }) => type === "toolCall"))]
  if (dialect === undefined) {
    const texts = deltas.map((delta) => (delta.type === "text" ? delta.text : ""))
    return { type: TEXT, pieces: texts.filter((text) => text !== "") }
  }
  const context: EncodeContext = {
    id: `${ID_PREFIXES[dialect.name]}test-${number}`,
    model: model ?? request?.model ?? "",
    created,
    request,
  }
  if (request?.stream !== true) {
    const whole = JSON.stringify(dialect.writeAnswer(completionFrom(deltas, null), context))
    return { type: JSON_TYPE, pieces: [cut ? whole.slice(0, -1) : whole] }
  }
  const encoder = dialect.encoder(context)
  const events = deltas.map((delta) => encoder.delta(delta))
  return { type: dialect.streamType, pieces: [...events, cut ? "" : encoder.end()].filter((event) => event !== "") }
}

function asDelta(given: string | Delta): Delta {
  return typeof given === "string" ? { type: "text", index: 0, text: given } : given
}

function finish(calls: boolean): Delta {
  return { type: "finish", index: 0, reason: { unified: calls ? "toolCalls" : "stop", raw: undefined } }
}

function deltasIn(completion: TestCompletion): Delta[] {
  const { text, reasoning, refusal, toolCalls = [], finishReason, usage } = completion
  const deltas: Delta[] = []
  if (reasoning !== undefined) deltas.push({ type: "reasoning", index: 0, text: reasoning })
  if (text !== undefined) deltas.push({ type: "text", index: 0, text })
  if (refusal !== undefined) deltas.push({ type: "refusal", index: 0, text: refusal })
  for (const [call, { id = `call_${call + 1}`, name, arguments: json }] of toolCalls.entries())
    deltas.push({ type: "toolCall", index: 0, call, id, name, arguments: json })
  if (finishReason !== undefined)
    deltas.push({ type: "finish", index: 0, reason: { unified: finishReason, raw: undefined } })
  else deltas.push(finish(toolCalls.length > 0))
  if (usage !== undefined) deltas.push({ type: "usage", usage: { ...NO_TOKENS, ...usage, source: "provider" } })
  return deltas
}

const NO_TOKENS = {
  inputTokens: undefined,
  outputTokens: undefined,
  totalTokens: undefined,
  cachedTokens: undefined,
  reasoningTokens: undefined,
}
