/**
 * Edited streams that are written anew from the first change on, by the dialect's encoder: later events say again what
 * earlier ones said.
 */
import type { StreamEncoder, StreamEvent } from "../dialect.ts"
import type { Delta } from "../model.ts"
import type { EditedStream, EventEditor } from "./event-editor.ts"
import { unchanged } from "./pieces.ts"

export class AnewEditor implements EventEditor {
  readonly #write: EditedStream["write"]
  readonly #encoder: StreamEncoder
  #owesUsage = false
  #anew = false

  constructor({ dialect, context, write }: EditedStream) {
    this.#write = write
    this.#encoder = dialect.encoder(context)
  }

  edit(event: StreamEvent, made: readonly (readonly Delta[])[]): Buffer {
    const passes = unchanged(event.deltas, made) && !this.#anew && !(event.done && this.#owesUsage)
    this.#encoder.adopt(event.json, passes)
    if (passes) return event.raw
    this.#anew = true
    const wanted = made.flat()
    this.#owesUsage ||= event.done || wanted.some((delta) => delta.type === "usage")
    const text = this.#write(wanted.map((delta) => this.#encoder.delta(delta)).join(""))
    return event.done ? Buffer.concat([text, this.finish()]) : text
  }

  close(): Buffer {
    this.#owesUsage = false
    return this.#write(this.#encoder.end())
  }

  finish(): Buffer {
    return this.#owesUsage ? this.close() : Buffer.alloc(0)
  }
}
