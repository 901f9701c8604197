import { test } from "tap"
import type { TokenService } from "../../lib/api/addon.ts"
import type { Flow, FlowLlm, Usage } from "../../lib/api/flow.ts"
import { countUsage } from "../../lib/api/usage.ts"
import { completion } from "../helpers/flow-snapshots.ts"
import { requestOf } from "../helpers/llm/llm-request.ts"

const tokens: TokenService = {
  countRequest: async () => ({ tokens: 100, method: "test", confidence: "estimated" }),
  countText: async (text) => text.length,
  boundRequest: () => 0,
  warm: async () => {},
  vocabulary: () => Promise.reject(new Error("not in this test")),
}

function flow(usage: Partial<Usage>, text = "four", routed?: Flow["routed"]): Pick<Flow, "llm" | "routed"> {
  const llm: FlowLlm = {
    dialect: "openai-chat",
    request: requestOf({}),
    completion: completion(text, usage),
    error: undefined,
  }
  return { llm, routed }
}

const NONE = { inputTokens: undefined, outputTokens: undefined, totalTokens: undefined, source: "none" } as const

test("the host's own numbers stay as they are", async (t) => {
  t.match(await countUsage(flow({ cachedTokens: 3 }), tokens), {
    inputTokens: 10,
    outputTokens: 5,
    cachedTokens: 3,
    source: "provider",
  })
})

test("what the host did not say is counted, and the source says so", async (t) => {
  t.match(await countUsage(flow(NONE), tokens), {
    inputTokens: 100,
    outputTokens: 4,
    totalTokens: 104,
    source: "counted",
  })
  t.match(await countUsage(flow({ outputTokens: undefined, cachedTokens: 2 }), tokens), {
    inputTokens: 10,
    outputTokens: 4,
    totalTokens: 14,
    cachedTokens: 2,
    source: "counted",
  })
  t.match(await countUsage(flow(NONE, ""), tokens), { inputTokens: 100, outputTokens: 0 })
})

test("what a route has counted is not counted again", async (t) => {
  const routed = { name: "local", reason: undefined, tokens: 42, url: undefined }
  t.match(await countUsage(flow(NONE, "four", routed), tokens), { inputTokens: 42, totalTokens: 46 })
})

test("without an answer there is no usage", async (t) => {
  t.match(await countUsage({ llm: undefined, routed: undefined }, tokens), { inputTokens: undefined, source: "none" })
})
