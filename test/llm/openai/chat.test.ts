import { test } from "tap"
import { arrayOf, type JsonObject, type JsonValue, objectOf } from "../../../lib/base/json.ts"
import { completionOf } from "../../../lib/llm/assemble.ts"
import type { EncodeContext, StreamEncoder } from "../../../lib/llm/dialect.ts"
import type { Choice, Delta, FinishUnified, Usage } from "../../../lib/llm/model.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"

function context(body?: JsonObject): EncodeContext {
  const request = body && openaiChat.parseRequest({ messages: [], ...body }, "/v1/chat/completions")
  return { id: "chatcmpl-made", model: "m", created: 7, request }
}

/** The JSON of each event; fails on anything but `data: `, one line of JSON, a blank line. */
function strict(text: string): JsonValue[] {
  if (text === "") return []
  const events = text.split("\n\n")
  if (events.pop() !== "") throw new Error(`unterminated: ${JSON.stringify(text)}`)
  return events.map((event) => {
    if (!event.startsWith("data: ") || event.includes("\n")) throw new Error(`not strict: ${JSON.stringify(event)}`)
    return event === "data: [DONE]" ? "[DONE]" : JSON.parse(event.slice(6))
  })
}

function encoded(deltas: readonly Delta[], body?: JsonObject): JsonValue[] {
  const encoder = openaiChat.encoder(context(body))
  return strict([...deltas.map((delta) => encoder.delta(delta)), encoder.end()].join(""))
}

/** Only the first choice of each chunk. */
function choices(events: readonly JsonValue[]): unknown[] {
  return events.map((event) => {
    const list = objectOf(event)?.choices
    return Array.isArray(list) ? list[0] : event
  })
}

const text = (value: string, index = 0): Delta => ({ type: "text", index, text: value })
const call = (parts: Partial<Extract<Delta, { type: "toolCall" }>>): Delta => {
  return { type: "toolCall", index: 0, call: 0, id: undefined, name: undefined, arguments: "", ...parts }
}
const finish = (unified: FinishUnified, raw?: string): Delta => {
  return { type: "finish", index: 0, reason: { unified, raw } }
}
const USAGE: Usage = {
  inputTokens: 3,
  outputTokens: 2,
  totalTokens: undefined,
  cachedTokens: 1,
  reasoningTokens: 0,
  source: "counted",
}
const open = { logprobs: null, finish_reason: null }

test("a chunk has every field that SDKs read, on one line, and the role stands in the first", async (t) => {
  t.strictSame(encoded([text("a\nb"), text("c"), finish("stop", "stop")]), [
    {
      id: "chatcmpl-made",
      object: "chat.completion.chunk",
      created: 7,
      model: "m",
      choices: [{ index: 0, delta: { role: "assistant", content: "a\nb" }, ...open }],
    },
    {
      id: "chatcmpl-made",
      object: "chat.completion.chunk",
      created: 7,
      model: "m",
      choices: [{ index: 0, delta: { content: "c" }, ...open }],
    },
    {
      id: "chatcmpl-made",
      object: "chat.completion.chunk",
      created: 7,
      model: "m",
      choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }],
    },
    "[DONE]",
  ])
})

test("an end without a finish reason gets one, in every choice that began, also in none", async (t) => {
  const words = (deltas: Delta[]): unknown[] => choices(encoded(deltas)).map((one) => objectOf(one)?.finish_reason)
  t.strictSame(words([text("a"), text("b", 1)]), [null, null, "stop", "stop", undefined])
  t.strictSame(words([call({ name: "f" })]), [null, "tool_calls", undefined])
  t.strictSame(choices(encoded([])), [
    { index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: "stop" },
    "[DONE]",
  ])
})

test("finish reasons are OpenAI's words", async (t) => {
  const words: [FinishUnified, string, string][] = [
    ["stop", "eos", "stop"],
    ["length", "length", "length"],
    ["toolCalls", "function_call", "tool_calls"],
    ["contentFilter", "content_filter", "content_filter"],
    ["error", "error", "length"],
    ["cut", "", "length"],
    ["other", "abort", "length"],
  ]
  for (const [unified, raw, word] of words) {
    t.match(choices(encoded([finish(unified, raw)])), [{ finish_reason: word }, "[DONE]"], unified)
  }
})

test("usage is sent where the client asked for it, in a chunk of its own, and is null in the others", async (t) => {
  const deltas: Delta[] = [text("a"), { type: "usage", usage: USAGE }]
  const asked = encoded(deltas, { stream_options: { include_usage: true } })
  t.match(asked, [{ usage: null }, { usage: null }, { choices: [] }, "[DONE]"])
  t.strictSame(objectOf(asked[2])?.usage, {
    prompt_tokens: 3,
    completion_tokens: 2,
    total_tokens: 5,
    prompt_tokens_details: { cached_tokens: 1 },
    completion_tokens_details: { reasoning_tokens: 0 },
  })
  for (const event of encoded(deltas, {})) t.notOk(objectOf(event) && "usage" in Object(event))
  const none: Delta = { type: "usage", usage: { ...USAGE, source: "none" } }
  t.equal(
    encoded([text("a"), none], { stream_options: { include_usage: true } }).length,
    3,
    "nobody counted: no numbers",
  )
})

test("reasoning and refusal have their own fields", async (t) => {
  const deltas: Delta[] = [
    { type: "reasoning", index: 0, text: "r" },
    { type: "refusal", index: 0, text: "no" },
  ]
  t.match(choices(encoded(deltas)), [{ delta: { reasoning_content: "r" } }, { delta: { refusal: "no" } }, {}, "[DONE]"])
})

test("a tool call has id, type and name in its first piece only, and an id is made where there is none", async (t) => {
  const deltas = [
    call({ name: "f" }),
    call({ arguments: "{}" }),
    call({ call: 1, id: "x", name: "g", arguments: "[]" }),
  ]
  t.strictSame(
    choices(encoded(deltas)).map((choice) => objectOf(objectOf(choice)?.delta)?.tool_calls),
    [
      [{ index: 0, id: "call_chatcmpl-made_0_0", type: "function", function: { name: "f", arguments: "" } }],
      [{ index: 0, function: { arguments: "{}" } }],
      [{ index: 1, id: "x", type: "function", function: { name: "g", arguments: "[]" } }],
      undefined,
      undefined,
    ],
  )
})

test("a name that comes after the id is sent once", async (t) => {
  const deltas = [call({ id: "x" }), call({ name: "f" })]
  t.strictSame(
    choices(encoded(deltas))
      .slice(0, 2)
      .map((choice) => objectOf(objectOf(choice)?.delta)?.tool_calls),
    [
      [{ index: 0, id: "x", type: "function", function: { name: "", arguments: "" } }],
      [{ index: 0, function: { name: "f", arguments: "" } }],
    ],
  )
})

test("a client that asked with functions is answered with function_call", async (t) => {
  const events = choices(encoded([call({ name: "f" }), call({ arguments: "{}" })], { functions: [{}] }))
  t.match(events, [
    { delta: { role: "assistant", content: null, function_call: { name: "f", arguments: "" } } },
    { delta: { function_call: { arguments: "{}" } } },
    { finish_reason: "function_call" },
    "[DONE]",
  ])
})

test("an other delta of this dialect leaves as it was, another dialect's does not", async (t) => {
  const raw = { choices: [], prompt_filter_results: [1] }
  const encoder = openaiChat.encoder(context())
  t.strictSame(strict(encoder.delta({ type: "other", raw })), [raw])
  t.equal(encoder.delta({ type: "other", raw: { type: "ping" } }), "")
})

function adopting(json: JsonObject, sent: boolean): StreamEncoder {
  const encoder = openaiChat.encoder(context({ stream_options: { include_usage: true } }))
  encoder.adopt(json, sent)
  return encoder
}

const UPSTREAM = {
  id: "up",
  object: "chat.completion.chunk",
  created: 9,
  model: "local",
  system_fingerprint: "fp",
  obfuscation: "xyz",
  choices: [{ index: 0, delta: { role: "assistant", content: "A" }, finish_reason: null }],
}

test("id, model, created and unknown fields are taken from the event that is written anew", async (t) => {
  const [chunk] = strict(adopting(UPSTREAM, false).delta(text("a")))
  t.match(chunk, { id: "up", created: 9, model: "local", system_fingerprint: "fp" })
  t.notOk("obfuscation" in Object(chunk))
  t.match(choices([chunk ?? null]), [{ delta: { role: "assistant", content: "a" } }])
  const encoder = adopting(UPSTREAM, false)
  for (const json of [{ id: "", model: "", created: 0, choices: [] }, undefined, "x"]) encoder.adopt(json)
  t.match(strict(encoder.delta(text("a"))), [{ id: "up", created: 9, model: "local" }])
})

test("what an event said that left as its own bytes is not said again", async (t) => {
  t.strictSame(choices(strict(adopting(UPSTREAM, true).delta(text("a")))), [
    { index: 0, delta: { content: "a" }, ...open },
  ])
  const ended = {
    choices: [{ delta: {}, finish_reason: "stop" }, null],
    usage: { prompt_tokens: 1, completion_tokens: 1 },
  }
  const encoder = adopting(ended, true)
  encoder.delta({ type: "usage", usage: USAGE })
  t.strictSame(strict(encoder.end()), ["[DONE]"])
  const calling = adopting({ choices: [{ delta: { tool_calls: [{}] }, finish_reason: null }] }, true)
  t.match(choices(strict(calling.delta(call({ arguments: "{}" })))), [
    { delta: { tool_calls: [{ index: 0, function: { arguments: "{}" } }] } },
  ])
  t.match(choices(strict(calling.end())), [{ finish_reason: "tool_calls" }, "[DONE]"])
})

const CHOICE: Choice = {
  index: 0,
  text: "",
  reasoning: "",
  refusal: "",
  toolCalls: [],
  finishReason: { unified: "stop", raw: "stop" },
}

function message(parts: Partial<Choice>, body?: JsonObject): unknown {
  const answer = openaiChat.writeAnswer(completionOf({ choices: [{ ...CHOICE, ...parts }] }), context(body))
  return objectOf(arrayOf(objectOf(answer)?.choices)[0])?.message
}

test("a whole answer has every field that SDKs read; usage is left out where nobody counted", async (t) => {
  t.strictSame(openaiChat.writeAnswer(completionOf({ choices: [{ ...CHOICE, text: "a" }] }), context()), {
    id: "chatcmpl-made",
    object: "chat.completion",
    created: 7,
    model: "m",
    choices: [
      { index: 0, message: { role: "assistant", content: "a", refusal: null }, logprobs: null, finish_reason: "stop" },
    ],
  })
  const named = { id: "i", model: "n", created: 8, choices: [CHOICE], usage: { ...USAGE, inputTokens: undefined } }
  t.match(openaiChat.writeAnswer(completionOf(named), context()), {
    id: "i",
    model: "n",
    created: 8,
    usage: { prompt_tokens: 0, completion_tokens: 2, total_tokens: 2 },
  })
})

test("content is null beside tool calls and a refusal, and a text otherwise", async (t) => {
  const toolCalls = [{ id: undefined, name: "f", arguments: "{}" }]
  t.strictSame(message({ toolCalls }), {
    role: "assistant",
    content: null,
    refusal: null,
    tool_calls: [{ id: "call_chatcmpl-made_0_0", type: "function", function: { name: "f", arguments: "{}" } }],
  })
  t.match(message({ toolCalls, text: "a" }), { content: "a" })
  t.match(message({ toolCalls }, { functions: [] }), { function_call: { name: "f", arguments: "{}" } })
  t.match(message({ refusal: "no" }), { content: null, refusal: "no" })
  t.match(message({ reasoning: "r" }), { content: "", reasoning_content: "r" })
})

test("JSON that is no answer of this dialect is not parsed", async (t) => {
  for (const body of [null, [], "x", {}, { data: [] }] as JsonValue[]) t.equal(openaiChat.parseAnswer(body), undefined)
})
