/** Which of the upstreams that come into question a request may take, and what becomes of it there. */
import { test } from "tap"
import conductor from "../../../addons/conductor.ts"
import { defineAddon } from "../../../lib/api/addon.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import type { AskedRequest } from "../../../lib/testing/test-upstream.ts"
import { chat, ENV, hostOf, others, startModels } from "./rig.ts"

const BOTH = [
  {
    model: "both",
    to: [
      { upstream: "box", model: "qwen3-4b" },
      { upstream: "openai", model: "gpt-4.1" },
    ],
  },
]
const isBox = (asked: AskedRequest) => hostOf(asked) === "127.0.0.1:1234"

test("a route's upstreams are tried in order, each with its own model and key, and what failed rests", async (t) => {
  const say = (asked: AskedRequest) => (isBox(asked) ? { status: 503, text: "loading" } : "From the cloud.")
  const addon = await startModels(t, { routes: BOTH }, { say })
  const first = await addon.request(chat("both", { stream: true }))
  t.match([first.status, first.completion?.text], [200, "From the cloud."])
  t.same(
    others(addon).map((asked) => [hostOf(asked), asked.llm?.model]),
    [
      ["127.0.0.1:1234", "qwen3-4b"],
      ["api.openai.com", "gpt-4.1"],
    ],
  )
  t.equal(others(addon)[0]?.headers.get("authorization"), undefined, "the cloud's key is the cloud's")
  t.equal(others(addon)[1]?.headers.get("authorization"), `Bearer ${ENV.OPENAI_API_KEY}`)
  await addon.request(chat("both"))
  t.equal(others(addon).length, 3, "the box is left alone")
  const embedded = await addon.request({ url: "/v1/embeddings", json: { model: "both", input: "x" } })
  t.equal(embedded.status, 200)
  t.match(others(addon).at(-1)?.json(), { model: "gpt-4.1" })
})

test("what has to stay local takes the local ones of a route, and no other one when they fail", async (t) => {
  const say = (asked: AskedRequest) => (isBox(asked) ? { status: 503, text: "loading" } : "From the cloud.")
  const addon = await startModels(t, { routes: BOTH }, { say })
  const headers = { "x-llmproxy-route": "local" }
  t.equal((await addon.request({ ...chat("both"), headers })).status, 503)
  const cloud = await addon.request({ ...chat("openai/gpt-4.1"), headers })
  t.match([cloud.status, cloud.error?.code], [403, "stays-local"])
  const unlisted = await addon.request({ ...chat("gpt-4.1"), headers })
  t.equal(unlisted.status, 400, "of the local ones none has it")
  t.same(others(addon).map(hostOf), ["127.0.0.1:1234"])
})

test("an upstream of the house is local where the options say so", async (t) => {
  const upstreams = {
    house: { url: "http://gpu.example:8000/v1", local: true, models: ["big"] },
    far: "http://far.example/v1",
  }
  const addon = await startModels(t, { upstreams, routes: [] })
  const { status } = await addon.request({ ...chat("big"), headers: { "x-llmproxy-route": "local" } })
  t.same([status, others(addon)[0]?.url], [200, "http://gpu.example:8000/v1/chat/completions"])
})

test("an upstream that speaks another API than the client is refused with both names", async (t) => {
  const addon = await startModels(t)
  const cases: readonly (readonly [{ url: string; json: JsonObject }, RegExp])[] = [
    [chat("claude-sonnet-4-5"), /speaks openai.*claude speaks anthropic-messages/],
    [
      { url: "/v1/messages", json: { model: "gpt-4.1", max_tokens: 9, messages: [{ role: "user", content: "Hi." }] } },
      /speaks anthropic-messages.*openai speaks openai/,
    ],
    [{ url: "/api/chat", json: { model: "gpt-4.1", messages: [] } }, /speaks ollama/],
    [{ url: "/v1beta/models/gpt-4.1:generateContent", json: { contents: [] } }, /speaks gemini/],
  ]
  for (const [request, words] of cases) {
    const { status, text } = await addon.request(request)
    t.equal(status, 400, text)
    t.match(text, words)
  }
  t.same(others(addon), [])
})

test("an addon before it may name the model; what cannot be read goes the way that its model says", async (t) => {
  const profile = defineAddon({
    name: "profile",
    llmRequest({ llm }) {
      if (llm.request.model === "profile:short") llm.request.model = "fast"
    },
  })
  const models = (await import("../../../addons/models.ts")).default
  const addon = await startModels(t, {}, { first: profile, others: [models] })
  const { status } = await addon.request(chat("profile:short"))
  t.same([status, others(addon)[0]?.llm?.model], [200, "qwen3-4b"])
  const odd = { model: "gpt-4.1", messages: [{ role: "user", content: [{ type: "text", text: 7 }] }] }
  await addon.request({ url: "/v1/chat/completions", json: odd })
  t.same([others(addon)[1]?.url, others(addon)[1]?.json()], ["https://api.openai.com/v1/chat/completions", odd])
  const unread = await addon.request({
    url: "/v1/chat/completions",
    text: "{",
    headers: { "Content-Type": "application/json" },
  })
  t.equal(unread.status, 400)
  await addon.request({ url: "/v1/chat/completions", json: { ...odd, model: "none" } })
  t.equal(others(addon)[2]?.url, "https://llmproxy-models-refuses.invalid/v1/chat/completions", "where nothing can be")
})

test("what passes through the proxy keeps its host, its key and its model", async (t) => {
  const addon = await startModels(t)
  const { status } = await addon.request({
    ...chat("fast"),
    url: "https://api.example.com/v1/chat/completions",
    headers: { Authorization: "Bearer theirs" },
  })
  const [asked] = others(addon)
  t.same([status, asked?.url, asked?.llm?.model], [200, "https://api.example.com/v1/chat/completions", "fast"])
  t.equal(asked?.headers.get("authorization"), "Bearer theirs")
})

test("beside a conductor it takes what its routes name, and leaves the rest and the list alone", async (t) => {
  const local = { name: "conductor", ...conductor, addons: undefined }
  const addon = await startModels(
    t,
    {},
    { others: [local], program: { conductor: { localUrl: "http://127.0.0.1:5555" } } },
  )
  const fast = await addon.request(chat("fast"))
  t.same([fast.status, others(addon).map(hostOf)], [200, ["127.0.0.1:1234"]])
  await addon.request(chat("anything"))
  t.ok(
    others(addon).some((asked) => hostOf(asked) === "127.0.0.1:5555"),
    "the conductor's host",
  )
})

test("as many requests as an upstream takes run there, others wait", async (t) => {
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const say = async () => {
    await gate
    return "Done."
  }
  const box = { url: "http://127.0.0.1:1234/v1", concurrency: 1, models: ["m"] }
  const addon = await startModels(t, { upstreams: { box }, routes: [] }, { say })
  const both = [addon.request(chat("m")), addon.request(chat("m"))]
  while (others(addon).length < 1) await new Promise((resolve) => setImmediate(resolve))
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.equal(others(addon).length, 1)
  open()
  t.same(
    (await Promise.all(both)).map(({ status }) => status),
    [200, 200],
  )
  t.equal(others(addon).length, 2)
})

test("paths stand at an upstream as its clients' base URLs say", async (t) => {
  const upstreams = {
    groq: { url: "https://api.groq.com/openai/v1", models: ["a"] },
    slash: { url: "https://slash.example/v1/", models: ["b"] },
    bare: { url: "https://bare.example", models: ["c"] },
    gate: { url: "https://gate.example/anthropic/v1", dialect: "anthropic-messages", models: ["d"] },
    google: { url: "https://generativelanguage.googleapis.com/v1beta", models: ["e"], key: "env GOOGLE_KEY" },
    ollama: { url: "http://127.0.0.1:11434/v1", models: ["f"] },
    llama: { url: "http://127.0.0.1:8081", dialect: "llamacpp", models: ["g"] },
  }
  const addon = await startModels(
    t,
    { upstreams, routes: [] },
    { env: { ...ENV, GOOGLE_KEY: "AIza-0123456789abcdef" } },
  )
  for (const [path, model, url] of [
    ["/v1/chat/completions", "a", "https://api.groq.com/openai/v1/chat/completions"],
    ["/chat/completions?x=1", "b", "https://slash.example/v1/chat/completions?x=1"],
    ["/v1/embeddings", "c", "https://bare.example/v1/embeddings"],
    ["/v1/messages", "d", "https://gate.example/anthropic/v1/messages"],
    [
      "/v1beta/models/e:generateContent?key=theirs&alt=sse",
      "",
      "https://generativelanguage.googleapis.com/v1beta/models/e:generateContent?alt=sse",
    ],
    ["/api/chat", "f", "http://127.0.0.1:11434/api/chat"],
    ["/completion", "g", "http://127.0.0.1:8081/completion"],
  ] as const) {
    await addon.request({
      url: path,
      json: { ...(model === "" ? {} : { model }), messages: [], prompt: "x", max_tokens: 1 },
    })
    t.equal(others(addon).at(-1)?.url, url)
  }
  const google = others(addon).find(({ url }) => url.includes("google"))
  t.equal(google?.headers.get("x-goog-api-key"), "AIza-0123456789abcdef")
})

test("by weight each comes first as often as it says, and one of weight 0 only when others have failed", async (t) => {
  const to = [
    { upstream: "openai", model: "spare", weight: 0 },
    { upstream: "box", model: "main", weight: 3 },
  ]
  const say = (asked: AskedRequest) =>
    isBox(asked) && others(addon).length > 8 ? { status: 503, text: "no" } : "Hello."
  const addon = await startModels(t, { routes: [{ model: "both", to }] }, { say })
  for (let count = 0; count < 8; count++) await addon.request(chat("both"))
  t.same([...new Set(others(addon).map((asked) => asked.llm?.model))], ["main"])
  await addon.request(chat("both"))
  t.same(
    others(addon)
      .slice(8)
      .map((asked) => asked.llm?.model),
    ["main", "spare"],
  )
})
