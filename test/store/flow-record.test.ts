import { test } from "tap"
import type { DialectName, JsonValue } from "../../lib/api/flow.ts"
import { Redactor } from "../../lib/base/secrets/redactor.ts"
import { recordOf } from "../../lib/store/flow-record.ts"
import { chat, completion } from "../helpers/flow-snapshots.ts"

function recorded(url: string, dialect: DialectName, body: JsonValue) {
  const base = chat()
  return recordOf(
    {
      ...base,
      request: { ...base.request, url, body: JSON.stringify(body) },
      llm: { dialect, model: "m", completion: completion("A"), error: undefined },
    },
    new Redactor(),
  )
}

test("a system prompt is the first message, wherever the dialect has it", async (t) => {
  const messages = [{ role: "user", content: "U" }]
  const anthropic = { model: "m", max_tokens: 9, system: "S", messages }
  const record = recorded("https://api.anthropic.com/v1/messages", "anthropic-messages", anthropic)
  t.strictSame(
    record.messages.map(({ json }) => json),
    ['{"role":"system","content":"S"}', JSON.stringify(messages[0])],
  )
  t.equal(record.contents.parameters?.json, '{"model":"m","max_tokens":9}')
  const openai = { model: "m", messages: [{ role: "system", content: "S" }, ...messages] }
  t.equal(recorded("https://api.openai.com/v1/chat/completions", "openai-chat", openai).messages.length, 2)
})

test("a prompt is one user message", async (t) => {
  const record = recorded("https://x/v1/completions", "openai-completions", { model: "m", prompt: "P", stop: ["s"] })
  t.strictSame(
    record.messages.map(({ json }) => json),
    ['{"role":"user","content":"P"}'],
  )
  t.equal(record.contents.parameters?.json, '{"model":"m","stop":["s"]}')
})

test("a body that is no request of its dialect costs its contents, not the flow", async (t) => {
  for (const body of [[], "text", null]) {
    const record = recorded("https://x/v1/chat/completions", "openai-chat", body)
    t.strictSame(record.messages, [])
    t.equal(record.contents.parameters, undefined)
    t.ok(record.contents.answer)
  }
})

test("an answer is the message that a client would send back, and further choices stand beside it", async (t) => {
  const answer = completion("A")
  const [first] = answer.choices
  if (first === undefined) throw new Error("no choice")
  const call = { id: "1", name: "f", arguments: "{}" }
  answer.choices.push({ ...first, index: 1, text: "", toolCalls: [call] })
  first.reasoning = "R"
  first.refusal = "no"
  const base = chat()
  const { contents } = recordOf(
    { ...base, llm: { dialect: "openai-chat", model: "m", completion: answer, error: undefined } },
    new Redactor(),
  )
  t.equal(contents.answer?.json, '{"role":"assistant","content":"A","reasoning_content":"R","refusal":"no"}')
  t.strictSame(JSON.parse(contents.more_answers?.json ?? ""), [
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }],
    },
  ])
})
