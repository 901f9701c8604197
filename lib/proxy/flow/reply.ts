/**
 * What an addon says in the place of an upstream, as what the flow delivers: a text, JSON or an error in the client's
 * dialect, a completion as its answer, or the answer of another flow, which brings itself.
 */
import type { Reply } from "../../api/flow.ts"
import type { FlowError } from "../../base/errors.ts"
import { Headers, type HeadersInit } from "../../base/headers.ts"
import type { Redactor } from "../../base/secrets/redactor.ts"
import { uuidv7 } from "../../base/uuid.ts"
import { statusText } from "../../http1/status-text.ts"
import { STREAM_FIELDS } from "../body/client-delivery.ts"
import { type Incoming, wholeIncoming } from "../body/incoming.ts"
import { IteratedBody, type Piece } from "../body/iterated-body.ts"
import {
  BINARY,
  type Completion,
  type Dialect,
  type DialectName,
  deltasOf,
  type EncodeContext,
  type LlmRequest,
  readLlmRequest,
  replyContent,
} from "../body/observe.ts"
import { NO_BODY } from "../io/body-queue.ts"
import type { StreamResponseHead } from "../streams.ts"
import type { FlowCore } from "./core.ts"
import { INCOMING, type Recipient, type Replied } from "./replied.ts"

/** A recipient whose replies may repeat a secret, or run on while it fails. */
type Replying = Recipient & Pick<FlowCore, "onFail" | "original"> & { readonly core: { readonly redactor: Redactor } }

/** How ids of answers begin, where they have one: some clients look. */
export const ID_PREFIXES: Readonly<Record<DialectName, string>> = {
  "openai-chat": "chatcmpl-",
  "openai-completions": "cmpl-",
  "openai-responses": "resp_",
  "openai-realtime": "resp_",
  "anthropic-messages": "msg_",
  ollama: "",
  llamacpp: "",
}

/** What `flow.respond` was given, as something to deliver. */
export async function incomingFrom(flow: Replying, replied: Replied): Promise<Incoming> {
  if (replied.kind === "answer") {
    const incoming = await replied.answer[INCOMING](flow, replied.options)
    for (const [name, value] of new Headers(replied.options.headers)) incoming.head.headers.set(name, value)
    return incoming
  }
  const { reply } = replied
  if (reply.completion !== undefined) return incomingFromCompletion(flow, reply.completion, reply.headers ?? [])
  if (reply.body !== undefined) return incomingFromBody(flow, reply, reply.body)
  const { status, contentType, body } = replyContent(flow.clientDialect, withoutSecrets(flow, reply))
  const headers = new Headers(reply.headers)
  if (!headers.has("content-type")) headers.set("Content-Type", contentType)
  return wholeIncoming({ status, reason: statusText(status), headers }, body)
}

/** An addon's error often repeats what a host said, and hosts repeat the key that they were asked with: ours, at times. */
function withoutSecrets({ core }: Replying, reply: Reply): Reply {
  const { error } = reply
  return error === undefined ? reply : { ...reply, error: { ...error, message: core.redactor.text(error.message) } }
}

/** Statuses of answers without a body (RFC 9110, section 15). */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304])

/** A body that runs on: stopped as soon as the flow fails, which need not be while anybody reads it. */
function incomingFromBody(flow: Replying, reply: Reply, source: AsyncIterable<Piece>): Incoming {
  const headers = new Headers(reply.headers)
  if (!headers.has("content-type")) headers.set("Content-Type", BINARY)
  const status = reply.status ?? 200
  const head = { status, reason: statusText(status), headers }
  const isBodiless = flow.original.method === "HEAD" || BODILESS.has(status)
  // Its length stays what the addon says that it would be.
  if (isBodiless) return { ...wholeIncoming(head, Buffer.alloc(0)), body: { ...NO_BODY, length: undefined } }
  const body = new IteratedBody(source, lengthIn(headers))
  const stop = (reason: FlowError) => body.stop(reason)
  flow.onFail(stop)
  return { head, body, trailers: () => undefined, abort: stop, tunnel: undefined }
}

/** What the addon has promised. */
function lengthIn(headers: Headers): number | undefined {
  const length = headers.get("content-length")
  return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

/** A completion that an addon gives, as what `flow` delivers: its text alone where the client speaks no dialect. */
function incomingFromCompletion(flow: Recipient, completion: Completion, fields: HeadersInit): Incoming {
  const client = flow.clientDialect
  if (client === undefined) {
    const headers = new Headers([["Content-Type", "text/plain; charset=utf-8"], ...new Headers(fields)])
    return wholeIncoming({ status: 200, reason: "OK", headers }, Buffer.from(completion.text))
  }
  const request = requestOf(flow, client)
  const { clock } = flow.core
  const context: EncodeContext = {
    id: completion.id ?? ID_PREFIXES[client.name] + uuidv7(clock.now()),
    model: completion.model ?? request?.model ?? "",
    created: completion.created ?? Math.floor(clock.now() / 1000),
    request,
  }
  const streams = request?.stream === true
  const headers = new Headers([["Content-Type", streams ? client.streamType : "application/json"]])
  for (const [name, value] of [...(streams ? STREAM_FIELDS : []), ...new Headers(fields)]) headers.set(name, value)
  const head: StreamResponseHead = { status: 200, reason: "OK", headers }
  if (!streams) return wholeIncoming(head, Buffer.from(JSON.stringify(client.writeAnswer(completion, context))))
  const encoder = client.encoder(context)
  const events = deltasOf(completion).map((delta) => encoder.delta(delta))
  return wholeIncoming(head, Buffer.from(events.join("") + encoder.end()))
}

/** The client's request, also where an addon answers before `llmRequest`. */
export function requestOf(flow: Recipient, client: Dialect): LlmRequest | undefined {
  if (flow.llm !== undefined || !flow.request.readable) return flow.llm?.request
  const llm = readLlmRequest(client, flow.request.bytes, flow.request.path)
  return typeof llm === "string" ? undefined : llm.request
}
