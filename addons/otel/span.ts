/**
 * A flow as a span of OTLP/JSON (https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/opentelemetry/proto/trace/v1/trace.proto): ids are
 * hexadecimal, times are nanoseconds since the epoch as texts, 64-bit integers are texts. Pure.
 */
import type { Flow, FlowLlm, Redactor } from "llmproxy"
import { errorTypeOf, operationOf, providerOf } from "../shared/gen-ai.ts"

type Value =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly boolValue: boolean }
  | { readonly arrayValue: { readonly values: readonly Value[] } }

interface Attribute {
  readonly key: string
  readonly value: Value
}

export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: typeof KIND_CLIENT
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code?: typeof STATUS_ERROR; readonly message?: string }
}

const KIND_CLIENT = 3
const STATUS_ERROR = 2
/** https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/
const NO_TRACE = /^0+$/
/** Characters of one text of what was said. */
const CONTENT_CHARS_MAX = 65_536

/** `redactor`: what was said is wanted, and goes through it. */
export function spanOf(flow: Flow, llm: FlowLlm, redactor: Redactor | undefined): Span {
  const above = flow.parent
  const root = rootOf(flow)
  const outer = traceOf(root)
  const traceId = outer?.traceId ?? root.id.replaceAll("-", "")
  const parentSpanId = above === undefined ? outer?.spanId : spanIdOf(above)
  const { start, endMs = 0 } = flow.timings
  const error = errorTypeOf(flow)
  return {
    traceId,
    spanId: spanIdOf(flow),
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    name: `${operationOf({ llm })} ${llm.request.model}`,
    kind: KIND_CLIENT,
    startTimeUnixNano: nanos(start),
    endTimeUnixNano: nanos(start + endMs),
    attributes: attributesOf(flow, llm, error, redactor),
    status: error === undefined ? {} : { code: STATUS_ERROR, message: error },
  }
}

function rootOf(flow: Flow): Flow {
  let root = flow
  while (root.parent !== undefined) root = root.parent
  return root
}

/** What the client's own trace says; undefined: it has none, or one that is none. */
function traceOf({ original }: Flow): { readonly traceId: string; readonly spanId: string } | undefined {
  const [, traceId, spanId] = TRACEPARENT.exec(original.headers.get("traceparent") ?? "") ?? []
  if (traceId === undefined || spanId === undefined || NO_TRACE.test(traceId) || NO_TRACE.test(spanId)) return undefined
  return { traceId, spanId }
}

/** The random half of the flow's id. */
function spanIdOf({ id }: Flow): string {
  return id.replaceAll("-", "").slice(16)
}

function nanos(epochMs: number): string {
  return (BigInt(Math.round(epochMs * 1_000)) * 1_000n).toString()
}

function attributesOf(
  flow: Flow,
  llm: FlowLlm,
  error: string | undefined,
  redactor: Redactor | undefined,
): Attribute[] {
  const { request, completion } = llm
  const { server, timings, client, routed } = flow
  const usage = completion?.usage
  const body = request.body
  const all: readonly (readonly [key: string, value: Value | undefined])[] = [
    ["gen_ai.operation.name", text(operationOf({ llm }))],
    ["gen_ai.provider.name", text(providerOf(flow))],
    ["gen_ai.request.model", text(request.model)],
    ["server.address", text(server?.host)],
    ["server.port", int(server?.port)],
    ["error.type", text(error)],
    ["gen_ai.request.stream", bool(request.stream ? true : undefined)],
    ["gen_ai.request.choice.count", int(request.n === 1 ? undefined : request.n)],
    ["gen_ai.request.max_tokens", int(request.maxTokens)],
    ["gen_ai.request.temperature", double(request.temperature)],
    ["gen_ai.request.top_p", double(request.topP)],
    ["gen_ai.request.top_k", int(body.top_k)],
    ["gen_ai.request.seed", int(body.seed)],
    ["gen_ai.request.frequency_penalty", double(body.frequency_penalty)],
    ["gen_ai.request.presence_penalty", double(body.presence_penalty)],
    ["gen_ai.request.stop_sequences", texts(request.stop)],
    ["gen_ai.response.id", text(completion?.id)],
    ["gen_ai.response.model", text(completion?.model)],
    ["gen_ai.response.finish_reasons", texts(completion?.choices.map(({ finishReason }) => finishReason.unified))],
    ["gen_ai.response.time_to_first_chunk", double(request.stream ? seconds(timings.firstDeltaMs) : undefined)],
    ["gen_ai.usage.input_tokens", int(usage?.inputTokens)],
    ["gen_ai.usage.output_tokens", int(usage?.outputTokens)],
    ["gen_ai.usage.cache_read.input_tokens", int(usage?.cachedTokens)],
    ["gen_ai.usage.reasoning.output_tokens", int(usage?.reasoningTokens)],
    ["llmproxy.flow.id", text(flow.id)],
    ["llmproxy.route.name", text(routed?.name)],
    ["llmproxy.client", text(client.user ?? client.id)],
    ...(redactor === undefined ? [] : contentOf(llm, redactor)),
  ]
  return all.flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }]))
}

/** As JSON texts: messages with parts, as the conventions' schemas have them. */
function contentOf({ request, completion }: FlowLlm, redactor: Redactor): (readonly [string, Value | undefined])[] {
  const json = (value: unknown) => text(redactor.text(JSON.stringify(value)).slice(0, CONTENT_CHARS_MAX))
  const input = request.messages.map(({ role, content }) => ({ role, parts: partsOf(content) }))
  const output = completion?.choices.map(({ text: said, toolCalls, finishReason }) => ({
    role: "assistant",
    parts: [
      ...(said === "" ? [] : [{ type: "text", content: said }]),
      ...toolCalls.map(({ id, name, arguments: json }) => ({ type: "tool_call", id, name, arguments: json })),
    ],
    finish_reason: finishReason.unified,
  }))
  return [
    ["gen_ai.input.messages", json(input)],
    ["gen_ai.output.messages", output === undefined ? undefined : json(output)],
    ["gen_ai.tool.definitions", request.tools === undefined ? undefined : json(request.tools.map(({ raw }) => raw))],
  ]
}

function partsOf(content: unknown): unknown {
  return typeof content === "string" ? [{ type: "text", content }] : content
}

function text(value: string | undefined): Value | undefined {
  return value === undefined ? undefined : { stringValue: value }
}

function texts(values: readonly string[] | undefined): Value | undefined {
  if (values === undefined) return undefined
  return { arrayValue: { values: values.map((stringValue) => ({ stringValue })) } }
}

function int(value: unknown): Value | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? { intValue: String(value) } : undefined
}

function double(value: unknown): Value | undefined {
  return typeof value === "number" && Number.isFinite(value) ? { doubleValue: value } : undefined
}

function bool(value: boolean | undefined): Value | undefined {
  return value === undefined ? undefined : { boolValue: value }
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000
}
