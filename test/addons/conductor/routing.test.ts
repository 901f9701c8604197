import { test } from "tap"
import { mappedModel } from "../../../addons/conductor/routing.ts"
import { isLike } from "../../../addons/shared/globs.ts"

test("a pattern is a whole name in which * is any text", (t) => {
  for (const [name, pattern, fits] of [
    ["gpt-4o", "gpt-4o", true],
    ["gpt-4o-mini", "gpt-4o", false],
    ["gpt-4o-mini", "gpt-4*", true],
    ["GPT-4", "gpt-4*", true],
    ["gpt-4", "*", true],
    ["", "*", true],
    ["a-b-c", "a*b*c", true],
    ["a-c-b", "a*b*c", false],
    ["ab", "ab*b", false],
    ["aab", "*ab", true],
    ["a.b", "a?b", false],
    ["aaa", "a*a*a*a", false],
    ["xay", "*a*", true],
  ] as const)
    t.equal(isLike(name, pattern), fits, `${name} ${pattern}`)
  t.end()
})

test("a hostile pattern takes no time", (t) => {
  t.equal(isLike("a".repeat(50_000), `${"a*".repeat(50)}b`), false)
  t.end()
})

test("the first entry that fits maps", (t) => {
  const map = { "gpt-4o": "a", "gpt-4*": "b", odd: 5 }
  t.equal(mappedModel(map, "gpt-4o"), "a")
  t.equal(mappedModel(map, "gpt-4.1"), "b")
  t.equal(mappedModel(map, "o1"), undefined)
  t.equal(mappedModel(map, "odd"), undefined)
  t.end()
})
