/**
 * In node-llama-cpp's place: a model says what its file tells it to, a character a token. The file is JSON (`Script`). It keeps to
 * what addons/local-model/library.ts uses; the real one is asked wherever it is installed (test/addons/local-model/real.test.ts).
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export interface Script {
  /** What it answers, whatever is asked. Default: "Hello." */
  readonly says?: string
  /** It says that again and again. */
  readonly endless?: true
  /** The process ends itself once so many tokens were said. */
  readonly diesAfter?: number
  /** It cannot be loaded. */
  readonly broken?: string
  readonly template?: string
  readonly trained?: number
}

export interface Evaluated {
  readonly tokens: readonly number[]
  readonly options: Readonly<Record<string, unknown>>
}

/** What was asked of models in this process, in order. */
export const evaluated: Evaluated[] = []

/** The number of the first token of the beginning, and of the one that ends. */
const BOS = 1
const CONTROLS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]

export async function getLlama() {
  return {
    async loadModel({ modelPath, onLoadProgress }: { modelPath: string; onLoadProgress: (part: number) => void }) {
      const script: Script = JSON.parse(readFileSync(modelPath, "utf8"))
      for (const part of [0.25, 0.5, 1]) onLoadProgress(part)
      if (script.broken !== undefined) throw new Error(script.broken)
      return modelOf(script)
    },
    getGrammarFor: async () => ({ stopGenerationTriggers: ["\n\n"], kind: "json" }),
    createGrammarForJsonSchema: async (schema: object) => {
      if ("bad" in schema) throw new Error("this schema has no grammar")
      return { stopGenerationTriggers: ["\n\n"], schema }
    },
  }
}

export class TokenBias {
  readonly biases: [number, { logit: number }][] = []
  set(token: number, bias: { logit: number }): void {
    this.biases.push([token, bias])
  }
}

export class LlamaGrammarEvaluationState {
  readonly grammar: unknown
  constructor({ grammar }: { grammar: unknown }) {
    this.grammar = grammar
  }
}

function modelOf(script: Script) {
  return {
    tokenizer: {},
    tokens: { bos: BOS, bosString: "<s>", eosString: "</s>", shouldPrependBosToken: true },
    trainContextSize: script.trained ?? 4_096,
    fileInfo: {
      metadata: {
        tokenizer: {
          ...(script.template === undefined ? {} : { chat_template: script.template }),
          ggml: { tokens: ["a", ...CONTROLS], token_type: [1, 3, 3, 3, 3] },
        },
      },
    },
    tokenize: (text: string, special: boolean) => tokensOf(text, special),
    detokenize: (tokens: readonly number[]) => Buffer.from(tokens.map((token) => token - 1_000)).toString(),
    createContext: async ({ contextSize }: { contextSize: number }) => ({
      contextSize: Math.ceil(contextSize / 256) * 256,
      getSequence: () => sequenceOf(script),
    }),
  }
}

/** Bytes, each a token; in markup the texts of control tokens are one each. */
function tokensOf(text: string, special: boolean): number[] {
  if (!special) return [...Buffer.from(text)].map((byte) => byte + 1_000)
  return text.split(/(<s>|<\/s>|<\|im_start\|>|<\|im_end\|>)/).flatMap((part) => {
    const at = CONTROLS.indexOf(part)
    return at >= 0 ? [at + BOS] : [...Buffer.from(part)].map((byte) => byte + 1_000)
  })
}

function sequenceOf({ says = "Hello.", endless, diesAfter }: Script) {
  let read: readonly number[] = []
  return {
    get nextTokenIndex() {
      return read.length
    },
    async adaptStateToTokens(tokens: readonly number[]) {
      let same = 0
      while (same < read.length && read[same] === tokens[same]) same++
      read = read.slice(0, same)
    },
    async evaluateWithoutGeneratingNewTokens(tokens: readonly number[]) {
      read = [...read, ...tokens]
      await new Promise((resolve) => setImmediate(resolve))
    },
    async *evaluate(tokens: readonly number[], options: Record<string, unknown>) {
      read = [...read, ...tokens]
      evaluated.push({ tokens: read, options })
      let said = 0
      do {
        for (const byte of Buffer.from(says)) {
          await new Promise((resolve) => setImmediate(resolve))
          if (diesAfter !== undefined && said >= diesAfter) process.exit(3)
          said++
          read = [...read, byte + 1_000]
          yield byte + 1_000
        }
      } while (endless)
    },
  }
}

/** A folder into which this is "installed" as node-llama-cpp; for processes that read TypeScript. */
export function installScripted(folder: string): string {
  const place = join(folder, "node_modules", "node-llama-cpp")
  mkdirSync(place, { recursive: true })
  const manifest = { name: "node-llama-cpp", type: "module", exports: "./index.js", version: "3.22.1" }
  writeFileSync(join(place, "package.json"), JSON.stringify(manifest))
  writeFileSync(join(place, "index.js"), `export * from ${JSON.stringify(import.meta.url)}\n`)
  return folder
}
