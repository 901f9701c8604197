import { test } from "tap"
import { costOf, costOfPart } from "../../../addons/requery/cost.ts"
import type { Completion, LlmFlow } from "../../../lib/api/flow.ts"
import { NO_USAGE } from "../../../lib/llm/model.ts"
import { llmFlow } from "../../../lib/testing/flows.ts"

const COUNTER = {
  countRequest: async () => ({ tokens: 9 }) as never,
  countText: async (text: string) => text.length,
  warm: async () => {},
  boundRequest: () => 0,
}
const BUSY = {
  ...COUNTER,
  countRequest: () => Promise.reject(new Error("busy")),
  countText: () => Promise.reject(new Error("busy")),
}
const SAID = { text: "four", reasoning: "", refusal: "", toolCalls: [], model: "m", usage: NO_USAGE }

async function asked(): Promise<LlmFlow> {
  return (await llmFlow({ json: { model: "m", messages: [{ role: "user", content: "x" }] } })).flow
}

test("what a host did not tell is counted, and a counter that is busy costs the number, not the answer", async (t) => {
  const flow = await asked()
  const completion = SAID as unknown as Completion // what is counted of one
  t.match(await costOf(flow, completion, COUNTER as never), { inputTokens: 9, outputTokens: 4, source: "counted" })
  t.match(await costOfPart(flow, "two", COUNTER as never), { inputTokens: 9, outputTokens: 3, totalTokens: 12 })
  t.match(await costOfPart(flow, "", COUNTER as never), { inputTokens: 9, outputTokens: 0 })
  t.equal(await costOf(flow, completion, BUSY as never), undefined)
  t.equal(await costOfPart(flow, "two", BUSY as never), undefined)
})
