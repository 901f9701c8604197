/** Exports as those who take them read them: OpenAI's rules for fine-tuning files, and Python's datasets. */
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { isObject, type JsonObject, stringOf } from "../../lib/base/json.ts"
import { type Answered, type ExportFormat, exporterFor } from "../../lib/store/exports.ts"
import type { FlowRow } from "../../lib/store/schema.ts"
import { interpreterWith, noInterpreter } from "../helpers/clients/python.ts"
import { START } from "../helpers/flow-snapshots.ts"

const LOOK = {
  name: "look",
  description: "Looks.",
  parameters: { type: "object", properties: { at: { type: "integer" } } },
}
const user = (content: string): JsonObject => ({ role: "user", content })
const said = (content: string): JsonObject => ({ role: "assistant", content })

/** The same conversation as each dialect holds it: a question, a call, its result. */
const HELD: Readonly<Record<string, { messages: JsonObject[]; tools: JsonObject[] }>> = {
  "openai-chat": {
    messages: [
      { role: "developer", content: "Be kind." },
      user("What is here?"),
      {
        role: "assistant",
        content: null,
        refusal: null,
        annotations: [],
        tool_calls: [{ id: "c1", type: "function", function: { name: "look", arguments: '{"at":1}' } }],
      },
      { role: "tool", tool_call_id: "c1", content: [{ type: "text", text: "a cat" }] },
    ],
    tools: [{ type: "function", function: LOOK }],
  },
  "anthropic-messages": {
    messages: [
      user("What is here?"),
      { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "look", input: { at: 1 } }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "a cat" }] },
    ],
    tools: [{ name: "look", description: "Looks.", input_schema: LOOK.parameters }],
  },
  "openai-responses": {
    messages: [
      user("What is here?"),
      { type: "function_call", call_id: "c1", name: "look", arguments: '{"at":1}' },
      { type: "function_call_output", call_id: "c1", output: "a cat" },
    ],
    tools: [{ type: "function", ...LOOK }],
  },
  ollama: {
    messages: [
      user("What is here?"),
      { role: "assistant", content: "", tool_calls: [{ function: { name: "look", arguments: { at: 1 } } }] },
      { role: "tool", tool_name: "look", content: "a cat" },
    ],
    tools: [{ type: "function", function: LOOK }],
  },
}

function exported(format: ExportFormat): string {
  const exporter = exporterFor(format)
  const all = [
    ...Object.entries(HELD).map(([dialect, held]) => exchange(dialect, held.messages, held.tools)),
    exchange("openai-chat", [user("Hi")], undefined),
  ]
  return exporter.head + all.map((one, index) => exporter.one(one, index)).join("") + exporter.foot(all.length)
}

function exchange(dialect: string, messages: JsonObject[], tools: JsonObject[] | undefined): Answered {
  const row: Partial<FlowRow> = { dialect, started_at: START, model: "m", answered_model: null, route: null }
  return { flow: row as FlowRow, messages, answer: said("A cat."), tools }
}

/**
 * The rules of OpenAI's guide and of its cookbook's check (Data preparation and analysis for chat model fine-tuning), with
 * tools as in "Fine-tuning with function calling". What is wrong with a line, one word each.
 */
function faults(line: JsonObject): string[] {
  const found: string[] = []
  const { messages, tools } = line
  if (!Array.isArray(messages) || messages.length === 0) return ["missing_messages_list"]
  const open = new Set<string>()
  for (const message of messages.filter(isObject)) {
    const { role, content, tool_calls: calls } = message
    const known = ["role", "content", "name", "tool_calls", "tool_call_id", "weight"]
    if (!Object.keys(message).every((key) => known.includes(key))) found.push("message_unrecognized_key")
    if (!["system", "user", "assistant", "tool"].includes(stringOf(role) ?? "")) found.push("unrecognized_role")
    if (typeof content !== "string" && !Array.isArray(calls)) found.push("missing_content")
    if (role === "tool") {
      if (!open.delete(stringOf(message.tool_call_id) ?? "")) found.push("result_without_call")
    } else if (open.size > 0) found.push("call_without_result")
    for (const call of Array.isArray(calls) ? calls.filter(isObject) : []) {
      const inner = isObject(call.function) ? call.function : {}
      if (typeof call.id !== "string" || call.type !== "function") found.push("bad_call")
      if (typeof inner.name !== "string" || typeof inner.arguments !== "string") found.push("bad_call_function")
      open.add(stringOf(call.id) ?? "")
    }
  }
  if (!messages.some((message) => isObject(message) && message.role === "assistant"))
    found.push("example_missing_assistant_message")
  for (const tool of Array.isArray(tools) ? tools.filter(isObject) : [])
    if (tool.type !== "function" || !isObject(tool.function) || typeof tool.function.name !== "string")
      found.push("bad_tool")
  return found
}

test("openai-jsonl keeps OpenAI's rules for fine-tuning files, from every dialect", async (t) => {
  const rows = exported("openai-jsonl")
    .trimEnd()
    .split("\n")
    .map((line): unknown => JSON.parse(line))
  t.equal(rows.length, 5)
  for (const row of rows) {
    t.ok(isObject(row))
    t.strictSame(isObject(row) ? faults(row) : ["no object"], [], JSON.stringify(row))
  }
  const withTools = rows.filter((row) => isObject(row) && row.tools !== undefined)
  t.equal(withTools.length, 4, "no dialect loses its tools")
})

const python = interpreterWith("datasets")

test("every format loads with Python's datasets", {
  skip: python === undefined && noInterpreter("datasets"),
}, async (t) => {
  const folder = t.testdir()
  const files = (["openai-jsonl", "sharegpt", "alpaca", "seed"] as const).map((format) => {
    const file = join(folder, `${format}.json`)
    writeFileSync(file, exported(format))
    return file
  })
  const script = `
import sys, json
from datasets import load_dataset
print(json.dumps([[len(d), sorted(d.column_names)] for d in (
  load_dataset("json", data_files=f, split="train", cache_dir=sys.argv[1]) for f in sys.argv[2:])]))`
  const { stdout, stderr, status } = spawnSync(python ?? "", ["-c", script, join(folder, "cache"), ...files], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1", HF_DATASETS_OFFLINE: "1", HF_HOME: join(folder, "home") },
  })
  t.equal(status, 0, stderr)
  t.strictSame(JSON.parse(stdout), [
    [5, ["messages", "tools"]],
    [5, ["conversations"]],
    [5, ["history", "input", "instruction", "output", "system"]],
    [5, ["client", "instruction", "output", "tokens"]],
  ])
})
