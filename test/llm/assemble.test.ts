import { test } from "tap"
import type { JsonValue } from "../../lib/base/json.ts"
import { Assembler, completionOf, deltasOf, isContent } from "../../lib/llm/assemble.ts"
import type { StreamEvent } from "../../lib/llm/dialect.ts"
import { type Choice, type Delta, NO_USAGE, type Usage } from "../../lib/llm/model.ts"

const USAGE: Usage = { ...NO_USAGE, source: "provider" }
const STOP = { unified: "stop", raw: "stop" } as const

function event(parts: Partial<StreamEvent>): StreamEvent {
  return { raw: Buffer.alloc(0), deltas: [], error: undefined, done: false, json: undefined, ...parts }
}

function text(index: number, value: string): Delta {
  return { type: "text", index, text: value }
}

function choice(index: number, value: string): Choice {
  return { index, text: value, reasoning: "", refusal: "", toolCalls: [], finishReason: STOP }
}

test("deltas are joined by choice, and choices stand in order of their index", async (t) => {
  const assembler = new Assembler()
  assembler.push(event({ deltas: [text(1, "b"), text(0, "a"), { type: "reasoning", index: 0, text: "r" }] }))
  assembler.push(event({ deltas: [text(1, "B"), { type: "refusal", index: 1, text: "no" }] }))
  assembler.push(
    event({
      deltas: [
        { type: "finish", index: 1, reason: STOP },
        { type: "other", raw: 1 },
      ],
      done: true,
    }),
  )
  const completion = assembler.finish(false)
  t.match(completion.choices, [
    { index: 0, text: "a", reasoning: "r", finishReason: { unified: "other", raw: undefined } },
    { index: 1, text: "bB", refusal: "no", finishReason: STOP },
  ])
  t.match(completion, { text: "a", reasoning: "r", refusal: "", toolCalls: [], streamed: true })
  t.notOk("truncated" in completion)
})

test("a cut stands in every choice's finish reason, and in an answer without a choice", async (t) => {
  const assembler = new Assembler()
  assembler.push(event({ deltas: [text(0, "a"), text(1, "b"), { type: "finish", index: 1, reason: STOP }] }))
  const cut = assembler.finish(true, { firstDeltaMs: 1, totalMs: 2 })
  t.strictSame(
    cut.choices.map((one) => one.finishReason),
    [
      { unified: "cut", raw: undefined },
      { unified: "cut", raw: "stop" },
    ],
  )
  t.strictSame(cut.timings, { firstDeltaMs: 1, totalMs: 2 })
  t.strictSame(new Assembler().finish(true).finishReason, { unified: "cut", raw: undefined })
  t.strictSame(new Assembler().finish(false).finishReason, { unified: "other", raw: undefined })
})

test("usage exists without a report, and reports are merged field by field", async (t) => {
  t.strictSame(new Assembler().finish(false).usage, { ...NO_USAGE })
  const assembler = new Assembler()
  assembler.add({ type: "usage", usage: { ...USAGE, inputTokens: 10, cachedTokens: 4 } })
  assembler.add({ type: "usage", usage: { ...USAGE, outputTokens: 1 } })
  assembler.add({ type: "usage", usage: { ...USAGE, outputTokens: 3 } })
  t.match(assembler.finish(false).usage, { inputTokens: 10, outputTokens: 3, totalTokens: 13, cachedTokens: 4 })
  const lone = new Assembler()
  lone.add({ type: "usage", usage: { ...USAGE, totalTokens: 5 } })
  lone.add({ type: "usage", usage: USAGE })
  t.equal(lone.finish(false).usage.totalTokens, 5)
})

test("id, model and time are the first that are told, at the top or one level down", async (t) => {
  const identity = (...events: JsonValue[]): (string | number | undefined)[] => {
    const assembler = new Assembler()
    for (const json of events) assembler.push(event({ json }))
    const { id, model, created } = assembler.finish(false)
    return [id, model, created]
  }
  t.strictSame(identity({ id: "", model: "", created: 0 }, { id: "a", model: "m", created: 5 }), ["a", "m", 5])
  t.strictSame(identity({ id: "a", model: "m", created: 5 }, { id: "b", model: "n", created: 6 }), ["a", "m", 5])
  t.strictSame(identity({ message: { id: "msg", model: "claude" } }), ["msg", "claude", undefined])
  t.strictSame(identity({ response: { id: "resp", model: "m", created_at: 7 } }), ["resp", "m", 7])
  t.strictSame(identity(null, 1, []), [undefined, undefined, undefined])
})

test("content, errors and the end mark are remembered", async (t) => {
  const assembler = new Assembler()
  assembler.push(event({ deltas: [{ type: "finish", index: 0, reason: STOP }, text(0, "")] }))
  t.match([assembler.hasContent, assembler.done, assembler.error], [false, false, undefined])
  const error = { kind: "other", status: 200, message: "m", code: undefined, type: undefined, raw: null } as const
  assembler.push(event({ deltas: [text(0, "a")], done: true }))
  assembler.push(event({ error }))
  assembler.push(event({ error: { ...error, message: "later" } }))
  t.match([assembler.hasContent, assembler.done, assembler.error], [true, true, { message: "m" }])
})

test("only pieces of the answer are content", async (t) => {
  const call: Delta = { type: "toolCall", index: 0, call: 0, id: "x", name: "f", arguments: "" }
  for (const delta of [text(0, "a"), call]) t.equal(isContent(delta), true)
  for (const delta of [text(0, ""), { type: "usage", usage: USAGE }, { type: "other", raw: 1 }] as Delta[]) {
    t.equal(isContent(delta), false)
  }
})

test("beyond the limit nothing more is kept, and the completion says so", async (t) => {
  const assembler = new Assembler({ charsMax: 1_000 })
  for (let n = 0; n < 100; n++) assembler.add(text(0, "0123456789"))
  assembler.add(text(0, "x"))
  assembler.add({ type: "finish", index: 0, reason: STOP })
  const completion = assembler.finish(false)
  t.equal(completion.truncated, true)
  t.equal(completion.text, "0123456789".repeat(completion.text.length / 10), "a beginning without a gap")
  t.ok(completion.text.length > 0 && completion.text.length <= 1_000)
  t.equal(completion.finishReason.unified, "stop")
})

test("empty choices and calls cannot fill memory either", async (t) => {
  const assembler = new Assembler({ charsMax: 10_000 })
  for (let n = 0; n < 1_000; n++) {
    assembler.add({ type: "toolCall", index: 0, call: n, id: undefined, name: undefined, arguments: "" })
    assembler.add({ type: "finish", index: n, reason: STOP })
  }
  const completion = assembler.finish(false)
  t.equal(completion.truncated, true)
  t.ok(completion.choices.length < 100 && completion.toolCalls.length < 100)
})

test("a tool call takes its first id, and all pieces of its name and arguments", async (t) => {
  const assembler = new Assembler()
  const piece = (call: number, id: string | undefined, name: string | undefined, json: string): Delta => {
    return { type: "toolCall", index: 0, call, id, name, arguments: json }
  }
  for (const delta of [
    piece(1, "b", "g", "{"),
    piece(0, "a", "f", "["),
    piece(1, "c", "_2", "}"),
    piece(0, undefined, undefined, "]"),
  ]) {
    assembler.add(delta)
  }
  t.strictSame(assembler.finish(false).toolCalls, [
    { id: "a", name: "f", arguments: "[]" },
    { id: "b", name: "g_2", arguments: "{}" },
  ])
})

test("a completion's text is its first choice's, also after a change there", async (t) => {
  const choices = [choice(1, "b"), choice(0, "a")]
  const completion = completionOf({ choices })
  t.equal(completion.text, "a")
  const [first] = completion.choices
  if (first) first.text = "changed"
  t.equal(completion.text, "changed")
  t.equal(JSON.parse(JSON.stringify(completion)).text, "changed", "and is there for JSON")
  t.match(completionOf({ choices: [] }), {
    text: "",
    reasoning: "",
    refusal: "",
    toolCalls: [],
    usage: { source: "none" },
  })
})

test("a completion taken apart and put together is the same", async (t) => {
  const toolCalls = [{ id: "x", name: "f", arguments: "{}" }]
  const completion = completionOf({
    choices: [{ ...choice(0, "a"), reasoning: "r", refusal: "no", toolCalls }, choice(1, "")],
    usage: { ...USAGE, inputTokens: 1, outputTokens: 2, totalTokens: 3 },
  })
  const assembler = new Assembler({ streamed: false })
  for (const delta of deltasOf(completion)) assembler.add(delta)
  t.strictSame(JSON.stringify(assembler.finish(false)), JSON.stringify(completion))
  t.strictSame(deltasOf(completionOf({ choices: [] })), [])
})
