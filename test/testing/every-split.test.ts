import { test } from "tap"
import { everySplit } from "../../lib/testing/every-split.ts"

test("a message of n bytes has n + 1 splits, from nothing first to nothing last", (t) => {
  const pairs = [...everySplit(Buffer.from("abc"))].map((pair) => pair.map(String))
  t.strictSame(pairs, [
    ["", "abc"],
    ["a", "bc"],
    ["ab", "c"],
    ["abc", ""],
  ])
  t.end()
})

test("a message of no bytes has one split", (t) => {
  t.equal([...everySplit(new Uint8Array())].length, 1)
  t.end()
})

test("a cut may fall inside a character", (t) => {
  const bytes = Buffer.from("é")
  for (const [before, after] of everySplit(bytes)) t.ok(Buffer.concat([before, after]).equals(bytes))
  t.end()
})

test("what a decoder does to one pair does not reach the next, nor the message", (t) => {
  const bytes = Buffer.from("abcd")
  for (const [before, after] of everySplit(bytes)) {
    t.equal(`${before}${after}`, "abcd")
    before.fill(0)
    after.fill(0)
  }
  t.equal(String(bytes), "abcd")
  t.end()
})
