/** Edited streams whose events stand for themselves: what was not edited stays, event by event. */
import { test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import {
  changes,
  dataLines,
  editStream,
  holdsAll,
  redacted,
  redacts,
  redactsAcross,
  told,
} from "../../helpers/llm/edited-streams.ts"

const chat = dialectNamed("openai-chat")
const ollama = dialectNamed("ollama")
const llamacpp = dialectNamed("llamacpp")
const completions = dialectNamed("openai-completions")

const HEAD = {
  id: "c1",
  object: "chat.completion.chunk",
  created: 7,
  model: "up",
  system_fingerprint: "fp",
  service_tier: "x",
}

function piece(delta: JsonObject, more: JsonObject = {}, top: JsonObject = {}): JsonObject {
  return { ...HEAD, ...top, choices: [{ index: 0, delta, finish_reason: null, ...more }] }
}

const USAGE = {
  prompt_tokens: 3,
  completion_tokens: 4,
  total_tokens: 7,
  prompt_tokens_details: { audio_tokens: 0 },
  cost: 0.1,
}

/** A chat with all that may stand beside a text. */
const RICH = dataLines(
  piece({ role: "assistant", content: "" }),
  piece({
    reasoning: "why secret",
    reasoning_details: [{ type: "reasoning.text", text: "why secret", signature: "s" }],
  }),
  piece({ reasoning_details: [{ type: "reasoning.encrypted", data: "ENC" }] }),
  piece(
    { content: "a secret", annotations: [{ type: "url_citation", url: "u" }] },
    { content_filter_results: { hate: 1 } },
  ),
  piece(
    { content: " and more" },
    { logprobs: { content: [{ token: " and more", logprob: -1 }] } },
    { citations: ["u"] },
  ),
  piece({ audio: { id: "audio_1", data: "AAAA", transcript: "x" } }),
  piece({
    tool_calls: [{ index: 0, id: "t1", type: "function", function: { name: "f", arguments: "" }, extra_content: 1 }],
  }),
  piece({ tool_calls: [{ index: 0, function: { arguments: '{"a":"secret"}' } }] }),
  { ...HEAD, future: { kept: true } },
  piece({}, { finish_reason: "tool_calls", stop_details: { why: 1 } }),
  { ...HEAD, choices: [], usage: USAGE },
  "[DONE]",
)

test("an edit of one text changes that text, and no other byte of any event", async (t) => {
  const edit = (delta: Delta) => (delta.type === "text" ? redacts(delta) : [delta])
  t.equal(editStream(chat, Buffer.from(RICH), edit), RICH.replace('"content":"a secret"', '"content":"a ***"'))
})

test("an edit of all that is told changes it wherever it is said, at every split of the bytes", async (t) => {
  const whole = editStream(chat, Buffer.from(RICH), redacts)
  t.equal(whole, redacted(RICH))
  const bytes = Buffer.from(RICH)
  for (let cut = 0; cut <= bytes.length; cut++)
    if (editStream(chat, bytes, redacts, [cut]) !== whole) t.fail(`cut at byte ${cut}`)
})

test("the tokens of an edited text go with it, those of another stay", async (t) => {
  const edit = (delta: Delta): Delta[] =>
    delta.type === "text" && delta.text === " and more" ? [{ ...delta, text: " less" }] : [delta]
  t.strictSame(changes(RICH, editStream(chat, Buffer.from(RICH), edit)), [
    '8.choices[0].delta.content: " and more" -> " less"',
    '8.choices[0].logprobs: {"content":[{"token":" and more","logprob":-1}]} -> null',
  ])
})

test("what stands beside a text is told as other, and goes where it is dropped", async (t) => {
  const raws: unknown[] = []
  const drops = (delta: Delta): Delta[] => {
    if (delta.type !== "other") return [delta]
    raws.push(delta.raw)
    return JSON.stringify(delta.raw).includes("annotations") ? [] : [delta]
  }
  const text = editStream(chat, Buffer.from(RICH), drops)
  t.match(raws[0], { id: "c1", choices: [{ index: 0, delta: { annotations: [{ url: "u" }], content: undefined } }] })
  t.equal(text, RICH.replace(',"annotations":[{"type":"url_citation","url":"u"}]', ""))
})

test("a redactor that holds text back across events lets nothing through, in its order", async (t) => {
  const stream = dataLines(
    piece({ role: "assistant", content: "my sec" }),
    piece({ content: "ret is se" }),
    piece({ content: "cret" }, { seen: 1 }),
    piece({ content: "s" }),
    piece({}, { finish_reason: "stop" }),
    { ...HEAD, choices: [], usage: USAGE },
    "[DONE]",
  )
  const text = editStream(chat, Buffer.from(stream), redactsAcross())
  const { completion, done } = told(chat, text)
  t.equal(completion.text, "my *** is ***s")
  t.match(completion, { finishReason: { unified: "stop" }, usage: { inputTokens: 3, outputTokens: 4 } })
  t.ok(done)
  t.notMatch(text, "secret")
  t.match(text, '"seen":1')
  t.match(text, JSON.stringify(USAGE), "usage as it came")
  t.equal(text.split('"role":"assistant"').length, 2, "the role is told once")
})

test("text that is held to the end comes before the end, with the answer's own fields", async (t) => {
  const text = editStream(chat, Buffer.from(RICH), holdsAll())
  t.equal(told(chat, text).completion.text, "a secret and more")
  t.ok(text.indexOf("a secret and more") < text.indexOf('"finish_reason":"tool_calls"'))
  t.match(
    text,
    /"system_fingerprint":"fp","service_tier":"x","choices":\[\{"index":0,"delta":\{"content":"a secret and more"/,
  )
  t.match(text, '"citations":["u"]', "an event that says something else stays")
})

test("a call that is dropped is gone, and those behind it move up", async (t) => {
  const call = (index: number, name: string) => ({
    index,
    id: `t${index}`,
    type: "function",
    function: { name, arguments: "{}" },
  })
  const stream = dataLines(
    piece({ role: "assistant", content: "x", tool_calls: [call(0, "f"), call(1, "g")] }),
    piece({ tool_calls: [{ index: 0, function: { arguments: " " } }] }),
    piece({ tool_calls: [{ index: 1, function: { arguments: " " } }] }),
    piece({}, { finish_reason: "tool_calls" }),
    "[DONE]",
  )
  const text = editStream(chat, Buffer.from(stream), (delta) =>
    delta.type === "toolCall" && delta.call === 0 ? [] : [delta],
  )
  t.equal(
    text,
    dataLines(
      piece({ role: "assistant", content: "x", tool_calls: [{ ...call(1, "g"), index: 0 }] }),
      piece({ tool_calls: [{ index: 0, function: { arguments: " " } }] }),
      piece({}, { finish_reason: "tool_calls" }),
      "[DONE]",
    ),
  )
})

test("calls that leave in another order are numbered as they leave", async (t) => {
  const call = (index: number, name: string) => ({
    index,
    id: `t${index}`,
    type: "function",
    function: { name, arguments: "{}" },
  })
  const stream = dataLines(
    piece({ role: "assistant", tool_calls: [call(0, "f")] }),
    piece({ tool_calls: [call(1, "g")] }),
    piece({}, { finish_reason: "tool_calls" }),
    "[DONE]",
  )
  const held: Delta[] = []
  const text = editStream(chat, Buffer.from(stream), (delta) => {
    if (delta.type === "finish") return [...held, delta]
    if (delta.type !== "toolCall" || delta.call === 1) return [delta]
    held.push(delta)
    return []
  })
  t.match(told(chat, text).completion.toolCalls, [
    { name: "g", id: "t1" },
    { name: "f", id: "t0" },
  ])
  t.match(text, /"index":0,"id":"t1"/)
})

test("a tool's new name is written wherever the server says it", async (t) => {
  const repeats = (args: string) =>
    piece({ tool_calls: [{ index: 0, id: "t", function: { name: "f", arguments: args } }] })
  const stream = dataLines(
    repeats(""),
    repeats('{"f":'),
    repeats("1}"),
    piece({}, { finish_reason: "tool_calls" }),
    "[DONE]",
  )
  const text = editStream(chat, Buffer.from(stream), (delta) =>
    delta.type === "toolCall" && delta.name !== undefined ? [{ ...delta, name: "h" }] : [delta],
  )
  t.equal(text, stream.replaceAll('"name":"f"', '"name":"h"'))
})

test("another end and another usage are written where they stand", async (t) => {
  const edit = (delta: Delta): Delta[] => {
    if (delta.type === "finish") return [{ ...delta, reason: { unified: "length", raw: undefined } }]
    return delta.type === "usage" ? [{ ...delta, usage: { ...delta.usage, outputTokens: 9 } }] : [delta]
  }
  const expected = RICH.replace('"finish_reason":"tool_calls"', '"finish_reason":"length"')
    .replace('"completion_tokens":4', '"completion_tokens":9')
    .replace('"total_tokens":7', '"total_tokens":12')
  t.equal(editStream(chat, Buffer.from(RICH), edit), expected)
})

test("an answer that is ended by its addon has an end, and nothing behind it", async (t) => {
  const text = editStream(chat, Buffer.from(RICH), (delta, stop) => {
    if (delta.type !== "text") return [delta]
    stop()
    return [delta, { type: "finish", index: 0, reason: { unified: "length", raw: "length" } }]
  })
  t.ok(
    text.startsWith(
      RICH.slice(
        0,
        RICH.indexOf(
          'data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"up","system_fingerprint":"fp","service_tier":"x","citations"',
        ),
      ),
    ),
  )
  t.match(told(chat, text), { completion: { text: "a secret", finishReason: { unified: "length" } }, done: true })
})

test("Ollama's lines keep what no delta tells; what says the text in tokens goes", async (t) => {
  const line = (message: object, more: object = {}) =>
    `${JSON.stringify({ model: "m", created_at: "t", message, done: false, ...more })}\n`
  const usage = { done_reason: "stop", total_duration: 5, prompt_eval_count: 3, eval_count: 4, future: [1] }
  const stream =
    line({ role: "assistant", content: "", thinking: "why secret" }) +
    line({ role: "assistant", content: "a secret", images: null }, { logprobs: [{ token: "a secret" }], future: 1 }) +
    line({
      role: "assistant",
      content: "",
      tool_calls: [{ id: "t", function: { index: 0, name: "f", arguments: { a: "secret" } } }],
    }) +
    line({ role: "assistant", content: "" }, { done: true, ...usage })
  const expected = redacted(stream).replace('[{"token":"a ***"}]', "[]")
  t.equal(editStream(ollama, Buffer.from(stream), redacts), expected)
  const held = told(ollama, editStream(ollama, Buffer.from(stream), holdsAll()))
  t.match(held, { completion: { text: "a secret", usage: { inputTokens: 3, outputTokens: 4 } }, done: true })
})

test("what Ollama and llama.cpp did not count, and an addon did, stands in their last event", async (t) => {
  const line = (more: object) => `${JSON.stringify({ model: "m", response: "a", done: false, ...more })}\n`
  const counted = (delta: Delta): Delta[] => {
    const usage = {
      inputTokens: 1,
      outputTokens: 2,
      totalTokens: 3,
      cachedTokens: undefined,
      reasoningTokens: undefined,
    }
    return delta.type === "text" ? [delta, { type: "usage", usage: { ...usage, source: "counted" } }] : [delta]
  }
  const lines = line({}) + line({ response: "", done: true })
  t.equal(
    editStream(ollama, Buffer.from(lines), counted),
    lines.replace("true}", 'true,"prompt_eval_count":1,"eval_count":2}'),
  )
  const objects = dataLines({ content: "a", stop: false }, { content: "", stop: true })
  const expected = objects.replace("true}", 'true,"tokens_evaluated":1,"tokens_predicted":2}')
  t.equal(editStream(llamacpp, Buffer.from(objects), counted), expected)
})

test("llama.cpp's objects and completions keep what no delta tells, and lose the tokens of what changed", async (t) => {
  const objects = dataLines(
    { index: 0, content: "a secret", tokens: [1, 2], stop: false, id_slot: 1 },
    {
      index: 0,
      content: "",
      tokens: [],
      stop: true,
      stop_type: "eos",
      generation_settings: { seed: 1 },
      tokens_evaluated: 3,
      tokens_predicted: 4,
    },
  )
  t.equal(editStream(llamacpp, Buffer.from(objects), redacts), redacted(objects).replace("[1,2]", "[]"))
  const texts = dataLines(
    {
      id: "c",
      choices: [
        { index: 1, text: "a secret", logprobs: { tokens: ["a secret"], text_offset: [0] }, finish_reason: null },
      ],
    },
    { id: "c", choices: [{ index: 1, text: "", logprobs: null, finish_reason: "stop", matched_stop: 2 }] },
    "[DONE]",
  )
  const expected = redacted(texts).replace('{"tokens":["a ***"],"text_offset":[0]}', "null")
  t.equal(editStream(completions, Buffer.from(texts), redacts), expected)
})

test("JSON over several lines, several chunks in one event and a byte order mark keep their form", async (t) => {
  const pretty = `\uFEFFid: 7\r\ndata: {"choices": [\r\ndata:   {"index":0, "delta":{"content":"a secret"}}]}\r\n\r\n`
  t.equal(editStream(chat, Buffer.from(pretty), redacts), redacted(pretty).replace("\uFEFFid", "\uFEFFid"))
  const single = RICH.replaceAll("\n\n", "\n")
  t.equal(editStream(chat, Buffer.from(single), redacts), redacted(single))
})
