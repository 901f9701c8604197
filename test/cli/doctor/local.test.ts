/** Which model server answers where, what it has, and whether it gives a token. */
import { test } from "tap"
import type { Reply } from "../../../lib/cli/doctor/ask.ts"
import type { ConductorValues } from "../../../lib/cli/doctor/conductor-values.ts"
import { checkLocal } from "../../../lib/cli/doctor/local.ts"
import { type Answers, answer, LATE, makePatient, OURS } from "../../helpers/patient.ts"

const TOKEN = answer({ choices: [{ message: { content: "H" } }] }, 200, 85)

function check(answers: Answers, conductor: Partial<ConductorValues> = {}) {
  const { patient, asked } = makePatient({}, answers)
  const told = checkLocal({ ...patient, conductor: { ...patient.conductor, ...conductor } })
  return { told, asked }
}

/** The URLs of a server by their paths. */
function server(port: number, paths: Record<string, Reply>): Answers {
  return Object.fromEntries(Object.entries(paths).map(([path, reply]) => [`http://127.0.0.1:${port}${path}`, reply]))
}

test("with no server anywhere the usual ones are named, and nothing is broken", async (t) => {
  const { told, asked } = check({})
  t.match(await told, [
    { mark: "note", text: /ports 1234 \(LM Studio\), 8000 .*8080 .*11434 \(Ollama\)/, fix: /conductor\.localUrl/ },
  ])
  t.equal(asked.length, 4)
})

test("LM Studio tells its models, which are loaded, and their contexts", async (t) => {
  const models = [
    { id: "nomic-embed", type: "embeddings", state: "loaded", max_context_length: 2_048 },
    { id: "big", type: "llm", state: "not-loaded", max_context_length: 131_072 },
    { id: "coder", type: "llm", state: "loaded", max_context_length: 16_384, loaded_context_length: 8_192 },
  ]
  // What it has no page for it repeats, ours as well: that makes it no llmproxy.
  const unknown = ["/.llmproxy/", "/api/version", "/props", "/version"].map((path) => {
    return [path, answer({ error: `Unexpected endpoint or method. (GET ${path}). Returning 200 anyway` })] as const
  })
  const { told, asked } = check(
    server(1234, {
      ...Object.fromEntries(unknown),
      "/v1/models": answer({ data: [] }),
      "/api/v0/models": answer({ data: models }),
      "/v1/chat/completions": TOKEN,
    }),
  )
  const text = "http://127.0.0.1:1234  LM Studio: big (context 131072), coder (context 8192); coder answers in 85 ms"
  t.match(await told, [{ mark: "good", text }])
  const json = { model: "coder", messages: [{ role: "user", content: "Hi" }], max_tokens: 1, stream: false }
  t.match(
    asked.find(({ url }) => url.endsWith("/v1/chat/completions")),
    { json },
  )
})

test("Ollama tells its version, its models, which runs, and that one's context", async (t) => {
  const shown = { model_info: { "general.architecture": "llama", "llama.context_length": 4_096 } }
  const { told } = check(
    server(11434, {
      "/v1/models": answer({ data: [] }),
      "/api/version": answer({ version: "0.9.1" }),
      "/api/tags": answer({ models: [{ name: "mxbai-embed:1" }, { name: "qwen:7b" }, { name: "llama:8b" }] }),
      "/api/ps": answer({ models: [{ name: "llama:8b" }] }),
      "/api/show": answer(shown),
      "/v1/chat/completions": TOKEN,
    }),
  )
  t.match(await told, [
    {
      mark: "good",
      text: "http://127.0.0.1:11434  Ollama 0.9.1: qwen:7b, llama:8b (context 4096); llama:8b answers in 85 ms",
    },
    {
      mark: "note",
      text: /context of llama:8b \(4096\) is smaller than conductor\.maxTokenCount \(8192\)/,
      fix: /=4096/,
    },
  ])
})

test("an Ollama that tells little is no error", async (t) => {
  const bare = server(11434, { "/v1/models": answer({}), "/api/version": answer({ version: "1" }) })
  t.match(await check(bare).told, [{ mark: "bad", text: /Ollama 1: has no model/, fix: "load one there" }])
  const late = server(11434, { "/api/tags": LATE, "/api/ps": LATE })
  t.match(await check({ ...bare, ...late }).told, [{ mark: "bad", text: /has no model/ }])
  const unshown = server(11434, { "/api/tags": answer({ models: [{ name: "a" }] }), "/api/show": LATE })
  t.match(await check({ ...bare, ...unshown }).told, [{ mark: "bad", text: /Ollama 1: a; a gave an error: 404 no/ }])
})

test("llama.cpp tells the context of its one model", async (t) => {
  const { told } = check(
    server(8080, {
      "/v1/models": answer({ data: [{ id: "coder.gguf" }] }),
      "/props": answer({ default_generation_settings: { n_ctx: 32_768 } }),
      "/v1/chat/completions": TOKEN,
    }),
  )
  t.match(await told, [{ mark: "good", text: /llama\.cpp: coder\.gguf \(context 32768\); coder\.gguf answers/ }])
})

test("vLLM tells version and context", async (t) => {
  const { told } = check(
    server(8000, {
      "/v1/models": answer({ data: [{ id: "qwen", max_model_len: 32_768 }] }),
      "/version": answer({ version: "0.11.0" }),
      "/v1/chat/completions": TOKEN,
    }),
  )
  t.match(await told, [{ mark: "good", text: /vLLM 0\.11\.0: qwen \(context 32768\)/ }])
})

test("another server is told by its models, at most five by name", async (t) => {
  const data = [1, 2, 3, 4, 5, 6, 7].map((id) => ({ id: `m${id}` }))
  const { told } = check(server(8000, { "/v1/models": answer({ data }), "/v1/chat/completions": TOKEN }))
  t.match(await told, [
    { mark: "good", text: /an OpenAI-compatible server: m1, m2, m3, m4, m5 and 2 more; m1 answers/ },
  ])
})

test("a model that gives no token is told with the reason", async (t) => {
  const models = { "/v1/models": answer({ data: [{ id: "m" }] }) }
  const told = async (reply: Reply) => (await check(server(8000, { ...models, "/v1/chat/completions": reply })).told)[0]
  t.match(await told(LATE), { mark: "note", text: /m gave no answer within 2 s/, fix: /loading/ })
  t.match(await told({ kind: "failed", why: "ECONNRESET" }), { mark: "bad", text: /m gave no answer: ECONNRESET/ })
  t.match(await told(answer({ error: { message: "not loaded" } }, 500)), { mark: "bad", text: /error: 500 not loaded/ })
  t.match(await told(answer({ error: "as a text" }, 200)), { mark: "bad", text: /error: 200 as a text/ })
  t.match(await told(answer({ detail: 1 }, 422)), { mark: "bad", text: /error: 422 \{"detail":1\}/ })
})

test("the conductor's host has to be there, with its key; elsewhere what is no model server is passed over", async (t) => {
  const { told, asked } = check(
    { "http://gpu:9000/v1/models": answer({ data: [{ id: "m" }] }), "http://gpu:9000/v1/chat/completions": TOKEN },
    { localUrls: ["http://gpu:9000/v1/"], localKey: "k" },
  )
  t.match(await told, [{ mark: "good", text: /^http:\/\/gpu:9000 {2}an OpenAI/ }])
  const withKey = asked.filter(({ headers }) => headers?.authorization === "Bearer k").map(({ url }) => url)
  t.ok(withKey.includes("http://gpu:9000/v1/models") && withKey.includes("http://gpu:9000/v1/chat/completions"))
  t.ok(
    withKey.every((url) => url.startsWith("http://gpu:9000/")),
    "and nobody else gets it",
  )
  const down = { localUrls: ["http://localhost:1234"] }
  t.match(await check({}, down).told, [{ mark: "bad", text: "http://localhost:1234 does not answer: ECONNREFUSED" }])
  t.equal(check({}, down).asked.length, 4, "localhost:1234 is asked once")
  const wrong = { "http://gpu:9000/v1/models": answer("<html>", 404) }
  t.match(await check(wrong, { localUrls: ["http://gpu:9000"] }).told, [
    { mark: "bad", text: /is no model server: .* 404/ },
  ])
  const web = server(8000, { "/v1/models": answer("<html>", 404) })
  t.match(await check(web).told, [{ mark: "note", text: /^no model server/ }])
  const stuck = server(8000, { "/v1/models": LATE })
  t.match(await check(stuck).told, [
    { mark: "note", text: "http://127.0.0.1:8000 does not answer: no answer within 2 s" },
  ])
})

test("we ourselves on 8080 are no model server", async (t) => {
  const { told } = check(
    server(8080, {
      "/v1/models": answer({ data: [{ id: "gpt-4o" }] }),
      "/.llmproxy/": OURS,
    }),
  )
  t.match(await told, [{ mark: "note", text: /^no model server/ }])
})

test("several hosts of the conductor are each looked at, in their order, once", async (t) => {
  const { told, asked } = check({}, { localUrls: ["http://a:1/v1", "http://b:2", "http://a:1"] })
  t.match(await told, [
    { mark: "bad", text: /^http:\/\/a:1 does not answer/ },
    { mark: "bad", text: /^http:\/\/b:2 does not answer/ },
  ])
  t.equal(asked.length, 6, "and the usual places")
})

test("a silent Ollama may be loading, and transformers serve is known although it lists no models", async (t) => {
  t.match(await check(server(11_434, { "/v1/models": LATE })).told, [{ mark: "note", fix: /may be loading a model/ }])
  const pages = {
    "/v1/models": answer(undefined, 500),
    "/health": answer({ status: "ok" }),
    "/version": answer({ detail: "Not Found" }, 404),
  }
  const text = "http://127.0.0.1:8000  transformers serve: does not tell its models"
  t.match(await check(server(8_000, pages)).told, [{ mark: "note", text, fix: /conductor\.localModel/ }])
})
