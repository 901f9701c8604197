/** The addon `models` in the real program: which upstream a request reaches, with what, and what the client is told. */
import { test } from "tap"
import { offerModels } from "../../addons/shared/local-upstream.ts"
import { defineAddon } from "../../lib/api/addon.ts"
import { chat, ENV, others, startModels } from "./models/rig.ts"

test("the model finds its upstream: by a route, by the upstreams' lists, and by UPSTREAM/ID", async (t) => {
  const addon = await startModels(t)
  for (const [model, url, sent] of [
    ["fast", "http://127.0.0.1:1234/v1/chat/completions", "qwen3-4b"],
    ["llama3.2", "http://127.0.0.1:11434/v1/chat/completions", "llama3.2"],
    ["gpt-4.1", "https://api.openai.com/v1/chat/completions", "gpt-4.1"],
    ["shared", "https://api.openai.com/v1/chat/completions", "shared"],
    ["box/shared", "http://127.0.0.1:1234/v1/chat/completions", "shared"],
  ] as const) {
    const { status, completion } = await addon.request(chat(model))
    t.equal(status, 200, model)
    t.equal(completion?.text, "Hello.")
    const last = others(addon).at(-1)
    t.match([last?.url, last?.json()], [url, { model: sent }], model)
  }
  t.same(addon.log.errors, [])
})

test("the server's key is put in for its host alone, and nothing of the client's reaches an upstream", async (t) => {
  const addon = await startModels(t)
  const theirs = {
    Authorization: "Bearer dummy",
    "x-api-key": "theirs",
    "x-goog-api-key": "theirs",
    "api-key": "theirs",
    Cookie: "session=1",
    "OpenAI-Organization": "org-1",
    "OpenAI-Project": "proj-1",
    "x-llmproxy-upstream": "",
    "OpenAI-Beta": "assistants=v2",
  }
  const { "x-llmproxy-upstream": _, ...headers } = theirs
  await addon.request({ ...chat("gpt-4.1"), headers })
  await addon.request({ ...chat("fast"), headers })
  const message = { model: "claude/claude-sonnet-4-5", max_tokens: 9, messages: [{ role: "user", content: "Hi." }] }
  await addon.request({ url: "/v1/messages", json: message, headers })
  const [openai, box, claude] = others(addon)
  t.equal(openai?.headers.get("authorization"), `Bearer ${ENV.OPENAI_API_KEY}`)
  t.equal(openai?.headers.get("openai-beta"), "assistants=v2", "what is not a key's stays")
  t.equal(box?.headers.get("authorization"), undefined)
  t.equal(claude?.headers.get("x-api-key"), ENV.ANTHROPIC_API_KEY)
  t.equal(claude?.headers.get("anthropic-version"), "2023-06-01")
  t.equal(claude?.url, "https://api.anthropic.com/v1/messages")
  t.match(claude?.json(), { model: "claude-sonnet-4-5" })
  for (const asked of [openai, box, claude])
    for (const name of Object.keys(theirs).slice(0, 8)) {
      const value = asked?.headers.get(name) ?? ""
      t.notMatch(value, /theirs|dummy|session|org-1|proj-1/, `${asked?.url} ${name}`)
    }
})

test("only the model's name in the body changes", async (t) => {
  const addon = await startModels(t)
  const text = '{ "messages" : [{"role":"user","content":"caf\\u00e9"}],\n "model": "fast", "x": 1.0 }'
  await addon.request({ url: "/v1/chat/completions", text, headers: { "Content-Type": "application/json" } })
  t.equal(others(addon)[0]?.text, text.replace('"fast"', '"qwen3-4b"'))
})

test("what another addon offers on this machine is an upstream, until it is withdrawn", async (t) => {
  let withdraw = async () => {}
  const host = defineAddon({
    name: "local-model",
    setup: ({ events }) => ({
      async load() {
        const offer = {
          name: "local-model",
          url: "http://127.0.0.1:41234/v1",
          models: ["llama", "tiny.gguf"],
          context: 4_096,
        }
        withdraw = await offerModels(events, offer)
      },
    }),
  })
  const addon = await startModels(
    t,
    { routes: [{ model: "mine", to: [{ upstream: "local-model", model: "llama" }] }] },
    { others: [host] },
  )
  const { completion } = await addon.request(chat("tiny.gguf"))
  t.equal(completion?.text, "Hello.")
  t.equal(others(addon)[0]?.url, "http://127.0.0.1:41234/v1/chat/completions")
  await addon.request(chat("mine"))
  t.equal(others(addon)[1]?.llm?.model, "llama", "a route may name it before it is there")
  await addon.events.publish("models.offer", { name: "far", url: "http://example.com/v1", models: ["far"] })
  await withdraw()
  const gone = await addon.request(chat("tiny.gguf"))
  t.match([gone.status, gone.json()], [400, { error: { code: "model_not_found" } }])
  t.notMatch(gone.text, /far/, "what is not on this machine cannot be offered")
})
