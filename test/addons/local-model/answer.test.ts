/** Answers with calls of tools in OpenAI's shapes, whole and as chunks. */
import { test } from "tap"
import { streamedAnswer, wholeAnswer } from "../../../addons/local-model/answer.ts"
import { type Asked, askedIn } from "../../../addons/local-model/asked.ts"
import type { Said } from "../../../addons/local-model/speaking.ts"
import { chunksOf } from "./rig.ts"

const HEAD = { id: "1", created: 5, model: "m" }
const asked = askedIn("chat", { model: "m", messages: [{ role: "user", content: "Hi." }] }) as Asked

function events(...texts: string[]): { next(): Promise<Said> } {
  const all: Said[] = texts.map((text) => ({ kind: "text", text }))
  all.push({ kind: "end", end: { reason: "stop", promptTokens: 3, tokens: 4 } })
  return { next: async () => all.shift() ?? { kind: "text", text: "" } }
}

test("calls are tool_calls with ids of their own, and finish so", async (t) => {
  const said = ['<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>', '<tool_call>{"name":"g"}</tool_call>']
  t.match(await wholeAnswer(events(...said), asked, { head: HEAD, style: "hermes" }), {
    choices: [
      {
        message: {
          content: null,
          tool_calls: [
            { id: "call_10", type: "function", function: { name: "f", arguments: '{"a":1}' } },
            { id: "call_11", function: { name: "g", arguments: "{}" } },
          ],
        },
        finish_reason: "tool_calls",
      },
    ],
    usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
  })
  let text = ""
  for await (const event of streamedAnswer(events("So ", ...said), asked, { head: HEAD, style: "hermes" }))
    text += event
  t.match(
    chunksOf(text).map(({ choices }) => (Array.isArray(choices) ? choices[0] : undefined)),
    [
      { delta: { role: "assistant" } },
      { delta: { content: "So " } },
      { delta: { tool_calls: [{ index: 0, id: "call_10", function: { name: "f" } }] } },
      { delta: { tool_calls: [{ index: 1, id: "call_11", function: { name: "g" } }] } },
      { delta: {}, finish_reason: "tool_calls" },
    ],
  )
})

test("what is held back to the end is said there", async (t) => {
  const { choices } = await wholeAnswer(events("a <tool"), asked, { head: HEAD, style: "hermes" })
  t.match(choices, [{ message: { content: "a <tool" }, finish_reason: "stop" }])
})
