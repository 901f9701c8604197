/**
 * One loaded model, in its process: prompts in, texts out, one request after the other. It knows nothing of chats, which the
 * proxy has rendered. A request that is to stop does so before the next token, and while its prompt is read at the next slice.
 */
import { StopFilter } from "llmproxy/templates"
import type { Grammar, Llama, LlamaLibrary, LlamaModel, LlamaSequence } from "./library.ts"
import type { EndReason, FromProcess, Generation, ModelFacts, PromptPiece, Sampling } from "./messages.ts"

/** Tokens of a prompt that are read before it is asked whether anybody still wants the answer. */
const SLICE = 64
/** Tokens back from the end that penalties look at, as llama.cpp's own. */
const PENALTY_WINDOW = 64
/** What a character that is not whole yet is shown as. */
const UNFINISHED = "\uFFFD"
/** Tokens after which a character that is not whole will never be: UTF-8 has at most four bytes. */
const UNFINISHED_TOKENS_MAX = 4
/** Control tokens have this type, and those that are no words this one (ggml, docs/gguf.md, tokenizer.ggml.token_type). */
const CONTROL_TYPES: ReadonlySet<unknown> = new Set([3, 4])

export interface EngineOptions {
  readonly file: string
  readonly contextSize: number
  /** 0: as many as the library thinks fit. */
  readonly threads: number
}

type Tell = (message: FromProcess) => void

export class Engine {
  readonly facts: ModelFacts
  readonly #library: LlamaLibrary
  readonly #llama: Llama
  readonly #model: LlamaModel
  readonly #sequence: LlamaSequence
  #last = Promise.resolve()
  /** Requests that wait or run; false: to be stopped. */
  readonly #wanted = new Map<number, boolean>()

  private constructor(
    library: LlamaLibrary,
    llama: Llama,
    loaded: { model: LlamaModel; sequence: LlamaSequence; context: number },
  ) {
    this.#library = library
    this.#llama = llama
    this.#model = loaded.model
    this.#sequence = loaded.sequence
    const { bosString, eosString } = loaded.model.tokens
    const { template, controls } = readMetadata(loaded.model.fileInfo.metadata)
    this.facts = { context: loaded.context, template, bos: bosString ?? "", eos: eosString ?? "", controls }
  }

  static async load(
    library: LlamaLibrary,
    { file, contextSize, threads }: EngineOptions,
    progress: (part: number) => void,
  ): Promise<Engine> {
    const llama = await library.getLlama({
      ...{ gpu: false, build: "never", skipDownload: true },
      ...{ progressLogs: false, logLevel: "error" },
    })
    const model = await llama.loadModel({ modelPath: file, onLoadProgress: progress })
    const wanted = Math.min(contextSize, model.trainContextSize)
    const more = threads === 0 ? {} : { threads }
    const context = await model.createContext({ contextSize: wanted, sequences: 1, ...more })
    // It may have made more room, in whole steps; who asked for less gets what was asked for.
    const size = Math.min(wanted, context.contextSize)
    return new Engine(library, llama, { model, sequence: context.getSequence(), context: size })
  }

  /** Resolves when its end was told. Never rejects. */
  generate(id: number, generation: Generation, tell: Tell): Promise<void> {
    this.#wanted.set(id, true)
    this.#last = this.#last.then(async () => {
      try {
        await this.#run(id, generation, tell)
      } catch (thrown) {
        tell({ kind: "refused", id, message: thrown instanceof Error ? thrown.message : String(thrown) })
      }
      this.#wanted.delete(id)
    })
    return this.#last
  }

  stop(id: number): void {
    if (this.#wanted.has(id)) this.#wanted.set(id, false)
  }

  async #run(id: number, generation: Generation, tell: Tell): Promise<void> {
    const isWanted = () => this.#wanted.get(id) === true
    const tokens = this.#tokensOf(generation.prompt)
    const promptTokens = tokens.length
    const { context } = this.facts
    if (promptTokens >= context) return tell({ kind: "too-long", id, promptTokens, context })
    const grammar = await this.#grammarOf(generation.form)
    const most = Math.min(generation.maxTokens ?? context, context - promptTokens)
    const end = (reason: EndReason, count: number) => tell({ kind: "end", id, reason, promptTokens, tokens: count })
    if (most === 0) return end("length", 0)
    const last = await this.#read(tokens, isWanted)
    if (last === undefined) return end("stopped", 0)
    const stops = [...generation.stop, ...(grammar?.stopGenerationTriggers.map(String) ?? [])]
    const said = new Said(this.#model, stops, { tokens, showsControls: generation.showsControls })
    const options = this.#optionsOf(generation.sampling, grammar, said.tokens)
    for await (const token of this.#sequence.evaluate(last, options)) {
      if (!isWanted()) return end("stopped", said.tokens.length)
      const text = said.push(token)
      if (text !== "") tell({ kind: "text", id, text })
      if (said.isStopped) return end("stop", said.tokens.length)
      if (said.tokens.length < most) continue
      finish(said.finish())
      return end("length", said.tokens.length)
    }
    finish(said.finish())
    end("stop", said.tokens.length)

    function finish(text: string): void {
      if (text !== "") tell({ kind: "text", id, text })
    }
  }

  /** All but the last token, which is given back: it is the first to be asked about. Undefined: nobody wants the answer any more. */
  async #read(tokens: readonly number[], isWanted: () => boolean): Promise<readonly number[] | undefined> {
    const head = tokens.slice(0, -1)
    await this.#sequence.adaptStateToTokens(head, false)
    for (let at = this.#sequence.nextTokenIndex; at < head.length; at += SLICE) {
      if (!isWanted()) return undefined
      await this.#sequence.evaluateWithoutGeneratingNewTokens(head.slice(at, at + SLICE))
    }
    return isWanted() ? tokens.slice(-1) : undefined
  }

  #tokensOf(prompt: readonly PromptPiece[]): number[] {
    const { bos, shouldPrependBosToken } = this.#model.tokens
    const tokens = prompt.flatMap(({ text, isMarkup }) => this.#model.tokenize(text, isMarkup))
    if (bos !== null && shouldPrependBosToken && tokens[0] !== bos) tokens.unshift(bos)
    return tokens
  }

  async #grammarOf(form: Generation["form"]): Promise<Grammar | undefined> {
    if (form === undefined) return undefined
    return form.kind === "json"
      ? this.#llama.getGrammarFor("json")
      : this.#llama.createGrammarForJsonSchema(form.schema)
  }

  #optionsOf(sampling: Sampling, grammar: Grammar | undefined, said: readonly number[]): object {
    const { temperature, topP, topK, minP, seed, repeatPenalty, frequencyPenalty, presencePenalty, bias } = sampling
    const tokenBias = new this.#library.TokenBias(this.#model.tokenizer)
    for (const [token, logit] of Object.entries(bias)) tokenBias.set(Number(token), { logit })
    const isPunished = repeatPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0
    const punishTokens = () => said.slice(-PENALTY_WINDOW)
    return {
      ...{ temperature, topP, topK, minP },
      ...(seed === undefined ? {} : { seed }),
      ...(isPunished && {
        repeatPenalty: { punishTokens, penalty: repeatPenalty, frequencyPenalty, presencePenalty },
      }),
      ...(Object.keys(bias).length > 0 && { tokenBias }),
      ...(grammar !== undefined && {
        grammarEvaluationState: new this.#library.LlamaGrammarEvaluationState({ model: this.#model, grammar }),
      }),
    }
  }
}

/** The answer as it grows: tokens in, texts out, up to the first stop string. */
class Said {
  readonly tokens: number[] = []
  readonly #model: LlamaModel
  readonly #cut: StopFilter
  readonly #prompt: readonly number[]
  readonly #showsControls: boolean
  /** Tokens that are no whole character yet. */
  #open: number[] = []

  constructor(
    model: LlamaModel,
    stops: readonly string[],
    { tokens, showsControls }: { tokens: readonly number[]; showsControls: boolean },
  ) {
    this.#model = model
    this.#cut = new StopFilter(stops)
    this.#prompt = tokens.slice(-UNFINISHED_TOKENS_MAX)
    this.#showsControls = showsControls
  }

  get isStopped(): boolean {
    return this.#cut.stopped
  }

  push(token: number): string {
    this.tokens.push(token)
    this.#open.push(token)
    const text = this.#textOf()
    if (text.endsWith(UNFINISHED) && this.#open.length < UNFINISHED_TOKENS_MAX) return ""
    this.#open = []
    return this.#cut.push(text)
  }

  finish(): string {
    const text = this.#open.length === 0 ? "" : this.#cut.push(this.#textOf())
    this.#open = []
    return text + this.#cut.finish()
  }

  #textOf(): string {
    const before = [...this.#prompt, ...this.tokens.slice(-2 * UNFINISHED_TOKENS_MAX, -this.#open.length)]
    return this.#model.detokenize(this.#open, this.#showsControls, before.slice(-UNFINISHED_TOKENS_MAX))
  }
}

function readMetadata(metadata: unknown): Pick<ModelFacts, "template" | "controls"> {
  const tokenizer = at(metadata, "tokenizer")
  const template = at(tokenizer, "chat_template")
  const [texts, types] = [at(at(tokenizer, "ggml"), "tokens"), at(at(tokenizer, "ggml"), "token_type")]
  const controls: string[] = []
  if (Array.isArray(texts) && Array.isArray(types))
    for (const [index, type] of types.entries()) {
      const text: unknown = texts[index]
      if (CONTROL_TYPES.has(type) && typeof text === "string" && text.length > 1) controls.push(text)
    }
  return { template: typeof template === "string" ? template : undefined, controls }
}

function at(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined
}
