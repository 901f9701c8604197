/** Calls of tools in what models write: at every cut of the text the same. */
import { test } from "tap"
import type { ToolStyle } from "../../../addons/local-model/prompt.ts"
import { type Call, CallReader } from "../../../addons/local-model/tool-calls.ts"

const TABLE: readonly (readonly [style: ToolStyle, text: string, said: string, calls: readonly Call[]])[] = [
  ["hermes", "Hello.", "Hello.", []],
  [
    "hermes",
    '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
    "",
    [{ name: "f", arguments: '{"a":1}' }],
  ],
  [
    "hermes",
    'So: <tool_call>{"name":"f","arguments":{}}</tool_call>\n<tool_call>{"name":"g"}</tool_call>\n',
    "So: ",
    [
      { name: "f", arguments: "{}" },
      { name: "g", arguments: "{}" },
    ],
  ],
  ["hermes", '<tool_call>{"name":"f"}', "", [{ name: "f", arguments: "{}" }]],
  ["hermes", "a < b <tool", "a < b <tool", []],
  ["hermes", "<tool_call>no JSON</tool_call>!", "<tool_call>no JSON</tool_call>!", []],
  ["llama3", '{"name": "f", "parameters": {"a": "b"}}', "", [{ name: "f", arguments: '{"a":"b"}' }]],
  ["llama3", '<|python_tag|>{"name": "f", "parameters": "{}"}', "", [{ name: "f", arguments: "{}" }]],
  [
    "llama3",
    '{"name":"f","parameters":{}}; {"name":"g","parameters":{}}',
    "",
    [
      { name: "f", arguments: "{}" },
      { name: "g", arguments: "{}" },
    ],
  ],
  ["llama3", "Plain {text}", "Plain {text}", []],
  ["llama3", '{"answer": 1}', '{"answer": 1}', []],
  ["llama3", "<|pyth", "<|pyth", []],
  ["mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}]', "", [{ name: "f", arguments: '{"a":1}' }]],
  ["mistral", "Hi [TOOL", "Hi [TOOL", []],
  ["mistral", "[TOOL_CALLS] nothing", "[TOOL_CALLS] nothing", []],
]

test("calls are told from texts, at every cut", async (t) => {
  for (const [style, whole, said, calls] of TABLE)
    for (let cut = 0; cut <= whole.length; cut++) {
      const reader = new CallReader(style)
      const told = [reader.push(whole.slice(0, cut)), reader.push(whole.slice(cut)), reader.finish()]
      const found = { text: told.map(({ text }) => text).join(""), calls: told.flatMap((one) => one.calls) }
      if (JSON.stringify(found) !== JSON.stringify({ text: said, calls }))
        t.same(found, { text: said, calls }, `${whole} at ${cut}`)
    }
  t.pass("all of them")
})

test("what is too long for a call is text", async (t) => {
  const reader = new CallReader("hermes")
  const long = `<tool_call>${"x".repeat(262_144)}`
  t.equal(reader.push(long).text, long)
  t.same(reader.push("more"), { text: "more", calls: [] })
  t.same(reader.finish(), { text: "", calls: [] })
})
