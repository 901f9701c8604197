import fc from "fast-check"
import { test } from "tap"
import type { JsonObject, JsonValue } from "../../../lib/base/json.ts"
import { Assembler } from "../../../lib/llm/assemble.ts"
import type { ToolCall } from "../../../lib/llm/model.ts"
import { TOOL_CALLS_MAX, ToolCallTracker } from "../../../lib/llm/openai/tool-calls.ts"

/** The calls that come of `tool_calls` arrays, one a chunk. */
function calls(...chunks: JsonValue[][]): ToolCall[] {
  const tracker = new ToolCallTracker(0)
  const assembler = new Assembler()
  for (const chunk of chunks) for (const delta of tracker.readCalls(chunk)) assembler.add(delta)
  return assembler.finish(false).toolCalls
}

function piece(
  index: number | undefined,
  id: string | undefined,
  name: string | undefined,
  json: JsonValue,
): JsonObject {
  return { index, id, type: "function", function: { name, arguments: json } }
}

test("arguments split anywhere, calls interleaved anyhow: nothing is lost or joined to the wrong call", async (t) => {
  const call = fc.record({
    name: fc.constantFrom("plan", "save"),
    text: fc.json({ maxDepth: 2 }).map((json) => `{"a": ${json}}`),
    cuts: fc.array(fc.nat(50), { maxLength: 6 }),
  })
  /** How servers number and name the pieces that continue a call. */
  const quirk = fc.constantFrom("openai", "repeatedName", "emptyName", "idPerPiece", "noIndex", "nullFields")
  const property = fc.property(
    fc.array(call, { minLength: 1, maxLength: 4 }),
    quirk,
    fc.nat(),
    (wanted, style, seed) => {
      const queues = wanted.map(({ name, text, cuts }, index) => {
        const ends = [...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length]
        const texts = ["", ...ends.map((end, at) => text.slice(ends[at - 1] ?? 0, end))]
        return texts.map((part, at) => styled(style, index, at, name, part))
      })
      // Without a number, calls can only come one after the other.
      const order = style === "noIndex" ? queues.flat() : interleaved(queues, seed)
      const got = calls(...order.map((entry) => [entry]))
      const texts = wanted.map(({ name, text }) => `${name} ${text}`)
      return JSON.stringify(got.map((one) => `${one.name} ${one.arguments}`).sort()) === JSON.stringify(texts.sort())
    },
  )
  fc.assert(property, { numRuns: 1_000 })
  t.pass()
})

function styled(style: string, index: number, at: number, name: string, part: string): JsonObject {
  const id = `call_${index}`
  if (at === 0) return piece(style === "noIndex" ? undefined : index, id, name, part)
  if (style === "repeatedName") return piece(index, id, name, part)
  if (style === "emptyName") return piece(index, "", "", part)
  if (style === "idPerPiece") return piece(index, `${id}_${at}`, undefined, part)
  if (style === "noIndex") return piece(undefined, undefined, undefined, part)
  if (style === "nullFields") return { index, id: null, function: { name: null, arguments: part } }
  return { index, function: { arguments: part } }
}

/** One piece after the other from any queue, each queue in its own order; calls begin in order. */
function interleaved(queues: JsonObject[][], seed: number): JsonObject[] {
  const rest = queues.map((queue) => [...queue])
  const order = rest.flatMap((queue) => queue.splice(0, 1))
  for (let turn = seed; rest.some((queue) => queue.length > 0); turn = (turn * 31 + 7) % 1_000_003) {
    order.push(
      ...(rest[turn % rest.length] ?? []).splice(0, 1),
      ...(rest.find((queue) => queue.length > 0) ?? []).splice(0, 1),
    )
  }
  return order
}

test("whole calls that all have number 0 are calls of their own, with ids or without", async (t) => {
  const two = (first: string | undefined, second: string | undefined): string[] =>
    calls([piece(0, first, "f", '{"a":1}')], [piece(0, second, "f", '{"a":2}')]).map((call) => call.arguments)
  t.strictSame(two("x", "y"), ['{"a":1}', '{"a":2}'])
  t.strictSame(two(undefined, undefined), ['{"a":1}', '{"a":2}'])
  t.strictSame(two("x", undefined), ['{"a":1}', '{"a":2}'])
})

test("another name with another id is another call, though the number is the same", async (t) => {
  t.strictSame(
    calls([piece(0, "x", "f", "")], [piece(0, "y", "g", "{")], [piece(0, undefined, undefined, "}")]).map((c) => [
      c.name,
      c.arguments,
    ]),
    [
      ["f", ""],
      ["g", "{}"],
    ],
  )
})

test("calls without number and id are told apart by name, place and wholeness", async (t) => {
  const bare = (name: string | undefined, json: JsonValue): JsonObject => ({ function: { name, arguments: json } })
  t.strictSame(
    calls([bare("f", '{"a"'), bare("f", "{}")], [bare("g", "{")], [bare(undefined, "}")], [bare("g", "{}")]).map(
      (c) => [c.name, c.arguments],
    ),
    [
      ["f", '{"a"'],
      ["f", "{}"],
      ["g", "{}"],
      ["g", "{}"],
    ],
  )
})

test("without a number, the id finds the call; the same id twice in one array is two calls", async (t) => {
  const withId = (id: string, name: string | undefined, json: string): JsonObject => ({
    id,
    function: { name, arguments: json },
  })
  const got = calls(
    [withId("x", "f", "{"), withId("y", "g", "[")],
    [withId("x", undefined, "}")],
    [withId("y", undefined, "]")],
  )
  t.strictSame(
    got.map((call) => call.arguments),
    ["{}", "[]"],
  )
  t.equal(calls([withId("z", "f", "{}"), withId("z", "f", "{}")]).length, 2)
})

test("numbers need not begin at 0, and -1 is none", async (t) => {
  t.strictSame(
    new ToolCallTracker(2)
      .readCalls([piece(5, "x", "f", "{}"), piece(-1, "y", "g", "{}")])
      .map((d) => [d.index, d.call]),
    [
      [2, 0],
      [2, 1],
    ],
  )
})

test("arguments that came as an object are written as JSON; odd entries are skipped", async (t) => {
  t.strictSame(calls([null, 1, piece(0, "x", "f", { a: [1] })]), [{ id: "x", name: "f", arguments: '{"a":[1]}' }])
  t.strictSame(calls([piece(0, "x", "f", null)]), [{ id: "x", name: "f", arguments: "" }])
  t.strictSame(calls([{ index: 0, id: "x", name: "flat", arguments: "{}" }]), [
    { id: "x", name: "flat", arguments: "{}" },
  ])
  t.strictSame(new ToolCallTracker(0).readCalls("none"), [])
  t.strictSame(new ToolCallTracker(0).readFunctionCall(null), [])
})

test("a name in pieces is put together, and a repeated one is told once", async (t) => {
  const named = (name: string): JsonObject => piece(0, undefined, name, "")
  const [call] = calls([named("edit_ex")], [named("isting_file")], [named("edit_existing_file")])
  t.equal(call?.name, "edit_existing_file")
})

test("id and name are told once, with the first piece that has them", async (t) => {
  const tracker = new ToolCallTracker(0)
  const [first] = tracker.readCalls([piece(0, "x", undefined, "")])
  const [second] = tracker.readCalls([piece(0, "x", "f", "")])
  const [third] = tracker.readCalls([piece(0, "x", "f", "")])
  t.match(
    [first, second, third],
    [
      { id: "x", name: undefined },
      { id: undefined, name: "f" },
      { id: undefined, name: undefined },
    ],
  )
})

test("an endless stream of calls ends with an error", async (t) => {
  const tracker = new ToolCallTracker(0)
  const many = Array.from({ length: TOOL_CALLS_MAX }, (_, index) => piece(index, `call_${index}`, "f", "{}"))
  t.equal(tracker.readCalls(many).length, TOOL_CALLS_MAX)
  const one = [piece(TOOL_CALLS_MAX, "one more", "f", "{}")]
  t.throws(() => tracker.readCalls(one), { code: "too-many-tool-calls", source: "upstream" })
})

test("calls that share index 0 are several where a new id or name follows whole arguments", async (t) => {
  const cut = ['{"a"', ":1}"] as const
  const split = (id: string | undefined, name: string, ...texts: string[]) => [
    [piece(0, id, name, texts[0] ?? "")],
    ...texts.slice(1).map((text) => [piece(0, undefined, undefined, text)]),
  ]
  const ofOneName = [...split("a", "plan", "", ...cut), ...split("b", "plan", "", ...cut)]
  t.match(calls(...ofOneName), [
    { id: "a", name: "plan", arguments: '{"a":1}' },
    { id: "b", name: "plan", arguments: '{"a":1}' },
  ])
  t.match(
    calls(...split(undefined, "plan", "", ...cut), ...split(undefined, "save", "", ...cut)),
    [
      { name: "plan", arguments: '{"a":1}' },
      { name: "save", arguments: '{"a":1}' },
    ],
    "names alone",
  )
  t.match(calls(...split("a", "plan", ...cut), ...split("b", "plan", ...cut)), [{ id: "a" }, { id: "b" }], "no head")
  const twins = [piece(0, "a", "plan", ""), piece(0, "b", "plan", "")]
  t.match(calls(twins), [{ id: "a" }, { id: "b" }], "beside each other, without arguments")
  const braces = split("a", "plan", '{"a":"}', '\\"{"', "}")
  t.match(calls(...braces, [piece(0, undefined, "plan", "")]), [{ arguments: '{"a":"}\\"{"}' }], "a name said again")
  t.equal(calls(...braces, [piece(0, undefined, "plan", "")]).length, 1)
})

test("a custom tool of chat has its name and its input", async (t) => {
  const custom = (id: string | undefined, name: string | undefined, input: string) => ({
    index: 0,
    id,
    type: "custom",
    custom: { name, input },
  })
  const pieces = [
    [custom("a", "patch", "*** Be")],
    [custom(undefined, undefined, "gin {}")],
    [custom("b", "patch", "x")],
  ]
  t.match(calls(...pieces), [
    { id: "a", name: "patch", arguments: "*** Begin {}" },
    { id: "b", name: "patch", arguments: "x" },
  ])
})
