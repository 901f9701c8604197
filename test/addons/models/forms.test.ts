/** The pure parts of `models`: lists read and written, errors in each API's form, paths, bodies, offers. */
import { test } from "tap"
import { withModelInPath } from "../../../addons/models/asked.ts"
import { catalogue } from "../../../addons/models/catalogue.ts"
import { urlAt } from "../../../addons/models/place.ts"
import { LISTED_MAX, readList } from "../../../addons/models/read-list.ts"
import { errorBody } from "../../../addons/models/refusal.ts"
import { apiPath, speechOf } from "../../../addons/models/speech.ts"
import { readUpstreams, type Upstream } from "../../../addons/models/upstreams.ts"
import { anthropicModel, geminiModel, ollamaShow, ollamaTags, openAiModel } from "../../../addons/models/write-list.ts"
import { offerFrom } from "../../../addons/shared/local-upstream.ts"
import { Headers } from "../../../lib/base/headers.ts"
import type { JsonObject } from "../../../lib/base/json.ts"

function entry(raw: JsonObject) {
  return { id: "m", raw, upstreams: [], isLocal: true }
}

test("lists are read in every form that hosts have, each id once, and no further than their limit", (t) => {
  const ids = (value: unknown) => readList(JSON.stringify(value))?.models.map(({ id }) => id)
  t.same(ids({ data: [{ id: "a" }, { id: "a" }, { id: "b" }] }), ["a", "b"])
  t.same(ids({ models: [{ name: "models/gemini-x" }, { name: "llama3:8b", model: "llama3:8b" }] }), [
    "gemini-x",
    "llama3:8b",
  ])
  t.same(ids([{ id: "bare" }]), ["bare"])
  t.same(ids({ data: [7, null, { id: "" }, { id: "a\u0000" }, {}] }), [])
  for (const text of ["", "<html>", "7", '{"data": 1}', '{"data": ']) t.equal(readList(text), undefined, text)
  const many = readList(JSON.stringify(Array.from({ length: LISTED_MAX + 5 }, (_, at) => ({ id: `m${at}` }))))
  t.same([many?.models.length, many?.leftOut], [LISTED_MAX, 5])
  t.same(
    readList(JSON.stringify([{ id: "a", text: "x".repeat(10_000) }]))?.models,
    [{ id: "a", raw: {} }],
    "a long entry is its id",
  )
  t.end()
})

test("what a host says of a model stands in each form of the list", (t) => {
  t.same(openAiModel(entry({ created: 7, owned_by: "me", x: 1 })), {
    id: "m",
    object: "model",
    created: 7,
    owned_by: "me",
    x: 1,
  })
  t.same(openAiModel(entry({ created: "odd" })), { id: "m", object: "model", created: 0, owned_by: "llmproxy" })
  t.match(anthropicModel(entry({ display_name: "M", created_at: "2025-01-01T00:00:00Z" })), {
    display_name: "M",
    created_at: "2025-01-01T00:00:00Z",
  })
  t.match(anthropicModel(entry({ created: 1e300 })), { created_at: "1970-01-01T00:00:00Z" })
  const details = { family: "llama" }
  t.match(ollamaTags([entry({ modified_at: "2025-01-01T00:00:00Z", size: 7, digest: "d", details })]), {
    models: [
      {
        name: "m",
        modified_at: "2025-01-01T00:00:00Z",
        size: 7,
        digest: "d",
        details: { family: "llama", format: "" },
      },
    ],
  })
  t.match(ollamaShow(entry({ max_model_len: 8_192 })).model_info, { "llama.context_length": 8_192 })
  t.same(ollamaShow(entry({})).model_info, { "general.architecture": "llama" })
  t.match(geminiModel(entry({ displayName: "M", context_length: 9 })), { displayName: "M", inputTokenLimit: 9 })
  t.same(geminiModel(entry({ context_length: -1 })).inputTokenLimit, undefined)
  t.end()
})

test("an alias of routes that lead nowhere shown is not in the list, one that is a model is there once", (t) => {
  const { upstreams } = readUpstreams({ a: "http://a.example", b: "http://b.example" }, () => undefined)
  const [a, b] = upstreams
  const way = (upstream: Upstream) => ({ upstream, model: undefined, weight: undefined })
  if (a === undefined || b === undefined) throw new Error("two were read")
  const routes = [
    { patterns: ["m", "x", "x*"], ways: [way(a)], byWeight: false },
    { patterns: ["x", "y"], ways: [way(b)], byWeight: false },
  ]
  const lists = [{ upstream: a, isKnown: true, models: [{ id: "m", raw: {} }], ids: new Set(["m"]) }]
  t.same(
    catalogue(lists, routes).map(({ id }) => id),
    ["m", "x"],
  )
  t.end()
})

test("an error is in the form of the API that is spoken, whatever its status", (t) => {
  const error = { status: 418, code: "odd", message: "no" }
  t.same(errorBody("openai", error), {
    error: { message: "llmproxy: no", type: "invalid_request_error", param: null, code: "odd" },
  })
  t.same(errorBody("llamacpp", { ...error, status: 501 }), {
    error: { message: "llmproxy: no", type: "api_error", param: null, code: "odd" },
  })
  t.same(errorBody("anthropic-messages", error), {
    type: "error",
    error: { type: "api_error", message: "llmproxy: no" },
  })
  t.same(errorBody("ollama", error), { error: "llmproxy: no" })
  t.same(errorBody("gemini", error), { error: { code: 418, message: "llmproxy: no", status: "UNKNOWN" } })
  t.end()
})

test("paths are read as the APIs know them", (t) => {
  for (const [path, api, speech] of [
    ["/chat/completions", "/v1/chat/completions", "openai"],
    ["/v1/api/chat", "/api/chat", "ollama"],
    ["/v1/v1beta/models", "/v1beta/models", "gemini"],
    ["/completion", "/completion", "llamacpp"],
    ["/completions", "/v1/completions", "openai"],
    ["/tokenize", "/tokenize", "llamacpp"],
    ["/v1/messages/count_tokens", "/v1/messages/count_tokens", "anthropic-messages"],
    [
      "/v1/models/gemini-2.5:streamGenerateContent?alt=sse",
      "/v1/models/gemini-2.5:streamGenerateContent?alt=sse",
      "gemini",
    ],
    ["/v1/files", "/v1/files", "openai"],
    ["/anything", "/anything", "openai"],
  ] as const) {
    t.equal(apiPath(path), api)
    t.equal(speechOf(api, new Headers()), speech, path)
  }
  t.equal(speechOf("/v1/files", new Headers({ "anthropic-version": "2023-06-01" })), "anthropic-messages")
  t.equal(
    urlAt("https://h/v1beta/openai/", "/v1/chat/completions", "openai"),
    "https://h/v1beta/openai/chat/completions",
  )
  t.equal(urlAt("https://h/gateway", "/v1/messages", "anthropic-messages"), "https://h/gateway/v1/messages")
  t.equal(urlAt("http://h/api", "/api/chat", "ollama"), "http://h/api/chat")
  t.end()
})

test("another model is put into a path, encoded, and into a query", (t) => {
  t.equal(withModelInPath("/v1/models/a%2Fb?x=1", "a/b", "c/d"), "/v1/models/c%2Fd?x=1")
  t.equal(withModelInPath("/v1/models/a/b", "a/b", "$&"), "/v1/models/%24%26")
  t.equal(withModelInPath("/v1/realtime?model=a&x=1", "a", "b c"), "/v1/realtime?model=b+c&x=1")
  t.equal(withModelInPath("/v1/x?y=1", "a", "b"), "/v1/x?y=1")
  t.end()
})

test("an offer is taken from this machine alone, and as a whole", (t) => {
  const offer = { name: "local-model", url: "http://127.0.0.1:1/v1", models: ["a", 7, ""], context: 9 }
  t.same(offerFrom(offer), { name: "local-model", url: "http://127.0.0.1:1/v1", models: ["a"], context: 9 })
  t.same(offerFrom({ ...offer, context: "x", url: "http://[::1]:1" })?.url, "http://[::1]:1")
  for (const odd of [
    null,
    [],
    { ...offer, name: "a b" },
    { ...offer, name: 7 },
    { ...offer, url: 7 },
    { ...offer, url: "x" },
    { ...offer, url: "https://127.0.0.1/" },
    { ...offer, url: "http://example.com/" },
    { ...offer, models: "a" },
  ])
    t.equal(offerFrom(odd), undefined, JSON.stringify(odd))
  t.end()
})
