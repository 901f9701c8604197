/** What leaves of an edited response: its events, with the numbers that they and their items have now. */

import { type JsonObject, numberOf, stringOf } from "../../base/json.ts"
import type { StreamEncoder } from "../dialect.ts"
import { namedEvent } from "../framing/sse-json.ts"
import type { Delta } from "../model.ts"
import { EventDraft } from "./event-draft.ts"
import type { EditedStream } from "./event-editor.ts"
import type { Raw } from "./response-track.ts"

export class ResponseWriter {
  readonly #stream: EditedStream
  /** Follows what leaves, and ends it where an addon ends it. */
  readonly #encoder: StreamEncoder
  /** How many events came, and how many left. */
  #came = 0
  #left = 0
  /** The number of the last event that left; undefined where a server has none. */
  #sequence: number | undefined
  #out: Buffer[] = []

  constructor(stream: EditedStream) {
    this.#stream = stream
    this.#encoder = stream.dialect.encoder(stream.context)
  }

  /** An event has come. */
  came(raw: Buffer, json: JsonObject): Raw {
    return { raw, json, type: stringOf(json.type) ?? EventDraft.of(raw).name ?? "", at: this.#came++ }
  }

  /** All that has been written since this was asked last. */
  take(): Buffer {
    const bytes = Buffer.concat(this.#out)
    this.#out = []
    return bytes
  }

  pass(raw: Buffer): void {
    this.#out.push(raw)
  }

  /** What the encoder has to know, for its end. */
  note(delta: Delta): void {
    this.#encoder.delta(delta)
  }

  /** Ends the response, with what waits. */
  end(waiting: readonly Delta[]): void {
    const texts = waiting.map((piece) => this.#encoder.delta(piece)).join("")
    this.write(texts + this.#encoder.end())
  }

  write(events: string): void {
    if (events !== "") this.#out.push(this.#stream.write(events))
  }

  /** The text of an event of ours. */
  readonly emit = (type: string, fields: JsonObject): string => {
    const number = this.#sequence === undefined ? {} : { sequence_number: ++this.#sequence }
    const json = { ...fields, type, ...number }
    this.#left++
    this.#encoder.adopt(json, true)
    return namedEvent(type, json)
  }

  /** An event of the stream's own. `index`: the number of its item; `isCopy`: it leaves once more. */
  say(event: Raw, index?: number, changed?: JsonObject, isCopy = false): void {
    const { raw, json, at } = event
    const numbers: JsonObject = {}
    const sequence = numberOf(json.sequence_number)
    if (sequence !== undefined) {
      // Numbers that a server gives in its own way keep it.
      const number = isCopy ? (this.#sequence ?? sequence) + 1 : sequence + this.#left - at
      this.#sequence = number
      if (number !== sequence) numbers.sequence_number = number
    }
    this.#left++
    if (index !== undefined && json.output_index !== undefined && json.output_index !== index)
      numbers.output_index = index
    if (changed === undefined && Object.keys(numbers).length === 0) {
      this.#encoder.adopt(json, true)
      this.#out.push(raw)
      return
    }
    const value = { ...(changed ?? json), ...numbers }
    const draft = EventDraft.of(raw).set(value)
    if (typeof value.type === "string") draft.rename(value.type)
    this.#encoder.adopt(value, true)
    this.#out.push(draft.bytes())
  }
}
