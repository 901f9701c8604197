/**
 * Answers without the marks of their format: a streamed answer is cut at the first stop string, also one that comes in
 * pieces. Needed because hosts stop at the tokens that their model file names, which are not always the right ones.
 */

/** A whole answer up to the first of the stop strings. */
export function cutAt(text: string, stops: readonly string[]): string {
  const filter = new StopCut(stops)
  return filter.push(text) + filter.finish()
}

/** Text that may be the beginning of a stop string is held back, never more than the longest of them less one character. */
export class StopCut {
  readonly #stops: readonly string[]
  #held = ""
  #stopped = false

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "")
  }

  /** Whether a stop string has come. Everything after it is dropped. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** The text that is certain now; may be empty. */
  push(text: string): string {
    if (this.#stopped) return ""
    const all = this.#held + text
    const found = firstStop(all, this.#stops)
    if (found !== undefined) {
      this.#stopped = true
      this.#held = ""
      return all.slice(0, found)
    }
    const held = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)))
    this.#held = all.slice(all.length - held)
    return all.slice(0, all.length - held)
  }

  /** The answer has ended: what was held back was no stop string. */
  finish(): string {
    const rest = this.#held
    this.#held = ""
    return rest
  }
}

/** Where the stop string that is complete first begins; the longer of two that end together. */
function firstStop(text: string, stops: readonly string[]): number | undefined {
  let first: { start: number; end: number } | undefined
  for (const stop of stops) {
    const start = text.indexOf(stop)
    const end = start + stop.length
    if (start === -1) continue
    if (first === undefined || end < first.end || (end === first.end && start < first.start)) first = { start, end }
  }
  return first?.start
}

/** How many of the last characters of `text` are the first of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
