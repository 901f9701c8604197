/** The host's numbers where it gave them, else counts that are marked as such. */
import { test } from "tap"
import type { TokenService } from "../../../lib/api/addon.ts"
import { countedUsage, knownUsage, NO_TOKENS } from "../../../lib/cli/terminal/flow-usage.ts"
import { NO_USAGE } from "../../../lib/llm/model.ts"
import { CHAT, completionOf, endedChat, endedFlow } from "../../helpers/shown-flow.ts"

const TOKENS: TokenService = {
  countRequest: async () => ({ tokens: 100, method: "test", confidence: "exact" }),
  countText: async (text) => text.length,
  boundRequest: () => 0,
  warm: async () => {},
  vocabulary: () => Promise.reject(new Error("not in this test")),
}

test("the host's numbers are shown as they are", async (t) => {
  const usage = { ...NO_USAGE, inputTokens: 7, outputTokens: 3, source: "provider" as const }
  const flow = await endedChat(CHAT, { completion: completionOf("Hello", { usage }) })
  t.same(knownUsage(flow), { input: 7, output: 3, isCounted: false })
  const counted = await endedChat(CHAT, { completion: completionOf("", { usage: { ...usage, source: "counted" } }) })
  t.same(knownUsage(counted), { input: 7, output: 3, isCounted: true })
})

test("a flow without an answer of a model has no tokens", async (t) => {
  for (const flow of [await endedFlow({}, { status: 200 }), await endedChat(CHAT, { status: 500 })]) {
    t.same(knownUsage(flow), NO_TOKENS)
    t.same(await countedUsage(flow, TOKENS), NO_TOKENS)
  }
})

test("what the host does not say is counted: the request by its route or by us, the answer with all it holds", async (t) => {
  const toolCalls = [{ id: "1", name: "f", arguments: "{}" }]
  const flow = await endedChat(CHAT, { completion: completionOf("abc", { toolCalls }) })
  t.equal(knownUsage(flow), undefined)
  t.same(await countedUsage(flow, TOKENS), { input: 100, output: "abc\n\nf\n{}".length, isCounted: true })
  const routed = await endedChat(CHAT, { completion: completionOf(""), routed: { tokens: 20 } })
  t.same(await countedUsage(routed, TOKENS), { input: 20, output: 0, isCounted: true })
  const half = completionOf("abc", { usage: { ...NO_USAGE, inputTokens: 5 } })
  t.same(await countedUsage(await endedChat(CHAT, { completion: half }), TOKENS), {
    input: 5,
    output: 3,
    isCounted: true,
  })
})
