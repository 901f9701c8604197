/** JSON is mended without loss, or not at all. */
import assert from "node:assert/strict"
import fc from "fast-check"
import { test } from "tap"
import { mendJson } from "../../../addons/requery/json-mend.ts"

const mended = (text: string): unknown => JSON.parse(mendJson(text))
const RUNS = 2_000

test("an invalid escape's backslash is doubled, and everything else of its string stays", async () => {
  const cases: [string, string][] = [
    [String.raw`\d+\.\w*`, String.raw`\d+\.\w*`],
    [String.raw`C:\Windows\System32\drivers`, String.raw`C:\Windows\System32\drivers`],
    [String.raw`\alpha \le \Sigma`, String.raw`\alpha \le \Sigma`],
    [String.raw`\d\\x \"y\" \/`, String.raw`\d\x "y" /`],
    [String.raw`\d\n`, "\\d\n"],
    [String.raw`\s\t1`, "\\s\t1"],
    [String.raw`it\'s`, String.raw`it\'s`],
  ]
  for (const [source, value] of cases) assert.deepEqual(mended(`{"a": "${source}"}`), { a: value }, source)
})

test("a string whose backslashes can be read in two ways is not mended", async () => {
  for (const source of [
    String.raw`C:\temp\data`,
    String.raw`C:\Users\new`,
    String.raw`\frac{a}{b} \d`,
    String.raw`\beta \Sigma`,
    String.raw`\d\rab`,
    String.raw`\d\u0041`,
    String.raw`C:\users`,
    String.raw`\d\néa`,
  ])
    assert.throws(() => mendJson(`{"a": "${source}"}`), /two ways/, source)
})

test("numbers that are none, words that are no values, and what is left out are not mended", async () => {
  for (const value of [
    "NaN",
    "-Infinity",
    "Infinity",
    "undefined",
    "007",
    "1_000",
    "1,000.5.1",
    "0x10",
    "1.",
    ".5",
    "+1",
    "1e",
    "12abc",
    "1 000",
    "hello",
    "/a/",
    "[1, ...]",
    "[1, // ... and so on\n 2]",
    "[1, /* … */ 2]",
    "[1, /* a",
    'f("a")',
    "constructor",
  ])
    assert.throws(() => mendJson(`{"a": ${value}}`), Error, value)
})

test("what is broken in form alone is mended", async () => {
  const cases: [string, unknown][] = [
    ["{'a': 'it's \"b\"', \"c\": True, d: None, $e_1: False}", { a: 'it\'s "b"', c: true, d: null, $e_1: false }],
    ['{“a”: “b "c"”}', { a: 'b "c"' }],
    ["{'a': 'it\\'s'}", { a: "it's" }],
    ['{"a": [1, 2,], "b": {"c": 1,},}', { a: [1, 2], b: { c: 1 } }],
    ['{"a": 1\n"b": [1\n2\n"x"\n{} []]}', { a: 1, b: [1, 2, "x", {}, []] }],
    ['{"a": {"b": [1, {"c": "d"', { a: { b: [1, { c: "d" }] } }],
    ['{"a": [1, {"b": 2}', { a: [1, { b: 2 }] }],
    ['{"a": [1, 2}', { a: [1, 2] }],
    ['{"a": "one\ntwo\tthree\u0001"}', { a: "one\ntwo\tthree\u0001" }],
    ['{"a": "he said "no" to it", "b": 1}', { a: 'he said "no" to it', b: 1 }],
    ['// first\n{"a": 1, // one\n /* two */ "b": "http://x/*y*/" /**//**/}//', { a: 1, b: "http://x/*y*/" }],
    ['{\u00a0"a":\u00a01}', { a: 1 }],
    ["[]", []],
    ["'a'", "a"],
  ]
  for (const [source, value] of cases) assert.deepEqual(mended(source), value, source)
})

test("what can be read in two ways, or would lose something, is not mended", async () => {
  for (const source of [
    '{"a": "b" "c": 1}',
    '{"a": ["b" "c"]}',
    '{"a": 1, "a": 2,}',
    '{"a": [1 2]}',
    '{"a": "one", two", "b": 1}',
    '{"a": 1}}',
    '{"a": 1} {"b": 2}',
    '{"a": }',
    '{"a": 1,, "b": 2}',
    "[,1]",
    '{"a", "b"}',
    '{"a": 1 "b": 2}',
    '{"a": "b',
    '{"a"',
    '{"a":',
    "{: 1}",
    "{1: 2}",
    "]",
    "",
    " ",
    '{"a": "\\',
    `${"[".repeat(1_001)}1,]`,
  ])
    assert.throws(() => mendJson(source), Error, source)
})

/** Values as models write them: keys of an object differ. */
const leaf = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom("\\", '"', "'", "\n", "d", "t", "u", "0", "{", "]", ",", ":", " ", "/", "é"),
    maxLength: 12,
  }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("tree"), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 6 }), tie("tree"), { maxKeys: 4, noNullPrototype: true }),
  ),
}))

/** One fault that a model makes, at one of the places where it can. */
const FAULTS: readonly ((json: string, pick: (count: number) => number) => string)[] = [
  (json) => `${json.slice(0, -1)},${json.slice(-1)}`,
  (json) => json.replace(/[\]}]+$/, ""),
  (json) => json.replaceAll("\\n", "\n"),
  (json) => json.replace(/\btrue\b/g, "True").replace(/\bnull\b/g, "None"),
  (json) => json.replaceAll("\\\\", "\\"),
  (json) => json.replaceAll('\\"', '"'),
  (json, pick) => without(json, /,/g, pick),
  (json, pick) => without(json, /[{}[\]]/g, pick),
  (json, pick) => without(json, /"/g, pick),
  (json, pick) => without(json, /:/g, pick),
  (json, pick) => without(json, /\d/g, pick),
  (json) => json.replace(/-?\d[\d.e+-]*/i, "0$&"),
  (json) => json.replace(/"(\w+)":/g, "$1:"),
]

function without(json: string, sign: RegExp, pick: (count: number) => number): string {
  const places = [...json.matchAll(sign)]
  const at = places[pick(Math.max(1, places.length))]?.index
  return at === undefined ? json : json.slice(0, at) + json.slice(at + 1)
}

/** What no mending may touch: everything but JSON's own signs, white space, and how a sign is escaped. */
function essence(text: string): string {
  return text
    .replace(/\b(True|False|None)\b/g, (word) => ({ True: "true", False: "false", None: "null" })[word] ?? word)
    .replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/\\[nrtbf]/g, (pair) => JSON.parse(`"${pair}"`))
    .replace(/[\\"',:{}[\]\s]/g, "")
}

test("a string that looks like a comment once its first quote is missing is not left out", async (t) => {
  for (const source of ['{"a":["b",//"]}', '{"a":["b",\n//",\n"c"]}', '{"a":[/* b */"]}', '{"a":["b", // "c", "\n]}'])
    t.throws(() => mendJson(source), source)
  t.equal(mendJson('{"a":["b" // "c" is gone\n]}'), '{"a":["b" \n]}', "whole strings in a comment are the comment's")
})

test("every character of every string and every number of the source is in the mended value, or nothing is mended", async () => {
  let count = 0
  fc.assert(
    fc.property(tree, fc.constantFrom(...FAULTS), fc.nat(), fc.boolean(), (value, fault, at, isWide) => {
      const source = fault(JSON.stringify({ root: value }, null, isWide ? 1 : 0), (most) => at % most)
      let text: string
      try {
        text = mendJson(source)
      } catch {
        return
      }
      count += 1
      JSON.parse(text)
      assert.equal(essence(text), essence(source))
      assert.ok(backslashes(text) >= backslashes(source), "no backslash is lost")
    }),
    { numRuns: RUNS },
  )
  assert.ok(count > RUNS / 4, `${count} of ${RUNS} were mended`)
})

function backslashes(text: string): number {
  return text.split("\\").length
}

test("JSON that was right comes out as the same value", async () => {
  fc.assert(
    fc.property(tree, fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
      const json = JSON.stringify(value, null, indent)
      assert.equal(mendJson(json), json)
      assert.deepEqual(mended(json), JSON.parse(json))
    }),
    { numRuns: RUNS },
  )
})
