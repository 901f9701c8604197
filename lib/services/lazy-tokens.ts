/**
 * The token counter, loaded when somebody counts: most programs that run never do.
 */
import type { TokenService, TokenVocabulary } from "../api/addon.ts"
import type { Clock } from "../base/clock.ts"
import { Lazy } from "../base/lazy.ts"
import type { Logger } from "../base/log.ts"
import type { LlmRequest } from "../llm/model.ts"
import type { TokenCounter } from "../llm/tokens/counter.ts"
import { boundRequest } from "../llm/tokens/plan.ts"

export class LazyTokens implements TokenService {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #vocabularies = new Set<TokenVocabulary>()
  readonly #counter: Lazy<TokenCounter>

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
    this.#counter = new Lazy(() => this.#load())
  }

  async countRequest(request: LlmRequest) {
    return (await this.#counter.get()).countRequest(request)
  }

  async countText(text: string, model?: string): Promise<number> {
    return (await this.#counter.get()).countText(text, model)
  }

  boundRequest(request: LlmRequest): number {
    return boundRequest(request)
  }

  async warm(model?: string): Promise<void> {
    await (await this.#counter.get()).warm(model)
  }

  async vocabulary(file: string): Promise<TokenVocabulary> {
    const { openVocabulary } = await import("./vocabulary.ts")
    const opened = await openVocabulary(file, {
      clock: this.#clock,
      onFailure: (error) => this.#log.warn(`token counting with ${file}: ${String(error)}`),
    })
    this.#vocabularies.add(opened)
    return opened
  }

  async close(): Promise<void> {
    const all = [...this.#vocabularies].map((vocabulary) => vocabulary.close())
    await Promise.all([...all, this.#counter.close()])
  }

  async #load(): Promise<TokenCounter> {
    const [{ TokenCounter }, { CountingThread }] = await Promise.all([
      import("../llm/tokens/counter.ts"),
      import("../llm/tokens/worker-client.ts"),
    ])
    const backend = new CountingThread({ clock: this.#clock })
    return new TokenCounter({ backend, onFailure: (error) => this.#log.warn(`token counting: ${String(error)}`) })
  }
}
