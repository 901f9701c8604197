/**
 * HTTP/1.1 messages from bytes, without I/O: bytes are fed, events are pulled. Nothing is read ahead of the pull, so
 * the bytes behind a CONNECT or an upgrade stay where rest() finds them. Strict (DESIGN.md section 3): a violation
 * throws a FlowError, and the parser throws it again ever after. Timeouts and answers are the caller's.
 */
import { BlockFinder } from "./blocks.ts"
import { BodyReader } from "./body-reader.ts"
import { ByteQueue } from "./byte-queue.ts"
import { parseRequestHead, parseResponseHead } from "./head.ts"
import { DEFAULT_HEAD_LIMITS, type HeadLimits, type RequestEvent, type ResponseEvent } from "./message.ts"
import { type Side, violation } from "./violation.ts"

const CR = 13
const LF = 10

/** What both directions share: the queue, the end of input, and death by violation. */
abstract class Parser<Event> {
  protected readonly limits: HeadLimits
  protected readonly queue = new ByteQueue()
  protected readonly finder: BlockFinder
  protected readonly body: BodyReader
  readonly #side: Side
  #failure: { readonly error: unknown } | undefined
  // The last next() found too few bytes, and none were fed since.
  #starved = true
  #finished = false

  constructor(side: Side, limits: HeadLimits) {
    this.#side = side
    this.limits = limits
    this.finder = new BlockFinder(limits, side)
    this.body = new BodyReader(limits, side)
  }

  /** Gives bytes, which now belong to the parser's events: do not change them. Dropped after a violation. */
  feed(bytes: Buffer): void {
    if (this.#failure !== undefined) return
    this.queue.push(bytes)
    this.#starved = false
  }

  /** The next event; undefined: feed more. Throws a FlowError on a violation, and on a cut after finish(). */
  next(): Event | undefined {
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      const event = this.advance()
      if (event === undefined) this.#starve()
      return event
    } catch (error) {
      this.#failure = { error }
      this.queue.clear()
      throw error
    }
  }

  /**
   * The peer has closed its side. Inside a message: throws a FlowError "cut", now if every event was pulled, else from
   * the next() that runs out of bytes. Silent between messages; a response body that lasts until the close ends well.
   */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#finished = true
    if (this.body.close() || !this.#starved) return
    this.next()
  }

  /** Takes all bytes that no event has consumed: they belong to the tunnel behind a CONNECT or an upgrade. */
  rest(): Buffer {
    return this.queue.takeAll()
  }

  /** Bytes that were fed and not yet pulled. */
  get buffered(): number {
    return this.queue.length
  }

  protected abstract advance(): Event | undefined
  /** Whether an end of input is a cut, once advance() has nothing more to give. */
  protected abstract get unfinished(): boolean

  #starve(): void {
    this.#starved = true
    if (!this.#finished || !this.unfinished) return
    throw violation(this.#side, "cut", "the connection ended inside the message")
  }
}

/** Requests of one client connection, one after the other. */
export class RequestParser extends Parser<RequestEvent> {
  #emptyLineBytes = 0

  constructor(limits: HeadLimits = DEFAULT_HEAD_LIMITS) {
    super("client", limits)
  }

  /** Between two requests, with no bytes of the next. */
  get idle(): boolean {
    return !this.body.active && this.queue.length === 0
  }

  protected override get unfinished(): boolean {
    // A lone CR is half of an empty line that nobody would have minded.
    return this.body.active || this.queue.length > 1 || (this.queue.length === 1 && this.queue.peek() !== CR)
  }

  protected override advance(): RequestEvent | undefined {
    if (this.body.active) {
      const piece = this.body.read(this.queue)
      if (piece === "end") return { type: "end", trailers: this.body.trailers }
      return piece === undefined ? undefined : { type: "data", bytes: piece }
    }
    if (this.queue.peek() === CR) this.#skipEmptyLines()
    if (this.queue.length === 0) return undefined
    const text = this.finder.take(this.queue)
    if (text === undefined) return undefined
    const head = parseRequestHead(text, this.limits)
    this.#emptyLineBytes = 0
    this.body.begin(head.framing)
    return { type: "head", head }
  }

  // RFC 9112 section 2.2: some clients send a CRLF too many after a body. They count as part of the head that follows.
  #skipEmptyLines(): void {
    this.queue.join()
    while (this.queue.length >= 2) {
      const { bytes, start } = this.queue
      if (bytes[start] !== CR || bytes[start + 1] !== LF) return
      this.queue.skip(2)
      this.#emptyLineBytes += 2
      if (this.#emptyLineBytes > this.limits.headBytes)
        throw violation("client", "head-too-long", "too many empty lines before the request line", 431)
    }
  }
}

/** Responses of one upstream connection. Every response must have been announced by expect(). */
export class ResponseParser extends Parser<ResponseEvent> {
  #method: string | undefined
  #tunnel = false

  constructor(limits: HeadLimits = DEFAULT_HEAD_LIMITS) {
    super("upstream", limits)
  }

  /**
   * A request with this method is about to be sent; its response may now come. Call it after the last response's end.
   * Throws a FlowError if bytes came before it: they would be taken for the answer to a request that they never saw.
   */
  expect(method: string): void {
    if (this.#method !== undefined) throw new Error(`expect ${method}: the response to ${this.#method} has not ended`)
    if (this.queue.length > 0) this.next()
    this.#method = method
  }

  /** No response is expected or under way, and nothing was fed. */
  get idle(): boolean {
    return this.#method === undefined && this.queue.length === 0
  }

  protected override get unfinished(): boolean {
    return this.#method !== undefined
  }

  protected override advance(): ResponseEvent | undefined {
    if (this.body.active) return this.#readBody()
    if (this.#tunnel || this.queue.length === 0) return undefined
    if (this.#method === undefined)
      throw violation("upstream", "unsolicited-response", "bytes came that answer no request")
    const text = this.finder.take(this.queue)
    if (text === undefined) return undefined
    const head = parseResponseHead(text, this.#method, this.limits)
    if (head.status < 200 && head.status !== 101) return { type: "informational", head }
    this.#tunnel = head.status === 101 || (this.#method === "CONNECT" && head.status < 300)
    this.body.begin(head.framing)
    return { type: "head", head }
  }

  #readBody(): ResponseEvent | undefined {
    const piece = this.body.read(this.queue)
    if (piece === undefined) return undefined
    if (piece !== "end") return { type: "data", bytes: piece }
    this.#method = undefined
    return { type: "end", trailers: this.body.trailers }
  }
}
