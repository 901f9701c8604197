import assert from "node:assert/strict"
import { test } from "tap"
import { findJson } from "../../../addons/requery/json-find.ts"

const found = (text: string) => findJson(text).values.map(({ start, end }) => text.slice(start, end))

test("values that stand in no other one are found, the longest first", async () => {
  assert.deepEqual(found('a {"b": [1, {"c": 2}]} d [3] e {} f'), ['{"b": [1, {"c": 2}]}', "[3]", "{}"])
  assert.deepEqual(found('{"a": "}]\\"}", "b": "{"}'), ['{"a": "}]\\"}", "b": "{"}'])
  assert.deepEqual(found(`{'a': '}', b: [ 'it's }' ]}`), [`{'a': '}', b: [ 'it's }' ]}`])
  assert.deepEqual(found("{“a”: “}”}"), ["{“a”: “}”}"])
})

test("brackets that begin no JSON are none: placeholders, links, blocks, formulas", async () => {
  for (const text of ["{name}", "{{name}}", "[text](url)", "f(x) { return 1 }", "\\frac{a}{b}", "a[i]", "{ }}}", "]"])
    assert.deepEqual(
      found(text).filter((one) => one !== "{ }"),
      [],
      text,
    )
})

test("a bracket in prose that never closes hides nothing: what stands in it is found", async () => {
  assert.deepEqual(found('{a: and then {"b": 1} and [2]'), ['{a: and then {"b": 1} and [2]', '{"b": 1}', "[2]"])
})

test("a bracket whose own closer is missing ends with the one around it", async () => {
  assert.deepEqual(found('{"a": [1, {"b": 2} ; [3]'), ['{"a": [1, {"b": 2} ; [3]', '{"b": 2}', "[3]"])
  assert.deepEqual(found('{"a": [1, 2} [3]'), ['{"a": [1, 2}', "[3]"])
})

test("what a text ends in is told: nothing, a string, a value, or brackets only", async () => {
  assert.deepEqual(
    ['{"a": 1}', '{"a": "b', '{"a": ', '{"a": 12', '{"a": [', '{"a": "b"', '{"a": [1]', '{"a": {"b": "c\\', "x"].map(
      (text) => findJson(text).unfinished,
    ),
    [undefined, "string", "value", "value", "value", "brackets", "brackets", "string", undefined],
  )
})

test("a flood of brackets is no value, and what stands behind it is one", async () => {
  const flood = "[".repeat(1_000)
  assert.deepEqual(found(`${flood}[1]`).slice(0, 1), ["[1]"])
})

test("of a thousand values the hundred longest are looked at", async () => {
  const many = Array.from({ length: 1_000 }, (_, i) => `[${i}]`).join(" ")
  assert.equal(found(many).length, 100)
})
