import { test } from "tap"
import { DURATION_BUCKETS, errorTypeOf, operationOf, providerOf } from "../../../addons/shared/gen-ai.ts"
import { defineAddon, type Flow } from "../../../lib/index.ts"
import { loadAddon } from "../../../lib/testing/index.ts"

test("durations have the conventions' bounds", (t) => {
  t.equal(DURATION_BUCKETS.length, 14)
  t.strictSame([DURATION_BUCKETS[0], DURATION_BUCKETS[13]], [0.01, 81.92])
  t.end()
})

test("provider, operation and error of flows are the conventions' words", async (t) => {
  const told: (string | undefined)[][] = []
  const tell = (flow: Flow) => {
    const { llm } = flow
    told.push([providerOf(flow), llm && operationOf({ llm }), errorTypeOf(flow)])
  }
  const addon = await loadAddon(defineAddon({ name: "tell", reads: "llm", response: tell, error: tell }))
  t.teardown(() => addon.close())
  const json = { model: "m", messages: [{ role: "user", content: "a" }] }
  const ask = (url: string, body: Parameters<typeof addon.request>[0]["json"] = json) =>
    addon.request({ url, json: body })
  addon.answer("A")
  await ask("https://api.openai.com/v1/chat/completions")
  await ask("https://eu.api.mistral.ai/v1/chat/completions")
  await ask("http://box.test:1234/v1/completions", { model: "m", prompt: "a" })
  await ask("http://box.test:11434/api/chat")
  await ask("https://box.test/v1/messages", { ...json, max_tokens: 5 })
  addon.answer({ status: 404, text: "none" })
  await addon.request({ url: "https://box.test/other" })
  addon.answer({ status: 500, error: { code: "odd", message: "what?" } })
  await ask("https://api.x.ai/v1/chat/completions")
  addon.answer({ status: 429, error: { code: "rate_limit_exceeded", message: "slow" } })
  await ask("https://api.deepseek.com/v1/chat/completions")
  t.strictSame(told, [
    ["openai", "chat", undefined],
    ["mistral_ai", "chat", undefined],
    ["openai", "text_completion", undefined],
    ["ollama", "chat", undefined],
    ["anthropic", "chat", undefined],
    ["unknown", undefined, "404"],
    ["x_ai", "chat", "500"],
    ["deepseek", "chat", "rate_limit"],
  ])
})
