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
