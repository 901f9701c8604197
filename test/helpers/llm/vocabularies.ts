/**
 * Small vocabularies as GGUF files hold them, made by rule, so that their counts can be derived by hand and were checked
 * with llama.cpp once. In the byte-level one a few letters join with whatever byte stands beside them: its counts tell
 * where a text was cut.
 */
import type { GgufValue } from "./gguf-file.ts"

type Metadata = Record<string, GgufValue>

// What llama.cpp demands of a file, so that it can be asked for these vocabularies' counts as well.
const MODEL: Metadata = {
  "general.architecture": "llama",
  "llama.context_length": 512,
  "llama.embedding_length": 32,
  "llama.block_count": 1,
  "llama.feed_forward_length": 32,
  "llama.attention.head_count": 4,
  "llama.rope.dimension_count": 8,
}

const CONTROL = 3
const BYTE = 6

/** The letters that GPT-2 writes bytes with. */
export function byteLetters(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    return String.fromCharCode((byte > 32 && byte < 127) || (byte > 160 && byte !== 173) ? byte : next++)
  })
}

/** Each byte is a token, and each pair of a byte and one of "a1. \n", in either order. `<|end|>` is special. */
export function joiningVocabulary(pre: string): Metadata {
  const letters = byteLetters()
  const merges: string[] = []
  for (const char of "a1. \n") {
    const joiner = letters[char.charCodeAt(0)] ?? ""
    for (const letter of letters) merges.push(`${letter} ${joiner}`, `${joiner} ${letter}`)
  }
  const tokens = ["<|end|>", ...new Set([...letters, ...merges.map((merge) => merge.replace(" ", ""))])]
  return {
    ...MODEL,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": pre,
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": tokens.map((_, id) => (id === 0 ? CONTROL : 1)),
    "tokenizer.ggml.merges": merges,
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 0,
  }
}

const PIECES = [
  "▁",
  "a",
  "b",
  "c",
  "d",
  "o",
  "w",
  "r",
  "l",
  "▁a",
  "ab",
  "bc",
  "abc",
  "cd",
  "▁▁",
  "o▁w",
  "wor",
  "or",
  "wo",
  "ld",
]

/** Letters, a few pieces whose score falls with their place, and all bytes. */
export function scoredVocabulary(): Metadata {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...PIECES]
  return {
    ...MODEL,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.scores": tokens.map((_, id) => (id < 259 ? 0 : 258 - id)),
    "tokenizer.ggml.token_type": tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? CONTROL : id < 259 ? BYTE : 1)),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
  }
}

/** A tokenizer.json in which each byte is a token. */
export const LETTERS = JSON.stringify({
  model: { type: "BPE", vocab: Object.fromEntries(byteLetters().map((letter, id) => [letter, id])), merges: [] },
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
})
