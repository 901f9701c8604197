/**
 * `flow.send`'s transform at work: the deltas of an answer become what an addon makes of them before anybody looks at
 * them, and so do its bytes, for a client that speaks its dialect. Each choice ends with a finish delta, so that a
 * transform that holds text back can let it go.
 */

import type { DeltaTransform } from "../../api/flow.ts"
import { FlowError, messageOf } from "../../base/errors.ts"
import {
  type Completion,
  type Delta,
  type Dialect,
  type EncodeContext,
  editAnswer,
  readAnswer,
  StreamEditor,
  type StreamEvent,
  type StreamFraming,
} from "../body/observe.ts"

const NO_BYTES = Buffer.alloc(0)

export class AnswerTransform {
  readonly #fn: DeltaTransform
  /** Choices that have begun and not ended. */
  readonly #open = new Set<number>()
  #closed = false
  #editor: StreamEditor | undefined
  /** What the present event became. */
  #made: Delta[] = []

  constructor(fn: DeltaTransform) {
    this.#fn = fn
  }

  /** The answer is a stream that is framed so. To be called before its events come. */
  streams(dialect: Dialect, framing: StreamFraming, context: EncodeContext): void {
    this.#editor = new StreamEditor(dialect, context, framing, (delta) => {
      const made = this.#apply([delta])
      this.#made.push(...made)
      return made
    })
  }

  /** The events with other deltas. `last`: the answer has ended, so what is open is finished here. */
  events(events: readonly StreamEvent[], last: boolean): StreamEvent[] {
    const result: StreamEvent[] = []
    for (const event of events) {
      // The end mark has to come after the last delta, which an end mark may tell.
      if (event.done && !event.deltas.some(({ type }) => type === "finish")) result.push(...this.#ending())
      result.push(this.#edited(event))
    }
    if (!last) return result
    result.push(...this.#ending())
    const rest = this.#editor?.end() ?? NO_BYTES
    return rest.length === 0 ? result : [...result, eventOf(rest, [])]
  }

  /** The same for an answer that came whole; undefined when it is none. */
  whole(
    dialect: Dialect,
    bytes: Buffer,
    context: EncodeContext,
  ): { bytes: Buffer; completion: Completion } | undefined {
    const edited = editAnswer(dialect, bytes, context, (delta) => this.#apply([delta]))
    const answer = edited && readAnswer(dialect, edited)
    return edited && answer && "completion" in answer ? { bytes: edited, completion: answer.completion } : undefined
  }

  #edited(event: StreamEvent): StreamEvent {
    this.#made = []
    if (this.#editor === undefined)
      return event.deltas.length === 0 ? event : { ...event, deltas: this.#apply(event.deltas) }
    const raw = this.#editor.rewrite(event)
    return { ...event, raw, deltas: this.#made }
  }

  #ending(): StreamEvent[] {
    if (this.#closed || this.#open.size === 0) return []
    this.#closed = true
    const reason = { unified: "other", raw: undefined } as const
    return [
      this.#edited(
        eventOf(
          NO_BYTES,
          [...this.#open].map((index) => ({ type: "finish", index, reason })),
        ),
      ),
    ]
  }

  #apply(deltas: readonly Delta[]): Delta[] {
    return deltas.flatMap((delta) => {
      if (delta.type === "finish") this.#open.delete(delta.index)
      else if ("index" in delta) this.#open.add(delta.index)
      const made = this.#asked(delta)
      if (made === undefined) return []
      return "type" in made ? [made] : [...made]
    })
  }

  #asked(delta: Delta): ReturnType<DeltaTransform> {
    try {
      return this.#fn(delta)
    } catch (thrown) {
      const message = `the transform of an answer failed: ${messageOf(thrown)}`
      const told = "the transform of an answer failed; the log of llmproxy has the reason"
      throw new FlowError("addon", "transform-failed", message, { cause: thrown, told })
    }
  }
}

function eventOf(raw: Buffer, deltas: readonly Delta[]): StreamEvent {
  return { raw, deltas, error: undefined, done: false, json: undefined }
}
