/**
 * The vocabulary in a GGUF file's metadata as something that counts: byte-level BPE (`gpt2`) as the tokenizer.json that
 * it was made from, scored pieces (`llama`) by sentencepiece.ts. What cannot be counted exactly is refused by name.
 * Source: ggml, docs/gguf.md, "Tokenizer"; llama.cpp, src/llama-vocab.cpp. Pure.
 */
import { numberOf, stringOf } from "../../base/json.ts"
import { PRETOKENIZERS } from "./pretokenizers.ts"
import { ScoredPieces, SPACE_MARK } from "./sentencepiece.ts"
import { InexactVocabularyError, type TextTokenizer, tokenizerFromJson } from "./vocabulary.ts"

/** Keys and values as @huggingface/gguf reads them. */
export type GgufMetadata = Readonly<Record<string, unknown>>

/** `tokenizer.ggml.token_type`: those that a text may contain as such. */
const SPECIAL_TYPES = new Set([2, 3, 4]) // unknown, control, user-defined
const BYTES = 256

/** Rejects with an Error that says what is missing, or cannot be counted exactly. */
export async function tokenizerFromGguf(metadata: GgufMetadata): Promise<TextTokenizer> {
  const model = stringOf(metadata["tokenizer.ggml.model"])
  switch (model) {
    case undefined:
      throw new Error("it has no vocabulary (no tokenizer.ggml.model)")
    case "gpt2":
      return fromMerges(metadata)
    case "llama":
      return fromScores(metadata)
    default:
      throw new InexactVocabularyError(
        `its vocabulary is ${JSON.stringify(model)}, which cannot be counted exactly; known are gpt2 and llama`,
      )
  }
}

function fromMerges(metadata: GgufMetadata): Promise<TextTokenizer> {
  const name = stringOf(metadata["tokenizer.ggml.pre"]) ?? ""
  const way = PRETOKENIZERS.get(name)
  if (way === undefined)
    throw new InexactVocabularyError(
      `its pre-tokenizer ${JSON.stringify(name)} is none that can be counted exactly; known are ${[...PRETOKENIZERS.keys()].join(", ")}`,
    )
  const tokens = textsOf(metadata, "tokens")
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const lost = byteLetters().filter((letter) => !ids.has(letter)).length
  if (lost > 0) throw new InexactVocabularyError(`its vocabulary lacks ${lost} of the ${BYTES} bytes`)
  const splits = way.splits.map((pattern) => {
    return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }
  })
  const json = {
    model: {
      type: "BPE",
      vocab: Object.fromEntries(ids),
      merges: textsOf(metadata, "merges").map(pairOf),
      ignore_merges: way.takesWhole === true,
    },
    pre_tokenizer: { type: "Sequence", pretokenizers: [...splits, { type: "ByteLevel", use_regex: false }] },
    added_tokens: specials(metadata, tokens).map((content) => {
      return { id: ids.get(content) ?? 0, content, special: true, normalized: false }
    }),
  }
  return tokenizerFromJson(json, frameOf(metadata, way.addsBos === true))
}

/** A token may be a space-like letter itself, so the first place that can be the break is taken. */
function pairOf(merge: string): [string, string] {
  const at = merge.indexOf(" ", 1)
  return [merge.slice(0, at), merge.slice(at + 1)]
}

async function fromScores(metadata: GgufMetadata): Promise<TextTokenizer> {
  const tokens = textsOf(metadata, "tokens")
  const scores = metadata["tokenizer.ggml.scores"]
  if (!Array.isArray(scores) || scores.length !== tokens.length)
    throw new Error("its vocabulary has no score for each of its tokens")
  const pieces = new ScoredPieces(new Map(tokens.map((token, id) => [token, numberOf(scores[id]) ?? 0])))
  const special = specials(metadata, tokens)
  const prefix = metadata["tokenizer.ggml.add_space_prefix"] === false ? "" : SPACE_MARK
  const { parts } = splitterFor(special)
  const count = (text: string): number => {
    let sum = 0
    for (const { part, isSpecial } of parts(text)) {
      sum += isSpecial ? 1 : pieces.count(prefix + part.replaceAll(" ", SPACE_MARK))
    }
    return sum
  }
  return { tokens: count, cuts: special, frame: frameOf(metadata, true) }
}

interface Part {
  readonly part: string
  readonly isSpecial: boolean
}

/** A text at its special tokens, the longest of those that begin at a place. */
function splitterFor(special: readonly string[]): { parts(text: string): Part[] } {
  if (special.length === 0) return { parts: (text) => [{ part: text, isSpecial: false }] }
  const longestFirst = special.toSorted((a, b) => b.length - a.length)
  const pattern = new RegExp(`(${longestFirst.map((one) => one.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|")})`)
  const parts = (text: string): Part[] => {
    // Split by a captured pattern: every second part is what was captured.
    const all = text.split(pattern).map((part, at) => ({ part, isSpecial: at % 2 === 1 }))
    return all.filter(({ part }) => part !== "")
  }
  return { parts }
}

/** Tokens that the host puts around a prompt. */
function frameOf(metadata: GgufMetadata, addsBos: boolean): number {
  const bos = metadata["tokenizer.ggml.add_bos_token"] ?? addsBos
  const eos = metadata["tokenizer.ggml.add_eos_token"] ?? false
  return Number(bos === true) + Number(eos === true)
}

function specials(metadata: GgufMetadata, tokens: readonly string[]): string[] {
  const types = metadata["tokenizer.ggml.token_type"]
  if (!Array.isArray(types)) return []
  return tokens.filter((token, id) => token !== "" && SPECIAL_TYPES.has(Number(types[id])))
}

function textsOf(metadata: GgufMetadata, name: "tokens" | "merges"): string[] {
  const list = metadata[`tokenizer.ggml.${name}`]
  if (!Array.isArray(list) || list.length === 0 || !list.every((one) => typeof one === "string"))
    throw new Error(`its vocabulary has no ${name} (tokenizer.ggml.${name})`)
  return list
}

/** The letters that stand for bytes: printable ones for themselves, the others from U+0100 on. Source: GPT-2. */
function byteLetters(): string[] {
  let next = BYTES
  return Array.from({ length: BYTES }, (_, byte) => {
    const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
    return String.fromCharCode(isPrintable ? byte : next++)
  })
}
