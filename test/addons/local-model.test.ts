/** The addon `local-model` in the real program, its processes with a library that says what it is told to. */
import { test } from "tap"
import { ask, chunksOf, startLocal } from "./local-model/rig.ts"

test("a chat is answered by the model of a file, in OpenAI's shape, and nobody else is asked", async (t) => {
  const addon = await startLocal(t)
  const { status, text, headers, json } = await addon.request(ask("tiny"))
  t.equal(status, 200, text)
  t.match(json(), {
    id: /^chatcmpl-[0-9a-f]{32}$/,
    object: "chat.completion",
    created: Number,
    model: "tiny",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "Hello.", refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ],
    usage: { prompt_tokens: 23, completion_tokens: 6, total_tokens: 29 },
  })
  t.equal(headers.get("x-llmproxy-route"), "local-model")
  t.equal(addon.asked.length, 0)
  t.same(addon.log.errors, [])
})

test("a stream has a chunk for each piece, an end, and the tokens where they were asked for", async (t) => {
  const addon = await startLocal(t)
  const { text, headers } = await addon.request(
    ask("tiny.gguf", { stream: true, stream_options: { include_usage: true }, max_tokens: 3 }),
  )
  t.match(headers.get("content-type"), /^text\/event-stream/)
  const chunks = chunksOf(text)
  t.match(chunks[0], {
    object: "chat.completion.chunk",
    choices: [{ delta: { role: "assistant", content: "" } }],
    usage: null,
  })
  t.match(chunks.at(-2), { choices: [{ index: 0, delta: {}, finish_reason: "length" }] })
  t.match(chunks.at(-1), { choices: [], usage: { completion_tokens: 3, total_tokens: 26 } })
  t.match(text, /"content":"H"/)
  t.ok(text.endsWith("data: [DONE]\n\n"))
  const { completion } = await addon.request(ask("tiny", { stream: true }))
  t.equal(completion?.text, "Hello.")
})

test("a raw prompt is completed, up to a stop string", async (t) => {
  const addon = await startLocal(t)
  const body = { model: "tiny", prompt: "Say", stop: "lo" }
  const { json } = await addon.request({ url: "/v1/completions", json: body })
  t.match(json(), {
    id: /^cmpl-/,
    object: "text_completion",
    choices: [{ text: "Hel", index: 0, logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 4, completion_tokens: 5 },
  })
  const { text } = await addon.request({ url: "/v1/completions", json: { ...body, stream: true, stop: null } })
  t.equal(
    chunksOf(text)
      .map((chunk) => JSON.stringify(chunk).match(/"text":"(.*?)"/)?.[1])
      .join(""),
    "Hello.",
  )
})

test("the models of the folder are listed with their context, and others pass on", async (t) => {
  const addon = await startLocal(
    t,
    { models: { "a.gguf": {}, "b.GGUF": {}, "c.txt": {} } },
    { contextSizes: { "b.GGUF": 512 } },
  )
  const { json } = await addon.request({ url: "/v1/models" })
  t.match(json(), {
    object: "list",
    data: [
      { id: "a.gguf", object: "model", owned_by: "llmproxy", meta: { n_ctx: 4_096 } },
      { id: "a" },
      { id: "b.GGUF", meta: { n_ctx: 512 } },
      { id: "b" },
    ],
  })
  t.match((await addon.request({ url: "/v1/models/b" })).json(), { id: "b", meta: { n_ctx: 512 } })
  t.equal((await addon.request(ask("gpt-4.1"))).completion?.text, "Hello.", "by the upstream")
  t.equal(addon.asked.length, 1)
})

test("a prompt that does not fit is refused with the numbers, as OpenAI does", async (t) => {
  const addon = await startLocal(t, {}, { contextSize: 300 })
  const messages = [{ role: "user", content: "x".repeat(400) }]
  const { status, json } = await addon.request(ask("tiny", { messages }))
  t.equal(status, 400)
  t.match(json(), {
    error: {
      code: "context_length_exceeded",
      type: "invalid_request_error",
      param: "messages",
      message: /^This model's maximum context length is 300 tokens.* 420 tokens/,
    },
  })
  t.equal((await addon.request(ask("tiny", { stream: true }))).completion?.text, "Hello.", "the next one fits")
})

test("a process that dies in mid-stream is a cut for its own request, then 503 for a while, then another one", async (t) => {
  const addon = await startLocal(
    t,
    { models: { "mortal.gguf": { says: "Hello.", endless: true, diesAfter: 20 }, "other.gguf": {} } },
    { maxLoaded: 2 },
  )
  const [cut, other] = await Promise.all([
    addon.request(ask("mortal", { stream: true })),
    addon.request(ask("other", { stream: true })),
  ])
  t.equal(cut.status, 200)
  t.ok(cut.broken)
  t.equal(other.completion?.text, "Hello.")
  const refused = await addon.request(ask("mortal"))
  t.equal(refused.status, 503)
  t.equal(refused.headers.get("retry-after"), "1")
  t.match(refused.json(), { error: { code: "model_unavailable", type: "server_error" } })
  addon.clock.advance(1_000)
  t.equal((await addon.request(ask("mortal", { max_tokens: 5 }))).completion?.text, "Hello")
  t.equal((await addon.request(ask("other"))).status, 200)
})

test("a client that leaves stops its answer, and the next one is answered", async (t) => {
  const addon = await startLocal(t, { models: { "endless.gguf": { endless: true } } })
  const leaving = new AbortController()
  const request = { ...ask("endless", { stream: true }), signal: leaving.signal, onPiece: () => leaving.abort() }
  const left = await addon.request(request)
  t.ok(left.broken)
  t.equal((await addon.request(ask("endless", { max_tokens: 5 }))).completion?.text, "Hello")
})

test("one model is in memory at a time; it leaves after its time", async (t) => {
  const addon = await startLocal(
    t,
    { models: { "a.gguf": { says: "A" }, "b.gguf": { says: "B" } } },
    { idleMinutes: 2 },
  )
  const texts = await Promise.all(["a", "b", "a"].map((name) => addon.request(ask(name))))
  t.same(
    texts.map(({ completion }) => completion?.text),
    ["A", "B", "A"],
  )
  t.equal(
    addon.log.lines.filter((line) => line.includes("makes room")).length,
    2,
    "nobody is overtaken by one whose model has to make room",
  )
  addon.clock.advance(120_000)
  await addon.log.line("it was not used")
})

test("what is not installed is told with the command, to the client and in the log", async (t) => {
  const addon = await startLocal(t, {}, { library: "/nowhere/node-llama-cpp" })
  const { status, json } = await addon.request(ask("tiny"))
  t.equal(status, 503)
  t.match(json(), { error: { code: "model_unavailable", message: /npm install --prefix .* node-llama-cpp@3\.22\.1/ } })
  await addon.log.line("npm install --prefix")
})

test("a file that is no model is 503 with what the library says", async (t) => {
  const addon = await startLocal(t, { models: { "bad.gguf": { broken: "invalid magic" } } })
  const { status, json } = await addon.request(ask("bad"))
  t.equal(status, 503)
  t.match(json(), { error: { message: /bad\.gguf: invalid magic/ } })
})
