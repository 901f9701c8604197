import { test } from "tap"
import type { JsonObject, JsonValue } from "../../../lib/base/json.ts"
import { finishReasonOf } from "../../../lib/llm/finish-words.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import { CHOICES_MAX, ChunkReader, readUsage } from "../../../lib/llm/openai/read.ts"

function read(json: JsonValue): Delta[] {
  return new ChunkReader().read(json)
}

function delta(fields: JsonObject): JsonObject {
  return { choices: [{ index: 0, delta: fields }] }
}

test("a chunk that only opens a choice has no deltas", async (t) => {
  const openers: JsonObject[] = [
    { role: "assistant" },
    { role: "assistant", content: "" },
    { role: "assistant", content: null, refusal: null, tool_calls: null, function_call: null },
    { content: "", reasoning_content: null, reasoning: null, reasoning_details: [] },
    {},
  ]
  for (const opener of openers) t.strictSame(read(delta(opener)), [], JSON.stringify(opener))
  t.strictSame(read({ choices: [{ index: 0, text: "" }] }), [])
})

test("what no delta tells is an other delta with the whole chunk", async (t) => {
  const chunks: JsonValue[] = [
    { choices: [] },
    { choices: [], prompt_filter_results: [] },
    { choices: [{ index: 0, finish_reason: null }] },
    { choices: [{ index: CHOICES_MAX, delta: { content: "a" } }] },
    { choices: [{ index: -1, delta: { content: "a" } }] },
    { choices: [{ index: 0.5, delta: { content: "a" } }] },
    delta({ audio: { data: "AAAA" } }),
    { object: "something.else" },
    [],
    "text",
    null,
  ]
  for (const chunk of chunks) t.strictSame(read(chunk), [{ type: "other", raw: chunk }], JSON.stringify(chunk))
})

test("odd values cost a field, not the chunk", async (t) => {
  const odd = {
    choices: [
      null,
      1,
      { index: "x", delta: { content: 1, refusal: {}, tool_calls: "x" } },
      { delta: { content: "a" } },
    ],
  }
  t.strictSame(read(odd), [{ type: "text", index: 0, text: "a" }])
})

test("reasoning sent under two names is told once", async (t) => {
  const both = { reasoning: "think", reasoning_content: "think" }
  t.strictSame(read(delta(both)), [{ type: "reasoning", index: 0, text: "think" }])
  t.strictSame(read(delta({ reasoning: "think" })), [{ type: "reasoning", index: 0, text: "think" }])
})

test("finish reasons have our word beside the provider's", async (t) => {
  const words: [string, string][] = [
    ["stop", "stop"],
    ["eos_token", "stop"],
    ["length", "length"],
    ["tool_calls", "toolCalls"],
    ["function_call", "toolCalls"],
    ["content_filter", "contentFilter"],
    ["error", "error"],
    ["abort", "other"],
  ]
  for (const [raw, unified] of words) t.strictSame(finishReasonOf(raw), { unified, raw })
})

test("usage is found where servers put it", async (t) => {
  const usage = { prompt_tokens: 1, completion_tokens: 2 }
  for (const json of [{ usage }, { x_groq: { usage } }, { choices: [{ usage }] }]) {
    t.match(readUsage(json), { inputTokens: 1, outputTokens: 2, totalTokens: 3, source: "provider" })
  }
  for (const json of [{}, { usage: null }, { usage: "" }, { timings: { prompt_n: 1, predicted_n: 2 } }]) {
    t.equal(readUsage(json), undefined, JSON.stringify(json))
  }
  t.match(readUsage({ usage: { prompt_tokens: 1, prompt_cache_hit_tokens: 9 } }), {
    totalTokens: undefined,
    cachedTokens: 9,
  })
})

test("llama.cpp's timings are usage when they tell the cached part of the prompt", async (t) => {
  const timings = { cache_n: 10, prompt_n: 2, predicted_n: 5 }
  t.match(readUsage({ timings }), { inputTokens: 12, outputTokens: 5, totalTokens: 17, cachedTokens: 10 })
})
