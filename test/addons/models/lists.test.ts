/** The list of all models: merged, in each API's form, and there whatever an upstream does. */
import { test } from "tap"
import { isObject, type JsonValue } from "../../../lib/base/json.ts"
import type { TestAnswer } from "../../../lib/testing/test-answer.ts"
import type { AskedRequest } from "../../../lib/testing/test-upstream.ts"
import { chat, ENV, hostOf, isList, LISTS, listOf, ROUTES, startModels, UPSTREAMS } from "./rig.ts"

function idsOf(list: JsonValue, member = "data", field = "id"): string[] {
  const items = isObject(list) ? list[member] : undefined
  return Array.isArray(items) ? items.map((item) => (isObject(item) ? String(item[field]) : "")) : []
}

const ALL = [
  ...["gpt-4.1", "gpt-4.1-mini", "shared", "openai/shared", "box/shared"],
  ...["qwen3-4b", "claude-sonnet-4-5", "llama3.2:latest", "fast"],
]

test("one list of all upstreams' models and the aliases, an id that two have once and as UPSTREAM/ID each", async (t) => {
  const addon = await startModels(t)
  const list = await addon.request({ url: "/v1/models" })
  t.equal(list.status, 200)
  t.same(idsOf(list.json()).sort(), [...ALL].sort())
  t.same(
    idsOf(list.json()).slice(0, 4),
    ["gpt-4.1", "gpt-4.1-mini", "shared", "openai/shared"],
    "first configured first",
  )
  t.match(list.json(), { object: "list", data: [{ object: "model", created: 1_700_000_000, owned_by: "openai" }] })
  const asked = new Map(addon.asked.map((one) => [hostOf(one), one]))
  t.equal(asked.get("api.openai.com")?.headers.get("authorization"), `Bearer ${ENV.OPENAI_API_KEY}`)
  t.equal(asked.get("api.anthropic.com")?.headers.get("x-api-key"), ENV.ANTHROPIC_API_KEY)
  t.equal(asked.get("127.0.0.1:1234")?.headers.get("authorization"), undefined)
  t.equal((await addon.request({ url: "/models" })).text, list.text, "without /v1, too")
  t.equal(addon.asked.length, 4, "each is asked once in a while")
})

test("one model by its id, slashes or not, and 404 in the client's form", async (t) => {
  const addon = await startModels(t)
  for (const path of ["fast", "box/shared", "box%2Fshared", "llama3.2", "qwen3-4b?x=1"])
    t.equal((await addon.request({ url: `/v1/models/${path}` })).status, 200, path)
  const none = await addon.request({ url: "/v1/models/none" })
  t.match([none.status, none.json()], [404, { error: { code: "model_not_found", type: "invalid_request_error" } }])
  const headers = { "anthropic-version": "2023-06-01" }
  const anthropic = await addon.request({ url: "/v1/models/none", headers })
  t.match([anthropic.status, anthropic.json()], [404, { type: "error", error: { type: "not_found_error" } }])
  const found = await addon.request({ url: "/v1/models/gpt-4.1", headers })
  t.match(found.json(), { type: "model", id: "gpt-4.1", display_name: "gpt-4.1", created_at: "2023-11-14T22:13:20Z" })
})

test("the same list for Anthropic's, Ollama's and Gemini's clients", async (t) => {
  const addon = await startModels(t)
  const anthropic = await addon.request({ url: "/v1/models?limit=5", headers: { "anthropic-version": "2023-06-01" } })
  t.same(idsOf(anthropic.json()).sort(), [...ALL].sort())
  t.match(anthropic.json(), { has_more: false, last_id: "fast" })
  const tags = await addon.request({ url: "/api/tags" })
  t.same(idsOf(tags.json(), "models", "name").sort(), [...ALL].sort())
  const running = await addon.request({ url: "/api/ps" })
  t.same(
    idsOf(running.json(), "models", "name").sort(),
    ["box/shared", "fast", "llama3.2:latest", "qwen3-4b", "shared"].sort(),
  )
  const show = await addon.request({ url: "/api/show", json: { model: "gpt-4.1" } })
  t.match([show.status, show.json()], [200, { capabilities: ["completion"], model_info: {} }])
  t.match((await addon.request({ url: "/api/version" })).json(), { version: /^\d+\.\d+\.\d+$/ })
  const gemini = await addon.request({ url: "/v1beta/models" })
  t.same(idsOf(gemini.json(), "models", "name").sort(), ALL.map((id) => `models/${id}`).sort())
  t.equal((await addon.request({ url: "/v1beta/models/gpt-4.1" })).status, 200)
  t.match((await addon.request({ url: "/v1beta/models/none" })).json(), { error: { code: 404, status: "NOT_FOUND" } })
})

test("/api/show of a model that nobody has is 404 where no upstream is Ollama's", async (t) => {
  const addon = await startModels(t, { upstreams: { box: "http://127.0.0.1:1234/v1" }, routes: [] })
  const missing = await addon.request({ url: "/api/show", json: { model: "none" } })
  t.match([missing.status, missing.json()], [404, { error: /there is no model "none"/ }])
})

test("/api/show of a model that Ollama has is Ollama's own answer", async (t) => {
  const addon = await startModels(t, {}, { say: () => ({ json: { details: { family: "llama" } } }) })
  const show = await addon.request({ url: "/api/show", json: { model: "llama3.2" } })
  t.same(show.json(), { details: { family: "llama" } })
  t.equal(addon.asked.at(-1)?.url, "http://127.0.0.1:11434/api/show")
})

/** A list that ends when the test does. */
function silent(t: { teardown(fn: () => void): void }): Promise<TestAnswer> {
  return new Promise((resolve) => t.teardown(() => resolve({ cut: true })))
}

test("an upstream that is down, speaks HTML or says too much is left out, and holds nobody up twice", async (t) => {
  const huge = JSON.stringify({ data: [{ id: "x", text: "y".repeat(16 * 1_024 * 1_024) }] })
  const brokenLists: readonly (readonly [string, TestAnswer])[] = [
    ["html", { text: "<html>Welcome</html>", headers: { "Content-Type": "text/html" } }],
    ["500", { status: 500, text: "oops" }],
    ["cut", { text: '{"data": [', cut: true }],
    ["huge", { text: huge, headers: { "Content-Type": "application/json" } }],
    ["no list", { json: { data: "none" } }],
    [
      "odd entries",
      { json: { data: [1, null, { id: 7 }, { id: "" }, { id: "a\nb" }, { id: "z".repeat(300) }, [], {}] } },
    ],
  ]
  for (const [name, broken] of brokenLists) {
    const addon = await startModels(
      t,
      {},
      { lists: (asked) => (hostOf(asked) === "127.0.0.1:1234" ? broken : undefined) },
    )
    const list = await addon.request({ url: "/v1/models" })
    const ids = idsOf(list.json())
    t.ok(list.status === 200 && ids.includes("gpt-4.1") && !ids.includes("qwen3-4b"), name)
    await addon.request({ url: "/v1/models" })
    t.equal(addon.asked.filter(isList).length, 4, `${name}: it is not asked again at once`)
    t.same(addon.log.errors, [])
  }
})

test("one that never answers costs a list its time limit once, and later nothing", async (t) => {
  const lists = (asked: AskedRequest) => (hostOf(asked) === "127.0.0.1:1234" ? silent(t) : undefined)
  const addon = await startModels(t, {}, { lists })
  const first = addon.request({ url: "/v1/models" })
  while (addon.asked.filter(isList).length < 4 || addon.flows.length < 3)
    await new Promise((resolve) => setImmediate(resolve))
  addon.clock.advance(3_000)
  t.same(idsOf((await first).json()).includes("gpt-4.1"), true)
  t.same(idsOf((await addon.request({ url: "/v1/models" })).json()).includes("gpt-4.1"), true, "at once")
  addon.clock.advance(10_000)
  const later = await addon.request({ url: "/v1/models" })
  t.ok(idsOf(later.json()).includes("gpt-4.1"), "when it is asked again, nobody waits for it")
  t.equal((await addon.request(chat("gpt-4.1"))).status, 200)
})

test("a list is asked for again after a minute, behind the one that is there, and stays when its upstream is down", async (t) => {
  let openai: TestAnswer = listOf(["one"])
  const addon = await startModels(
    t,
    { routes: [] },
    { lists: (asked) => (hostOf(asked) === "api.openai.com" ? openai : undefined) },
  )
  const ids = async () => idsOf((await addon.request({ url: "/v1/models" })).json())
  t.ok((await ids()).includes("one"))
  openai = listOf(["two"])
  addon.clock.advance(59_000)
  t.ok((await ids()).includes("one"))
  addon.clock.advance(1_000)
  t.ok((await ids()).includes("one"), "what is there is told at once")
  while (!(await ids()).includes("two")) await new Promise((resolve) => setImmediate(resolve))
  openai = { status: 503, text: "down" }
  addon.clock.advance(60_000)
  await ids()
  await addon.log.line('upstream "openai" does not list its models')
  t.ok((await ids()).includes("two"), "what it said last")
})

test("an upstream with 10,000 models is listed whole, and each of them is found", async (t) => {
  const many = Array.from({ length: 10_000 }, (_, at) => `model-${at}`)
  const addon = await startModels(
    t,
    {},
    { lists: (asked) => listOf(hostOf(asked) === "api.openai.com" ? many : (LISTS[hostOf(asked)] ?? [])) },
  )
  t.equal(idsOf((await addon.request({ url: "/v1/models" })).json()).length, 10_000 + 5)
  t.equal((await addon.request({ url: "/v1/models/model-9999" })).status, 200)
})

test("models that are named in the options are not asked for; their context is told", async (t) => {
  const box = { url: "http://127.0.0.1:1234/v1", models: ["tiny"], context: 4_096 }
  const addon = await startModels(t, { upstreams: { ...UPSTREAMS, box }, routes: ROUTES })
  const list = await addon.request({ url: "/v1/models/tiny" })
  t.match(list.json(), { id: "tiny", context_length: 4_096, owned_by: "box" })
  t.notOk(addon.asked.some((asked) => hostOf(asked) === "127.0.0.1:1234"))
  t.match((await addon.request({ url: "/api/ps" })).json(), { models: [{ name: "tiny", context_length: 4_096 }] })
})

test("what has to stay local lists what is local", async (t) => {
  const addon = await startModels(t)
  const list = await addon.request({ url: "/v1/models", headers: { "x-llmproxy-route": "local" } })
  t.same(idsOf(list.json()).sort(), ["fast", "llama3.2:latest", "qwen3-4b", "shared"])
  t.same(addon.asked.map(hostOf).sort(), ["127.0.0.1:11434", "127.0.0.1:1234"], "nobody else is asked")
})

test("GET /docs describes each of the lists, and each that it describes is there", async (t) => {
  const addon = await startModels(t)
  const { paths } = JSON.parse((await addon.request({ url: "/docs/openapi.json" })).text)
  t.same(Object.keys(paths), [
    ...["/v1/models", "/v1/models/{id}", "/v1beta/models", "/v1beta/models/{id}"],
    ...["/api/tags", "/api/ps", "/api/show", "/api/version"],
  ])
  for (const [path, methods] of Object.entries<Record<string, { summary: string }>>(paths))
    for (const [method, { summary }] of Object.entries(methods)) {
      const json = method === "post" ? { json: { model: "llama3.2:latest" } } : {}
      const url = path.replace("{id}", "qwen3-4b")
      t.equal((await addon.request({ method: method.toUpperCase(), url, ...json })).status, 200, path)
      t.match((await addon.request({ url: "/docs" })).text, summary)
    }
})
