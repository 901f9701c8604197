import { test } from "tap"
import type { Message } from "../../../lib/llm/model.ts"
import { boundRequest, TokenCounter } from "../../../lib/llm/tokens/counter.ts"
import { type Counted, countTexts } from "../../../lib/llm/tokens/encode.ts"
import type { TableName } from "../../../lib/llm/tokens/encodings.ts"
import type { CountingBackend } from "../../../lib/llm/tokens/worker-client.ts"
import { requestOf } from "../../helpers/llm/llm-request.ts"

/** Counts in the test's own thread, and remembers what it was asked. */
class RecordingBackend implements CountingBackend {
  readonly batches: (readonly string[])[] = []
  count(table: TableName, texts: readonly string[]): Promise<Counted[]> {
    this.batches.push(texts)
    return countTexts(table, texts)
  }
  async close(): Promise<void> {}
}

class BrokenBackend implements CountingBackend {
  async count(): Promise<Counted[]> {
    throw new Error("out of order")
  }
  async close(): Promise<void> {}
}

// The conversation and the tool of OpenAI's cookbook, with the counts that its API gave for them.
const JARGON: Message[] = [
  {
    role: "system",
    content: "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
  },
  { role: "system", name: "example_user", content: "New synergies will help drive top-line growth." },
  { role: "system", name: "example_assistant", content: "Things working well together will increase revenue." },
  {
    role: "system",
    name: "example_user",
    content: "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
  },
  {
    role: "system",
    name: "example_assistant",
    content: "Let's talk later when we're less busy about how to do better.",
  },
  {
    role: "user",
    content: "This late pivot means we don't have time to boil the ocean for the client deliverable.",
  },
]
const WEATHER: Message[] = [
  { role: "system", content: "You are a helpful assistant that can answer to questions about the weather." },
  { role: "user", content: "What's the weather like in San Francisco?" },
]
const WEATHER_FUNCTION = {
  name: "get_current_weather",
  description: "Get the current weather in a given location",
  parameters: {
    type: "object",
    properties: {
      location: { type: "string", description: "The city and state, e.g. San Francisco, CA" },
      unit: { type: "string", description: "The unit of temperature to return", enum: ["celsius", "fahrenheit"] },
    },
    required: ["location"],
  },
}

test("messages count what OpenAI's API counts for them", async (t) => {
  const counter = new TokenCounter({ backend: new RecordingBackend() })
  for (const [model, tokens] of [
    ["gpt-4", 129],
    ["gpt-3.5-turbo", 129],
    ["gpt-4o", 124],
    ["ft:gpt-4o-2024-08-06:acme::x", 124],
  ] as const) {
    const count = await counter.countRequest(requestOf({ model, messages: JARGON }))
    t.match(count, { tokens, confidence: "exact" }, model)
  }
})

test("a list of tools counts what OpenAI's API counts for it, also as legacy functions", async (t) => {
  const counter = new TokenCounter({ backend: new RecordingBackend() })
  for (const [model, tokens, encoding] of [
    ["gpt-4o", 101, "o200k_base"],
    ["gpt-4o-mini", 101, "o200k_base"],
    ["gpt-4", 105, "cl100k_base"],
    ["gpt-3.5-turbo", 105, "cl100k_base"],
  ] as const) {
    const tools = [{ type: "function", function: WEATHER_FUNCTION }]
    const expected = { tokens, method: `gpt-tokenizer ${encoding}`, confidence: "estimated" }
    t.match(await counter.countRequest(requestOf({ model, messages: WEATHER, tools })), expected, model)
    const body = { functions: [WEATHER_FUNCTION] }
    t.match(await counter.countRequest(requestOf({ model, messages: WEATHER, body })), expected, `${model} functions`)
  }
})

test("a model that is none of OpenAI's is counted with o200k_base, as an estimate", async (t) => {
  const counter = new TokenCounter({ backend: new RecordingBackend() })
  const count = await counter.countRequest(requestOf({ model: "deepseek-coder-6.7b", messages: JARGON }))
  t.same(count, { tokens: 124, method: "gpt-tokenizer o200k_base", confidence: "estimated" })
})

test("a conversation that comes again sends only its new texts to the thread", async (t) => {
  const backend = new RecordingBackend()
  const counter = new TokenCounter({ backend })
  await counter.countRequest(requestOf({ messages: JARGON }))
  const again = await counter.countRequest(requestOf({ messages: JARGON }))
  t.equal(again.tokens, 124)
  t.equal(backend.batches.length, 1)
  const question = { role: "user", content: "And the one before?" }
  await counter.countRequest(requestOf({ messages: [...JARGON, question] }))
  t.same(backend.batches.slice(1), [["And the one before?"]])
})

test("the two tables do not share what they remember", async (t) => {
  const counter = new TokenCounter({ backend: new RecordingBackend() })
  const text = "Ich verstehe nur Bahnhof, sagte der Pförtner gestern am Telefon."
  const newer = await counter.countText(text, "gpt-4o")
  const older = await counter.countText(text, "gpt-4")
  t.not(newer, older)
  t.equal(await counter.countText(text), newer, "an unknown model takes the newer")
})

test("a memo smaller than the request still counts it right", async (t) => {
  const backend = new RecordingBackend()
  const counter = new TokenCounter({ backend, memoMax: 2 })
  t.equal((await counter.countRequest(requestOf({ messages: JARGON }))).tokens, 124)
  t.equal((await counter.countRequest(requestOf({ messages: JARGON }))).tokens, 124)
  t.equal(backend.batches.length, 2)
})

test("equal requests at the same time are counted once", async (t) => {
  const backend = new RecordingBackend()
  const counter = new TokenCounter({ backend })
  const counts = await Promise.all(
    Array.from({ length: 20 }, () => counter.countRequest(requestOf({ messages: JARGON }))),
  )
  t.strictSame(new Set(counts.map((count) => count.tokens)), new Set([124]))
  t.equal(backend.batches.length, 1)
})

test("a count that fails becomes an estimate, says so, and is tried again", async (t) => {
  const failures: unknown[] = []
  const counter = new TokenCounter({ backend: new BrokenBackend(), onFailure: (error) => failures.push(error) })
  const request = requestOf({ messages: [{ role: "user", content: "twelve bytes" }] })
  // 3 a message, 3 for the reply, "user" 2, "twelve bytes" 4
  const expected = { tokens: 12, method: "utf-8 bytes / 3", confidence: "estimated" }
  t.same(await counter.countRequest(request), expected)
  t.same(await counter.countRequest(request), expected)
  t.match(failures, [{ message: "out of order" }, { message: "out of order" }])
  t.equal(await new TokenCounter({ backend: new BrokenBackend() }).countText("twelve bytes"), 4)
})

test("a count that is cut off by closing is an estimate and no failure", async (t) => {
  const failures: unknown[] = []
  const counter = new TokenCounter({ onFailure: (error) => failures.push(error) })
  const waiting = counter.countText("twelve bytes")
  await counter.close()
  t.equal(await waiting, 4)
  t.equal(await counter.countText("twelve more bytes"), 6)
  t.same(failures, [])
})

test("a text over a mebibyte is sampled: what is counted is bounded, the estimate near", async (t) => {
  const backend = new RecordingBackend()
  const counter = new TokenCounter({ backend })
  const line = "The quick brown fox jumps over the lazy dog.\n"
  const each = await counter.countText(line)
  const count = await counter.countRequest(requestOf({ messages: [{ role: "user", content: line.repeat(60_000) }] }))
  t.equal(count.confidence, "estimated")
  t.ok(Math.abs(count.tokens / (each * 60_000) - 1) < 0.01, `${count.tokens} tokens`)
  const sent = backend.batches.flat().reduce((sum, text) => sum + text.length, 0)
  t.ok(sent <= 1_048_576 + 100, `${sent} characters sent`)
})

test("the texts of one request together are bounded too", async (t) => {
  const backend = new RecordingBackend()
  const counter = new TokenCounter({ backend })
  const messages = Array.from({ length: 8 }, (_, at) => ({ role: "user", content: `${at} word`.repeat(100_000) }))
  t.equal((await counter.countRequest(requestOf({ messages }))).confidence, "estimated")
  const sent = backend.batches.flat().reduce((sum, text) => sum + text.length, 0)
  t.ok(sent <= 1_048_576 + 1_000, `${sent} characters sent`)
})

test("beside a huge text a short one is still counted whole", async (t) => {
  const backend = new RecordingBackend()
  const counter = new TokenCounter({ backend })
  const messages = ["word ".repeat(400_000), "Is this short?"].map((content) => ({ role: "user", content }))
  await counter.countRequest(requestOf({ messages }))
  t.ok(backend.batches.flat().includes("Is this short?"))
})

test("the bound by bytes is never below the count", async (t) => {
  const counter = new TokenCounter({ backend: new RecordingBackend() })
  const odd = `${"x".repeat(3_000) + "漢字".repeat(2_000)}<|endoftext|>${"\u{1f600}".repeat(700)}`
  const tools = [{ type: "function", function: WEATHER_FUNCTION }]
  for (const request of [
    requestOf({ messages: JARGON }),
    requestOf({ messages: WEATHER, tools }),
    requestOf({ messages: [{ role: "user", content: odd }] }),
    requestOf({ dialect: "openai-completions", body: { prompt: odd } }),
  ]) {
    const { tokens } = await counter.countRequest(request)
    t.ok(tokens <= boundRequest(request), `${tokens} of at most ${boundRequest(request)}`)
  }
  t.equal(boundRequest(requestOf({ messages: [{ role: "user", content: "é" }] })), 3 + 3 + 4 + 2)
})

test("without a backend the counter counts in a thread of its own", async (t) => {
  const counter = new TokenCounter()
  t.teardown(() => counter.close())
  await counter.warm("gpt-4o")
  t.equal((await counter.countRequest(requestOf({ messages: JARGON }))).tokens, 124)
  await counter.close()
  t.equal((await counter.countRequest(requestOf({ messages: JARGON }))).tokens, 124, "remembered")
  t.equal(await counter.countText("twelve bytes"), 4, "estimated once closed")
})

test("a request with runs of 300 letters and more is exact, and the event loop turns while the thread merges them", async (t) => {
  const counter = new TokenCounter()
  t.teardown(() => counter.close())
  await counter.warm("gpt-4o")
  const messages = ["ab".repeat(150), "x".repeat(300), "=".repeat(1_000), "y".repeat(300_000)].map((content) => {
    return { role: "user", content }
  })
  let turns = 0
  let isCounted = false
  const turn = (): void => {
    turns++
    if (!isCounted) setImmediate(turn)
  }
  setImmediate(turn)
  const count = await counter.countRequest(requestOf({ model: "gpt-4o", messages }))
  isCounted = true
  const alone = await countTexts(
    "o200k_base",
    messages.map(({ content }) => content),
  )
  const form = 3 + messages.length * (3 + 1)
  t.equal(count.tokens, form + alone.reduce((sum, { tokens }) => sum + tokens, 0))
  t.equal(count.confidence, "exact")
  t.ok(turns > 10, `${turns} turns`)
})
