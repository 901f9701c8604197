/**
 * `flow.send`'s transform at work: the deltas of an answer become what an addon makes of them before anybody looks at
 * them. Each choice ends with a finish delta, so that a transform that holds text back can let it go.
 */
import { FlowError, messageOf } from "../errors.ts"
import type { DeltaTransform } from "../flow.ts"
import { Assembler, type Completion, type Delta, deltasOf, type StreamEvent } from "./observe.ts"

const NO_BYTES = Buffer.alloc(0)

export class AnswerTransform {
  readonly #fn: DeltaTransform
  /** Choices that have begun and not ended. */
  readonly #open = new Set<number>()
  #closed = false

  constructor(fn: DeltaTransform) {
    this.#fn = fn
  }

  /** The events with other deltas. `last`: the answer has ended, so what is open is finished here. */
  events(events: readonly StreamEvent[], last: boolean): StreamEvent[] {
    const result: StreamEvent[] = []
    for (const event of events) {
      // The end mark has to come after the last delta.
      if (event.done) result.push(...this.#ending())
      result.push(event.deltas.length === 0 ? event : { ...event, deltas: this.#apply(event.deltas) })
    }
    if (last) result.push(...this.#ending())
    return result
  }

  /** The same for an answer that came whole. */
  completion(completion: Completion): Completion {
    const assembler = new Assembler({ streamed: completion.streamed })
    const { id = null, model = null, created = null } = completion
    const deltas = this.#apply(deltasOf(completion))
    assembler.push({ raw: NO_BYTES, deltas, error: undefined, done: true, json: { id, model, created } })
    return assembler.finish(false, completion.timings)
  }

  #ending(): StreamEvent[] {
    if (this.#closed || this.#open.size === 0) return []
    this.#closed = true
    const reason = { unified: "other", raw: undefined } as const
    const deltas = this.#apply([...this.#open].map((index) => ({ type: "finish", index, reason })))
    return [{ raw: NO_BYTES, deltas, error: undefined, done: false, json: undefined }]
  }

  #apply(deltas: readonly Delta[]): Delta[] {
    return deltas.flatMap((delta) => {
      if (delta.type === "finish") this.#open.delete(delta.index)
      else if ("index" in delta) this.#open.add(delta.index)
      const made = this.#made(delta)
      if (made === undefined) return []
      return "type" in made ? [made] : [...made]
    })
  }

  #made(delta: Delta): ReturnType<DeltaTransform> {
    try {
      return this.#fn(delta)
    } catch (thrown) {
      const message = `the transform of an answer failed: ${messageOf(thrown)}`
      throw new FlowError("addon", "transform-failed", message, { cause: thrown })
    }
  }
}
