/**
 * Counts with a model's own vocabulary: prompts exactly, conversations as near as the unknown form that their host gives
 * them allows. The vocabulary itself is in a thread (lib/services/vocabulary.ts); text-counts.ts remembers what it said.
 */
import type { LlmRequest } from "../model.ts"
import { ESTIMATE_METHOD, type TokenCount } from "./counter.ts"
import { planRequest } from "./plan.ts"
import { type Sum, TextCounts, type TextCountsOptions } from "./text-counts.ts"

export class VocabularyCounter {
  /** The file's name, for people. */
  readonly name: string
  /** The method of its counts. */
  readonly method: string
  readonly #texts: TextCounts

  constructor(name: string, options: TextCountsOptions) {
    this.name = name
    this.method = `tokenizer ${name}`
    this.#texts = new TextCounts(options)
  }

  /** Tokens of a raw prompt, those that the host puts around it included. Never rejects. */
  async countPrompt(prompt: string): Promise<TokenCount> {
    const sum = await this.#texts.sum("prompt", [prompt])
    return this.#said(sum.tokens, sum, sum.exact)
  }

  /** Tokens of a request whose form the host decides on: texts by the vocabulary, the form by OpenAI's rules. Never rejects. */
  async countRequest(request: LlmRequest): Promise<TokenCount> {
    const plan = planRequest(request)
    const sum = await this.#texts.sum("text", plan.texts)
    return this.#said(plan.fixed + sum.tokens, sum, false)
  }

  /** Ends the thread. Later counts of texts that are not remembered are estimates. */
  async close(): Promise<void> {
    await this.#texts.close()
  }

  #said(tokens: number, { failed }: Sum, exact: boolean): TokenCount {
    return {
      tokens,
      method: failed ? ESTIMATE_METHOD : this.method,
      confidence: exact && !failed ? "exact" : "estimated",
    }
  }
}
