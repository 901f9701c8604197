/** What addons leave in a flow's metadata becomes data at a bounded cost, whatever it is. */
import { test } from "tap"
import { asJson, NOTE_CHARS_MAX, NOTE_VALUES_MAX } from "../../lib/store/notes.ts"

test("a value within itself is left out, however often it refers to itself", (t) => {
  const object: Record<string, unknown> = { kept: 1 }
  object.first = object
  object.second = { deeper: [object, 2] }
  t.strictSame(asJson(object), { kept: 1, second: { deeper: [null, 2] } })
  const list: unknown[] = ["kept"]
  list.push(list, list)
  t.strictSame(asJson(list), ["kept", null, null])
  t.end()
})

test("a value that is referred to from two places stands in both", (t) => {
  const shared = { a: [1] }
  t.strictSame(asJson({ one: shared, two: [shared, shared] }), { one: { a: [1] }, two: [{ a: [1] }, { a: [1] }] })
  t.end()
})

test("references that multiply cost no more than the limit of values", (t) => {
  let value: unknown = "leaf"
  for (let level = 0; level < 60; level++) value = [value, value]
  const leaves = (json: unknown): number =>
    Array.isArray(json) ? json.reduce((sum, item) => sum + leaves(item), 1) : 1
  t.equal(leaves(asJson(value)) <= NOTE_VALUES_MAX + 64, true)
  const long = asJson({ list: new Array(2 ** 32 - 1), after: 1 })
  t.equal(leaves(Object.values(long ?? {})[0]), NOTE_VALUES_MAX - 1)
  t.end()
})

test("texts that multiply cost no more than the limit of characters", (t) => {
  const text = "x".repeat(NOTE_CHARS_MAX / 4)
  t.strictSame(asJson([text, text, text, text, text, "", 1]), [text, text, text, text, null, "", 1])
  t.strictSame(asJson({ [text]: text, a: text, b: text, c: text, d: 1 }), { [text]: text, a: text, d: 1 })
  t.end()
})
