import fc from "fast-check"
import { countTokens as cl100k } from "gpt-tokenizer/encoding/cl100k_base"
import { countTokens as o200k } from "gpt-tokenizer/encoding/o200k_base"
import { test } from "tap"
import { countTexts } from "../../../lib/llm/tokens/encode.ts"
import { Random } from "../../helpers/wire/generated-exchange.ts"

const AS_TEXT = { disallowedSpecial: new Set<string>() }

test("counts are the tokenizer's own for any text", async (t) => {
  const words = fc.constantFrom(
    "the",
    "Token",
    "don't",
    "DON'T",
    "été",
    "漢字",
    "\u{1f600}",
    "a\u0301",
    "123456",
    "::",
    "x_y",
    "...\n",
  )
  const gaps = fc.constantFrom(" ", "  ", "   ", "\n", "\r\n", "\n\n  ", "\t", "", " \n ", "\u00a0")
  const texts = fc.sample(
    fc.oneof(
      fc.array(fc.tuple(words, gaps), { maxLength: 60 }).map((parts) => parts.flat().join("")),
      fc.string({ unit: "binary", maxLength: 200 }),
    ),
    400,
  )
  const [newer, older] = [await countTexts("o200k_base", texts), await countTexts("cl100k_base", texts)]
  texts.forEach((text, at) => {
    if (newer[at]?.tokens !== o200k(text, AS_TEXT) || newer[at]?.exact !== true) t.fail(`o200k ${JSON.stringify(text)}`)
    if (older[at]?.tokens !== cl100k(text, AS_TEXT)) t.fail(`cl100k ${JSON.stringify(text)}`)
  })
  t.equal(newer.length, texts.length)
})

test("special tokens in a text are text", async (t) => {
  const text = "a <|endoftext|> b <|im_start|> c <|endofprompt|>"
  const [counted] = await countTexts("o200k_base", [text])
  t.same(counted, { tokens: o200k(text, AS_TEXT), exact: true })
  t.ok((counted?.tokens ?? 0) > 12)
  t.same(await countTexts("cl100k_base", [""]), [{ tokens: 0, exact: true }])
})

const RUNS = [
  "x",
  "É",
  "漢",
  "=",
  " ",
  "\n",
  "\t",
  "\u{1f600}",
  "\u0301",
  "a\u0301",
  "!\u0301",
  "\u3000",
  "aB",
  "ab",
] as const

/** A run of about 300 characters: of one kind, or letters in any order. */
function generatedRun(random: Random): string {
  if (random.below(2) === 0) return random.pick(...RUNS).repeat(260 + random.below(80))
  const letters = random.pick(
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEF0123456789abcdef",
    "äöüß",
    "漢字かな交じり文",
    "-_=+/",
  )
  return Array.from({ length: 300 }, () => random.pick(...letters)).join("")
}

test("200 messages with runs of 300 letters are counted exactly, with either table", async (t) => {
  const random = new Random(40)
  const prose = (): string =>
    random.pick("", "Look at this: ", "\n\n", " and so on. ", "漢字 ", "id=").repeat(random.below(3))
  const texts = Array.from({ length: 200 }, () => `${prose()}${generatedRun(random)}${prose()}${generatedRun(random)}`)
  const [newer, older] = [await countTexts("o200k_base", texts), await countTexts("cl100k_base", texts)]
  texts.forEach((text, at) => {
    t.strictSame(newer[at], { tokens: o200k(text, AS_TEXT), exact: true }, JSON.stringify(text))
    t.strictSame(older[at], { tokens: cl100k(text, AS_TEXT), exact: true }, JSON.stringify(text))
  })
})

test("runs of every length about the one from which on a heap merges are counted as the search counts them", async (t) => {
  const random = new Random(41)
  const run = Array.from({ length: 200 }, () => random.pick("a", "b", "t", "h", "e", "é", "n")).join("")
  const texts = Array.from({ length: 120 }, (_, at) => run.slice(0, 80 + at))
  const counts = await countTexts("o200k_base", texts)
  t.strictSame(
    counts.map(({ tokens }) => tokens),
    texts.map((text) => o200k(text, AS_TEXT)),
  )
})

test("a megabyte of one letter is counted exactly", async (t) => {
  // Eight letters "x" are the longest token of them.
  t.equal(o200k("x".repeat(8_000), AS_TEXT), 1_000)
  const [whole] = await countTexts("o200k_base", ["x".repeat(1_000_000)])
  t.strictSame(whole, { tokens: 125_000, exact: true })
})

test("more different words than are remembered are counted all the same", async (t) => {
  const words = Array.from({ length: 60_000 }, (_, at) => `${(at * 7919).toString(36)}`)
  const text = words.join("\n")
  const [counted] = await countTexts("o200k_base", [text])
  t.equal(counted?.tokens, o200k(text, AS_TEXT))
})
