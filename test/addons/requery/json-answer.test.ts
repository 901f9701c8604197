import assert from "node:assert/strict"
import { test } from "tap"
import { demandOf } from "../../../addons/requery/demand.ts"
import { embeddedSchema } from "../../../addons/requery/gpt-pilot.ts"
import { readJson } from "../../../addons/requery/json-answer.ts"
import { Schemas } from "../../../addons/requery/json-schema.ts"
import type { JsonObject } from "../../../lib/api/flow.ts"
import type { FinishUnified } from "../../../lib/llm/model.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"
import { wantsJson } from "../../helpers/requery-rig.ts"

const schemas = new Schemas()

function read(text: string, keys: readonly string[] = [], unified: FinishUnified = "stop", schema?: JsonObject) {
  const fits = (value: unknown) => schema !== undefined && schemas.fits(schema, value)
  return readJson(text, { keys, fits }, { unified, raw: undefined })
}

test("JSON that stands alone is not mended; prose, fences and faults around it are", async () => {
  assert.deepEqual(read(' {"a": [1, 2]}\n'), { value: { a: [1, 2] }, mended: undefined })
  assert.deepEqual(read("[1]"), { value: [1], mended: undefined })
  assert.deepEqual(read("```json\n[1]\n```"), { value: [1], mended: "[1]" })
  assert.deepEqual(read('So: {"a": 1}. {"b": [1, 2, 3]}'), { value: { b: [1, 2, 3] }, mended: '{"b": [1, 2, 3]}' })
  assert.deepEqual(read('So: {"a": 1}. {"b": [1, 2, 3]}', ["a"]), { value: { a: 1 }, mended: '{"a": 1}' })
  assert.deepEqual(read('{"a": True, "b": None,}'), { value: { a: true, b: null }, mended: '{"a": true, "b": null}' })
  assert.deepEqual(read('<think>{"a": 2}</think>{"a": 1}'), { value: { a: 1 }, mended: '{"a": 1}' })
  assert.deepEqual(read('Sure. {"x": 1}', ["a"]), { value: { x: 1 }, mended: '{"x": 1}' })
})

test("what was cut is not repaired, save for brackets that are missing", async () => {
  assert.equal(read('{"a": "some te'), "the JSON is cut off")
  assert.equal(read('{"a": [1, 2'), "the JSON is cut off")
  assert.equal(read('{"a": "x}', [], "length"), "the JSON is cut off")
  const closed = { value: { a: { b: "x" } }, mended: '{"a": {"b": "x"}}' }
  for (const finish of ["length", "stop"] as const) assert.deepEqual(read('{"a": {"b": "x"}', [], finish), closed)
  assert.equal(read("I cannot do that."), "there is no JSON object in the answer")
  assert.match(String(read('{"a" "b": ::::}')), /^the JSON is broken: /)
})

test("the form is read from the fence, as properties or as a whole schema; another fence is none", async () => {
  const properties = { plan: { type: "array" } }
  assert.deepEqual(embeddedSchema(wantsJson(properties).content), { type: "object", properties })
  assert.deepEqual(embeddedSchema(`<<SYS>>${wantsJson(properties).content}<</SYS>> [/INST]`), {
    type: "object",
    properties,
  })
  const whole = { type: "object", properties, required: ["plan"] }
  assert.deepEqual(embeddedSchema(wantsJson(whole).content), whole)
  for (const text of ["", "```json\n{}\n```", wantsJson({}).content, wantsJson({ a: 1 }).content])
    assert.equal(embeddedSchema(text), undefined, text)
  const broken = wantsJson(properties).content
  assert.equal(embeddedSchema(broken.replace("{", "")), undefined)
  assert.equal(embeddedSchema(broken.slice(0, -6)), undefined, "a fence that does not end")
})

test("what a request demands is read from response_format as well, and parts of messages are texts", async () => {
  const demand = (more: object) => {
    const request = openaiChat.parseRequest({ model: "m", messages: [], ...more }, "/v1/chat/completions")
    return request === undefined ? undefined : demandOf(request)
  }
  const schema = { type: "object", properties: { a: {} } }
  const named = { type: "json_schema", json_schema: { name: "n", schema } }
  assert.deepEqual(demand({ response_format: named }), {
    json: true,
    schema,
    keys: ["a"],
    lists: [],
    call: undefined,
    questions: [],
  })
  assert.equal(demand({ response_format: { type: "json_schema" } })?.json, true)
  assert.equal(demand({ response_format: { type: "text" } })?.json, false)
  assert.equal(demand({ response_format: { type: "json_object" } })?.schema, undefined)
  const parts = [{ type: "text", text: wantsJson({ tasks: {} }).content }, { type: "image_url" }]
  assert.deepEqual(demand({ messages: [{ role: "user", content: parts }] })?.keys, ["tasks"])
  assert.equal(demand({ messages: [{ role: "user", content: null }] })?.json, false)
})

test("the longest value is the answer, beside prose with braces, placeholders, footnotes and code", async () => {
  const plan = { plan: [{ description: "x" }] }
  const json = JSON.stringify(plan)
  for (const text of [
    `Put {name} and {{other}} in, then: ${json}`,
    `In C a block begins with { and here it is: ${json}`,
    `See [the docs](https://x.test) and [1]: ${json}`,
    `As in {"a": 1}, [1, 2], f(x) { return {} } or {a: 1}: ${json} or so. {}`,
    `\\frac{a}{b} and \${value}: ${json}\nThat is {all}.`,
    `function f() { if (a) { b(); }\n${json}`,
  ])
    for (const keys of [[], ["plan"]]) assert.deepEqual(read(text, keys), { value: plan, mended: json }, text)
})

test("where the longest is broken beyond repair no shorter one takes its place, unless it is what is asked for", async () => {
  const broken = '{"plan": [{"description": "a path \\\\d\\\\temp"}, 007, {"description": "y"}]}'.replaceAll(
    "\\\\",
    "\\",
  )
  const part = `${broken}\n{"note": 1}`
  assert.match(String(read(part)), /^the JSON is broken: /)
  assert.match(String(read(part, ["plan"])), /^the JSON is broken: /)
  assert.deepEqual(read(part, ["note"]), { value: { note: 1 }, mended: '{"note": 1}' })
  const schema = { type: "object", required: ["note"] }
  assert.deepEqual(read(part, [], "stop", schema), { value: { note: 1 }, mended: '{"note": 1}' })
  assert.match(String(read(`${broken}\n{"other": 1}`, [], "stop", schema)), /^the JSON is broken: /)
})

test("of several values the longest with an expected key is taken", async () => {
  const echo = '{"type": "object", "properties": {"plan": {"type": "array"}}}'
  assert.deepEqual(read(`${echo}\n{"plan": [1]}`, ["plan"]), { value: { plan: [1] }, mended: '{"plan": [1]}' })
  assert.deepEqual(read('So {"plan": []}, but full: {"plan": [1]}', ["plan"]), {
    value: { plan: [1] },
    mended: '{"plan": [1]}',
  })
})

test("a root that is no object is an answer: a list always, a text, a number or a word where the schema has one", async () => {
  assert.deepEqual(read('Here: [{"a": 1}, {"b": 2}].'), {
    value: [{ a: 1 }, { b: 2 }],
    mended: '[{"a": 1}, {"b": 2}]',
  })
  for (const [type, text, value] of [
    ["string", '"yes"', "yes"],
    ["number", "4.5", 4.5],
    ["boolean", " true\n", true],
    ["null", "null", null],
  ] as const) {
    assert.deepEqual(read(text, [], "stop", { type }), { value, mended: undefined })
    assert.deepEqual(read(`\`\`\`json\n${text}\n\`\`\``, [], "stop", { type }), { value, mended: text.trim() })
    assert.equal(read(text), "there is no JSON object in the answer", "nobody asked for one")
  }
})
