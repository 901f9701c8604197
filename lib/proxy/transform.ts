/**
 * Transforms of a response body, pulled by the client: chunks in the order in which addons asked, then deltas. Content
 * that is looked at leaves as identity; a transform that throws cuts the stream.
 */

import { FlowError, messageOf } from "../errors.ts"
import type { ChunkTransform, DeltaTransform } from "../flow.ts"
import { uuidv7 } from "../uuid.ts"
import { isStream } from "./answer-observer.ts"
import { ContentDecoder } from "./content-coding.ts"
import { dropBodyFields } from "./flow-request.ts"
import type { FlowState } from "./flow-state.ts"
import { generatedIncoming, type Incoming } from "./incoming.ts"
import type { Dialect, StreamDecoder, StreamEncoder, StreamEvent } from "./observe.ts"

/** The same answer with the flow's transforms applied. */
export function transformed(flow: FlowState, incoming: Incoming): Incoming {
  const { response, llm } = flow
  if (response === undefined) return incoming
  const coding = ContentDecoder.for(incoming.head.headers.get("content-encoding"))
  let pieces: AsyncIterable<Buffer> = decoded(incoming, coding)
  for (const fn of response.chunkTransforms) pieces = withChunks(pieces, fn)
  const streams = llm !== undefined && isStream(incoming.head, llm.request.stream) && incoming.head.status < 400
  if (streams && response.deltaTransforms.length > 0)
    pieces = withDeltas(flow, llm.dialectOf, pieces, response.deltaTransforms)
  dropBodyFields(response.headers)
  const result = generatedIncoming(incoming.head, guarded(pieces))
  return {
    ...result,
    trailers: incoming.trailers,
    abort: (reason) => {
      incoming.abort(reason)
      result.abort(reason)
    },
  }
}

async function* decoded(incoming: Incoming, coding: ContentDecoder | undefined): AsyncGenerator<Buffer, void> {
  try {
    for (let piece = await incoming.body.read(); piece !== undefined; piece = await incoming.body.read()) {
      if (coding === undefined) yield piece
      else yield* await coding.feed(piece)
    }
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
    const result = fn(piece)
    if (result !== undefined && result.length > 0) yield typeof result === "string" ? Buffer.from(result) : result
  }
}

async function* asBuffers(pieces: AsyncIterable<Buffer | string>): AsyncGenerator<Buffer, void> {
  for await (const piece of pieces) if (piece.length > 0) yield typeof piece === "string" ? Buffer.from(piece) : piece
}

async function* withDeltas(
  flow: FlowState,
  dialect: Dialect,
  pieces: AsyncIterable<Buffer>,
  fns: readonly DeltaTransform[],
): AsyncGenerator<Buffer, void> {
  const rewriter = new DeltaRewriter(flow, dialect, fns)
  const decoder: StreamDecoder = dialect.decoder()
  for await (const piece of pieces) {
    const out = decoder.feed(piece).map((event) => rewriter.rewrite(event))
    if (out.length > 0) yield Buffer.concat(out)
  }
  const rest = decoder.finish().map((event) => rewriter.rewrite(event))
  if (rest.length > 0) yield Buffer.concat(rest)
}

class DeltaRewriter {
  #flow: FlowState
  #dialect: Dialect
  #fns: readonly DeltaTransform[]
  #encoder: StreamEncoder | undefined

  constructor(flow: FlowState, dialect: Dialect, fns: readonly DeltaTransform[]) {
    this.#flow = flow
    this.#dialect = dialect
    this.#fns = fns
  }

  /** The event's own bytes when no transform changed a delta of it, else its deltas written anew. */
  rewrite(event: StreamEvent): Buffer {
    if (event.deltas.length === 0) return event.raw
    const wanted = event.deltas.flatMap((delta) => this.#apply([delta]))
    const same = wanted.length === event.deltas.length && wanted.every((delta, index) => delta === event.deltas[index])
    if (same) return event.raw
    const encoder = this.#encoderFor()
    encoder.adopt(event.json)
    return Buffer.from(wanted.map((delta) => encoder.delta(delta)).join(""))
  }

  #apply(deltas: readonly StreamEvent["deltas"][number][]): readonly StreamEvent["deltas"][number][] {
    let present = deltas
    for (const fn of this.#fns) {
      present = present.flatMap((delta) => {
        const result = fn(delta)
        if (result === undefined) return []
        return "type" in result ? [result] : [...result]
      })
    }
    return present
  }

  #encoderFor(): StreamEncoder {
    const { core, llm } = this.#flow
    this.#encoder ??= this.#dialect.encoder({
      id: uuidv7(core.clock.now()),
      model: llm?.request.model ?? "",
      created: Math.floor(core.clock.now() / 1000),
      request: llm?.request,
    })
    return this.#encoder
  }
}

/** Whatever a transform throws is the addon's failure, and cuts the stream. */
async function* guarded(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  try {
    yield* pieces
  } catch (thrown) {
    if (thrown instanceof FlowError) throw thrown
    throw new FlowError("addon", "transform-failed", `a transform failed: ${messageOf(thrown)}`, { cause: thrown })
  }
}
