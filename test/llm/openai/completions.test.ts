import { test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import type { EncodeContext } from "../../../lib/llm/dialect.ts"
import type { LlmRequest } from "../../../lib/llm/model.ts"
import { openaiCompletions } from "../../../lib/llm/openai/completions.ts"

const CONTEXT: EncodeContext = { id: "cmpl-made", model: "m", created: 7, request: undefined }

function request(body: JsonObject): LlmRequest {
  const parsed = openaiCompletions.parseRequest(body, "/v1/completions")
  if (!parsed) throw new Error("no request")
  return parsed
}

test("a body without a prompt is no completions request", async (t) => {
  for (const body of [{}, { prompt: 1 }, { prompt: null }, { messages: [] }]) {
    t.equal(openaiCompletions.parseRequest(body, "/v1/completions"), undefined, JSON.stringify(body))
  }
})

test("a prompt is one user message, and editing the message edits the prompt", async (t) => {
  const view = request({ prompt: "Once" })
  const [message] = view.messages
  t.match(message, { role: "user", content: "Once" })
  t.equal(JSON.stringify(message), '{"role":"user","content":"Once"}')
  if (message) message.content = "Twice"
  t.equal(view.body.prompt, "Twice")
  if (message) message.content = null
  t.equal(view.body.prompt, "")
})

test("a list of prompts is one message of text parts; a list of one is its text", async (t) => {
  const view = request({ prompt: ["a", "b"] })
  const [message] = view.messages
  const parts = [
    { type: "text", text: "a" },
    { type: "text", text: "b" },
  ]
  t.strictSame(message?.content, parts)
  if (message) message.content = [...parts, { type: "image" }]
  t.strictSame(view.body.prompt, ["a", "b", ""])
  t.equal(request({ prompt: ["a"] }).messages[0]?.content, "a")
})

test("a message whose prompt has become token ids reads as empty", async (t) => {
  const view = request({ prompt: "a" })
  const [message] = view.messages
  view.body.prompt = [1, 2]
  t.equal(message?.content, "")
})

test("a prompt of token ids has no text, so it has no messages", async (t) => {
  for (const prompt of [
    [1, 2],
    [[1], [2]],
    [1, "mixed"],
  ])
    t.strictSame(request({ prompt }).messages, [])
})

test("assigned messages become the prompt, a blank line between them", async (t) => {
  const view = request({ prompt: [1, 2] })
  view.messages = [
    { role: "system", content: "s" },
    { role: "user", content: [{ type: "text", text: "u" }] },
  ]
  t.equal(view.body.prompt, "s\n\nu")
})

test("there is no place for a system prompt: reading gives none, setting says so", async (t) => {
  const view = request({ prompt: "a" })
  t.equal(view.system, undefined)
  view.system = undefined
  t.throws(
    () => {
      view.system = "Be brief."
    },
    { code: "no-system-prompt", source: "addon" },
  )
  t.strictSame(view.body, { prompt: "a" })
})

test("parameters are views on the body", async (t) => {
  const view = request({ prompt: "a", model: "m", max_tokens: 5, stop: ["x"], echo: true })
  t.match(view, { dialect: "openai-completions", model: "m", maxTokens: 5, stop: ["x"], n: 1 })
  view.maxTokens = 6
  t.strictSame(view.body, { prompt: "a", model: "m", max_tokens: 6, stop: ["x"], echo: true })
})

test("chunks are text_completion; what has no place in them is left out", async (t) => {
  const encoder = openaiCompletions.encoder(CONTEXT)
  const text = [
    encoder.delta({ type: "reasoning", index: 0, text: "r" }),
    encoder.delta({ type: "toolCall", index: 0, call: 0, id: "x", name: "f", arguments: "{}" }),
    encoder.delta({ type: "text", index: 0, text: "a" }),
    encoder.end(),
  ].join("")
  const head = '{"id":"cmpl-made","object":"text_completion","created":7,"model":"m","choices":[{"index":0,'
  t.equal(
    text,
    `data: ${head}"text":"a","logprobs":null,"finish_reason":null}]}\n\n` +
      `data: ${head}"text":"","logprobs":null,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`,
  )
})
