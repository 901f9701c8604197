import fc from "fast-check"
import { test } from "tap"
import { sampleText, splitRuns } from "../../../lib/llm/tokens/runs.ts"

const RUN_CHARS_MAX = 256

/** The longest stretch that a pretokenizer may leave in one piece. */
function longestRun(text: string): number {
  const runs = [/[\p{L}\p{M}]+/gu, /[^\s\p{L}\p{N}]+/gu, /\s+/gu].flatMap((kind) => text.match(kind) ?? [])
  return Math.max(0, ...runs.map((run) => run.length))
}

test("a megabyte of one letter becomes pieces of a bounded length, as many as that takes", (t) => {
  const text = "x".repeat(1_000_000)
  const pieces = splitRuns(text, RUN_CHARS_MAX)
  t.equal(pieces.length, Math.ceil(text.length / RUN_CHARS_MAX))
  t.ok(pieces.every((piece) => piece.length <= RUN_CHARS_MAX))
  t.ok(pieces.join("") === text)
  t.end()
})

test("every kind of run is cut, wherever it stands", (t) => {
  const long = RUN_CHARS_MAX + 1
  const kinds = ["x", "É", "漢", "=", " ", "\n", "\u{1f600}", "\u0301", "a\u0301", "!\u0301", "\u{1d400}", "\u3000"]
  for (const kind of kinds) {
    for (const before of ["", "1", "words, and more words. ".repeat(20)]) {
      const text = `${before}${kind.repeat(long)}7 and on it goes`
      const pieces = splitRuns(text, RUN_CHARS_MAX)
      t.ok(pieces.length > 1, `${JSON.stringify(kind)} after ${before.length}`)
      t.ok(pieces.join("") === text && pieces.every((piece) => longestRun(piece) <= RUN_CHARS_MAX + 1))
      t.ok(!pieces.some((piece) => /\p{Cs}/u.test(piece)), "no pair is parted")
    }
  }
  t.end()
})

test("a text without a long run stays whole", (t) => {
  const prose = "It's 12,345.67 of a kind: naïve — 漢字、かな。\n".repeat(500)
  t.same(splitRuns(prose, RUN_CHARS_MAX), [prose])
  t.same(splitRuns("1".repeat(5_000), RUN_CHARS_MAX), ["1".repeat(5_000)], "digits are cut by every pretokenizer")
  const limit = `${"x".repeat(RUN_CHARS_MAX)} `.repeat(20)
  t.same(splitRuns(limit, RUN_CHARS_MAX), [limit], "exactly the limit")
  t.same(splitRuns("", RUN_CHARS_MAX), [""])
  t.end()
})

test("whatever the text, its pieces are the text, and none holds a long run", (t) => {
  const part = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 20 }),
    fc
      .tuple(fc.constantFrom("a", "B", "é", "漢", "-", " ", "\u0301", "\u{1f600}", "5"), fc.nat(700))
      .map(([c, n]) => c.repeat(n)),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const text = parts.join("")
      const pieces = splitRuns(text, RUN_CHARS_MAX)
      return pieces.join("") === text && pieces.every((piece) => longestRun(piece) <= 2 * RUN_CHARS_MAX)
    }),
    { numRuns: 300 },
  )
  t.end()
})

test("a sample is as long as asked for and taken from the whole text", (t) => {
  const text = Array.from({ length: 100_000 }, (_, at) => `${at} `).join("")
  t.equal(sampleText(text, text.length), text)
  const sample = sampleText(text, 6_400)
  t.equal(sample.length, 6_400)
  t.ok(sample.startsWith("0 1 2 ") && sample.endsWith(" 99999 "))
  t.end()
})
