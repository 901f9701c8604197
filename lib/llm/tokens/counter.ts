/**
 * Counts the tokens of requests and texts by OpenAI's rules, and says how and how surely; text-counts.ts counts each text
 * once, in a thread. Models' own vocabularies are vocabulary-counter.ts; hosts' own counts and learnt ratios are the
 * conductor's.
 */
import type { LlmRequest } from "../model.ts"
import { encodingFor, tableOf } from "./encodings.ts"
import { planRequest } from "./plan.ts"
import { TextCounts } from "./text-counts.ts"
import { type CountingBackend, CountingThread } from "./worker-client.ts"

export { boundRequest } from "./plan.ts"

export interface TokenCount {
  readonly tokens: number
  /** What counted, as in "gpt-tokenizer o200k_base" or "utf-8 bytes / 3". */
  readonly method: string
  /** Exact: the model's own encoding and documented rules only. Estimated: anything else. */
  readonly confidence: "exact" | "estimated"
}

export interface TokenCounterOptions {
  /** Texts that are remembered. Default 20,000. */
  memoMax?: number
  /** What counts. Default: a thread of its own. */
  backend?: CountingBackend
  /** Hears why a count had to be estimated. */
  onFailure?: (error: unknown) => void
}

export const ESTIMATE_METHOD = "utf-8 bytes / 3"

export class TokenCounter {
  readonly #texts: TextCounts

  constructor({ memoMax, backend = new CountingThread(), onFailure }: TokenCounterOptions = {}) {
    this.#texts = new TextCounts({ backend, memoMax, onFailure })
  }

  /** Tokens of the whole prompt, the reply's primer included. Never rejects. */
  async countRequest(request: LlmRequest): Promise<TokenCount> {
    const { encoding, known } = encodingFor(request.model)
    const plan = planRequest(request)
    const sum = await this.#texts.sum(tableOf(encoding), plan.texts)
    const exact = known && sum.exact && !plan.estimated
    return {
      tokens: plan.fixed + sum.tokens,
      method: sum.failed ? ESTIMATE_METHOD : `gpt-tokenizer ${encoding}`,
      confidence: exact ? "exact" : "estimated",
    }
  }

  /** Tokens of a text alone, such as an answer. Never rejects. */
  async countText(text: string, model = ""): Promise<number> {
    return (await this.#texts.sum(tableOf(encodingFor(model).encoding), [text])).tokens
  }

  /** Loads what counting for a model needs, so that the first request does not wait for it. */
  async warm(model = ""): Promise<void> {
    await this.countText("warm", model)
  }

  /** Ends the thread. Counts that wait, and later ones of texts that are not remembered, are estimates. */
  async close(): Promise<void> {
    await this.#texts.close()
  }
}
