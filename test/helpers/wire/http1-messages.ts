/**
 * Runs the HTTP/1.1 parsers over pieces of bytes and gives what they said as plain records, data joined:
 * two runs over the same bytes must give equal records, wherever the bytes were cut.
 */
import { FlowError } from "../../../lib/base/errors.ts"
import type { Headers } from "../../../lib/base/headers.ts"
import type { HeadLimits, RequestEvent, RequestHead, ResponseEvent, ResponseHead } from "../../../lib/http1/message.ts"
import { RequestParser, ResponseParser } from "../../../lib/http1/parser.ts"

interface MessageRecord<Head> {
  readonly head: Omit<Head, "headers"> & { readonly lines: readonly string[] }
  /** latin1. */
  body: string
  trailers: readonly string[] | undefined
  whole: boolean
}

export interface Reading<Head> {
  readonly messages: MessageRecord<Head>[]
  readonly informational: string[]
  /** Code and status of the FlowError that ended it. */
  readonly error: string | undefined
}

/** Reads all requests, then the end of input. */
export function readRequests(pieces: Iterable<Buffer>, limits?: HeadLimits): Reading<RequestHead> {
  return read(new RequestParser(limits), pieces)
}

/** Reads the responses to one request of each method, then the end of input. */
export function readResponses(
  methods: readonly string[],
  pieces: Iterable<Buffer>,
  limits?: HeadLimits,
): Reading<ResponseHead> {
  const parser = new ResponseParser(limits)
  const left = [...methods]
  const expectNext = (): void => {
    const method = left.shift()
    if (method !== undefined) parser.expect(method)
  }
  expectNext()
  return read(parser, pieces, expectNext)
}

/** The message as one piece, then as its single bytes. */
export function* wholeAndBytes(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes]
  yield [...bytes].map((byte) => Buffer.from([byte]))
}

/** latin1 text as bytes, which template strings are good for. */
export function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1")
}

type AnyEvent = RequestEvent | ResponseEvent
interface AnyParser<Event> {
  feed(bytes: Buffer): void
  next(): Event | undefined
  finish(): void
}

function read<Head extends { readonly headers: Headers }>(
  parser: AnyParser<AnyEvent>,
  pieces: Iterable<Buffer>,
  onEnd: () => void = () => {},
): Reading<Head> {
  const messages: MessageRecord<Head>[] = []
  const informational: string[] = []
  let error: string | undefined
  const drain = (): void => {
    for (let event = parser.next(); event !== undefined; event = parser.next()) {
      if (event.type === "informational") informational.push(`${event.head.status} ${event.head.headers.lines()}`)
      else take(messages, event)
      if (event.type === "end") onEnd()
    }
  }
  try {
    for (const piece of pieces) {
      parser.feed(piece)
      drain()
    }
    parser.finish()
    drain()
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    error = `${thrown.source} ${thrown.code} ${thrown.status}`
  }
  return { messages, informational, error }
}

function take<Head extends { readonly headers: Headers }>(messages: MessageRecord<Head>[], event: AnyEvent): void {
  if (event.type === "head") {
    // Callers name the Head that their parser gives.
    const { headers, ...rest } = event.head as unknown as Head
    messages.push({ head: { ...rest, lines: headers.lines() }, body: "", trailers: undefined, whole: false })
    return
  }
  const message = messages.at(-1)
  if (message === undefined) throw new Error(`event ${event.type} before a head`)
  if (event.type === "data") message.body += event.bytes.toString("latin1")
  if (event.type !== "end") return
  message.trailers = event.trailers?.lines()
  message.whole = true
}
