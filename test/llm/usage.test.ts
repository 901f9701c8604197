import { test } from "tap"
import type { JsonObject } from "../../lib/base/json.ts"
import { Assembler } from "../../lib/llm/assemble.ts"
import { DIALECTS } from "../../lib/llm/index.ts"
import type { Usage } from "../../lib/llm/model.ts"
import { mergeUsage, readCounts } from "../../lib/llm/usage.ts"

const NONE = { cachedTokens: undefined, reasoningTokens: undefined, source: "provider" } as const

function usage(inputTokens: number | undefined, outputTokens: number | undefined, totalTokens?: number): Usage {
  return { inputTokens, outputTokens, totalTokens, ...NONE }
}

test("zeros never overwrite numbers, in a report or between two", async (t) => {
  t.match(mergeUsage(usage(10, undefined), usage(0, 5, 5)), { inputTokens: 10, outputTokens: 5, totalTokens: 15 })
  t.match(mergeUsage(usage(10, 5, 15), usage(0, 0, 0)), { inputTokens: 10, outputTokens: 5, totalTokens: 15 })
  t.match(mergeUsage(usage(10, 5, 15), usage(10, 9, 19)), { outputTokens: 9, totalTokens: 19 })
  t.match(mergeUsage(undefined, usage(0, 5)), { inputTokens: 0, outputTokens: 5 })
  t.equal(readCounts({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }), undefined)
  t.match(readCounts({ prompt_tokens: 0, input_tokens: 7, output_tokens: 2, total_tokens: 0 }), {
    inputTokens: 7,
    outputTokens: 2,
    totalTokens: 9,
  })
  const assembler = new Assembler()
  assembler.add({ type: "usage", usage: usage(10, 5, 15) })
  assembler.add({ type: "usage", usage: usage(0, 0, 0) })
  t.match(assembler.finish(false).usage, { inputTokens: 10, outputTokens: 5, totalTokens: 15 })
})

test("both names of the counts are read in every dialect", async (t) => {
  const counts = [
    { prompt_tokens: 9, completion_tokens: 4 },
    { input_tokens: 9, output_tokens: 4 },
  ]
  const bodies: Record<string, JsonObject> = {
    "openai-chat": { choices: [{ message: { content: "Hi" } }] },
    "openai-completions": { choices: [{ text: "Hi" }] },
    "openai-responses": { object: "response", output: [{ type: "message", content: [{ text: "Hi" }] }] },
    "anthropic-messages": { type: "message", content: [{ type: "text", text: "Hi" }] },
    ollama: { message: { content: "Hi" }, done: true },
    llamacpp: { content: "Hi", stop: true },
  }
  for (const dialect of DIALECTS)
    for (const told of counts) {
      const answer = dialect.parseAnswer({ ...bodies[dialect.name], usage: told })
      const wanted = { inputTokens: 9, outputTokens: 4, totalTokens: 13, source: "provider" }
      t.match(answer?.completion?.usage, wanted, `${dialect.name}: ${JSON.stringify(told)}`)
    }
})

test("the cached part of a prompt is found wherever hosts put it", async (t) => {
  const places: JsonObject[] = [
    { prompt_tokens_details: { cached_tokens: 6 } },
    { input_tokens_details: { cached_tokens: 6 } },
    { prompt_cache_hit_tokens: 6, prompt_cache_miss_tokens: 3 },
    { cached_tokens: 6 },
    { cache_read_input_tokens: 6 },
    { prompt_tokens_details: { cached_tokens: 0 }, cached_tokens: 6 },
  ]
  for (const place of places)
    t.match(readCounts({ prompt_tokens: 9, completion_tokens: 4, ...place }), { inputTokens: 9, cachedTokens: 6 })
  const apart = { input_tokens: 3, output_tokens: 4, cache_read_input_tokens: 5, cache_creation_input_tokens: 1 }
  t.match(readCounts(apart), { inputTokens: 9, cachedTokens: 5, totalTokens: 13 }, "Anthropic counts it apart")
})
