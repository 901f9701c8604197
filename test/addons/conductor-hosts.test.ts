/** Each kind of local host: what it is asked, in which form, streaming and not, and what its overflow leads to. */
import { test } from "tap"
import { CHAT_PATH, sentTo, startRig } from "../helpers/conductor-rig.ts"
import { HOSTS, type HostScript, hostNamed, scripted } from "../helpers/local-hosts.ts"
import { answer, chatJson, eventsOf, jsonAnswer } from "../helpers/proxy-host.ts"
import { always } from "../helpers/test-proxy.ts"
import type { WireResponse } from "../helpers/wire.ts"

const KEY = "Authorization: Bearer sk-own\r\n"
const CLOUD = always(jsonAnswer(chatJson("from the cloud")).toString())
const TOOLS = { tools: [{ type: "function", function: { name: "f", parameters: {} } }] }
const words = (count: number) => ({ messages: [{ role: "user", content: "word ".repeat(count) }] })

function textOf({ text }: WireResponse, stream: boolean): string {
  if (!stream) return JSON.parse(text).choices[0].message.content
  const events = eventsOf(text) as { choices: { delta: { content?: string } }[] }[]
  return events.map(({ choices }) => choices[0]?.delta.content ?? "").join("")
}

/** The same host with a model whose prompt format it knows best. */
function withModel(host: HostScript, model: string): Record<string, object> {
  return JSON.parse(JSON.stringify(host.pages).replaceAll(host.model, model))
}

for (const host of HOSTS) {
  test(`${host.name}: a DeepSeek-Coder gets a raw prompt, streaming and not`, async (t) => {
    const rig = await startRig(t, { local: scripted(host) })
    for (const stream of [true, false]) {
      const response = await rig.chat({ stream })
      t.equal(response.headers.get("x-llmproxy-route"), "local")
      t.equal(textOf(response, stream), "Hello", `stream ${stream}`)
      const sent = sentTo(rig.local, host.rawPath)
      t.match(sent, { model: host.model, stream, prompt: /### Instruction:\nSay hello\.\n### Response:\n$/ })
    }
    const limit = Math.min(host.context ?? 8_192, 8_192)
    const { headers } = await rig.chat()
    t.match(headers.get("x-llmproxy-reason"), new RegExp(`of ${limit} tokens`), "the host's own window")
    const asked = rig.local?.requests.filter(({ method }) => method === "GET").map(({ target }) => target)
    t.equal(asked?.length, new Set(asked).size, "what it is was asked once")
  })

  test(`${host.name}: another model gets the messages, tools too, streaming and not`, async (t) => {
    const rig = await startRig(t, { local: scripted(host, { pages: withModel(host, "glm-4") }) })
    for (const stream of [true, false]) {
      const response = await rig.chat({ stream })
      t.equal(textOf(response, stream), "Hello", `stream ${stream}`)
      t.match(sentTo(rig.local, host.messagesPath), {
        model: "glm-4",
        stream,
        messages: [{ role: "user", content: "Say hello." }],
      })
      t.equal(textOf(await rig.chat({ stream, ...TOOLS }), stream), "Hello")
      t.match(sentTo(rig.local, CHAT_PATH), { ...TOOLS, stream })
    }
  })

  test(`${host.name}: a prompt that it finds too long goes to the cloud, its own way of saying so understood`, async (t) => {
    const local = scripted(host, { reply: (_, socket) => void socket.write(host.overflow) })
    const rig = await startRig(t, { local, cloud: CLOUD })
    const passed = await rig.chat({}, KEY)
    t.equal(passed.headers.get("x-llmproxy-route"), "cloud")
    t.match(passed.headers.get("x-llmproxy-reason"), /^local host failed before the first token: /)
    const refused = await rig.chat({})
    const isSaid = host.name !== "OpenAI-compatible"
    t.equal(refused.status, isSaid ? 400 : 502, "its answer is empty")
    t.equal(JSON.parse(refused.text).error.code, isSaid ? "context_length_exceeded" : "local_host_failed")
  })
}

test("a host whose window is too small is skipped, not tried", async (t) => {
  const host = hostNamed("LM Studio")
  const rig = await startRig(t, { local: scripted(host), cloud: CLOUD, set: { tokenRatio: 1, answerReserve: 10 } })
  t.equal((await rig.chat(words(3_900), KEY)).headers.get("x-llmproxy-route"), "local")
  const { headers } = await rig.chat(words(4_500), KEY)
  t.equal(headers.get("x-llmproxy-route"), "cloud")
  t.match(headers.get("x-llmproxy-reason"), /^needs \d+ tokens, the local host takes less than 4096/)
  const refused = await rig.chat(words(4_500))
  t.equal(refused.status, 400)
  t.match(JSON.parse(refused.text).error, {
    code: "context_length_exceeded",
    message: /maximum context length is 4096 tokens.*your messages resulted in \d+ tokens/,
  })
  t.equal(rig.local?.requests.filter(({ method }) => method === "POST").length, 1)
})

test("a host that counts decides with its own count", async (t) => {
  for (const name of ["llama.cpp", "vLLM", "llama-cpp-python"]) {
    const host = hostNamed(name)
    for (const [tokens, route] of [
      [1_000, "local"],
      [9_000, "cloud"],
    ] as const) {
      const rig = await startRig(t, { local: scripted(host, { tokens }), cloud: CLOUD })
      const { headers } = await rig.chat(words(1_500), KEY)
      t.equal(headers.get("x-llmproxy-route"), route, `${name} ${tokens}`)
      t.match(headers.get("x-llmproxy-reason"), `counted by ${name}`)
      t.match(headers.get("x-llmproxy-reason"), `needs ${tokens + 1_024} `)
    }
  }
})

test("a host that cannot count after all is believed our estimate", async (t) => {
  const host = { ...hostNamed("llama.cpp"), counts: () => ({}) }
  const local = scripted(host, {
    reply: ({ target }, socket) =>
      void socket.write(target.includes("okenize") ? answer("", "", "404 Not Found") : jsonAnswer(chatJson("ok"))),
  })
  const rig = await startRig(t, { local, set: { localApi: "messages" } })
  const { headers } = await rig.chat()
  t.equal(headers.get("x-llmproxy-route"), "local")
  t.match(headers.get("x-llmproxy-reason"), /^needs \d+ of 4096 tokens$/)
})

test("Ollama is given a window and told not to cut, and a running model's window stays", async (t) => {
  const host = hostNamed("Ollama")
  const rig = await startRig(t, { local: scripted(host) })
  await rig.chat({ max_tokens: 7, stop: "END", seed: 3 })
  t.match(sentTo(rig.local, "/api/generate"), {
    raw: true,
    truncate: false,
    shift: false,
    options: { num_ctx: 4_096, num_predict: 7, seed: 3, temperature: 0.3, stop: ["END", "<|EOT|>"] },
  })
  const resting = await startRig(t, { local: scripted(host, { pages: { "/api/ps": { models: [] } } }) })
  t.match((await resting.chat()).headers.get("x-llmproxy-reason"), /of 8192 tokens/)
  t.match(sentTo(resting.local, "/api/generate"), { options: { num_ctx: 8_192 } })
  t.match(sentTo(resting.local, "/api/show"), { model: "deepseek-coder:6.7b" })
})

test("json_object is dropped for LM Studio, and for a host that has refused it", async (t) => {
  const format = { response_format: { type: "json_object" } }
  const studio = await startRig(t, { local: scripted(hostNamed("LM Studio")) })
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
  const other = await startRig(t, { local })
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
    ["Ollama", "messages", CHAT_PATH, { max_tokens: 20 }],
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
