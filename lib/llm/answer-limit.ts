/**
 * Bounds what an encoder holds of an answer that it writes anew: a tool call until it is whole, the texts that a format
 * says again at its end. Beyond the limit the stream is cut, for what would follow could not be true.
 */
import { FlowError } from "../base/errors.ts"
import { COMPLETION_CHARS_MAX } from "./assemble.ts"

export class AnswerLimit {
  #chars = 0
  readonly #max: number

  /** `max`: UTF-16 code units. */
  constructor(max: number = COMPLETION_CHARS_MAX) {
    this.#max = max
  }

  /** Counts `text`, which is held from now on, and returns it. Throws a FlowError "answer-too-large" beyond the limit. */
  hold(text: string): string {
    this.#chars += text.length
    if (this.#chars <= this.#max) return text
    throw new FlowError("upstream", "answer-too-large", `write the answer anew: it exceeds ${this.#max} characters`)
  }
}
