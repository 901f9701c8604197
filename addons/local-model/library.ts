/**
 * What is used of node-llama-cpp, which is no dependency: it is loaded where it is installed, in a model's process alone.
 * Source: node-llama-cpp 3.22.1, its own declarations.
 */

export interface LlamaLibrary {
  getLlama(options: {
    gpu: false
    build: "never"
    skipDownload: true
    progressLogs: false
    logLevel: "error"
  }): Promise<Llama>
  readonly TokenBias: new (tokenizer: unknown) => Bias
  readonly LlamaGrammarEvaluationState: new (options: { model: LlamaModel; grammar: Grammar }) => object
}

interface Bias {
  set(token: number, bias: { logit: number }): unknown
}

export interface Llama {
  loadModel(options: { modelPath: string; onLoadProgress: (part: number) => void }): Promise<LlamaModel>
  getGrammarFor(type: "json"): Promise<Grammar>
  createGrammarForJsonSchema(schema: object): Promise<Grammar>
}

export interface Grammar {
  /** Texts of LlamaText, whose `toString` is their text. */
  readonly stopGenerationTriggers: readonly { toString(): string }[]
}

export interface LlamaModel {
  readonly tokenizer: unknown
  readonly tokens: {
    readonly bos: number | null
    readonly bosString: string | null
    readonly eosString: string | null
    readonly shouldPrependBosToken: boolean
  }
  readonly trainContextSize: number
  readonly fileInfo: { readonly metadata: unknown }
  tokenize(text: string, specialTokens: boolean): number[]
  detokenize(tokens: readonly number[], specialTokens: boolean, lastTokens?: readonly number[]): string
  createContext(options: { contextSize: number; sequences: 1; threads?: number }): Promise<LlamaContext>
}

interface LlamaContext {
  readonly contextSize: number
  getSequence(): LlamaSequence
}

export interface LlamaSequence {
  adaptStateToTokens(tokens: readonly number[], allowShift: boolean): Promise<void>
  readonly nextTokenIndex: number
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>
  evaluate(tokens: readonly number[], options: object): AsyncIterable<number>
}

/** Rejects with an Error where it is not there, or is something else. */
export async function loadLibrary(place: string): Promise<LlamaLibrary> {
  const found: unknown = await import(place)
  if (!isLibrary(found)) throw new Error(`${place} is no node-llama-cpp that llmproxy knows`)
  return found
}

function isLibrary(found: unknown): found is LlamaLibrary {
  return (
    typeof found === "object" &&
    found !== null &&
    "getLlama" in found &&
    typeof found.getLlama === "function" &&
    "TokenBias" in found &&
    "LlamaGrammarEvaluationState" in found
  )
}
