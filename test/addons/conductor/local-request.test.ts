import { test } from "tap"
import { askedTokens, localRequest, obstacleIn } from "../../../addons/conductor/local-request.ts"
import { OPTIONS } from "../../../addons/conductor/options.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import type { LlmRequest } from "../../../lib/llm/model.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"

const MESSAGES = [{ role: "user", content: "hi" }]

function request(more: JsonObject = {}): LlmRequest {
  const made = openaiChat.parseRequest({ model: "gpt-4", messages: MESSAGES, ...more }, "/v1/chat/completions")
  if (made === undefined) throw new Error("no request")
  return made
}

const BASE = { model: "local", params: {}, left: 500 } as const

test("completions: the conversation as DeepSeek-Coder knows it, raw, with its stop strings", (t) => {
  const { path, dialect, json } = localRequest(request({ stop: "END", stream: true, tool_choice: "none" }), {
    ...BASE,
    api: "completions",
  })
  t.equal(path, "/v1/completions")
  t.equal(dialect, "openai-completions")
  t.match(json.prompt, /^You are an AI programming assistant, .*\n### Instruction:\nhi\n### Response:\n$/s)
  t.strictSame(json, {
    model: "local",
    stream: true,
    stop: ["END", "<|EOT|>", "### Instruction:", "<｜end▁of▁sentence｜>"],
    max_tokens: 500,
    prompt: json.prompt,
  })
  t.end()
})

test("chat: the non-empty contents, joined by one space, in one user message", (t) => {
  const messages = [
    { role: "system", content: "one" },
    { role: "user", content: "" },
    { role: "assistant", content: [{ type: "text", text: "two" }] },
    { role: "user", content: "three" },
  ]
  const { path, json } = localRequest(request({ messages }), { ...BASE, api: "chat" })
  t.equal(path, "/v1/chat/completions")
  t.strictSame(json, { model: "local", messages: [{ role: "user", content: "one two three" }] })
  t.end()
})

test("messages: kept as they are, and developer becomes system", (t) => {
  const odd = { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA" } }], x: 1 }
  const messages = [{ role: "developer", content: "be brief", name: "d" }, odd]
  const tools = [{ type: "function", function: { name: "f" } }]
  const original = request({ messages, tools, seed: 5 })
  const { json } = localRequest(original, { ...BASE, api: "messages" })
  t.strictSame(json, {
    model: "local",
    messages: [{ role: "system", content: "be brief", name: "d" }, odd],
    tools,
    seed: 5,
  })
  t.equal(original.messages[0]?.role, "developer", "the client's request stays as it is, for the cloud")
  t.end()
})

test("localParams replaces what it lists and nothing else", (t) => {
  const params = OPTIONS.localParams.default
  const { json } = localRequest(request({ temperature: 0.9, seed: 7, n: 1 }), { ...BASE, api: "chat", params })
  t.match(json, {
    temperature: 0.3,
    n: 1,
    top_p: 0.95,
    top_k: 40,
    min_p: 0.05,
    presence_penalty: 0,
    frequency_penalty: 0,
    seed: 7,
  })
  const own = localRequest(request({ temperature: 0.9, top_p: 1 }), { ...BASE, api: "chat", params: { top_p: 0.5 } })
  t.match(own.json, { temperature: 0.9, top_p: 0.5 })
  const form = { model: "x", messages: [], stream: true, stop: ["S"] }
  const { json: raw } = localRequest(request(), { ...BASE, api: "completions", params: form })
  t.match(raw, { model: "local", stop: ["S", "<|EOT|>"] }, "the form itself is not for parameters to change")
  t.notHas(raw, { stream: true })
  const stop = localRequest(request({ stop: ["A"] }), { ...BASE, api: "completions", params: { stop: "B" } }).json.stop
  t.match(stop, ["B", "<|EOT|>"])
  t.equal(localRequest(request({ n: 3 }), { ...BASE, api: "messages", params }).json.n, 3, "choices the client wants")
  t.end()
})

test("max_tokens is cut to what fits", (t) => {
  const limit = (more: JsonObject, api: "completions" | "chat", params = {}) => {
    const { json } = localRequest(request(more), { ...BASE, api, params })
    t.notOk("max_completion_tokens" in json, "hosts know the older name")
    return json.max_tokens
  }
  t.equal(limit({ max_tokens: 100 }, "chat"), 100)
  t.equal(limit({ max_tokens: 1_000 }, "chat"), 500)
  t.equal(limit({ max_completion_tokens: 1_000 }, "completions"), 500)
  t.equal(limit({}, "chat"), undefined, "a chat ends by itself")
  t.equal(limit({}, "completions"), 500, "some hosts end a raw completion after 16 tokens")
  t.equal(limit({ max_tokens: -1 }, "chat"), undefined)
  t.equal(limit({ max_tokens: 1_000 }, "chat", { max_tokens: 50 }), 50)
  t.equal(askedTokens(request({ max_tokens: -1 })), undefined)
  t.equal(askedTokens(request({ max_tokens: 5, max_completion_tokens: 6 })), 6)
  t.end()
})

test("without a known model the host decides", (t) => {
  const { json } = localRequest(request(), { ...BASE, api: "chat", model: undefined })
  t.notOk("model" in json)
  t.end()
})

test("what one text cannot carry is named with its field", (t) => {
  const part = (type: unknown) => ({ messages: [{ role: "user", content: [{ type, text: "x" }] }] }) as JsonObject
  const cases: [JsonObject, what: string, field: string][] = [
    [{ tools: [{}] }, "tools", "tools"],
    [{ functions: [{}] }, "functions", "functions"],
    [{ messages: [{ role: "tool", content: "x" }] }, "tool messages", "messages"],
    [{ messages: [{ role: "function", content: "x" }] }, "tool messages", "messages"],
    [{ messages: [{ role: "assistant", tool_calls: [{}] }] }, "tool messages", "messages"],
    [{ messages: [{ role: "assistant", function_call: {} }] }, "tool messages", "messages"],
    [{ messages: [{ role: "assistant", audio: { id: "a" } }] }, "audio", "messages"],
    [part("image_url"), "images", "messages"],
    [part("input_audio"), "audio", "messages"],
    [part("file"), "files", "messages"],
    [part("video"), 'content of type "video"', "messages"],
    [part(7), "content of type 7", "messages"],
    [{ audio: { voice: "x" } }, "audio", "modalities"],
    [{ modalities: ["text", "audio"] }, "audio", "modalities"],
    [{ n: 2 }, "n", "n"],
    [{ logprobs: true }, "logprobs", "logprobs"],
    [{ top_logprobs: 2 }, "logprobs", "logprobs"],
    [{ response_format: { type: "json_object" } }, "response_format", "response_format"],
  ]
  for (const [more, what, field] of cases)
    t.strictSame(obstacleIn(request(more)), { what, field }, JSON.stringify(more))
  t.end()
})

test("fields that ask for nothing are no obstacle", (t) => {
  const harmless: JsonObject[] = [
    { tools: [], functions: [], n: 1, logprobs: false, top_logprobs: 0 },
    { tools: null, audio: null, modalities: ["text"], response_format: { type: "text" } },
    { messages: [{ role: "assistant", content: null, tool_calls: [], function_call: null }] },
    { messages: [{ role: "user", content: [{ type: "text", text: "x" }] }] },
    { messages: [{ role: "assistant", content: [{ type: "refusal", refusal: "no" }] }] },
  ]
  for (const more of harmless) t.equal(obstacleIn(request(more)), undefined, JSON.stringify(more))
  t.end()
})
