/**
 * How an answer is put into bytes: server-sent events, JSON lines, or one JSON value. Its first bytes say it, whatever its
 * Content-Type does: servers and the gateways before them label streams as JSON or text, and the reverse. Clients look at
 * the bytes, too: they read what they have asked for. What follows for a reader is reframe.ts.
 */
import { asBuffer } from "./held-bytes.ts"
import { LINE_BYTES_MAX } from "./ndjson.ts"

/** Of an answer that is a stream. */
export type StreamFraming = "sse" | "lines"
/** `none`: the bytes can be read as no answer; then a label may say how to try. */
export type Framing = StreamFraming | "json" | "none"

const LF = 0x0a
const COLON = 0x3a
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const BOM: readonly number[] = [0xef, 0xbb, 0xbf]
const LINE_ENDS: ReadonlySet<number> = new Set(Buffer.from("\r\n"))
const INDENTS: ReadonlySet<number> = new Set(Buffer.from(" \t"))

/** A comment has the empty name; `error` is the field of llama.cpp before 2025. */
const SSE_FIELDS: ReadonlySet<string> = new Set(["", "data", "event", "id", "retry", "error"])
/** Readers skip fields that they do not know, where it is said to be SSE. */
const ANY_FIELD = /^[A-Za-z_-]+$/
const FIELD_CHARS_MAX = 32

/** What a Content-Type says; undefined where it says none of these. */
export function framingLabelled(contentType: string | undefined): Exclude<Framing, "none"> | undefined {
  const type = contentType?.toLowerCase() ?? ""
  if (type.includes("event-stream")) return "sse"
  if (type.includes("ndjson") || type.includes("jsonl")) return "lines"
  return type.includes("json") ? "json" : undefined
}

/** How to read a stream that is framed so; undefined: it is none, and read whole. What cannot be told is tried as labelled. */
export function streamFraming(framing: Framing, contentType: string | undefined): StreamFraming | undefined {
  const tried = framing === "none" ? framingLabelled(contentType) : framing
  return tried === "sse" || tried === "lines" ? tried : undefined
}

/** How a whole body is framed, whatever was said of it. */
export function framingIn(bytes: Uint8Array): Framing {
  const scan = new FramingScan({ own: "sse" })
  scan.feed(bytes)
  return scan.finish()
}

export interface FramingHints {
  /** What the Content-Type says. It counts where the bytes leave it open, and nowhere else. */
  readonly label?: Exclude<Framing, "none"> | undefined
  /** How the dialect frames its streams. */
  readonly own: StreamFraming
  /** False: no stream was asked for. Default: true. */
  readonly asked?: boolean | undefined
}

/**
 * Finds the framing as the bytes come, from as few of them as tell it: events at their first field, a value that spans
 * lines at the end of its first line, JSON lines with the second value (with the first, where label, dialect and question
 * agree on them), and one value on one line at the end. Keeps no bytes.
 */
export class FramingScan {
  readonly #label: FramingHints["label"]
  readonly #isOwn: boolean
  #found: Framing | undefined
  #bom = 0
  #place: "start" | "value" | "behind" = "start"
  /** A field's name, as far as it has come. */
  #name = ""
  /** White space stands before it on its line, so that it is none. */
  #indented = false
  #lineBytes = 0
  /** The last byte of the first line, white space aside. */
  #last = 0

  constructor({ label, own, asked = true }: FramingHints) {
    this.#label = label
    this.#isOwn = label === "lines" && own === "lines" && asked
  }

  /** The framing, once it is known; then the same for whatever is fed. */
  get found(): Framing | undefined {
    return this.#found
  }

  feed(bytes: Uint8Array): Framing | undefined {
    const buffer = asBuffer(bytes)
    for (let at = 0; at < buffer.length && this.#found === undefined; ) {
      if (this.#place === "value") at = this.#restOfLine(buffer, at)
      else this.#take(buffer[at++] ?? 0)
    }
    return this.#found
  }

  /** The answer has ended. */
  finish(): Framing {
    this.#found ??= this.#atEnd()
    return this.#found
  }

  #atEnd(): Framing {
    if (this.#name !== "") return this.#other()
    if (this.#place === "start") return this.#label ?? "json"
    return this.#isOwn ? "lines" : "json"
  }

  /** A byte before the first value, or behind a line that may be one. */
  #take(byte: number): void {
    if (this.#isBom(byte)) return
    if (this.#name === "" && (LINE_ENDS.has(byte) || INDENTS.has(byte))) {
      this.#indented = INDENTS.has(byte)
      return
    }
    if (byte === COLON) this.#found = this.#isField() ? "sse" : this.#other()
    else if (this.#name === "" && (byte === OPEN_BRACE || byte === OPEN_BRACKET)) {
      if (this.#place === "behind") this.#found = "lines"
      else if (byte === OPEN_BRACKET) this.#found = "json"
      this.#place = "value"
    } else {
      this.#name += String.fromCharCode(byte)
      if (this.#name.length > FIELD_CHARS_MAX || !ANY_FIELD.test(this.#name)) this.#found = this.#other()
    }
  }

  /** A byte order mark stands before everything else. */
  #isBom(byte: number): boolean {
    const isNext = this.#bom < BOM.length && byte === BOM[this.#bom]
    this.#bom = isNext ? this.#bom + 1 : BOM.length
    return isNext
  }

  #isField(): boolean {
    return !this.#indented && (SSE_FIELDS.has(this.#name) || this.#label === "sse")
  }

  /** Neither a value nor a field. Behind a whole line it may be what a reader of that label skips. */
  #other(): Framing {
    if (this.#place !== "behind") return "none"
    return this.#label ?? "json"
  }

  /** Moves to the end of the first line. No JSON value has "{", "[" or a field behind "}" and a line end. */
  #restOfLine(buffer: Buffer, from: number): number {
    const lineEnd = buffer.indexOf(LF, from)
    const end = lineEnd === -1 ? buffer.length : lineEnd
    this.#lineBytes += end - from
    for (let at = end - 1; at >= from; at--) {
      const byte = buffer[at] ?? 0
      if (LINE_ENDS.has(byte) || INDENTS.has(byte)) continue
      this.#last = byte
      break
    }
    if (this.#lineBytes > LINE_BYTES_MAX) this.#found = "json"
    else if (lineEnd !== -1) this.#endFirstLine()
    return end + 1
  }

  #endFirstLine(): void {
    if (this.#last !== CLOSE_BRACE) this.#found = "json"
    else if (this.#isOwn) this.#found = "lines"
    this.#place = "behind"
    this.#indented = false
  }
}
