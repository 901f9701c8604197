import fc from "fast-check"
import { countTokens as cl100k } from "gpt-tokenizer/encoding/cl100k_base"
import { countTokens as o200k } from "gpt-tokenizer/encoding/o200k_base"
import { test } from "tap"
import { countTexts } from "../../../lib/llm/tokens/encode.ts"

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

test("a megabyte of one letter is an estimate near the count of its parts", async (t) => {
  const [part] = await countTexts("o200k_base", ["x".repeat(200)])
  const [whole] = await countTexts("o200k_base", ["x".repeat(1_000_000)])
  t.equal(whole?.exact, false)
  t.ok(Math.abs((whole?.tokens ?? 0) / ((part?.tokens ?? 0) * 5_000) - 1) < 0.05, `${whole?.tokens}`)
})

test("text around a long run is counted whole, the run in pieces", async (t) => {
  const prose = "The quick brown fox jumps over the lazy dog. ".repeat(200)
  const [prosed, run, both] = await countTexts("o200k_base", [
    prose,
    "x".repeat(90_000),
    `${prose}${"x".repeat(90_000)} ${prose}`,
  ])
  const expected = 2 * (prosed?.tokens ?? 0) + (run?.tokens ?? 0)
  t.equal(both?.exact, false)
  t.ok(Math.abs((both?.tokens ?? 0) / expected - 1) < 0.02, `${both?.tokens} for ${expected}`)
})

test("more different words than are remembered are counted all the same", async (t) => {
  const words = Array.from({ length: 60_000 }, (_, at) => `${(at * 7919).toString(36)}`)
  const text = words.join("\n")
  const [counted] = await countTexts("o200k_base", [text])
  t.equal(counted?.tokens, o200k(text, AS_TEXT))
})
