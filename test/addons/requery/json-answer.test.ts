import assert from "node:assert/strict"
import { test } from "tap"
import { demandOf, embeddedSchema } from "../../../addons/requery/demand.ts"
import { readJson, Schemas } from "../../../addons/requery/json-answer.ts"
import type { FinishUnified } from "../../../lib/llm/model.ts"
import { openaiChat } from "../../../lib/llm/openai-chat.ts"
import { wantsJson } from "../../helpers/requery-rig.ts"

const read = (text: string, keys: readonly string[] = [], unified: FinishUnified = "stop") =>
  readJson(text, keys, { unified, raw: undefined })

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
  assert.deepEqual(demand({ response_format: named }), { json: true, schema, keys: ["a"], questions: [] })
  assert.equal(demand({ response_format: { type: "json_schema" } })?.json, true)
  assert.equal(demand({ response_format: { type: "text" } })?.json, false)
  assert.equal(demand({ response_format: { type: "json_object" } })?.schema, undefined)
  const parts = [{ type: "text", text: wantsJson({ tasks: {} }).content }, { type: "image_url" }]
  assert.deepEqual(demand({ messages: [{ role: "user", content: parts }] })?.keys, ["tasks"])
  assert.equal(demand({ messages: [{ role: "user", content: null }] })?.json, false)
})

test("a violation is told in words; a schema that is none holds nothing back; few are remembered", async () => {
  const schemas = new Schemas()
  const schema = { type: "object", properties: { a: { type: "array", items: { type: "string" } } } }
  assert.equal(schemas.violation(schema, { a: ["x"] }), undefined)
  assert.equal(schemas.violation(schema, { a: [1] }), "/a/0 must be string")
  assert.equal(schemas.violation(schema, [1]), "the answer must be object")
  assert.equal(schemas.violation({ type: "nonsense" }, {}), undefined)
  for (let i = 0; i < 40; i++)
    assert.equal(schemas.violation({ type: "object", properties: { [`k${i}`]: {} } }, {}), undefined)
})
