import { test } from "tap"
import type { JsonObject, JsonValue } from "../../../lib/base/json.ts"
import type { EncodingName } from "../../../lib/llm/tokens/encodings.ts"
import { planTools } from "../../../lib/llm/tokens/tool-schema.ts"

function planned(tools: JsonValue[], encoding: EncodingName = "o200k_base") {
  const texts: string[] = []
  const tally = { fixed: 0, estimated: false, text: (text: string | undefined) => void texts.push(text ?? "") }
  planTools(tally, tools, encoding)
  return { texts, fixed: tally.fixed, estimated: tally.estimated }
}

const parameters = {
  type: "object",
  properties: { unit: { type: "string", description: "The unit.", enum: ["c", 5] } },
}

test("a function is a line, each parameter a line, each choice a text", (t) => {
  const tool = { type: "function", function: { name: "get", description: "Gets it.", parameters } }
  const texts = ["get:Gets it", "c", "5", "unit:string:The unit"]
  t.same(planned([tool]), { texts, fixed: 12 + 7 + 3 + 3 - 3 + 3 + 3, estimated: true })
  t.equal(planned([tool], "cl100k_base").fixed, 12 + 10 + 9)
  t.end()
})

test("the list costs once, a function without parameters nothing more", (t) => {
  const tool = { type: "function", function: { name: "get" } }
  t.same(planned([tool, tool]), { texts: ["get:", "get:"], fixed: 12 + 14, estimated: true })
  t.same(planned([]), { texts: [], fixed: 0, estimated: false })
  t.end()
})

test("every dialect's form of a tool is read", (t) => {
  const flat = { type: "function", name: "get", description: "", parameters }
  const messages = { name: "get", input_schema: parameters }
  for (const tool of [flat, messages]) t.same(planned([tool]).texts, ["get:", "c", "5", "unit:string:The unit"])
  const custom = { type: "custom", custom: { name: "sql", description: "Runs.", format: { type: "text" } } }
  t.same(planned([custom]).texts, ["sql:Runs", '{"type":"text"}'])
  t.same(planned([{ type: "web_search" }, "odd"]).texts, ["web_search:"])
  t.end()
})

test("deeper levels follow the same rule: objects, items, alternatives, definitions", (t) => {
  const leaf = { type: "object", properties: { leaf: { type: ["string", "null"] } } }
  const schema = {
    type: "object",
    properties: { list: { type: "array", items: leaf }, either: { anyOf: [leaf, null] }, odd: true },
    $defs: { shared: leaf, odd: 1 },
  }
  const { texts, fixed } = planned([{ type: "function", function: { name: "f", parameters: schema } }])
  t.same(texts, [
    "f:",
    "list:array:",
    "leaf:string|null:",
    "either::",
    "leaf:string|null:",
    "odd::",
    "leaf:string|null:",
  ])
  t.equal(fixed, 12 + 7 + 4 * 3 + 6 * 3)
  t.end()
})

test("a schema of a thousand levels is cut, not followed", (t) => {
  let schema: JsonObject = { type: "string" }
  for (let depth = 0; depth < 1_000; depth++) schema = { type: "object", properties: { in: schema } }
  t.equal(planned([{ name: "f", parameters: schema }]).texts.length, 1 + 16)
  t.end()
})
