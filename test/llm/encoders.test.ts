/**
 * What encoders do with deltas that no provider of their own sends so: calls whose pieces come mixed, arguments that
 * are no JSON, choices that the format has no place for, answers beyond the limit.
 */
import { test } from "tap"
import { arrayOf, isObject, type JsonObject, objectOf, parseJson } from "../../lib/base/json.ts"
import { AnswerLimit } from "../../lib/llm/answer-limit.ts"
import { anthropicMessages } from "../../lib/llm/anthropic/messages.ts"
import { completionFrom } from "../../lib/llm/assemble.ts"
import type { Dialect } from "../../lib/llm/dialect.ts"
import { llamacpp } from "../../lib/llm/llamacpp/llamacpp.ts"
import { type Delta, NO_USAGE, type Usage } from "../../lib/llm/model.ts"
import { ollama } from "../../lib/llm/ollama/ollama.ts"
import { openaiChat } from "../../lib/llm/openai/chat.ts"
import { openaiResponses } from "../../lib/llm/responses/responses.ts"
import { assembled, contextFor, decodeAll } from "../helpers/llm/dialect-fixtures.ts"

function piece(call: number, json: string, name?: string, id?: string): Delta {
  return { type: "toolCall", index: 0, call, id, name, arguments: json }
}

function text(value: string, index = 0): Delta {
  return { type: "text", index, text: value }
}

function write(dialect: Dialect, deltas: readonly Delta[], path = "/"): string {
  const encoder = dialect.encoder(contextFor(dialect, path))
  return [...deltas.map((delta) => encoder.delta(delta)), encoder.end()].join("")
}

/** The JSON of every event or line. */
function events(stream: string): JsonObject[] {
  const lines = stream.split("\n").map((line) => parseJson(line.replace(/^data: /, "")))
  return lines.filter((json) => isObject(json))
}

function calls(dialect: Dialect, stream: string): unknown {
  const { toolCalls } = assembled(decodeAll(dialect, Buffer.from(stream))).finish(false)
  return toolCalls.map((call) => [call.name, parseJson(call.arguments)])
}

const MIXED = [
  text("Look."),
  piece(0, '{"a"', "f", "one"),
  piece(1, '{"b":', "g", "two"),
  text(" And "),
  piece(0, ":1}"),
  piece(1, "2}"),
  piece(2, "", "h"),
  piece(2, "", "_more"),
  piece(3, '{"d":4}', "i"),
  piece(3, " "),
  text("so on."),
]
const WHOLE = [
  ["f", { a: 1 }],
  ["g", { b: 2 }],
  ["h_more", {}],
  ["i", { d: 4 }],
]

for (const dialect of [anthropicMessages, openaiResponses, ollama]) {
  test(`${dialect.name}: no piece of a call is lost or joined to another, however they are mixed`, async (t) => {
    const stream = write(dialect, MIXED)
    const found = arrayOf(calls(dialect, stream)).toSorted((a, b) => String(a).localeCompare(String(b)))
    t.strictSame(
      found.map((call) => (Array.isArray(call) && call[1] === undefined ? [call[0], {}] : call)),
      WHOLE,
    )
    t.equal(assembled(decodeAll(dialect, Buffer.from(stream))).finish(false).text, "Look. And so on.")
  })

  test(`${dialect.name}: choices beyond the first have no place`, async (t) => {
    const other: Delta = { type: "finish", index: 1, reason: { unified: "length", raw: "length" } }
    const stream = write(dialect, [text("a"), text("b", 1), other])
    const { choices, finishReason } = assembled(decodeAll(dialect, Buffer.from(stream))).finish(false)
    t.strictSame([choices.length, choices[0]?.text, finishReason.unified], [1, "a", "stop"])
  })

  test(`${dialect.name}: an answer without a delta is a whole, empty answer`, async (t) => {
    const answer = assembled(decodeAll(dialect, Buffer.from(write(dialect, []))))
    t.ok(answer.done)
    t.strictSame([answer.finish(false).text, answer.finish(false).finishReason.unified], ["", "stop"])
  })
}

test("anthropic-messages: blocks open and close one after the other", async (t) => {
  let open: number | undefined
  let next = 0
  for (const { type, index } of events(write(anthropicMessages, MIXED))) {
    if (type === "content_block_start") {
      t.equal(open, undefined, "no block is open")
      t.equal(index, next++)
      open = Number(index)
    } else if (type === "content_block_delta") t.equal(index, open)
    else if (type === "content_block_stop") {
      t.equal(index, open)
      open = undefined
    }
  }
  t.equal(next, 6, "a text, the call it interrupts, and what waited")
})

test("anthropic-messages and ollama: arguments that are no object are wrapped, not dropped", async (t) => {
  const wrapped = [["f", { INVALID_JSON: "say: hi" }]]
  t.strictSame(calls(anthropicMessages, write(anthropicMessages, [piece(0, "say:", "f"), piece(0, " hi")])), wrapped)
  const lines = events(write(ollama, [piece(0, "say:", "f"), piece(0, " hi")]))
  const [call] = arrayOf(objectOf(lines[0]?.message)?.tool_calls)
  t.strictSame(objectOf(objectOf(call)?.function)?.arguments, { INVALID_JSON: "say: hi" })
})

test("anthropic-messages: events of the same dialect that no delta tells keep their place", async (t) => {
  const signature = { type: "content_block_delta", index: 9, delta: { type: "signature_delta", signature: "s" } }
  const start = { type: "content_block_start", index: 9, content_block: { type: "redacted_thinking", data: "x" } }
  const raws = [signature, start, { type: "future_event" }, { choices: [] }, { type: "response.future" }, "text"]
  const written = events(
    write(
      anthropicMessages,
      raws.map((raw): Delta => ({ type: "other", raw })),
    ),
  )
  const types = written.map(({ type, index }) => [type, index])
  t.strictSame(types.slice(1, -2), [
    ["content_block_start", 0],
    ["content_block_delta", 0],
    ["content_block_stop", 0],
    ["content_block_start", 1],
    ["future_event", undefined],
    ["content_block_stop", 1],
  ])
})

test("openai-responses: a custom tool's call is written as what the client asked for", async (t) => {
  const body = { model: "m", input: "", tools: [{ type: "custom", name: "patch" }] }
  const request = openaiResponses.parseRequest(body, "/")
  const encoder = openaiResponses.encoder({ id: "i", model: "m", created: 1, request })
  const written = events(encoder.delta(piece(0, "*** Begin", "patch")) + encoder.end())
  const done = written.find(({ type }) => type === "response.output_item.done")
  t.match(done?.item, { type: "custom_tool_call", name: "patch", input: "*** Begin", status: "completed" })
})

test("openai-responses: events of the same dialect that no delta tells keep their place", async (t) => {
  const raws = [
    { type: "response.output_text.annotation.added", annotation: { url: "u" } },
    { type: "response.future", sequence_number: 40 },
    { type: "response.image.partial", output_index: 7 },
    { choices: [] },
    { type: "content_block_start" },
    { id: "ws_1", type: "web_search_call", status: "completed" },
    { type: "response.output_item.done", output_index: 8, item: { id: "rs_1", type: "reasoning", summary: [] } },
    null,
  ]
  const deltas = raws.map((raw): Delta => ({ type: "other", raw }))
  const written = events(write(openaiResponses, [...deltas, text("Hi")]))
  const output = arrayOf(objectOf(written.at(-1)?.response)?.output).map((item) => objectOf(item)?.type)
  t.strictSame(output, ["web_search_call", "reasoning", "message"])
  t.ok(written.some(({ type, sequence_number }) => type === "response.future" && sequence_number === 2))
})

test("ollama: an answer has the form of the endpoint that was asked", async (t) => {
  const deltas: Delta[] = [{ type: "reasoning", index: 0, text: "Hm." }, text("Hi"), piece(0, '{"a":1}', "f", "one")]
  const [thought, said, called] = events(write(ollama, deltas, "/api/generate"))
  t.match(thought, { response: "", thinking: "Hm.", done: false, created_at: "1970-01-01T00:00:07.000Z" })
  t.match(said, { response: "Hi" })
  t.match(called, { tool_calls: [{ id: "one", function: { name: "f", arguments: { a: 1 } } }] })
  t.equal(said?.message, undefined)
  const odd = { ...contextFor(ollama), created: 1e300 }
  t.match(events(ollama.encoder(odd).end()), [{ created_at: "1970-01-01T00:00:00.000Z" }])
  const [chat] = events(write(ollama, deltas, "/api/chat"))
  t.match(chat, { message: { role: "assistant", content: "", thinking: "Hm." } })
})

test("llamacpp: an answer has no place for reasoning and calls, and says progress as it came", async (t) => {
  const progress = { index: 0, prompt_progress: { total: 3 } }
  const deltas: Delta[] = [
    { type: "other", raw: progress },
    { type: "other", raw: { type: "ping" } },
    { type: "reasoning", index: 0, text: "Hm." },
    piece(0, "{}", "f"),
  ]
  const written = events(write(llamacpp, deltas))
  t.equal(written.length, 2)
  t.strictSame(written[0], progress)
  t.match(written[1], { index: 0, content: "", stop: true, stop_type: "eos" })
})

test("a usage that is told behind a stream which left as it came keeps the reason it ended for", async (t) => {
  const usage: Usage = { ...NO_USAGE, inputTokens: 5, outputTokens: 2, source: "counted" }
  for (const dialect of [anthropicMessages, openaiResponses, ollama, llamacpp]) {
    const reason = { unified: "length", raw: undefined } as const
    const events = decodeAll(dialect, Buffer.from(write(dialect, [text("Hi"), { type: "finish", index: 0, reason }])))
    const encoder = dialect.encoder(contextFor(dialect))
    for (const event of events) encoder.adopt(event.json, true)
    const sent = events.slice(0, -1).map((event) => event.raw.toString())
    const told = [...sent, encoder.delta({ type: "usage", usage }), encoder.end()].join("")
    const answer = assembled(decodeAll(dialect, Buffer.from(told)))
    const { finishReason, text: said, usage: counted } = answer.finish(false)
    t.ok(answer.done, dialect.name)
    t.strictSame([said, finishReason.unified, counted.inputTokens], ["Hi", "length", 5], dialect.name)
  }
})

test("an answer that is held to be written again is bounded", async (t) => {
  const limit = new AnswerLimit(4)
  t.equal(limit.hold("abc"), "abc")
  t.throws(() => limit.hold("de"), { code: "answer-too-large", message: /exceeds 4 characters/ })
})

test("openai-chat: a custom tool's call is written as what the client asked for", async (t) => {
  const body = { model: "m", messages: [], tools: [{ type: "custom", custom: { name: "patch" } }] }
  const request = openaiChat.parseRequest(body, "/")
  const context = { id: "i", model: "m", created: 1, request }
  const encoder = openaiChat.encoder(context)
  const written = events(encoder.delta(piece(0, "*** ", "patch", "c")) + encoder.delta(piece(0, "Begin")))
  const pieces = written.map(({ choices }) => objectOf(objectOf(arrayOf(choices)[0])?.delta)?.tool_calls)
  t.match(pieces[0], [{ index: 0, id: "c", type: "custom", custom: { name: "patch", input: "*** " } }])
  t.strictSame(pieces[1], [{ index: 0, custom: { input: "Begin" } }])
  const whole = openaiChat.writeAnswer(completionFrom([piece(0, "*** Begin", "patch", "c")], {}), context)
  t.match(whole, { choices: [{ message: { tool_calls: [{ type: "custom", custom: { input: "*** Begin" } }] } }] })
})
