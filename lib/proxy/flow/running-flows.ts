/**
 * The flows of one client connection that have not run their last hook. An answer's last byte ends what the client
 * waits for, not what addons do with it: the connection goes on meanwhile, but not without bound.
 */

/**
 * Flows of a connection whose answer is out and whose hooks still run. The next request waits beyond that: addons that
 * are slower than their clients would fill memory.
 */
export const CONCLUDING_MAX = 16

export class RunningFlows {
  #count = 0
  #waiting: { readonly max: number; resolve(): void }[] = []
  #onEnded: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  /** A flow begins; where that makes more than `max`, it is the caller's turn only once the promise resolves. */
  begin(max: number): void | Promise<void> {
    if (this.#count < max && this.#waiting.length === 0) {
      this.#count++
      return undefined
    }
    return new Promise((resolve) => this.#waiting.push({ max, resolve }))
  }

  /**
   * Serves one that has begun. It is one of them until its last hook has run, or its client has left and it runs on without.
   * Never rejects, as `serve` does not.
   */
  async serve<F extends { onLetGo: (() => void) | undefined }>(
    flow: F,
    serve: (flow: F) => Promise<void>,
  ): Promise<void> {
    let isOver = false
    const end = () => {
      if (!isOver) this.end()
      isOver = true
    }
    flow.onLetGo = end
    await serve(flow)
    end()
  }

  /** It has run its last hook. */
  end(): void {
    this.#count--
    const [first] = this.#waiting
    if (first !== undefined && this.#count < first.max) {
      this.#count++
      this.#waiting.shift()
      first.resolve()
    }
    if (this.#count === 0) for (const tell of this.#onEnded.splice(0)) tell()
  }

  /** Resolves when none runs. */
  async ended(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#onEnded.push(resolve))
  }
}
