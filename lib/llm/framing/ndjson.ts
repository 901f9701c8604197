/**
 * Splits a byte stream into JSON lines (Ollama's streaming format) and keeps the exact bytes of each.
 * A line that is no JSON has `json` undefined: a bad line costs a delta, not the flow.
 */

import { type JsonValue, parseJson } from "../../base/json.ts"
import { asBuffer, HeldBytes } from "./held-bytes.ts"

/** One line is one delta. Without a bound, an upstream that never sends "\n" would fill memory. */
export const LINE_BYTES_MAX = 8 * 1024 * 1024

const LF = 0x0a

export interface NdjsonLine {
  /** The exact bytes with the line end. Concatenated, the lines are the stream. */
  readonly raw: Buffer
  /** Without white space at either end; "" for a blank line. */
  readonly text: string
  readonly json: JsonValue | undefined
}

export class NdjsonDecoder {
  #held = new HeldBytes(LINE_BYTES_MAX, "JSON line")

  /** The lines that `bytes` completes. `bytes` must not change afterwards. Throws a FlowError beyond LINE_BYTES_MAX. */
  feed(bytes: Uint8Array): NdjsonLine[] {
    const buffer = asBuffer(bytes)
    const lines: NdjsonLine[] = []
    let start = 0
    for (let end = buffer.indexOf(LF) + 1; end > 0; end = buffer.indexOf(LF, start) + 1) {
      lines.push(lineOf(this.#held.take(buffer, start, end)))
      start = end
    }
    this.#held.append(buffer, start, buffer.length)
    return lines
  }

  /** The stream has ended: an unfinished last line, if there is one. */
  finish(): NdjsonLine[] {
    return this.#held.length === 0 ? [] : [lineOf(this.#held.take(Buffer.alloc(0), 0, 0))]
  }
}

function lineOf(raw: Buffer): NdjsonLine {
  const text = raw.toString("utf8").trim()
  return { raw, text, json: text === "" ? undefined : parseJson(text) }
}
