import assert from "node:assert/strict"
import { test } from "tap"
import { cheapPattern } from "../../../addons/requery/cheap-pattern.ts"

test("a pattern runs if no group of it repeats, and on texts that it cannot take long for", async () => {
  for (const [pattern, text] of [
    ["^[a-z0-9._-]+@[a-z0-9-]+\\.[a-z]{2,10}$", "some.body@example.org"],
    ["^(open|closed|[A-Z]{3})$", "open"],
    ["^\\p{L}+$", "Wörter"],
    ["^(?:a|b)c?$", "ac"],
    ["^\\u{1F600}$", "\u{1F600}"],
    ["", "anything"],
    ["^\\(\\d{1,3}\\)$", "(12)"],
    ["^[(+*]$", "("],
  ] as const) {
    const test = cheapPattern(pattern)
    assert.equal(test?.(text), true, pattern)
    assert.equal(test?.(`${"\u0000".repeat(20)}`), pattern === "", pattern)
  }
})

test("a pattern that may take for ever is none, nor is what no engine takes", async () => {
  for (const pattern of [
    "(a+)+",
    "(a|b)*",
    "(a){2}",
    "(?<name>a)",
    "(?=a)",
    "(?<!a)b",
    "(a)\\1",
    "\\k<n>",
    "a{1000}",
    "a{1,1000}",
    "[",
    "a".repeat(501),
  ])
    assert.equal(cheapPattern(pattern), undefined, pattern)
})

test("the more parts repeat, the shorter a text has to be", async () => {
  const once = cheapPattern("a+$")
  assert.equal(once?.("a".repeat(1_000)), true)
  assert.equal(once?.("a".repeat(10_000)), undefined)
  const often = cheapPattern("a+b?c*d{1,3}")
  assert.equal(often?.("ab"), false)
  assert.equal(often?.("a".repeat(100)), undefined)
})

test("alternatives multiply: a pattern with too many ways through them is none, or takes short texts alone", async () => {
  for (const group of ["(a|a)", "(a|aa)", "(?:a|aa|)", "(a|(?:a|aa)a)"])
    for (const [before, after] of [
      ["^", "!$"],
      ["", "b"],
      ["x|", ""],
    ])
      assert.equal(cheapPattern(`${before}${group.repeat(22)}${after}`), undefined, group)
  const few = cheapPattern("^(a|aa)(a|aa)(a|aa)(a|aa)(a|aa)(a|aa)!$")
  assert.equal(few?.("aaaaaaaa!"), true)
  assert.equal(few?.("a".repeat(100)), false)
  assert.equal(few?.("a".repeat(10_000)), undefined)
  const names = Array.from({ length: 80 }, (_, i) => `n${i}`)
  assert.equal(cheapPattern(`^(${names.join("|")})$`)?.("n79"), true, "a list of names")
  assert.equal(cheapPattern("^\\|[|]\\(\\)$")?.("||()"), true, "what is no alternative")
})

test("what repeats a fixed number of times costs as if it were written out", async () => {
  const long = cheapPattern("a{999}".repeat(80))
  assert.equal(long?.("a".repeat(50)), false)
  assert.equal(long?.("a".repeat(5_000)), undefined)
  assert.equal(cheapPattern("^\\d{4}-\\d{2}-\\d{2}$")?.("2026-11-29"), true)
})
