/** The counts below are llama.cpp's own for these vocabularies (node-llama-cpp 3.22.1, release v0.5.0). */
import { test } from "tap"
import { type GgufMetadata, tokenizerFromGguf } from "../../../lib/llm/tokens/gguf-vocabulary.ts"
import { PRETOKENIZERS } from "../../../lib/llm/tokens/pretokenizers.ts"
import { Vocabulary } from "../../../lib/llm/tokens/vocabulary.ts"
import { joiningVocabulary, scoredVocabulary } from "../../helpers/llm/vocabularies.ts"

const TEXTS = [
  "",
  "a man, a plan.",
  "x1234567 a1b2",
  "I'll DON'T we've",
  "one\n\n  two\r\n\tthree  ",
  "naïve Ärger Москва",
  "今天a天气。1",
  "fooBarBAZ snake_case",
  "$x += .5 && 'a'",
  "<|end|>a<|end|>",
  "a  \n <|end|>\n1",
  "abcd abc ab",
  "hello world",
  "wo wor  world",
  "<s>a</s> a",
  "o wo w",
  "é a\n",
]

const BY_PRETOKENIZER: Readonly<Record<string, readonly number[]>> = {
  dbrx: [0, 10, 11, 14, 16, 23, 16, 16, 11, 3, 7, 8, 10, 11, 8, 4, 4],
  "deepseek-coder": [0, 10, 12, 14, 18, 23, 17, 16, 11, 3, 7, 8, 10, 11, 9, 4, 4],
  "deepseek-llm": [0, 10, 11, 14, 18, 23, 17, 16, 11, 3, 7, 8, 10, 11, 9, 4, 4],
  "deepseek-v3": [0, 10, 11, 14, 16, 23, 17, 16, 11, 3, 7, 8, 10, 11, 8, 4, 4],
  default: [0, 10, 11, 14, 16, 23, 16, 16, 15, 3, 6, 8, 10, 11, 9, 4, 4],
  "gpt-2": [0, 10, 11, 14, 16, 23, 16, 16, 11, 3, 6, 8, 10, 11, 9, 4, 4],
  "gpt-4o": [0, 10, 11, 14, 16, 23, 16, 16, 11, 3, 7, 8, 10, 11, 8, 4, 4],
  "llama-bpe": [0, 10, 11, 14, 16, 23, 16, 16, 11, 3, 7, 8, 10, 11, 8, 4, 4],
  qwen2: [0, 10, 12, 14, 16, 23, 16, 16, 11, 3, 7, 8, 10, 11, 8, 4, 4],
  starcoder: [0, 10, 12, 14, 16, 23, 16, 16, 11, 3, 6, 8, 10, 11, 9, 4, 4],
  tekken: [0, 10, 12, 14, 16, 23, 16, 16, 11, 3, 7, 8, 10, 11, 8, 4, 4],
}
const SCORED = [0, 13, 13, 17, 18, 27, 18, 21, 16, 16, 13, 7, 9, 7, 5, 6, 5]
const SCORED_WITHOUT_PREFIX = [0, 13, 12, 16, 17, 26, 17, 20, 15, 15, 13, 6, 8, 6, 4, 5, 4]

const counts = async (metadata: GgufMetadata): Promise<number[]> => {
  const vocabulary = new Vocabulary(await tokenizerFromGguf(metadata))
  return TEXTS.map((text) => vocabulary.count(text).tokens)
}

test("byte-level vocabularies count what llama.cpp counts, each way of cutting its own", async (t) => {
  for (const [pre, expected] of Object.entries(BY_PRETOKENIZER))
    t.strictSame(await counts(joiningVocabulary(pre)), expected, pre)
})

test("every way of cutting that is known can be used, and loses nothing", async (t) => {
  for (const pre of PRETOKENIZERS.keys()) {
    const vocabulary = new Vocabulary(await tokenizerFromGguf(joiningVocabulary(pre)))
    // Each is a byte that joins no other: as many tokens as bytes.
    t.strictSame(vocabulary.count("bcdefg").tokens, 6, pre)
  }
})

test("scored vocabularies count what llama.cpp counts, with a space in front and without", async (t) => {
  t.strictSame(await counts(scoredVocabulary()), SCORED)
  t.strictSame(await counts({ ...scoredVocabulary(), "tokenizer.ggml.add_space_prefix": false }), SCORED_WITHOUT_PREFIX)
})

test("a host begins a prompt with a token of its own where the file says so, or its kind does", async (t) => {
  const frame = async (metadata: GgufMetadata) => (await tokenizerFromGguf(metadata)).frame
  t.equal(await frame(joiningVocabulary("llama-bpe")), 1)
  t.equal(await frame(joiningVocabulary("qwen2")), 0)
  t.equal(await frame(scoredVocabulary()), 1)
  const told = { "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": true }
  t.equal(await frame({ ...joiningVocabulary("qwen2"), ...told }), 2)
  t.equal(await frame({ ...scoredVocabulary(), "tokenizer.ggml.add_bos_token": false }), 0)
})

test("special tokens are those that the file marks; a file that marks none has none", async (t) => {
  const { "tokenizer.ggml.token_type": _, ...unmarked } = joiningVocabulary("gpt-2")
  const marked = new Vocabulary(await tokenizerFromGguf(joiningVocabulary("gpt-2")))
  t.equal(marked.count("<|end|>").tokens, 1)
  t.equal(new Vocabulary(await tokenizerFromGguf(unmarked)).count("<|end|>").tokens, 7)
  const { "tokenizer.ggml.token_type": types, ...scored } = scoredVocabulary()
  t.ok(types)
  t.equal(new Vocabulary(await tokenizerFromGguf(scored)).count("<s>").tokens, 4, "a space, and three bytes")
})

test("what cannot be counted exactly is refused by name", async (t) => {
  const refused = { name: "InexactVocabularyError" }
  await t.rejects(tokenizerFromGguf(joiningVocabulary("new-model")), {
    ...refused,
    message: /pre-tokenizer "new-model" is none that can be counted exactly; known are gpt-2, /,
  })
  await t.rejects(tokenizerFromGguf({ "tokenizer.ggml.model": "bert" }), { ...refused, message: /"bert"/ })
  const tokens = joiningVocabulary("gpt-2")["tokenizer.ggml.tokens"]
  if (!Array.isArray(tokens)) throw new Error("the vocabulary has tokens")
  const few = { ...joiningVocabulary("gpt-2"), "tokenizer.ggml.tokens": tokens.slice(0, 200) }
  await t.rejects(tokenizerFromGguf(few), { ...refused, message: /lacks \d+ of the 256 bytes/ })
})

test("what is missing is named", async (t) => {
  const without = (name: string): GgufMetadata => {
    const { [`tokenizer.ggml.${name}`]: _, ...rest }: GgufMetadata = joiningVocabulary("gpt-2")
    return rest
  }
  await t.rejects(tokenizerFromGguf({}), { message: "it has no vocabulary (no tokenizer.ggml.model)" })
  await t.rejects(tokenizerFromGguf(without("tokens")), { message: /no tokens \(tokenizer.ggml.tokens\)/ })
  await t.rejects(tokenizerFromGguf(without("merges")), { message: /no merges \(tokenizer.ggml.merges\)/ })
  await t.rejects(tokenizerFromGguf(without("pre")), { message: /pre-tokenizer ""/ })
  await t.rejects(tokenizerFromGguf({ ...scoredVocabulary(), "tokenizer.ggml.scores": [1] }), { message: /no score/ })
})
