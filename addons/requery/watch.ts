/**
 * Looks at an answer while it streams, and ends it where nothing good can follow: it goes round in circles, or, while it
 * is held back, its list has closed and is empty. What is not ended passes as it is.
 */
import type { Delta, DeltaTransform, FinishReason, StreamTransform } from "llmproxy"
import { StopFilter } from "llmproxy/templates"
import { EMPTY_IS_FINE } from "./demand.ts"
import { JsonScanner } from "./json-scan.ts"
import { LoopDetector } from "./repetition.ts"

/** Characters before an object that may be white space and a fence; behind more than that, it may be an example. */
const PREFIX_CHARS = 64
const PREFIX = /^\s*(?:```(?:json)?\s*)?$/

export interface Watch {
  looped: boolean
  /** The list that has closed empty, for which the answer was ended. */
  closedEmpty: string | undefined
  readonly transform: StreamTransform
}

/** `emptyKeys`: lists that must have something in them; for answers that are held back. */
export function watch(emptyKeys: readonly string[], stopsLoops: boolean): Watch {
  const loops = stopsLoops ? new Loops() : undefined
  const empties = new EmptyLists(emptyKeys)
  const self: Watch = {
    looped: false,
    closedEmpty: undefined,
    transform(delta, end) {
      self.looped ||= loops?.sees(delta) === true
      self.closedEmpty ??= empties.sees(delta)
      if (!self.looped && self.closedEmpty === undefined) return delta
      end()
      const reason: FinishReason = self.looped ? { unified: "length", raw: "length" } : { unified: "stop", raw: "stop" }
      return "index" in delta ? [delta, { type: "finish", index: delta.index, reason }] : delta
    },
  }
  return self
}

export interface RetryFilter {
  looped: boolean
  /** All that came, thoughts included. */
  said: string
  readonly transform: DeltaTransform
}

/** For an answer that is asked for again: a loop fails it. `marks`: it continues a raw prompt, and may hold its marks. */
export function retryFilter(marks: boolean): RetryFilter {
  const loops = new Loops()
  const stops = marks ? new StopFilter() : undefined
  const self = {
    looped: false,
    said: "",
    transform(delta: Delta): ReturnType<DeltaTransform> {
      if (delta.type === "text" || delta.type === "reasoning") self.said += delta.text
      if (loops.sees(delta)) {
        self.looped = true
        throw new Error("the answer goes round in circles")
      }
      if (stops === undefined) return delta
      if (delta.type === "text") return textDelta(delta.index, stops.push(delta.text))
      if (delta.type !== "finish") return delta
      const rest = textDelta(delta.index, stops.finish())
      const finish: Delta = stops.stopped ? { ...delta, reason: { unified: "stop", raw: "stop" } } : delta
      return rest === undefined ? finish : [rest, finish]
    },
  }
  return self
}

function textDelta(index: number, text: string): Delta | undefined {
  return text === "" ? undefined : { type: "text", index, text }
}

/** Text and reasoning loop each by itself. */
class Loops {
  readonly #text = new LoopDetector()
  readonly #reasoning = new LoopDetector()

  sees(delta: Delta): boolean {
    if (delta.type === "text") return this.#text.feed(delta.text)
    return delta.type === "reasoning" && this.#reasoning.feed(delta.text)
  }
}

class EmptyLists {
  readonly #keys: readonly string[]
  readonly #scanner = new JsonScanner()
  #prefix = ""
  #over = false

  constructor(keys: readonly string[]) {
    this.#keys = keys
    this.#over = keys.length === 0
  }

  sees(delta: Delta): string | undefined {
    if (this.#over || delta.type !== "text") return undefined
    if (this.#prefix.length < PREFIX_CHARS) this.#prefix += delta.text.slice(0, PREFIX_CHARS)
    this.#scanner.feed(delta.text)
    const [object] = this.#scanner.objects
    if (object === undefined) return undefined
    const isFirst = object.start < PREFIX_CHARS && PREFIX.test(this.#prefix.slice(0, object.start))
    const isFine = !isFirst || object.keys.some((key) => EMPTY_IS_FINE.includes(key))
    this.#over = isFine || object.end !== undefined
    return isFine ? undefined : object.empty.find((key) => this.#keys.includes(key))
  }
}
