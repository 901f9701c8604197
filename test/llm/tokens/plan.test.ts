import { test } from "tap"
import type { JsonValue } from "../../../lib/base/json.ts"
import type { Message } from "../../../lib/llm/model.ts"
import { boundRequest, estimateText, planRequest } from "../../../lib/llm/tokens/plan.ts"
import { requestOf } from "../../helpers/llm/llm-request.ts"

const BASE64 = "QUFB".repeat(50_000)

test("a message costs 3 and its texts, a name 1, the reply 3", (t) => {
  const messages: Message[] = [
    { role: "user", name: "bob", content: "Hi" },
    { role: "assistant", content: null, refusal: "No." },
  ]
  t.match(planRequest(requestOf({ messages })), {
    fixed: 3 + 1 + 3 + 3,
    texts: ["user", "bob", "Hi", "assistant", "No."],
    estimated: false,
  })
  t.end()
})

test("base64 is measured, never counted as text", (t) => {
  const content = [
    { type: "text", text: "Look:" },
    { type: "image_url", image_url: { url: `data:image/png;base64,${BASE64}`, detail: "low" } },
    { type: "input_image", image_url: `data:image/png;base64,${BASE64}`, detail: "low" },
    { type: "image", source: { type: "base64", media_type: "image/png", data: BASE64 } },
    { type: "input_audio", input_audio: { data: BASE64, format: "wav" } },
    { type: "file", file: { filename: "a.pdf", file_data: `data:application/pdf;base64,${BASE64}` } },
    { type: "refusal", refusal: "No." },
    { type: "video", video: BASE64 },
  ]
  const plan = planRequest(requestOf({ content }))
  t.same(plan.texts, ["user", "Look:", "No."])
  t.equal(plan.fixed, 3 + 3 + 85 + 85 + 765 + 32 + 2000)
  t.ok(plan.estimated)
  t.ok(boundRequest(requestOf({ content })) < 3_000)
  t.end()
})

test("odd parts cost nothing and hurt nothing", (t) => {
  const content = ["text", { type: "image_url" }, { type: "input_audio" }, { type: "text" }, { type: "new", text: "a" }]
  const plan = planRequest(requestOf({ content: content as never }))
  t.same(plan.texts, ["user", "a"])
  t.equal(plan.fixed, 6 + 765)
  t.end()
})

test("tool calls count their names and arguments, their answers the id as well", (t) => {
  const call = { id: "call_1", type: "function", function: { name: "get", arguments: '{"a":1}' } }
  const custom = { id: "call_2", type: "custom", custom: { name: "run", input: "x" } }
  const messages: Message[] = [
    { role: "assistant", content: null, tool_calls: [call, custom, null, { id: "odd" }] },
    { role: "tool", tool_call_id: "call_1", content: "ok" },
    { role: "assistant", function_call: { name: "old", arguments: { a: 1 } } },
  ]
  const plan = planRequest(requestOf({ messages }))
  const texts = ["assistant", "get", '{"a":1}', "run", "x", "tool", "ok", "call_1", "assistant", "old", '{"a":1}']
  t.same(plan.texts, texts)
  t.equal(plan.fixed, 3 * 3 + 3 + 3 * 3)
  t.ok(plan.estimated)
  t.end()
})

test("a completion's prompt is text, texts, or token ids", (t) => {
  const plan = (prompt: JsonValue): unknown =>
    planRequest(requestOf({ dialect: "openai-completions", body: { prompt, suffix: "end" } }))
  t.match(plan("one"), { texts: ["one", "end"], fixed: 0, estimated: false })
  t.match(plan(["one", "two"]), { texts: ["one", "two", "end"], fixed: 0 })
  t.match(plan([1, 2, 3]), { texts: ["end"], fixed: 3 })
  t.match(plan([[1, 2], [3]]), { texts: ["end"], fixed: 3 })
  t.end()
})

test("a system prompt beside the messages is one message more", (t) => {
  const messages = [{ role: "user", content: "Hi" }]
  const plan = planRequest(requestOf({ dialect: "anthropic-messages", system: "Be short.", messages }))
  t.match(plan, { texts: ["system", "Be short.", "user", "Hi"], fixed: 9 })
  t.equal(planRequest(requestOf({ dialect: "anthropic-messages", messages })).fixed, 6)
  t.equal(planRequest(requestOf({ system: "in the list already", messages })).fixed, 6)
  t.end()
})

test("a schema for the answer is counted as text", (t) => {
  const body = { response_format: { type: "json_schema", json_schema: { name: "a", schema: { type: "object" } } } }
  t.match(planRequest(requestOf({ body })), { texts: ['{"name":"a","schema":{"type":"object"}}'], estimated: true })
  t.same(planRequest(requestOf({ body: { response_format: { type: "json_object" } } })).texts, [])
  t.end()
})

test("beyond two thousand texts the rest is estimated at once", (t) => {
  const messages = Array.from({ length: 4_000 }, () => ({ role: "user", content: "six by" }))
  const plan = planRequest(requestOf({ messages }))
  t.equal(plan.texts.length, 2_000)
  t.ok(plan.estimated)
  t.equal(plan.fixed, 4_000 * 3 + 3 + 3_000 * (2 + 2))
  t.end()
})

test("JSON of any depth is planned, never an error", (t) => {
  const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`) as JsonValue
  const body = { response_format: { json_schema: { deep } } }
  const messages = [{ role: "assistant", function_call: { name: "f", arguments: deep }, content: deep as never }]
  const tools = [{ name: "g", parameters: { properties: { p: { enum: [deep] } } } }]
  t.same(planRequest(requestOf({ body, messages, tools })).texts, ["assistant", "f", "g:", "p::"])
  t.same(planRequest(requestOf({ dialect: "openai-completions", body: { prompt: deep } })).texts, [])
  t.end()
})

test("an estimate is a token for three bytes", (t) => {
  t.equal(estimateText(""), 0)
  t.equal(estimateText("abcd"), 2)
  t.equal(estimateText("漢字"), 2)
  t.end()
})
