/** The forms that requests to local hosts have: what only one of them takes, and what can be set by hand. */
import { test } from "tap"
import { CHAT_PATH, sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { hostNamed, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { chatJson, eventsOf, jsonAnswer } from "../../../helpers/hosts/proxy-host.ts"
import type { WireResponse } from "../../../helpers/wire/wire.ts"

/** What suits the host and the model: a raw prompt for a DeepSeek-Coder, else messages. */
const AUTO = { localApi: "auto" }

function textOf({ text }: WireResponse, stream: boolean): string {
  if (!stream) return JSON.parse(text).choices[0].message.content
  const events = eventsOf(text) as { choices: { delta: { content?: string } }[] }[]
  return events.map(({ choices }) => choices[0]?.delta.content ?? "").join("")
}

test("Ollama is given a window and told not to cut, and a running model's window stays", async (t) => {
  const host = hostNamed("Ollama")
  const rig = await startRig(t, { local: scripted(host), set: AUTO })
  await rig.chat({ max_tokens: 7, stop: "END", seed: 3 })
  t.match(sentTo(rig.local, "/api/generate"), {
    raw: true,
    truncate: false,
    shift: false,
    options: { num_ctx: 4_096, num_predict: 7, seed: 3, temperature: 0.3, stop: ["END", "<|EOT|>"] },
  })
  const made = { "/api/show": { model_info: { "llama.context_length": 16_384 } } }
  const pages = { "/api/ps": { models: [] }, ...made }
  const resting = await startRig(t, { local: scripted(host, { pages }), set: { ...AUTO, localModel: host.model } })
  t.match((await resting.chat()).headers.get("x-llmproxy-reason"), /of 8192 tokens/)
  t.notMatch(
    sentTo(resting.local, "/api/generate"),
    { options: { num_ctx: Number } },
    "what it gets is Ollama's affair",
  )
  t.match(sentTo(resting.local, "/api/show"), { model: "deepseek-coder:6.7b" })
})

test("json_object is dropped for LM Studio, and for a host that has refused it", async (t) => {
  const format = { response_format: { type: "json_object" } }
  const studio = await startRig(t, { local: scripted(hostNamed("LM Studio")), set: AUTO })
  t.equal((await studio.chat(format)).status, 200)
  t.notOk("response_format" in (sentTo(studio.local, CHAT_PATH) ?? {}))
  const schema = { response_format: { type: "json_schema", json_schema: { name: "s", schema: {} } } }
  await studio.chat(schema)
  t.match(sentTo(studio.local, CHAT_PATH), schema)
  const local = scripted(hostNamed("vLLM"), {
    reply: ({ body }, socket) => {
      const refused = { error: { message: "'response_format.type' must be 'json_schema' or 'text'" } }
      const isAsked = body.toString().includes("json_object")
      socket.write(isAsked ? jsonAnswer(refused, "400 Bad Request") : jsonAnswer(chatJson("ok")))
    },
  })
  const other = await startRig(t, { local, set: AUTO })
  const calls = () => other.local?.requests.filter(({ target }) => target === CHAT_PATH).length
  t.equal((await other.chat(format)).status, 200)
  t.equal(calls(), 2, "asked again without")
  await other.chat(format)
  t.equal(calls(), 3, "and remembered")
})

test("each form can be set by hand", async (t) => {
  const cases = [
    ["llama.cpp", "llamacpp", "/completion", { n_predict: 20, cache_prompt: true }],
    ["llama.cpp", "completions", "/v1/completions", { max_tokens: 20 }],
    ["Ollama", "ollama", "/api/chat", { options: { num_predict: 20 } }],
    ["Ollama", "completions", "/api/generate", { raw: true }],
    ["Ollama", "messages", "/api/chat", { truncate: false, options: { num_predict: 20 } }],
    ["Ollama", "chat", "/api/chat", { messages: [{ role: "user", content: "Say hello." }] }],
    ["vLLM", "chat", CHAT_PATH, { messages: [{ role: "user", content: "Say hello." }] }],
  ] as const
  for (const [name, localApi, path, sent] of cases) {
    const rig = await startRig(t, { local: scripted(hostNamed(name)), set: { localApi } })
    for (const stream of [true, false]) {
      const response = await rig.chat({ stream, max_tokens: 20 })
      t.equal(textOf(response, stream), "Hello", `${name} ${localApi} ${stream}`)
      t.match(sentTo(rig.local, path), { ...sent, stream })
    }
  }
})
