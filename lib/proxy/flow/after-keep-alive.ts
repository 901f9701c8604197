/**
 * What can still be said once a waiting client has been sent a head (200, a stream): events only. A JSON answer is
 * turned into events; an error becomes an error event, after which the stream is cut, never ended.
 */
import { FlowError } from "../../base/errors.ts"
import { uuidv7 } from "../../base/uuid.ts"
import { generatedIncoming, type Incoming } from "../body/incoming.ts"
import {
  type Completion,
  decoderFor,
  deltasOf,
  type EncodeContext,
  type LlmState,
  Reframer,
  readAnswer,
  readError,
  type StreamEvent,
} from "../body/observe.ts"
import type { StreamResponseHead } from "../streams.ts"
import { FramedBody } from "./framed-body.ts"
import type { FlowState } from "./state.ts"

const OURS = "llmproxy: "
/** The code of an error that says nothing of its kind. */
const UNNAMED = "other"

/**
 * The answer as what can simply follow the comments, events in the framing that the client was promised; or as its whole
 * body, where that is no stream by its bytes. Of a status below 400.
 */
export async function eventsOrWhole(flow: FlowState, incoming: Incoming): Promise<Incoming | Buffer> {
  const { llm } = flow
  if (llm === undefined) return incoming // Nobody was kept waiting.
  const body = new FramedBody(flow, llm.dialectOf, incoming.head, piecesOf(incoming))
  const framing = await body.stream()
  if (framing === undefined) return body.whole()
  const pieces = framing === "sse" ? withoutBom(body.pieces()) : asEvents(flow, llm, body.pieces())
  const { trailers, abort } = incoming
  return { ...generatedIncoming(incoming.head, pieces), trailers, abort }
}

async function* piecesOf({ body }: Incoming): AsyncGenerator<Buffer, void> {
  for (let piece = await body.read(); piece !== undefined; piece = await body.read()) yield piece
}

const BOM = Buffer.from("\uFEFF")

/** It would stand behind the comments now, and spoil the first event. */
async function* withoutBom(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let held: Buffer | undefined = Buffer.alloc(0)
  for await (const piece of pieces) {
    if (held === undefined) {
      yield piece
      continue
    }
    held = Buffer.concat([held, piece])
    if (BOM.subarray(0, held.length).equals(held) && held.length < BOM.length) continue
    yield held.subarray(0, BOM.length).equals(BOM) ? held.subarray(BOM.length) : held
    held = undefined
  }
  if (held !== undefined && held.length > 0) yield held
}

/** JSON lines as events. */
async function* asEvents(flow: FlowState, llm: LlmState, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const decoder = decoderFor(llm.dialectOf, "lines")
  const reframer = new Reframer(llm.dialectOf, llm.dialectOf.encoder(contextOf(flow, llm, {})))
  const written = (events: readonly StreamEvent[]) => events.map((event) => reframer.event(event)).join("")
  for await (const piece of pieces) {
    const text = written(decoder.feed(piece))
    if (text !== "") yield Buffer.from(text)
  }
  const rest = written(decoder.finish()) + reframer.end()
  if (rest !== "") yield Buffer.from(rest)
}

function contextOf({ core }: FlowState, llm: LlmState, told: Partial<Completion>): EncodeContext {
  return {
    id: told.id ?? uuidv7(core.clock.now()),
    model: told.model ?? llm.request.model,
    created: told.created ?? Math.floor(core.clock.now() / 1000),
    request: llm.request,
  }
}

/** Writes a whole JSON answer as events; returns the error to break off with when it is none. */
export function writeJsonAsEvents(flow: FlowState, head: StreamResponseHead, body: Buffer): FlowError | undefined {
  const { llm } = flow
  const { delivery } = flow.exchange
  if (llm === undefined) return new FlowError("llmproxy", "internal", "a flow without a dialect cannot be kept alive")
  const dialect = llm.dialectOf
  const answer = head.status < 400 ? readAnswer(dialect, body) : { error: readError(dialect, head.status, body) }
  if (answer === undefined) return new FlowError("upstream", "bad-answer", `the answer is no ${dialect.name} answer`)
  if ("error" in answer) {
    const { message, code, kind } = answer.error
    return new FlowError("upstream", code ?? kind, message, { status: head.status >= 400 ? head.status : 502 })
  }
  const { completion } = answer
  const encoder = dialect.encoder(contextOf(flow, llm, completion))
  delivery.head(head, undefined, () => routeNote(flow))
  const events = deltasOf(completion).map((delta) => encoder.delta(delta))
  delivery.write(Buffer.from(events.join("") + encoder.end()))
  return undefined
}

/** Which way the flow went, and why, for a comment in the stream. */
export function routeNote({ routed, core }: FlowState): string {
  return core.redactor.text(`route ${routed?.name ?? "upstream"}: ${routed?.reason ?? "answered"}`)
}

/** An error's message as said by us; once, where it has passed an llmproxy before. */
export function ourMessage({ core }: FlowState, reason: FlowError): string {
  const message = core.redactor.text(reason.told)
  return message.startsWith(OURS) ? message : `${OURS}${message}`
}

/**
 * The error as an event of the dialect. The status is spent, so the code stands in the message as well: clients that read a
 * stream line by line (GPT Pilot) look at the message alone.
 */
export function writeErrorEvent(flow: FlowState, reason: FlowError): void {
  const dialect = flow.llm?.dialectOf
  if (dialect === undefined) return
  const message = ourMessage(flow, reason)
  const event = {
    status: reason.status,
    code: reason.code,
    message: reason.code === UNNAMED || message.includes(reason.code) ? message : `${message} (${reason.code})`,
  }
  flow.exchange.delivery.write(Buffer.from(dialect.errorEvent(event)))
}
