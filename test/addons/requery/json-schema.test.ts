/** What a schema says of a value, in every draft that clients send, and what a schema may cost. */
import assert from "node:assert/strict"
import { test } from "tap"
import { Schemas } from "../../../addons/requery/json-schema.ts"

const schemas = new Schemas()
const told = (schema: Parameters<Schemas["violation"]>[0], value: unknown) => schemas.violation(schema, value)

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

test("schemas are read as 2020-12 has them, and as older drafts do where they say so or are written so", async () => {
  const tuple = { type: "array", prefixItems: [{ type: "string" }, { type: "number" }], items: false }
  for (const $schema of [undefined, "https://json-schema.org/draft/2020-12/schema"]) {
    const schema = $schema === undefined ? tuple : { $schema, ...tuple }
    assert.equal(told(schema, ["a", 1]), undefined)
    assert.match(String(told(schema, [1, 1])), /^\/0 must be string/)
    assert.match(String(told(schema, ["a", 1, 2])), /must NOT have more than 2 items/)
  }
  const older = { type: "array", items: [{ type: "string" }] }
  assert.match(String(told(older, [1])), /^\/0 must be string/)
  assert.match(String(told({ $schema: "http://json-schema.org/draft-07/schema#", ...older }, [1])), /must be string/)
  const closed = { allOf: [{ properties: { a: {} } }], unevaluatedProperties: false, $defs: { x: { type: "string" } } }
  assert.match(String(told(closed, { b: 1 })), /unevaluated/)
  const named = { properties: { a: { $ref: "#/$defs/x" } }, $defs: { x: { type: "string" } } }
  assert.match(String(told(named, { a: 1 })), /^\/a must be string/)
})

test("a schema's patterns are held against the answer where they can take no time to speak of", async () => {
  const dated = { properties: { day: { pattern: "^\\d{4}-\\d{2}-\\d{2}$" } } }
  assert.equal(told(dated, { day: "2026-11-29" }), undefined)
  assert.match(String(told(dated, { day: "today" })), /^\/day must match its pattern/)
  for (const pattern of ["^(a+)+$", "(a|a)*b", "(?:a?){30}a{30}", "^(?=(a+)+$)", "(a*)\\1b", "x*".repeat(40), "("]) {
    assert.equal(told({ properties: { a: { pattern } } }, { a: "a".repeat(100_000) }), undefined, pattern)
    const names = { patternProperties: { [pattern]: { type: "number" } }, additionalProperties: false }
    assert.equal(told(names, { ["a".repeat(40)]: "x" }), undefined, `${pattern}: the schema is not held against it`)
  }
  const names = { patternProperties: { "^x-": { type: "number" } } }
  assert.match(String(told(names, { "x-a": "1" })), /must be number/)
  assert.equal(told(names, { [`x-${"a".repeat(10_000_000)}`]: "1" }), undefined, "a name too long to tell")
  assert.equal(schemas.fits(names, { [`x-${"a".repeat(10_000_000)}`]: "1" }), false)
})

test("items that are the same are found in one pass, whatever the order of their keys", async () => {
  const unique = { type: "array", uniqueItems: true }
  assert.match(
    String(
      told(unique, [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ]),
    ),
    /items that are the same/,
  )
  assert.equal(told(unique, [1, "1", [1], { a: 1 }, { a: 2 }, null, true]), undefined)
  assert.equal(told({ uniqueItems: false }, [1, 1]), undefined)
  const many = Array.from({ length: 100_000 }, (_, i) => ({ i }))
  assert.equal(told(unique, many), undefined)
})

test("what is deeper than the stack is not held against the answer, nor a schema of any size", async () => {
  const tree = { type: "array", items: { $ref: "#" } }
  let deep: unknown[] = []
  for (let i = 0; i < 200_000; i++) deep = [deep]
  assert.equal(told(tree, deep), undefined)
  assert.equal(told({ type: "string", description: "x".repeat(100_001) }, 1), undefined)
})

test("a schema with more ways through it than can be gone is not held against the answer", async () => {
  const levels = 40
  const chain = (keyword: string, more: object = {}) => {
    const level = (i: number) => ({
      [keyword]: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }],
      ...more,
    })
    const $defs = Object.fromEntries(Array.from({ length: levels }, (_, i) => [`d${i}`, level(i)]))
    return { properties: { x: { $ref: "#/$defs/d0" } }, $defs: { ...$defs, [`d${levels}`]: { type: "null" } } }
  }
  assert.equal(told(chain("anyOf"), { x: 1 }), undefined)
  assert.equal(told(chain("allOf"), { x: null }), undefined)
  assert.equal(schemas.fits(chain("allOf"), { x: null }), false, "nor is it known to match")
  assert.equal(told(chain("oneOf"), { x: 1 }), undefined)
  const hidden = { $ref: "#/else/where/0", else: { where: [{ allOf: [{ $ref: "#" }, { $ref: "#" }] }] } }
  assert.equal(told(hidden, 1), undefined, "a schema that never ends")
  const branch = { properties: { a: { $ref: "#" } }, required: ["z"] }
  let deep: object = {}
  for (let i = 0; i < levels; i++) deep = { a: deep }
  const doubled = { anyOf: [{ allOf: [branch] }, { allOf: [branch] }, { properties: { a: { $ref: "#" } } }] }
  assert.equal(
    told({ allOf: [doubled, doubled], type: "object" }, deep),
    undefined,
    "as many ways as the value is deep",
  )
  const slow = { items: { pattern: "a*a*a*b" } }
  assert.equal(
    told(
      slow,
      Array.from({ length: 2_000 }, () => "a".repeat(40)),
    ),
    undefined,
    "many tests of a pattern",
  )
  const unique = { ...chain("allOf"), properties: { x: { $ref: "#/$defs/d30" } } }
  const last = { $defs: { ...unique.$defs, [`d${levels}`]: { uniqueItems: true } } }
  assert.equal(told({ ...unique, ...last }, { x: Array.from({ length: 10_000 }, (_, i) => i) }), undefined)
})

test("what is ordinary is held against the answer: references, unions that recur, long lists, each as often as it comes", async () => {
  const expression = {
    $defs: {
      expression: {
        anyOf: [
          { type: "number" },
          {
            type: "object",
            properties: { op: { enum: ["+", "-"] }, of: { type: "array", items: { $ref: "#/$defs/expression" } } },
            required: ["op", "of"],
          },
        ],
      },
    },
    $ref: "#/$defs/expression",
  }
  let value: unknown = 1
  for (let i = 0; i < 100; i++) value = { op: "+", of: [1, value] }
  for (let i = 0; i < 3; i++) assert.equal(schemas.fits(expression, value), true)
  assert.match(String(told(expression, { op: "+", of: ["1"] })), /must be/)
  const list = { items: { $ref: "#/$defs/item" }, $defs: { item: { type: "object", required: ["mail"] } } }
  const mails = { ...list.$defs.item, properties: { mail: { pattern: "^[a-z0-9._-]+@[a-z0-9-]+\\.[a-z]{2,10}$" } } }
  const many = Array.from({ length: 100 }, (_, i) => ({ mail: `person${i}@example.org` }))
  assert.equal(schemas.fits({ ...list, $defs: { item: mails } }, many), true)
  assert.equal(
    schemas.fits(
      list,
      Array.from({ length: 5_000 }, () => ({ mail: "" })),
    ),
    true,
  )
})

test("each pattern for names is its own", async () => {
  const names = { patternProperties: { "^a": { type: "number" }, "^b": { type: "string" } } }
  assert.equal(told(names, { a: 1, b: "x" }), undefined)
  assert.match(String(told(names, { b: 1 })), /^\/b must be string/)
})

test("a schema that takes long to compile is not held against the answer; its descriptions are no part of that", async () => {
  const wide = (count: number, more: object) => {
    const names = Array.from({ length: count }, (_, i) => `field${i}`)
    return { type: "object", properties: Object.fromEntries(names.map((name) => [name, { type: "string", ...more }])) }
  }
  assert.match(String(told(wide(200, {}), { field1: 1 })), /must be string/)
  assert.equal(told(wide(300, {}), { field1: 1 }), undefined)
  assert.match(String(told(wide(200, { description: "word ".repeat(50) }), { field1: 1 })), /must be string/)
  assert.equal(told(wide(400, { description: "word ".repeat(50) }), { field1: 1 }), undefined)
})
