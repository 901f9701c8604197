import cl100k from "gpt-tokenizer/bpeRanks/cl100k_base"
import { test } from "tap"
import type { JsonObject, JsonValue } from "../../../lib/base/json.ts"
import { countTexts } from "../../../lib/llm/tokens/encode.ts"
import { tokenizerFromJson, Vocabulary } from "../../../lib/llm/tokens/vocabulary.ts"
import { byteLetters } from "../../helpers/llm/vocabularies.ts"

const END = { id: 900, content: "<|end|>", special: true, normalized: false, lstrip: false, rstrip: false }

/** Each byte is a token, and "ab" and "abab" are. */
function byteLevel(more: JsonObject = {}): JsonObject {
  const tokens = [...byteLetters(), "ab", "abab"]
  return {
    model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: ["a b", "ab ab"] },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
    added_tokens: [END],
    ...more,
  }
}

const vocabularyOf = async (json: JsonValue): Promise<Vocabulary> => new Vocabulary(await tokenizerFromJson(json))

test("a tokenizer.json counts what its rules say", async (t) => {
  const vocabulary = await vocabularyOf(byteLevel())
  // "abab", " " and "ab", "é" of two bytes, the special token
  t.strictSame(vocabulary.count("abab abé<|end|>"), { tokens: 6, exact: true })
  t.strictSame(vocabulary.count(""), { tokens: 0, exact: true })
  t.strictSame(vocabulary.count("ab<|end|>ab"), { tokens: 3, exact: true })
})

test("tokens around a prompt are counted with the prompt, not with a text", async (t) => {
  const post_processor = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<|end|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<|end|>": { id: "<|end|>", ids: [900], tokens: ["<|end|>"] } },
  }
  const vocabulary = await vocabularyOf(byteLevel({ post_processor }))
  t.equal(vocabulary.count("ab").tokens, 1)
  t.equal(vocabulary.countPrompt("ab").tokens, 2)
})

test("parts between special tokens add up to the whole, and are remembered", async (t) => {
  let counted: string[] = []
  const vocabulary = new Vocabulary({
    tokens: (text) => {
      counted.push(text)
      return text.length
    },
    cuts: ["<|end|>", "<|e"],
    frame: 0,
  })
  const turns = Array.from({ length: 20 }, (_, at) => `${at} `.repeat(200))
  const conversation = turns.join("<|end|>")
  t.equal(vocabulary.count(conversation).tokens, conversation.length)
  t.equal(counted.length, 20)
  t.ok(counted.slice(1).every((part) => part.startsWith("<|end|>")))
  counted = []
  vocabulary.count(conversation)
  t.strictSame(counted, [], "nothing is counted twice")
  const last = `<|end|>${"new ".repeat(100)}`
  vocabulary.count(conversation + last)
  t.strictSame(counted, [last], "and of a longer conversation the new message only")
})

test("a text of special tokens alone is cut in few parts", async (t) => {
  const vocabulary = await vocabularyOf(byteLevel())
  t.equal(vocabulary.count("<|end|>".repeat(60_000)).tokens, 60_000)
})

test("special tokens that take spaces from before them are no places to cut at", async (t) => {
  const greedy = await tokenizerFromJson(byteLevel({ added_tokens: [{ ...END, lstrip: true }] }))
  t.strictSame(greedy.cuts, [])
  const vocabulary = new Vocabulary(greedy)
  t.equal(vocabulary.count("ab   <|end|>ab").tokens, 3)
})

test("runs that no tokenizer bears are cut, and the count is no longer exact", async (t) => {
  const vocabulary = await vocabularyOf(byteLevel())
  for (const pairs of [150, 1_000, 16_384])
    t.strictSame(vocabulary.count("ab".repeat(pairs)), { tokens: pairs / 2, exact: true }, `${2 * pairs} letters`)
  t.equal(vocabulary.count("漢".repeat(32_768)).exact, true, "as many bytes as may come at once")
  const run = vocabulary.count("x".repeat(1_000_000))
  t.strictSame(run, { tokens: 1_000_000, exact: false })
})

/** A vocabulary of pieces in which spaces are marks; `more` changes the way of the marks. */
function marked(tokens: readonly string[], merges: readonly string[], more: JsonObject): JsonObject {
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
  return { model: { type: "BPE", vocab, merges: [...merges], unk_token: "<unk>" }, ...more }
}
const SPACES = { normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" }, pre_tokenizer: null }

test("vocabularies without words count the same, cut at spaces or not", async (t) => {
  const tokens = ["<unk>", "▁", "a", "b", "▁a", "ab", "▁ab"]
  const merges = ["a b", "▁ a", "▁ ab"]
  const text = "ab ab aba ba"
  t.equal((await vocabularyOf(marked(tokens, merges, SPACES))).count(text).tokens, 7, "ab ▁ab ▁ab a ▁ b a")
  // A piece with a space inside: "b▁" joins first, so no place before a space is safe.
  const inner = await vocabularyOf(marked([...tokens, "b▁"], ["b ▁", ...merges], SPACES))
  t.equal(inner.count("ab ab").tokens, 3, "a b▁ ab")
  const metaspace = { pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first" } }
  const first = await vocabularyOf(marked(tokens, merges, { ...metaspace, added_tokens: [END] }))
  t.equal(first.count("ab ab").tokens, 2)
  t.equal(first.count("ab<|end|>ab").tokens, 3, "only the first part gets a space in front")
})

test("a list of scored tokens is a Unigram model", async (t) => {
  const vocab = [
    ["<unk>", 0],
    ["▁", -2],
    ["▁ab", -1],
    ["a", -3],
    ["b", -3],
  ]
  const json = { model: { type: "Unigram", unk_id: 0, vocab }, pre_tokenizer: { type: "Metaspace" } }
  t.equal((await vocabularyOf(json)).count("ab ab b").tokens, 4)
})

test("what cannot be counted exactly is refused by name, and what is no tokenizer.json as well", async (t) => {
  const refused = { name: "InexactVocabularyError" }
  await t.rejects(tokenizerFromJson({ model: { type: "WordLevel", vocab: {} } }), { ...refused, message: /WordLevel/ })
  await t.rejects(tokenizerFromJson({ model: { vocab: {} } }), { ...refused, message: /of no named type/ })
  const split = { type: "Split", pattern: { String: " " }, behavior: "MergedWithNext", invert: false }
  const pre_tokenizer = { type: "Sequence", pretokenizers: [split] }
  await t.rejects(tokenizerFromJson(byteLevel({ pre_tokenizer })), { ...refused, message: /MergedWithNext/ })
  for (const json of [undefined, null, [], {}, { model: [] }])
    await t.rejects(tokenizerFromJson(json), { message: "it has no model: this is no tokenizer.json" })
})

test("cl100k written as a tokenizer.json counts what gpt-tokenizer counts", async (t) => {
  const vocabulary = await vocabularyOf(exported())
  const texts = [
    "The quick brown fox doesn't jump over 12345678 lazy dogs.\n\n\tThen it   sleeps!  ",
    "Ich verstehe nur Bahnhof, sagte der Pförtner gestern. Привет, мир! 今天天气很好。 😀👍🏽",
    "export function count(text: string): number {\r\n  return text.length // naïve\n}\n".repeat(50),
  ]
  const counts = await countTexts("cl100k_base", texts)
  t.strictSame(
    texts.map((text) => vocabulary.count(text)),
    counts,
  )
})

/** Ranks are made pairs: a token's two parts are what lower ranks leave of it. */
function exported(): JsonObject {
  const letters = byteLetters()
  const written = cl100k.map((token) => {
    return [...(typeof token === "string" ? Buffer.from(token) : token)].map((byte) => letters[byte]).join("")
  })
  const ranks = new Map(written.map((token, rank) => [token, rank]))
  const merges = written.flatMap((token, rank) => (token.length === 1 ? [] : [partsOf(token, rank, ranks)]))
  const split =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
  return {
    model: { type: "BPE", vocab: Object.fromEntries(ranks), merges },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: split }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, use_regex: false },
      ],
    },
  }
}

function partsOf(token: string, limit: number, ranks: ReadonlyMap<string, number>): string[] {
  const parts = [...token]
  while (parts.length > 2) {
    let at = 0
    let lowest = limit
    for (let index = 0; index + 1 < parts.length; index++) {
      const rank = ranks.get(`${parts[index]}${parts[index + 1]}`) ?? limit
      if (rank >= lowest) continue
      lowest = rank
      at = index
    }
    parts.splice(at, 2, `${parts[at]}${parts[at + 1]}`)
  }
  return parts
}
