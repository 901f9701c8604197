import { test } from "tap"
import { HOOK_NAMES } from "../../lib/api/hooks.ts"
import { didYouMean, editDistance, nearest } from "../../lib/base/did-you-mean.ts"

test("a slip of the finger finds the hook that was meant", (t) => {
  const slips: [string, string][] = [
    ["reponse", "response"],
    ["requst", "request"],
    ["onRequest", "request"],
    ["llmrequest", "llmRequest"],
    ["llmDetla", "llmDelta"],
    ["response_headers", "responseHeaders"],
    ["requestheaders", "requestHeaders"],
    ["laod", "load"],
  ]
  for (const [slip, meant] of slips) t.equal(nearest(slip, HOOK_NAMES), meant, slip)
  t.end()
})

test("another word gets no suggestion", (t) => {
  for (const word of ["banana", "x", "", "transformEverything"]) t.equal(didYouMean(word, HOOK_NAMES), "", word)
  t.equal(didYouMean("reponse", HOOK_NAMES), '; did you mean "response"?')
  t.end()
})

test("the distance counts insertions, deletions, replacements and swaps of neighbours", (t) => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "", 3],
    ["abc", "abc", 0],
    ["abc", "abd", 1],
    ["abc", "acb", 1],
    ["abc", "bc", 1],
    ["kitten", "sitting", 3],
  ]
  for (const [a, b, distance] of cases) t.equal(editDistance(a, b), distance, `${a} ${b}`)
  t.end()
})
