/**
 * Splits a byte stream into server-sent events and keeps the exact bytes of each, so that an event nobody changed can
 * leave as it came. Lenient where servers are: every line ending, `data:` without a space, an unterminated last event,
 * the field `error:` of old llama.cpp, and bare JSON lines where SSE was due. What an event means is the dialect's.
 * Source: WHATWG HTML, section 9.2.6 (interpreting an event stream).
 */
import { asBuffer, HeldBytes } from "./held-bytes.ts"

/** One event is at most this many bytes; an upstream that never sends a blank line would fill memory. */
export const EVENT_BYTES_MAX = 8 * 1024 * 1024

const LF = 0x0a
const CR = 0x0d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const BOM = "\uFEFF"
/** Most events, which are read by this alone: it is quicker. */
const ONE_LINE = /^data: ?([^\r\n]*)[\r\n]*$/

/** Everything up to and including one blank line. A block of comments is an event without `data`. */
export interface SseEvent {
  /** The exact bytes. Concatenated, the events are the stream. A view of the bytes fed where the event came whole. */
  readonly raw: Buffer
  readonly event: string | undefined
  /** The `data` lines joined by "\n"; undefined where there is none. */
  readonly data: string | undefined
  /** The value of an `error` field, which is no field of SSE: llama.cpp before 2025 sent its errors so. */
  readonly error: string | undefined
  /** JSON that stands without `data:`: a JSON-lines stream, or a JSON body sent as an event stream. */
  readonly bare: string | undefined
}

export class SseDecoder {
  #held = new HeldBytes(EVENT_BYTES_MAX, "SSE event")
  // All state is about bytes already seen, so that the events do not depend on how the stream was split.
  #isBlank = true
  #firstByte = 0
  #lastByte = 0
  #afterCr = false
  /** The event ended with a CR; a LF that follows still belongs to it. */
  #ending = false
  /** The line before ended with a CR alone. Such a stream need not wait for a LF to see the end of an event. */
  #bareCr = false
  #atStart = true

  /** The events that `bytes` completes. `bytes` must not change afterwards. Throws a FlowError beyond EVENT_BYTES_MAX. */
  feed(bytes: Uint8Array): SseEvent[] {
    const buffer = asBuffer(bytes)
    const events: SseEvent[] = []
    let start = 0
    let at = 0
    while (at < buffer.length) {
      if (this.#afterCr) {
        at = this.#skipLf(buffer, at)
        if (this.#ending) {
          events.push(this.#take(buffer, start, at))
          start = at
        }
      }
      at = this.#scanLine(buffer, at)
      if (at === buffer.length) break
      const cr = buffer[at] === CR
      at++
      if (!this.#endLine(cr)) continue
      events.push(this.#take(buffer, start, at))
      start = at
    }
    this.#held.append(buffer, start, buffer.length)
    return events
  }

  /** The stream has ended: what is left, as an event. Unlike a browser we deliver it, for it may hold an error. */
  finish(): SseEvent[] {
    return this.#held.length > 0 ? [this.#take(Buffer.alloc(0), 0, 0)] : []
  }

  /** Moves to the next line end, or to the end of `buffer`. */
  #scanLine(buffer: Buffer, from: number): number {
    let at = from
    let byte = buffer[at]
    while (at < buffer.length && byte !== LF && byte !== CR) byte = buffer[++at]
    if (at > from) {
      if (this.#isBlank) this.#firstByte = buffer[from] ?? 0
      this.#lastByte = buffer[at - 1] ?? 0
      this.#isBlank = false
    }
    return at
  }

  /** A line has ended; whether the event has, too, and is known to be whole. */
  #endLine(cr: boolean): boolean {
    const blank = this.#isBlank
    const bareJson = !blank && this.#firstByte === OPEN_BRACE && this.#lastByte === CLOSE_BRACE
    this.#isBlank = true
    this.#afterCr = cr
    if (!cr) this.#bareCr = false
    if (!blank && !bareJson) return false
    if (!cr || this.#bareCr) return true
    this.#ending = true
    return false
  }

  /** Behind a CR: a LF is the rest of the line end. */
  #skipLf(buffer: Buffer, at: number): number {
    const lf = buffer[at] === LF
    this.#afterCr = false
    this.#bareCr = !lf
    return lf ? at + 1 : at
  }

  #take(buffer: Buffer, start: number, end: number): SseEvent {
    const raw = this.#held.take(buffer, start, end)
    this.#ending = false
    let text = raw.toString("utf8")
    if (this.#atStart && text.startsWith(BOM)) text = text.slice(1)
    this.#atStart = false
    const [, data] = ONE_LINE.exec(text) ?? []
    return data === undefined
      ? readFields(raw, text)
      : { raw, event: undefined, data, error: undefined, bare: undefined }
  }
}

function readFields(raw: Buffer, text: string): SseEvent {
  const data: string[] = []
  const bare: string[] = []
  let event: string | undefined
  let error: string | undefined
  for (const line of text.split(/\r\n|\r|\n/)) {
    if (bare.length > 0 || line.startsWith("{")) {
      bare.push(line)
      continue
    }
    const colon = line.indexOf(":")
    const name = colon === -1 ? line : line.slice(0, colon)
    // One space may follow the colon.
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    if (name === "data") data.push(value)
    else if (name === "event") event = value
    else if (name === "error") error = value
  }
  return {
    raw,
    event,
    data: data.length === 0 ? undefined : data.join("\n"),
    error,
    bare: bare.length === 0 ? undefined : bare.join("\n"),
  }
}
