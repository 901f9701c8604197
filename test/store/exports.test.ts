import { spawnSync } from "node:child_process"
import { test } from "tap"
import type { JsonObject } from "../../lib/base/json.ts"
import { type Answered, EXPORT_FORMATS, type ExportFormat, exporterFor, isAnswered } from "../../lib/store/exports.ts"
import type { Exchange } from "../../lib/store/reader.ts"
import type { FlowRow } from "../../lib/store/schema.ts"
import { missing } from "../helpers/command-process.ts"
import { START } from "../helpers/flow-snapshots.ts"

const CALL = { id: "c1", type: "function", function: { name: "sum", arguments: '{"a":1}' } }
const TOOLS = [{ type: "function", function: { name: "sum" } }]

function exchange(
  messages: JsonObject[],
  answer: JsonObject | undefined,
  row: Partial<FlowRow> = {},
  tools?: JsonObject[],
): Exchange {
  const flow = {
    dialect: "openai-chat",
    parent_id: null,
    incomplete: 0,
    error_code: null,
    llm_error_kind: null,
    finish_reason: "stop",
    started_at: START,
    model: "m",
    answered_model: null,
    route: null,
    route_tokens: null,
    input_tokens: 7,
    output_tokens: 3,
    ...row,
  } as FlowRow
  return { flow, messages, answer, tools }
}

const said = (content: string): JsonObject => ({ role: "assistant", content })
const user = (content: string): JsonObject => ({ role: "user", content })

function exported(format: ExportFormat, exchanges: readonly Exchange[]): string {
  const exporter = exporterFor(format)
  const answered = exchanges.filter((one): one is Answered => isAnswered(one))
  return (
    exporter.head + answered.map((one, index) => exporter.one(one, index)).join("") + exporter.foot(answered.length)
  )
}

test("openai-jsonl keeps roles, tool calls and tools, and leaves out what no trainer takes", async (t) => {
  const messages = [
    { role: "system", content: "S" },
    user("U"),
    { role: "assistant", content: null, tool_calls: [CALL] },
    { role: "tool", tool_call_id: "c1", content: "1" },
  ]
  const answer = { ...said("A"), reasoning_content: "thinking", refusal: "no" }
  const text = exported("openai-jsonl", [
    exchange(messages, answer, {}, TOOLS),
    exchange([user("x")], { role: "assistant", content: null, tool_calls: [CALL] }),
  ])
  t.strictSame(
    text
      .trimEnd()
      .split("\n")
      .map((line): unknown => JSON.parse(line)),
    [
      { messages: [...messages, said("A")], tools: TOOLS },
      { messages: [user("x"), { role: "assistant", content: null, tool_calls: [CALL] }] },
    ],
  )
})

test("sharegpt names the speakers its way", async (t) => {
  const messages = [
    { role: "developer", content: "S" },
    user("U"),
    said("A1"),
    {
      role: "user",
      content: [
        { type: "text", text: "U2" },
        { type: "image_url", image_url: {} },
      ],
    },
  ]
  t.strictSame(JSON.parse(exported("sharegpt", [exchange(messages, said("A2"))])), {
    conversations: [
      { from: "system", value: "S" },
      { from: "human", value: "U" },
      { from: "gpt", value: "A1" },
      { from: "human", value: "U2" },
      { from: "gpt", value: "A2" },
    ],
  })
})

test("alpaca has the last question as instruction, and what was said before beside it", async (t) => {
  const one = exchange([user("U")], said("A"))
  t.strictSame(JSON.parse(exported("alpaca", [one])), { instruction: "U", input: "", output: "A" })
  const long = exchange(
    [{ role: "system", content: "S" }, user("U1"), user("U2"), said("A1"), user("more"), user("U3")],
    said("A2"),
  )
  t.strictSame(JSON.parse(exported("alpaca", [long])), {
    instruction: "more\n\nU3",
    input: "",
    output: "A2",
    system: "S",
    history: [["U1\n\nU2", "A1"]],
  })
})

test("alpaca loses no call and no result: what a tool said last is what is answered", async (t) => {
  const calls = { role: "assistant", content: null, tool_calls: [CALL] }
  const one = exchange([user("U"), calls, { role: "tool", tool_call_id: "c1", content: "1" }], said("A"))
  t.strictSame(JSON.parse(exported("alpaca", [one])), {
    instruction: "1",
    input: "",
    output: "A",
    history: [["U", JSON.stringify(CALL.function)]],
  })
})

test("seed is byte for byte what Python's json.dumps writes", { skip: missing("python3") }, async (t) => {
  const odd = 'quotes " \\ / tab\t nl\n del\u007f ls\u2028 nul\u0000 bell\u0007 é 😀'
  const exchanges = [
    exchange([{ role: "system", content: "" }, user(odd), user("two")], said(odd), {
      route: "local",
      route_tokens: 42,
    }),
    exchange([user("")], said("x"), { input_tokens: null }),
  ]
  for (const some of [[], exchanges.slice(0, 1), exchanges]) {
    const text = exported("seed", some)
    const script =
      "import json,sys; d=json.load(sys.stdin); sys.stdout.write(json.dumps(d, indent=4, ensure_ascii=False)+'\\n')"
    const python = spawnSync("python3", ["-c", script], {
      input: text,
      encoding: "utf8",
      env: { ...process.env, PYTHONIOENCODING: "utf8" },
    })
    t.equal(text, python.stdout, `${some.length} records`)
  }
  t.match(JSON.parse(exported("seed", exchanges)), [
    { instruction: `${odd} two`, output: odd, tokens: 42, client: "Local LLM" },
    { instruction: "", output: "x", tokens: 0, client: "OpenAI" },
  ])
})

test("markdown is for people", async (t) => {
  const answer = { ...said("A"), reasoning_content: "first\nthen" }
  t.equal(
    exported("markdown", [exchange([user("U")], answer, { route: "local" }), exchange([user("V")], said("B"))]),
    "## 2026-01-01 00:00:00 UTC\n\nm, route local, 7 tokens in, 3 out\n\n### user\n\nU\n\n### assistant\n\n> first\n> then\n\nA\n\n" +
      "---\n\n## 2026-01-01 00:00:00 UTC\n\nm, 7 tokens in, 3 out\n\n### user\n\nV\n\n### assistant\n\nB\n\n",
  )
})

test("messages of another dialect are exported by their texts", async (t) => {
  const messages = [
    { role: "user", content: [{ type: "input_text", text: "U" }] },
    { type: "reasoning", id: "r" },
  ]
  t.strictSame(JSON.parse(exported("openai-jsonl", [exchange(messages, said("A"), { dialect: "openai-responses" })])), {
    messages: [user("U"), said("A")],
  })
})

test("what is not whole is no example to learn from, in any format", async (t) => {
  const bad = [
    exchange([user("U")], undefined),
    exchange([], said("A")),
    exchange([user("U")], said("")),
    exchange([user("U")], said("A"), { finish_reason: "cut" }),
    exchange([user("U")], said("A"), { error_code: "client-gone" }),
    exchange([user("U")], said("A"), { llm_error_kind: "other" }),
    exchange([user("U")], said("A"), { incomplete: 1 }),
    exchange([user("U")], said("A"), { parent_id: "x" }),
  ]
  for (const format of EXPORT_FORMATS) t.equal(exported(format, bad), format === "seed" ? "[]\n" : "", format)
})

test("exports take answers that ended well, by a list; a limit of tokens only when asked for", async (t) => {
  const ended = (finish_reason: string | null) => exchange([user("U")], said("A"), { finish_reason })
  for (const good of ["stop", "toolCalls"]) t.ok(isAnswered(ended(good)), good)
  for (const bad of ["cut", "error", "contentFilter", "other", "length", "a word of tomorrow", null])
    t.notOk(isAnswered(ended(bad)), String(bad))
  t.ok(isAnswered(ended("length"), true))
  t.notOk(isAnswered(ended("contentFilter"), true))
})
