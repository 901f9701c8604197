/** Requests in no dialect: whose model a key's scope counts for, and what is counted of their answers. */
import { test } from "tap"
import { MICRO } from "../../../addons/keys/limits.ts"
import { bearer, startKeys } from "./rig.ts"

test("a scope of models counts wherever a request names one: in its path, its JSON, its form", async (t) => {
  const { addon, make } = await startKeys(t)
  const key = await make({ scopes: { models: ["text-embedding-*"] } })
  const headers = bearer(key)
  const form = (model?: string) => {
    const data = new FormData()
    data.set("file", new Blob(["a"]), "a.wav")
    if (model !== undefined) data.set("model", model)
    return data
  }
  const asks: [number, Parameters<typeof addon.request>[0]][] = [
    [200, { url: "/v1/embeddings", json: { model: "text-embedding-3-small", input: "a" } }],
    [403, { url: "/v1/embeddings", json: { model: "other", input: "a" } }],
    [200, { url: "/v1/embeddings", json: { input: "a" } }],
    [200, { url: "/v1/embeddings", json: { model: 5, input: "a" } }],
    [403, { url: "/v1beta/models/gemini-pro:embedContent", json: {} }],
    [200, { url: "/v1beta/models/text-embedding-004:embedContent", json: {} }],
    [403, { url: "/v1/models/o%74her", method: "GET" }],
    [403, { url: "/v1/models/%zz", method: "GET" }],
    [200, { url: "/v1/files", method: "GET" }],
  ]
  for (const [status, request] of asks)
    t.equal(
      (await addon.request({ ...request, headers })).status,
      status,
      `${request.url} ${JSON.stringify(request.json)}`,
    )
  for (const [status, model] of [
    [403, "whisper"],
    [200, "text-embedding-x"],
    [200, undefined],
  ] as const) {
    const encoded = new Response(form(model))
    const type = encoded.headers.get("content-type") ?? ""
    const bytes = new Uint8Array(await encoded.arrayBuffer())
    const answer = await addon.request({
      url: "/v1/audio/transcriptions",
      bytes,
      headers: { ...headers, "Content-Type": type },
    })
    t.equal(answer.status, status, String(model))
  }
  const broken = { ...headers, "Content-Type": "application/json" }
  t.equal(
    (await addon.request({ url: "/v1/embeddings", text: "{", headers: broken })).status,
    200,
    "the upstream will say so",
  )
  t.equal(
    (await addon.request({ url: "/v1/x", text: "a", headers: { ...headers, "Content-Type": "text/plain" } })).status,
    200,
  )
})

test("of an answer in no dialect its own usage is counted, in the words that providers have for it", async (t) => {
  const { addon, make } = await startKeys(
    t,
    { unknownPrice: "allow" },
    { program: { baseUpstream: "https://api.openai.com" } },
  )
  const key = await make({ limits: { tokens: { day: 1_000_000 }, money: { day: MICRO } } })
  const headers = bearer(key)
  const model = "text-embedding-3-small"
  const notes: unknown[] = []
  const answers: Parameters<typeof addon.answer>[0][] = [
    { json: { model, usage: { prompt_tokens: 10_000, total_tokens: 10_000 } } },
    { json: { model, usage: { input_tokens: 7, output_tokens: 2 } } },
    { json: { model: "of-nobody", usage: { total_tokens: 5 } } },
    { json: { usage: { total_tokens: 5 } } },
    { json: { model, usage: { total_tokens: "5" } } },
    { json: { model } },
    { json: [1] },
    { text: "no JSON" },
    { status: 400, json: { error: { message: "no" } } },
  ]
  for (const answer of answers) {
    addon.answer(answer)
    await addon.request({ url: "/v1/embeddings", json: { model, input: "a" }, headers })
    notes.push(addon.flows.at(-1)?.metadata["keys.usage"])
  }
  t.match(notes[0], { tokens: 10_000, how: "provider", microDollars: 200, table: /genai-prices/ })
  t.match(notes[1], { tokens: 9 })
  t.match(notes[2], { tokens: 5, microDollars: undefined })
  t.match(notes[3], { tokens: 5, microDollars: 0 })
  for (const note of notes.slice(4)) t.match(note, { tokens: 0, how: "unsent" })
})

test("what an upstream with a port of its own sells has a price of its own", async (t) => {
  const { addon, make } = await startKeys(
    t,
    { unknownPrice: "allow" },
    { program: { baseUpstream: "http://box.test:1234" } },
  )
  const key = await make({ limits: { money: { day: MICRO } } })
  addon.answer({ completion: { text: "Hello", usage: { inputTokens: 10, outputTokens: 1 } } })
  await addon.request({
    url: "/v1/chat/completions",
    headers: bearer(key),
    json: { model: "qwen", messages: [{ role: "user", content: "a" }] },
  })
  t.match(addon.flows.at(-1)?.metadata["keys.usage"], { tokens: 11, microDollars: undefined, how: "provider" })
  addon.answer({ cut: true, deltas: ["Hel"] })
  await addon.request({
    url: "/v1/chat/completions",
    headers: bearer(key),
    json: { model: "qwen", stream: true, messages: [{ role: "user", content: "a" }] },
  })
  t.match(addon.flows.at(-1)?.metadata["keys.usage"], { how: "cut" })
})
