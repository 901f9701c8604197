/** What a request asks: OpenAI's fields, and which are refused by name. */
import { test } from "tap"
import { type Asked, askedIn } from "../../../addons/local-model/asked.ts"
import type { Refusal } from "../../../addons/local-model/refusal.ts"
import type { JsonObject, JsonValue } from "../../../lib/base/json.ts"

const HI = [{ role: "user", content: "Hi." }]

function chat(more: JsonObject): Asked | Refusal {
  return askedIn("chat", { model: "m", messages: HI, ...more })
}

test("what a request does not say is llama.cpp's own; null says nothing", async (t) => {
  const asked = chat({ temperature: null, stop: null, tools: null, logit_bias: null, response_format: null, n: null })
  t.match(asked, {
    kind: "chat",
    messages: HI,
    sampling: {
      ...{ temperature: 0.8, topP: 0.95, topK: 40, minP: 0.05, repeatPenalty: 1 },
      ...{ frequencyPenalty: 0, presencePenalty: 0, seed: undefined, bias: {} },
    },
    ...{ stop: [], tools: [], maxTokens: undefined, form: undefined, stream: false, includeUsage: false },
  })
})

test("what it says is taken", async (t) => {
  const tool = { type: "function", function: { name: "f" } }
  const asked = chat({
    ...{
      temperature: 0,
      top_p: 0.5,
      top_k: 3,
      min_p: 0,
      repeat_penalty: 1.1,
      presence_penalty: -1,
      frequency_penalty: 1,
    },
    ...{ seed: 9, stop: ["a", "b"], max_tokens: 7, max_completion_tokens: 8, logit_bias: { "12": -100 } },
    ...{ stream: true, stream_options: { include_usage: true }, tools: [tool], tool_choice: "auto", user: "ann" },
    ...{ n: 1, logprobs: false, modalities: ["text"], response_format: { type: "json_object" } },
  })
  t.match(asked, {
    sampling: {
      ...{ temperature: 0, topP: 0.5, topK: 3, minP: 0, repeatPenalty: 1.1, presencePenalty: -1, frequencyPenalty: 1 },
      ...{ seed: 9, bias: { "12": -100 } },
    },
    ...{ stop: ["a", "b"], maxTokens: 8, stream: true, includeUsage: true, tools: [tool], form: { kind: "json" } },
  })
  const schema = { type: "object" }
  t.match(chat({ response_format: { type: "json_schema", json_schema: { schema } } }), {
    form: { kind: "schema", schema },
  })
  t.match(chat({ response_format: { type: "text" }, stop: "end" }), { form: undefined, stop: ["end"] })
  t.match(chat({ tools: [tool], tool_choice: "none" }), { tools: [] })
})

test("messages are texts; a call's arguments are an object for the template", async (t) => {
  const call = (given: string) => ({ id: "c", type: "function", function: { name: "f", arguments: given } })
  const messages = [
    {
      role: "developer",
      content: [
        { type: "text", text: "Be" },
        { type: "text", text: "kind." },
      ],
    },
    { role: "assistant", content: null, tool_calls: [call('{"a":1}'), call("no JSON"), 1] },
    { role: "tool", tool_call_id: "c", content: "done" },
  ]
  t.match(chat({ messages }), {
    messages: [
      { role: "system", content: "Be\nkind." },
      {
        role: "assistant",
        content: "",
        tool_calls: [{ function: { arguments: { a: 1 } } }, { function: { arguments: "no JSON" } }, 1],
      },
      { role: "tool", content: "done" },
    ],
  })
})

test("a completion has one text, and 16 tokens where it says nothing", async (t) => {
  t.match(askedIn("completion", { prompt: "Say" }), { prompt: "Say", maxTokens: 16, model: "" })
  t.match(askedIn("completion", { prompt: ["Say"], max_tokens: 0 }), { prompt: "Say", maxTokens: 0 })
  t.match(askedIn("completion", { prompt: ["a", "b"] }), { param: "prompt" })
  t.match(askedIn("completion", { prompt: "x", echo: true }), { param: "echo" })
})

test("what cannot be honoured is refused by its name", async (t) => {
  const image = [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] }]
  const wrong: [string, JsonValue][] = [
    ...([
      ["n", 2],
      ["best_of", 2],
      ["logprobs", true],
      ["top_logprobs", 1],
      ["suffix", "x"],
    ] as [string, JsonValue][]),
    ...([
      ["functions", [{}]],
      ["function_call", { name: "f" }],
      ["audio", {}],
      ["modalities", ["audio"]],
    ] as [string, JsonValue][]),
    ...([
      ["temperature", 3],
      ["top_p", "1"],
      ["max_tokens", 1.5],
      ["max_tokens", -1],
      ["seed", 0.5],
    ] as [string, JsonValue][]),
    ...([
      ["stop", [1]],
      ["stop", Array(17).fill("x")],
      ["tools", {}],
      ["tools", [{ type: "web_search" }]],
    ] as [string, JsonValue][]),
    ...([
      ["logit_bias", { x: 1 }],
      ["logit_bias", { "1": 101 }],
      ["logit_bias", []],
    ] as [string, JsonValue][]),
    ...([
      ["response_format", "json"],
      ["response_format", { type: "json_schema" }],
    ] as [string, JsonValue][]),
  ]
  for (const [param, value] of wrong)
    t.match(chat({ [param]: value }), { status: 400, param }, `${param}: ${JSON.stringify(value)}`)
  const tools = [{ type: "function", function: { name: "f" } }]
  t.match(chat({ tools, tool_choice: "required" }), { param: "tool_choice" })
  t.match(chat({ messages: [] }), { param: "messages" })
  t.match(chat({ messages: [1] }), { param: "messages[0]" })
  t.match(chat({ messages: image }), { param: "messages[0].content", message: /texts alone/ })
})
