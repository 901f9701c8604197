/**
 * A model's own vocabulary as something that counts: a tokenizer.json with Hugging Face's library, the vocabulary in a
 * GGUF file through gguf-vocabulary.ts. Special tokens in a text are special here, as they are for the hosts that get
 * the text. Pure: who reads the file hands over what is in it, in a thread of its own (lib/services/vocabulary.ts).
 */
import { hash } from "node:crypto"
import { LRUCache } from "lru-cache"
import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import type { Counted } from "./encode.ts"
import { splitRuns } from "./runs.ts"
import { beforeMarks, SPACE_MARK } from "./sentencepiece.ts"

/** The file is right, but what it describes cannot be counted with exactly. */
export class InexactVocabularyError extends Error {
  override readonly name = "InexactVocabularyError"
}

/** Counts a text as a whole. */
export interface TextTokenizer {
  tokens(text: string): number
  /** Special tokens: before one of them a text may be cut, and each part counted alone. */
  readonly cuts: readonly string[]
  /** Tokens that stand around a prompt, as the one for its beginning. */
  readonly frame: number
}

// Parts of a conversation between special tokens are remembered; shorter ones are counted as fast as they are found.
const PART_CHARS_MIN = 256
const PARTS_KNOWN_MAX = 20_000
// Of places that could begin a special token so many are looked at: a text of nothing else must not cost seconds.
const PLACES_MAX = 50_000

// A heap merges a run of this length in 0.1 s; of one with more than 100,000 bytes the library may run out of stack. Longer
// ones are cut, and the count is an estimate.
const LONG_RUN_CHARS = 32_768

/** The counts of one vocabulary: a conversation that comes again costs its new parts only. */
export class Vocabulary {
  readonly #tokenizer: TextTokenizer
  readonly #cuts: RegExp | undefined
  readonly #known = new LRUCache<string, Counted>({ max: PARTS_KNOWN_MAX })

  constructor(tokenizer: TextTokenizer) {
    this.#tokenizer = tokenizer
    const longestFirst = tokenizer.cuts.filter((cut) => cut !== "").sort((a, b) => b.length - a.length)
    if (longestFirst.length > 0) this.#cuts = new RegExp(longestFirst.map(escaped).join("|"), "g")
  }

  /** Tokens of a text alone. */
  count(text: string): Counted {
    let tokens = 0
    let exact = true
    for (const part of this.#parts(text)) {
      const counted = this.#countPart(part)
      tokens += counted.tokens
      exact &&= counted.exact
    }
    return { tokens, exact }
  }

  /** Tokens of a whole prompt. */
  countPrompt(text: string): Counted {
    const { tokens, exact } = this.count(text)
    return { tokens: tokens + this.#tokenizer.frame, exact }
  }

  /** The text cut before special tokens, each part with the one that it begins with. */
  #parts(text: string): string[] {
    if (this.#cuts === undefined) return [text]
    const parts: string[] = []
    let from = 0
    let places = 0
    this.#cuts.lastIndex = 0
    for (let found = this.#cuts.exec(text); found !== null; found = this.#cuts.exec(text)) {
      if (found.index - from >= PART_CHARS_MIN) {
        parts.push(text.slice(from, found.index))
        from = found.index
      }
      if (++places >= PLACES_MAX) break
    }
    parts.push(text.slice(from))
    return parts
  }

  #countPart(part: string): Counted {
    if (part.length < PART_CHARS_MIN) return this.#countNew(part)
    const key = hash("sha256", part, "base64")
    const before = this.#known.get(key)
    if (before !== undefined) return before
    const counted = this.#countNew(part)
    this.#known.set(key, counted)
    return counted
  }

  #countNew(part: string): Counted {
    const pieces = splitRuns(part, LONG_RUN_CHARS)
    const tokens = pieces.reduce((sum, piece) => sum + (piece === "" ? 0 : this.#tokenizer.tokens(piece)), 0)
    return { tokens, exact: pieces.length === 1 }
  }
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")
}

/**
 * The tokenizer that a tokenizer.json describes. Rejects with an Error that says what in it cannot be counted exactly.
 * `frame`: tokens around a prompt where the file has no rule for them.
 */
export async function tokenizerFromJson(json: JsonValue | undefined, frame?: number): Promise<TextTokenizer> {
  const model = objectOf(objectOf(json)?.model)
  if (!isObject(json) || model === undefined) throw new Error("it has no model: this is no tokenizer.json")
  refuseInexact(json, model)
  const { Tokenizer } = await import("@huggingface/tokenizers")
  const whole = { decoder: null, normalizer: null, post_processor: null, added_tokens: [], ...json }
  const made = new Tokenizer({ ...whole, pre_tokenizer: wordwise(json, model) }, {})
  const tokens = (text: string): number => made.tokenize(text, { add_special_tokens: false }).length
  const framed = made.tokenize("a", { add_special_tokens: true }).length - tokens("a")
  return { tokens, cuts: cutsIn(json), frame: frame ?? framed }
}

const MODELS = new Set(["BPE", "Unigram", "WordPiece"])
const SPLITS = new Set(["isolated", "removed"])

/** What Hugging Face's library for JavaScript does not do as the one for Rust does. */
function refuseInexact(json: JsonObject, model: JsonObject): void {
  // Older files leave the type out: their model is told by what it has.
  const type = stringOf(model.type) ?? (model.merges === undefined ? "" : "BPE")
  if (!MODELS.has(type))
    throw new InexactVocabularyError(
      `its model is ${type === "" ? "of no named type" : type}; known are BPE, Unigram and WordPiece`,
    )
  for (const step of stepsOf(json.pre_tokenizer)) {
    const behavior = stringOf(step.behavior)?.toLowerCase()
    if (step.type !== "Split" || step.invert === true || behavior === undefined || SPLITS.has(behavior)) continue
    throw new InexactVocabularyError(
      `its pre-tokenizer splits with ${String(step.behavior)}, which cannot be counted exactly`,
    )
  }
}

/** The steps of a pre-tokenizer, sequences opened. */
function stepsOf(step: JsonValue | undefined): JsonObject[] {
  if (!isObject(step)) return []
  return step.type === "Sequence" ? arrayOf(step.pretokenizers).flatMap(stepsOf) : [step]
}

/**
 * Vocabularies without words merge a text as one piece, which takes long. Where none of their tokens has a space inside,
 * to cut before spaces changes nothing. Spaces are marks by then: a normalizer or a step has made them so.
 */
function wordwise(json: JsonObject, model: JsonObject): JsonValue {
  const step = json.pre_tokenizer ?? null
  const steps = stepsOf(step)
  const marksSpaces = steps.some(({ type }) => type === "Metaspace") || replacesSpaces(json.normalizer)
  if (!marksSpaces || steps.some(({ type }) => type !== "Metaspace")) return step
  const tokens = isObject(model.vocab)
    ? Object.keys(model.vocab)
    : arrayOf(model.vocab).map((entry) => stringOf(arrayOf(entry)[0]) ?? "")
  if (beforeMarks(tokens.map((token) => token.replaceAll(/▁+/g, SPACE_MARK))).size > 0) return step
  const words = { type: "Split", pattern: { Regex: "▁*[^▁]+|▁+" }, behavior: "Isolated", invert: true }
  return { type: "Sequence", pretokenizers: [...steps, words] }
}

function replacesSpaces(step: JsonValue | undefined): boolean {
  if (!isObject(step)) return false
  if (step.type === "Sequence") return arrayOf(step.normalizers).some(replacesSpaces)
  return step.type === "Replace" && step.content === SPACE_MARK && objectOf(step.pattern)?.String === " "
}

/** Special tokens that take no space from what stands before them. */
function cutsIn(json: JsonObject): string[] {
  const added = arrayOf(json.added_tokens).filter(isObject)
  if (added.some(({ lstrip, normalized }) => lstrip === true || normalized === true)) return []
  return added.flatMap(({ content }) => stringOf(content) ?? [])
}
