/**
 * A client's request as the web's Request, and the web's Response as what goes to the client: both bodies as streams that
 * are pulled. Who may ask, and what answers, is serving.ts's. Nothing here knows a protocol.
 */
import { addonFailure, FlowError, messageOf } from "../base/errors.ts"
import { Headers as HeadFields } from "../base/headers.ts"
import { statusText } from "../http1/status-text.ts"
import type { ClientStream, StreamResponseHead } from "../proxy/streams.ts"

/** RFC 9112 section 4. */
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/

export interface WebRequest {
  readonly request: Request
  /** A client that waits for it (Expect) sends its body from now on; once an answer has begun it cannot be told. */
  goOn(): void
}

/** The request; `signal` is its own. `bodyLimit`: bytes of its body, beyond which reading it fails with a FlowError (413). */
export function requestOf(stream: ClientStream, url: URL, signal: AbortSignal, bodyLimit: number): WebRequest {
  const { method, headers } = stream.head
  const fields = new Headers()
  for (const [name, value] of headers) fields.append(name, value)
  let isAwaited = stream.expectsContinue
  const goOn = () => {
    if (isAwaited) stream.inform({ status: 100, reason: "Continue", headers: new HeadFields() })
    isAwaited = false
  }
  const init = { method, headers: fields, signal }
  if (stream.body.length === 0 || method === "GET" || method === "HEAD")
    return { request: new Request(url, init), goOn }
  const body = bodyOf(stream, bodyLimit, goOn)
  return { request: new Request(url, { ...init, body, duplex: "half" }), goOn }
}

export function tooLarge(bodyLimit: number): FlowError {
  const message = `the body exceeds the ${bodyLimit} bytes of --body-limit`
  return new FlowError("client", "body-too-large", message, { status: 413 })
}

/** Nothing is read before the handler asks, and nothing beyond what it asks for. */
function bodyOf(stream: ClientStream, bodyLimit: number, goOn: () => void): ReadableStream<Uint8Array> {
  let left = bodyLimit
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        goOn()
        const piece = await stream.body.read()
        if (piece === undefined) return controller.close()
        left -= piece.length
        if (left < 0) throw tooLarge(bodyLimit)
        controller.enqueue(new Uint8Array(piece)) // The handler may change it, or take its buffer away.
      },
    },
    { highWaterMark: 0 },
  )
}

/** The head of what a handler gave. Throws a TypeError where that is no response which can be sent. */
export function headOf(given: unknown): { head: StreamResponseHead; response: Response } {
  if (!isResponse(given)) throw new TypeError("the handler returned no Response")
  const { status, statusText: reason, body } = given
  if (given.bodyUsed || body?.locked === true) throw new TypeError("the body of the Response has been read already")
  // Response.error() has 0; a library's own Response may have anything.
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw new TypeError(`the Response has the status ${status}`)
  if (!REASON.test(reason)) throw new TypeError("the statusText of the Response holds a control character")
  if (body !== null && typeof body?.getReader !== "function")
    throw new TypeError("the body of the Response is no stream")
  const headers = new HeadFields()
  for (const [name, value] of given.headers) headers.append(name, value)
  return { head: { status, reason: reason || statusText(status), headers }, response: given }
}

/**
 * Sends a response to its end. Rejects with what its body breaks off with, after the client has got a cut. A client that
 * leaves (`signal`) ends it quietly, and cancels the body.
 */
export async function sendResponse(
  stream: ClientStream,
  head: StreamResponseHead,
  body: Response["body"],
  signal: AbortSignal,
): Promise<void> {
  // Their Content-Length is of a body that does not come (RFC 9110 section 8.6).
  const isBodiless = stream.head.method === "HEAD" || head.status === 304
  const length = lengthOf(head.headers) ?? (body === null && !isBodiless ? 0 : undefined)
  try {
    stream.respond(head, length)
    if (isBodiless) await body?.cancel()
    else await pump(stream, body, length, signal)
    stream.end()
  } catch (thrown) {
    stream.abort(
      addonFailure("serve-failed", `the answer broke off: ${messageOf(thrown)}`, "the answer broke off", thrown),
    )
    if (!signal.aborted) throw thrown
  }
}

/** By what it has: a library may bring a Response of its own. */
function isResponse(given: unknown): given is Response {
  if (typeof given !== "object" || given === null) return false
  if (given instanceof Response) return true
  return "status" in given && "headers" in given && "body" in given && "bodyUsed" in given && "statusText" in given
}

async function pump(
  stream: ClientStream,
  body: ReadableStream<unknown> | null,
  length: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const reader = (body ?? new Blob([]).stream()).getReader()
  const cancel = () => void reader.cancel(signal.reason).catch(() => {})
  signal.addEventListener("abort", cancel, { once: true })
  let left = length ?? Number.POSITIVE_INFINITY
  try {
    for (;;) {
      signal.throwIfAborted()
      const { done, value } = await reader.read()
      if (done) break
      if (!(value instanceof Uint8Array))
        throw new TypeError("the body of the Response gave something that is no Uint8Array")
      left -= value.length
      if (left < 0) break
      if (!stream.write(Buffer.from(value.buffer, value.byteOffset, value.byteLength))) await stream.ready()
    }
    signal.throwIfAborted()
    if (length !== undefined && left !== 0)
      throw new RangeError(
        `the body of the Response has ${left < 0 ? "more" : "fewer"} bytes than its Content-Length, ${length}`,
      )
  } catch (thrown) {
    cancel()
    throw thrown
  } finally {
    signal.removeEventListener("abort", cancel)
  }
}

function lengthOf(headers: HeadFields): number | undefined {
  const value = headers.get("content-length")
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}
