/**
 * What a model says to one request, as it comes: events that one reader takes one after the other. What waits is bounded by the
 * model's context. It ends with `end`, or throws the ModelError.
 */
import type { Generation } from "./messages.ts"
import type { Listener, ModelEnd, ModelError } from "./model-process.ts"

export type Said = { readonly kind: "text"; readonly text: string } | { readonly kind: "end"; readonly end: ModelEnd }

export interface Speaker {
  generate(generation: Generation, listener: Listener): () => void
  release(): void
}

export class Speaking implements Listener {
  readonly #events: Said[] = []
  readonly #stop: () => void
  readonly #release: () => void
  #error: ModelError | undefined
  #wake: (() => void) | undefined
  #isOver = false

  constructor(speaker: Speaker, generation: Generation) {
    this.#release = () => speaker.release()
    this.#stop = speaker.generate(generation, this)
  }

  text(text: string): void {
    this.#push({ kind: "text", text })
  }

  end(end: ModelEnd): void {
    this.#over()
    this.#push({ kind: "end", end })
  }

  fail(error: ModelError): void {
    this.#error = error
    this.#over()
    this.#wake?.()
  }

  /** Nobody listens any more. The model is free for others once it has heard so. */
  stop(): void {
    if (!this.#isOver) this.#stop()
  }

  /** What comes next, and stays next: whether there is something to say at all. Rejects with the ModelError. */
  async peek(): Promise<Said> {
    for (;;) {
      const [first] = this.#events
      if (first !== undefined) return first
      if (this.#error !== undefined) throw this.#error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async next(): Promise<Said> {
    const said = await this.peek()
    this.#events.shift()
    return said
  }

  #push(said: Said): void {
    this.#events.push(said)
    this.#wake?.()
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#release()
  }
}
