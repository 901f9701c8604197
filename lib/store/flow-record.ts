/**
 * From a flow's snapshot to what is stored of it: the row, and the contents that the row refers to, all redacted.
 * The request's meaning is read here, from its body, so that the proxy's thread only hands a text over. Pure.
 */
import { createHash } from "node:crypto"
import type { FlowSnapshot } from "../api/flow.ts"
import { isObject, type JsonObject, type JsonValue, parseJson } from "../base/json.ts"
import type { Redactor } from "../base/secrets/redactor.ts"
import { dialectNamed } from "../llm/index.ts"
import type { Choice, LlmRequest } from "../llm/model.ts"
import { asJson } from "./notes.ts"
import type { CONTENT_COLUMNS, NewFlowRow } from "./schema.ts"

/** Bytes of contents that one flow may bring; one with more is kept without them. */
const RECORD_BYTES_MAX = 16 * 1024 * 1024
/** Characters of a text that is a column of its own. */
const TEXT_CHARS_MAX = 4_096

/** Members of a body that are kept in places of their own. */
const CONTENT_MEMBERS = new Set(["messages", "system", "prompt", "input", "instructions", "tools", "functions"])

export type ContentColumn = (typeof CONTENT_COLUMNS)[number]

/** A text that is kept once. */
export interface Content {
  readonly hash: string
  readonly json: string
}

export interface FlowRecord {
  /** References to contents are still null. */
  readonly row: NewFlowRow
  readonly contents: Readonly<Partial<Record<ContentColumn, Content>>>
  /** The messages that were sent, in order. */
  readonly messages: readonly Content[]
}

export function contentOf(value: JsonValue): Content {
  const json = JSON.stringify(value)
  return { hash: hashOf(json), json }
}

export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url")
}

/** `redactor` remembers the flow's credentials. */
export function learnFrom({ request, response }: FlowSnapshot, redactor: Redactor): void {
  redactor.learn(request.headers, request.url)
  if (response !== undefined) redactor.learn(response.headers)
}

/** What is to be stored of a flow. `redactor` also learns from it. */
export function recordOf(snapshot: FlowSnapshot, redactor: Redactor): FlowRecord {
  learnFrom(snapshot, redactor)
  const request = requestIn(snapshot)
  const messages = request === undefined ? [] : messagesOf(request).map((message) => contentOf(redactor.json(message)))
  const contents = contentsOf(snapshot, request, redactor)
  const bytes = [...messages, ...Object.values(contents)].reduce((sum, { json }) => sum + json.length, 0)
  const row = rowOf(snapshot, redactor)
  if (bytes > RECORD_BYTES_MAX) return { row: { ...row, incomplete: 1 }, contents: {}, messages: [] }
  return { row, contents, messages }
}

/** The request as its dialect reads it; undefined where there is none to read. */
function requestIn({ llm, request }: FlowSnapshot): LlmRequest | undefined {
  if (llm === undefined || request.body === undefined) return undefined
  const body = parseJson(request.body)
  const url = new URL(request.url)
  return isObject(body) ? dialectNamed(llm.dialect).parseRequest(body, url.pathname + url.search) : undefined
}

/** The conversation, system prompt first wherever the dialect has it. */
function messagesOf({ messages, system }: LlmRequest): JsonValue[] {
  const all: JsonValue[] = [...messages]
  const hasSystem = messages.some(({ role }) => role === "system" || role === "developer")
  if (system !== undefined && !hasSystem) all.unshift({ role: "system", content: system })
  return all
}

function contentsOf(
  { llm, request: head, response }: FlowSnapshot,
  request: LlmRequest | undefined,
  redactor: Redactor,
): Partial<Record<ContentColumn, Content>> {
  const contents: Partial<Record<ContentColumn, Content>> = {
    request_headers: contentOf(redactor.headers(head.headers)),
  }
  if (response !== undefined) contents.response_headers = contentOf(redactor.headers(response.headers))
  if (request !== undefined) {
    const kept = Object.entries(request.body).filter(([key]) => !CONTENT_MEMBERS.has(key))
    contents.parameters = contentOf(redactor.json(Object.fromEntries(kept)))
    // The legacy name: https://platform.openai.com/docs/api-reference/chat/create#chat_create-functions
    const tools = request.tools?.map(({ raw }) => raw) ?? request.body.functions
    if (tools !== undefined) contents.tools = contentOf(redactor.json(tools))
  }
  const [first, ...more] = llm?.completion?.choices ?? []
  if (first !== undefined) contents.answer = contentOf(redactor.json(answerMessage(first)))
  if (more.length > 0) contents.more_answers = contentOf(redactor.json(more.map(answerMessage)))
  return contents
}

/** A choice as the assistant's message that a client would send back. */
function answerMessage({ text, reasoning, refusal, toolCalls }: Choice): JsonObject {
  const calls = toolCalls.map(({ id = null, name, arguments: json }) => ({
    id,
    type: "function",
    function: { name, arguments: json },
  }))
  return {
    role: "assistant",
    content: text === "" && calls.length > 0 ? null : text,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
    ...(refusal === "" ? {} : { refusal }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  }
}

/** PostgreSQL's texts hold no NUL. */
function columnText(text: string): string {
  return text.slice(0, TEXT_CHARS_MAX).replaceAll("\0", "\uFFFD")
}

/** Among what addons noted: who an addon said that the client is. */
export const CLIENT_NOTE = "llmproxy.client"

/** What sums are made by. A key's public id is no "key" here, as what is called so is blanked. */
function clientNote({ client: { user, label, claims } }: FlowSnapshot): object {
  if (user === undefined) return {}
  const { key, team, tags } = claims ?? {}
  return { [CLIENT_NOTE]: { user, label, id: key, team, tags } }
}

function rowOf(snapshot: FlowSnapshot, redactor: Redactor): NewFlowRow {
  const { id, request, response, llm, routed, error, timings, bytes } = snapshot
  const completion = llm?.completion
  const usage = completion?.usage
  const text = (value: string | undefined) => (value === undefined ? null : columnText(redactor.text(value)))
  const metadata = redactor.json(asJson({ ...snapshot.metadata, ...clientNote(snapshot) }) ?? {})
  return {
    id,
    parent_id: snapshot.parentId ?? null,
    started_at: Math.round(timings.start),
    client_id: columnText(redactor.text(snapshot.client.id)),
    method: request.method,
    url: redactor.url(request.url).slice(0, TEXT_CHARS_MAX),
    host: new URL(request.url).host,
    status: response?.status ?? null,
    dialect: llm?.dialect ?? null,
    model: text(llm?.model),
    answered_model: text(completion?.model),
    streamed: completion === undefined ? null : Number(completion.streamed),
    finish_reason: completion?.finishReason.unified ?? null,
    finish_raw: text(completion?.finishReason.raw),
    error_source: error?.source ?? null,
    error_code: error?.code ?? null,
    error_message: text(error?.message),
    llm_error_kind: llm?.error?.kind ?? null,
    llm_error_code: text(llm?.error?.code),
    llm_error_message: text(llm?.error?.message),
    route: text(routed?.name),
    route_reason: text(routed?.reason),
    route_url: routed?.url === undefined ? null : redactor.url(routed.url).slice(0, TEXT_CHARS_MAX),
    route_tokens: routed?.tokens ?? null,
    input_tokens: usage?.inputTokens ?? null,
    output_tokens: usage?.outputTokens ?? null,
    total_tokens: usage?.totalTokens ?? null,
    cached_tokens: usage?.cachedTokens ?? null,
    reasoning_tokens: usage?.reasoningTokens ?? null,
    usage_source: usage?.source ?? null,
    request_ms: timings.requestMs ?? null,
    response_head_ms: timings.responseHeadMs ?? null,
    first_delta_ms: timings.firstDeltaMs ?? null,
    end_ms: timings.endMs ?? null,
    request_bytes: bytes.request,
    response_bytes: bytes.response,
    incomplete: 0,
    metadata: isObject(metadata) && Object.keys(metadata).length > 0 ? JSON.stringify(metadata) : null,
    conversation: null,
    parameters: null,
    tools: null,
    answer: null,
    more_answers: null,
    request_headers: null,
    response_headers: null,
  }
}
