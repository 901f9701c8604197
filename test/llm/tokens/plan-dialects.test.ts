/** Every text that reaches a model is in the plan, in each dialect's own places. */
import { test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import { MessagesRequest } from "../../../lib/llm/anthropic/request.ts"
import { parseOllamaRequest } from "../../../lib/llm/ollama/request.ts"
import { parseResponsesRequest } from "../../../lib/llm/responses/request.ts"
import { type CountPlan, planRequest } from "../../../lib/llm/tokens/plan.ts"
import { requestOf } from "../../helpers/llm/llm-request.ts"

const SCHEMA = { type: "object", properties: { answer: { type: "string" } } }

function ofResponses(body: JsonObject): CountPlan {
  const request = parseResponsesRequest({ model: "gpt-4o", ...body })
  if (request === undefined) throw new Error("this is a request")
  return planRequest(request)
}

function ofOllama(body: JsonObject, path: string): CountPlan {
  const request = parseOllamaRequest({ model: "qwen", ...body }, path)
  if (request === undefined) throw new Error("this is a request")
  return planRequest(request)
}

test("Anthropic: the system blocks, tools, calls, what came of them, and thoughts", async (t) => {
  const plan = planRequest(
    new MessagesRequest({
      model: "claude",
      system: [{ type: "text", text: "Be short." }],
      tools: [
        { name: "weather", description: "Tells it.", input_schema: { properties: { city: { type: "string" } } } },
      ],
      messages: [
        { role: "user", content: "Rain?" },
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "I should look.", signature: "c2ln" },
            { type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Ulm" } },
          ],
        },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "toolu_1", content: [{ type: "text", text: "Sun." }] },
            { type: "tool_result", tool_use_id: "toolu_2", content: "None.", is_error: true },
          ],
        },
      ],
      output_config: { format: { type: "json_schema", schema: SCHEMA } },
    }),
  )
  t.strictSame(plan.texts, [
    ...["system", "Be short.", "user", "Rain?"],
    ...["assistant", "I should look.", "weather", '{"city":"Ulm"}'],
    ...["user", "toolu_1", "Sun.", "toolu_2", "None."],
    ...["weather:Tells it", "city:string:", JSON.stringify({ schema: SCHEMA })],
  ])
  t.ok(plan.estimated)
})

test("Responses: instructions, calls, their results, thoughts, tools and the answer's form", async (t) => {
  const plan = ofResponses({
    instructions: "Be short.",
    input: [
      { role: "user", content: [{ type: "input_text", text: "Rain?" }] },
      { type: "reasoning", summary: [{ type: "summary_text", text: "Look." }], encrypted_content: "AAAA" },
      { type: "function_call", call_id: "c1", name: "weather", arguments: '{"city":"Ulm"}' },
      { type: "function_call_output", call_id: "c1", output: "Sun." },
      { type: "custom_tool_call", call_id: "c2", name: "run", input: "ls" },
      { type: "custom_tool_call_output", call_id: "c2", output: [{ type: "input_text", text: "a.txt" }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "It is dry." }] },
    ],
    tools: [{ type: "function", name: "weather", parameters: { properties: { city: { type: "string" } } } }],
    text: { format: { type: "json_schema", name: "a", schema: SCHEMA, strict: true } },
  })
  t.strictSame(plan.texts, [
    ...["system", "Be short.", "user", "Rain?"],
    ...["assistant", "Look.", "assistant", "weather", '{"city":"Ulm"}', "tool", "Sun."],
    ...["assistant", "run", "ls", "tool", "a.txt", "assistant", "It is dry."],
    ...["weather:", "city:string:", JSON.stringify({ name: "a", schema: SCHEMA })],
  ])
  t.strictSame(ofResponses({ input: "Rain?", text: { format: { type: "text" } } }).texts, ["user", "Rain?"])
})

test("Ollama: /api/generate's system, template, suffix, earlier turn and pictures", async (t) => {
  const body = { prompt: "Rain?", system: "Be short.", template: "[S]{{ .System }}[U]{{ .Prompt }}[A]", suffix: "end" }
  const plan = ofOllama({ ...body, context: [1, 2, 3, 4], images: ["QUFB"], format: SCHEMA }, "/api/generate")
  t.strictSame(plan.texts, [
    ...["system", "Be short.", "user", "Rain?"],
    ...[JSON.stringify(SCHEMA), "end", "[S][U][A]"],
  ])
  t.equal(plan.fixed, 3 + 3 + 3 + 4 + 37 * 37)
  t.ok(plan.estimated)
  const raw = ofOllama({ prompt: "### Rain?", raw: true, system: "unused" }, "/api/generate")
  t.match(raw, { texts: ["### Rain?"], fixed: 0, estimated: false })
})

test("Ollama: /api/chat's pictures, thoughts, calls and the answer's form", async (t) => {
  const call = { function: { name: "weather", arguments: { city: "Ulm" } } }
  const messages = [
    { role: "system", content: "Be short." },
    { role: "user", content: "Rain?", images: ["QUFB"] },
    { role: "assistant", content: "", thinking: "Look.", tool_calls: [call] },
  ]
  const plan = ofOllama({ messages, format: "json" }, "/api/chat")
  const calls = ["assistant", "Look.", "weather", '{"city":"Ulm"}']
  t.strictSame(plan.texts, ["system", "Be short.", "user", "Rain?", ...calls])
  t.equal(plan.fixed, 3 * 3 + 3 + 3 + 37 * 37)
  t.strictSame(ofOllama({ messages: [], format: SCHEMA }, "/api/chat").texts, [JSON.stringify(SCHEMA)])
})

test("what came of a tool is looked at one level deep, whatever is in it", (t) => {
  let inner: JsonObject = { type: "text", text: "deep" }
  for (let depth = 0; depth < 10_000; depth++) inner = { type: "tool_result", content: [inner] }
  const content = [{ type: "web_search_tool_result", content: [{ type: "text", text: "page" }, inner, 5] }]
  t.strictSame(planRequest(requestOf({ content })).texts, ["user", "page"])
  t.end()
})
