/**
 * Transforms of a response body, pulled by the client: chunks in the order in which addons asked, then deltas. Content
 * that is looked at leaves as identity; a transform that throws cuts the stream.
 */

import type { ChunkTransform, StreamTransform } from "../../api/flow.ts"
import { FlowError, messageOf } from "../../base/errors.ts"
import { uuidv7 } from "../../base/uuid.ts"
import { ContentDecoder, codingsOf } from "../body/content-coding.ts"
import { generatedIncoming, type Incoming, wholeIncoming } from "../body/incoming.ts"
import { asBytes } from "../body/iterated-body.ts"
import {
  type Delta,
  type Dialect,
  decoderFor,
  type EncodeContext,
  editAnswer,
  isObject,
  type StreamDecoder,
  StreamEditor,
  type StreamEvent,
  type StreamFraming,
} from "../body/observe.ts"
import { FramedBody } from "./framed-body.ts"
import { dropBodyFields } from "./request.ts"
import type { FlowState } from "./state.ts"
import { tooLarge } from "./whole-answer.ts"

/**
 * The same answer with the flow's transforms applied. What its bytes, not its label, say to be a stream is edited as it
 * comes. An answer that is one JSON body is read to its end first: rejects where it cannot be read, for no part of it may
 * leave unedited.
 */
export async function applyTransforms(flow: FlowState, incoming: Incoming): Promise<Incoming> {
  const { response } = flow
  if (response === undefined) return incoming
  let pieces: AsyncIterable<Buffer> = decoded(incoming)
  for (const fn of response.chunkTransforms) pieces = withChunks(pieces, fn)
  return edited(flow, incoming, pieces, response.deltaTransforms)
}

/** The same answer with its deltas changed by `fns`, and by nothing else. */
export function applyDeltas(flow: FlowState, incoming: Incoming, fns: readonly StreamTransform[]): Promise<Incoming> {
  return edited(flow, incoming, decoded(incoming), fns)
}

async function edited(
  flow: FlowState,
  incoming: Incoming,
  content: AsyncIterable<Buffer>,
  fns: readonly StreamTransform[],
): Promise<Incoming> {
  let pieces = content
  const dialect = flow.clientDialect
  const { status } = incoming.head
  // An error and a redirect tell no deltas.
  if (dialect !== undefined && status < 300 && fns.length > 0) {
    const body = new FramedBody(flow, dialect, incoming.head, guarded(pieces))
    const editing: Editing = { flow, dialect, fns, body }
    // Where the label is right the head does not wait for the bytes.
    const begun = body.isLabelled ? undefined : await flow.orFail(begin(editing))
    if (Buffer.isBuffer(begun)) {
      dropBodyFields(incoming.head.headers)
      return { ...wholeIncoming(incoming.head, begun), trailers: incoming.trailers }
    }
    pieces = withDeltas(editing, begun, incoming)
  }
  dropBodyFields(incoming.head.headers)
  const result = made(incoming, guarded(pieces))
  // A transform may wait for what never comes; its flow does not outlive its client for that.
  return { ...result, body: { length: result.body.length, read: () => flow.orFail(result.body.read()) } }
}

/** Takes the Content-Encoding off, from the head as well: for a client that was told of none. */
export function dropCoding(incoming: Incoming): Incoming {
  if (codingsOf(incoming.head.headers.get("content-encoding")).length === 0) return incoming
  const pieces = decoded(incoming)
  dropBodyFields(incoming.head.headers)
  return made(incoming, pieces)
}

function made(incoming: Incoming, pieces: AsyncGenerator<Buffer, void>): Incoming {
  const result = generatedIncoming(incoming.head, pieces)
  return {
    ...result,
    trailers: incoming.trailers,
    abort: (reason) => {
      incoming.abort(reason)
      result.abort(reason)
    },
  }
}

/** Throws at once for a coding that cannot be taken off. */
function decoded(incoming: Incoming): AsyncGenerator<Buffer, void> {
  return decodedWith(incoming, ContentDecoder.for(incoming.head.headers.get("content-encoding")))
}

async function* decodedWith(incoming: Incoming, coding: ContentDecoder | undefined): AsyncGenerator<Buffer, void> {
  try {
    for (let piece = await incoming.body.read(); piece !== undefined; piece = await incoming.body.read()) {
      if (coding === undefined) yield piece
      else yield* coding.feed(piece)
    }
    if (coding !== undefined) yield* coding.finish()
  } finally {
    coding?.close()
  }
}

function withChunks(pieces: AsyncIterable<Buffer>, fn: ChunkTransform): AsyncIterable<Buffer> {
  return isGenerator(fn) ? asBuffers(fn(pieces)) : mapped(pieces, fn as PlainTransform)
}

type GeneratorTransform = (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer | string>
type PlainTransform = (chunk: Buffer) => Buffer | string | undefined

const AsyncGeneratorFunction: unknown = Object.getPrototypeOf(async function* () {}).constructor

function isGenerator(fn: ChunkTransform): fn is GeneratorTransform {
  return typeof AsyncGeneratorFunction === "function" && fn instanceof AsyncGeneratorFunction
}

async function* mapped(pieces: AsyncIterable<Buffer>, fn: PlainTransform): AsyncGenerator<Buffer, void> {
  for await (const piece of pieces) {
    const result: unknown = fn(piece)
    if (result === undefined) continue
    const bytes = asBytes(result, PIECES)
    if (bytes.length > 0) yield bytes
  }
}

const PIECES = "return a Buffer, a string or undefined, or write the transform as async function*"

async function* asBuffers(pieces: AsyncIterable<Buffer | string>): AsyncGenerator<Buffer, void> {
  for await (const piece of pieces) {
    const bytes = asBytes(piece, PIECES)
    if (bytes.length > 0) yield bytes
  }
}

/** An answer whose deltas addons edit. */
interface Editing {
  readonly flow: FlowState
  readonly dialect: Dialect
  readonly fns: readonly StreamTransform[]
  readonly body: FramedBody
}

/** A stream, and the first of its events. */
interface Begun {
  readonly framing: StreamFraming
  readonly decoder: StreamDecoder
  readonly pieces: AsyncGenerator<Buffer, void>
  readonly events: StreamEvent[]
}

/**
 * What the answer is by its bytes: a stream, or whole and edited. Where no label has announced a stream, a text that only
 * looks like one (a line "data: ...") must not leave as events that nobody understands: then its first event that is one
 * of the dialect is waited for. Rejects where there is none.
 */
async function begin(editing: Editing): Promise<Begun | Buffer> {
  const { flow, dialect, body } = editing
  const framing = await body.stream()
  if (framing === undefined) return wholeWithDeltas(editing)
  const begun: Begun = { framing, decoder: decoderFor(dialect, framing), pieces: body.pieces(), events: [] }
  const { decoder, pieces, events } = begun
  let held = 0
  while (!body.isLabelled && !events.some(isOfDialect)) {
    const next = await pieces.next()
    if (next.done === true) {
      events.push(...decoder.finish())
      if (!events.some(isOfDialect)) throw badAnswer(dialect)
      break
    }
    held += next.value.length
    if (held > flow.core.settings.bodyLimit || !flow.memory.take(next.value.length)) throw tooLarge(flow)
    events.push(...decoder.feed(next.value))
  }
  flow.memory.give(held)
  return begun
}

/** Whether an event says something that its dialect has a word for. */
function isOfDialect({ json, deltas, done, error }: StreamEvent): boolean {
  if (done || error !== undefined) return true
  return isObject(json) && (deltas.length === 0 || deltas.some(({ type }) => type !== "other"))
}

async function* withDeltas(
  editing: Editing,
  told: Begun | undefined,
  incoming: Incoming,
): AsyncGenerator<Buffer, void> {
  const { flow, dialect, fns, body } = editing
  if (told === undefined) yield* body.lead()
  const begun = told ?? (await begin(editing))
  if (Buffer.isBuffer(begun)) {
    yield begun
    return
  }
  const { decoder, framing } = begun
  const editor = editorOf(flow, dialect, fns, framing)
  const rewritten = (events: readonly StreamEvent[]) => events.map((event) => editor.rewrite(event))
  const first = rewritten(begun.events)
  if (editor.ended) incoming.abort(ENOUGH)
  if (first.length > 0) yield Buffer.concat(first)
  if (editor.ended) return
  for await (const piece of begun.pieces) {
    const out = rewritten(decoder.feed(piece))
    // At once: a client that reads slowly is no reason to let the upstream go on.
    if (editor.ended) incoming.abort(ENOUGH)
    if (out.length > 0) yield Buffer.concat(out)
    if (editor.ended) return
  }
  yield Buffer.concat([...rewritten(decoder.finish()), editor.end()])
}

function badAnswer({ name }: Dialect): FlowError {
  return new FlowError("upstream", "bad-answer", `the answer is no ${name} answer, and an addon has to edit it`)
}

/** Rejects with what the client gets instead: an answer of status 502 in its dialect. */
async function wholeWithDeltas({ flow, dialect, fns, body }: Editing): Promise<Buffer> {
  const bytes = await body.whole()
  flow.check()
  let over = false
  const edit = (delta: Delta) => (over ? [] : applied(fns, delta, () => (over = true)))
  const changed = failsAsAddon(() => editAnswer(dialect, bytes, contextOf(flow), edit))
  if (changed !== undefined) return changed
  throw badAnswer(dialect)
}

/** What `fns` make of a delta, one after the other. */
function applied(fns: readonly StreamTransform[], delta: Delta, end: () => void): readonly Delta[] {
  let present: readonly Delta[] = [delta]
  for (const fn of fns) {
    present = present.flatMap((one) => {
      const result = fn(one, end)
      if (result === undefined) return []
      return "type" in result ? [result] : [...result]
    })
  }
  return present
}

/** What is known for writing into an answer of the flow's own. */
export function contextOf({ core, llm }: FlowState): EncodeContext {
  return {
    id: uuidv7(core.clock.now()),
    model: llm?.request.model ?? "",
    created: Math.floor(core.clock.now() / 1000),
    request: llm?.request,
    passUsage: true,
  }
}

const ENOUGH = new FlowError("addon", "enough", "an addon has ended the answer")

function editorOf(
  flow: FlowState,
  dialect: Dialect,
  fns: readonly StreamTransform[],
  framing: StreamFraming,
): StreamEditor {
  const editor: StreamEditor = new StreamEditor(dialect, contextOf(flow), framing, (delta) =>
    applied(fns, delta, () => editor.stop()),
  )
  return editor
}

/** Whatever a transform throws is the addon's failure, and cuts a stream that has begun. */
async function* guarded(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  try {
    yield* pieces
  } catch (thrown) {
    throw asAddonError(thrown)
  }
}

function failsAsAddon<T>(work: () => T): T {
  try {
    return work()
  } catch (thrown) {
    throw asAddonError(thrown)
  }
}

function asAddonError(thrown: unknown): FlowError {
  if (thrown instanceof FlowError) return thrown
  const told = "an addon's transform failed; the log of llmproxy has the reason"
  return new FlowError("addon", "transform-failed", `a transform failed: ${messageOf(thrown)}`, { cause: thrown, told })
}
