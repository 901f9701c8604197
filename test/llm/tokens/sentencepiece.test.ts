import { test } from "tap"
import { beforeMarks, ScoredPieces } from "../../../lib/llm/tokens/sentencepiece.ts"

/** The earlier a piece stands, the sooner it is joined. */
function pieces(...list: string[]): ScoredPieces {
  return new ScoredPieces(new Map(list.map((piece, at) => [piece, -at])))
}

/** The rule as it is written: join the best pair until there is none. */
function plainly(scores: ReadonlyMap<string, number>, text: string): number {
  const symbols = [...text]
  for (;;) {
    let best = -1
    for (let at = 0; at + 1 < symbols.length; at++) {
      const score = scores.get(`${symbols[at]}${symbols[at + 1]}`) ?? Number.NEGATIVE_INFINITY
      const before = best === -1 ? Number.NEGATIVE_INFINITY : (scores.get(`${symbols[best]}${symbols[best + 1]}`) ?? 0)
      if (score > before) best = at
    }
    if (best === -1) break
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`)
  }
  return symbols.reduce((sum, symbol) => sum + (scores.has(symbol) ? 1 : Buffer.byteLength(symbol)), 0)
}

test("the pair with the highest score is joined first, the leftmost of equals", (t) => {
  const letters = ["a", "b", "c"]
  t.equal(pieces("bc", "ab", ...letters).count("abc"), 2, "a bc")
  t.equal(pieces("aa", ...letters).count("aaaaa"), 3, "aa aa a")
  t.equal(pieces("ab", "abc", ...letters).count("abcabc"), 2)
  t.equal(pieces(...letters).count(""), 0)
  t.end()
})

test("what is in no piece costs its bytes", (t) => {
  t.equal(pieces("a").count("aéa"), 4)
  t.equal(pieces("a").count("😀"), 4)
  t.end()
})

test("words are counted alone only where no piece reaches over the space between them", (t) => {
  t.strictSame([...beforeMarks(["▁a", "▁▁", "o▁w", "▁"])], ["▁", "o"])
  t.equal(pieces("o▁w", "o▁", "▁w", "o", "w", "▁").count("wo▁wo"), 3, "w o▁w o, by way of o▁")
  t.equal(pieces("▁w", "o▁w", "o", "w", "▁").count("wo▁wo"), 3, "w o▁w o, by way of ▁w")
  t.end()
})

test("any text counts as the rule says, word by word or not", (t) => {
  const list = ["▁", "a", "b", "o", "w", "▁a", "ab", "ba", "aba", "▁▁", "o▁w", "bb", "▁ab", "▁o", "wo", "aa"]
  const scores = new Map(list.map((piece, at) => [piece, -Math.floor(at / 2)]))
  const counted = new ScoredPieces(scores)
  let seed = 1
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  for (let round = 0; round < 2_000; round++) {
    const text = Array.from({ length: random(40) }, () => "aabbow▁▁é"[random(9)]).join("")
    t.equal(counted.count(text), plainly(scores, text), text)
  }
  t.end()
})
