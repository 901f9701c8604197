/** Globs of names, in any case or as they are written. */
import { test } from "tap"
import { isLike } from "../../../addons/shared/globs.ts"

test("a star is any text, also none, and its parts do not overlap", (t) => {
  for (const [name, pattern, fits] of [
    ["gpt-4o", "gpt-*", true],
    ["gpt-", "gpt-*", true],
    ["gpt", "gpt-*", false],
    ["aba", "ab*ba", false],
    ["abba", "ab*ba", true],
    ["a-b-c", "a*b*c", true],
    ["a-c-b", "a*b*c", false],
    ["ab", "a*b*b", false],
    ["", "*", true],
    ["a", "", false],
  ] as const)
    for (const cases of ["any", "as written"] as const)
      t.equal(isLike(name, pattern, cases), fits, `${name} ${pattern} ${cases}`)
  t.end()
})

test("models are called alike in any case; what a key may do is as it is written", (t) => {
  t.equal(isLike("GPT-4o", "gpt-*"), true)
  t.equal(isLike("GPT-4o", "gpt-*", "as written"), false)
  t.equal(isLike("gpt-4o", "GPT-*", "as written"), false)
  t.end()
})
