import { test } from "tap"
import { NO_USAGE } from "../../lib/llm/model.ts"
import { sumOfUsage } from "../../lib/llm/usage-sum.ts"

const ONE = { inputTokens: 3, outputTokens: 2, totalTokens: 5, cachedTokens: 1, reasoningTokens: undefined } as const

test("numbers add up, what only one tells is that one's, and one count of ours makes the sum counted", (t) => {
  const told = { ...ONE, source: "provider" } as const
  const counted = { ...ONE, cachedTokens: undefined, reasoningTokens: 7, source: "counted" } as const
  const sum = { inputTokens: 6, outputTokens: 4, totalTokens: 10, cachedTokens: 1, reasoningTokens: 7 }
  t.strictSame(sumOfUsage(told, counted), { ...sum, source: "counted" })
  t.strictSame(sumOfUsage(counted, told), { ...sum, source: "counted" })
  t.equal(sumOfUsage(told, told).source, "provider")
  t.equal(sumOfUsage(NO_USAGE, told), told)
  t.equal(sumOfUsage(told, NO_USAGE), told)
  t.end()
})
