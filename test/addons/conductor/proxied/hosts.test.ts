/** Each kind of local host: what it is asked, in which form, streaming and not, and what its overflow leads to. */
import { test } from "tap"
import { sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { HOSTS, hello, hostNamed, pageOf, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { answer, chatJson, eventsOf, jsonAnswer } from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"
import type { WireResponse } from "../../../helpers/wire/wire.ts"

/** What suits the host and the model: a raw prompt for a DeepSeek-Coder, else messages. */
const AUTO = { localApi: "auto" }

const KEY = "Authorization: Bearer sk-own\r\n"
const CLOUD = always(jsonAnswer(chatJson("from the cloud")).toString())
const TOOLS = { tools: [{ type: "function", function: { name: "f", parameters: {} } }] }
const words = (count: number) => ({ messages: [{ role: "user", content: "word ".repeat(count) }] })

function textOf({ text }: WireResponse, stream: boolean): string {
  if (!stream) return JSON.parse(text).choices[0].message.content
  const events = eventsOf(text) as { choices: { delta: { content?: string } }[] }[]
  return events.map(({ choices }) => choices[0]?.delta.content ?? "").join("")
}

for (const host of HOSTS) {
  test(`${host.name}: raw prompts, messages and tools, streaming and not, and a prompt that it finds too long`, async (t) => {
    let overflows = false
    const local = scripted(host, {
      reply: (request, socket) => void socket.write(overflows ? host.overflow : hello(request)),
    })
    // A model that the list does not have, and whose prompt format it knows best.
    const rig = await startRig(t, {
      local,
      cloud: CLOUD,
      set: { ...AUTO, modelMap: '{"other":"glm-4"}', cooldownMs: 0 },
    })
    for (const stream of [true, false]) {
      const response = await rig.chat({ stream })
      t.equal(response.headers.get("x-llmproxy-route"), "local")
      t.equal(textOf(response, stream), "Hello", `stream ${stream}`)
      const limit = Math.min(host.context ?? 8_192, 8_192)
      t.match(response.headers.get("x-llmproxy-reason"), new RegExp(`of ${limit} tokens`), "the host's own window")
      const prompt = /### Instruction:\nSay hello\.\n### Response:\n$/
      t.match(sentTo(rig.local, host.rawPath), { model: host.model, stream, prompt })
      t.equal(textOf(await rig.chat({ stream, model: "other" }), stream), "Hello", `messages, stream ${stream}`)
      const messages = [{ role: "user", content: "Say hello." }]
      t.match(sentTo(rig.local, host.messagesPath), { model: "glm-4", stream, messages })
      t.equal(textOf(await rig.chat({ stream, ...TOOLS }), stream), "Hello", `tools, stream ${stream}`)
      t.match(sentTo(rig.local, host.messagesPath), { ...TOOLS, stream })
    }
    const asked = rig.local?.requests.filter(({ method }) => method === "GET").map(({ target }) => target)
    t.equal(asked?.length, new Set(asked).size, "what it is was asked once")
    overflows = true
    for (const stream of [true, false]) {
      const passed = await rig.chat({ stream }, KEY)
      t.equal(passed.headers.get("x-llmproxy-route"), "cloud")
      t.match(passed.headers.get("x-llmproxy-reason"), /^local host failed before the first token: /)
    }
    const refused = await rig.chat({})
    const isSaid = host.name !== "OpenAI-compatible"
    t.equal(refused.status, isSaid ? 400 : 502, "its answer is empty")
    t.equal(JSON.parse(refused.text).error.code, isSaid ? "context_length_exceeded" : "local_host_failed")
  })
}

test("a host whose window is too small is skipped, not tried", async (t) => {
  const host = hostNamed("LM Studio")
  const rig = await startRig(t, {
    local: scripted(host),
    cloud: CLOUD,
    set: { ...AUTO, tokenRatio: 1, answerReserve: 10 },
  })
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
    let tokens = 0
    const rig = await startRig(t, {
      local: (request, socket) => scripted(host, { tokens })(request, socket),
      cloud: CLOUD,
    })
    for (const [counted, route] of [
      [1_000, "local"],
      [9_000, "cloud"],
    ] as const) {
      tokens = counted
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
      void socket.write(
        target.endsWith("/input_tokens") ? answer("", "", "404 Not Found") : jsonAnswer(chatJson("ok")),
      ),
  })
  const rig = await startRig(t, { local, set: { localApi: "messages" } })
  const { headers } = await rig.chat()
  t.equal(headers.get("x-llmproxy-route"), "local")
  t.match(headers.get("x-llmproxy-reason"), /^needs \d+ of 4096 tokens$/)
  await rig.chat()
  const counts = rig.local?.requests.filter(({ target }) => target.endsWith("/input_tokens"))
  t.equal(counts?.length, 1, "a page that is not there is asked for once")
})

test("a name that is not on the list keeps llama.cpp's window, and Ollama's tag can be left out", async (t) => {
  const llama = await startRig(t, { local: scripted(hostNamed("llama.cpp")), set: { ...AUTO, localModel: "mine" } })
  t.match((await llama.chat()).headers.get("x-llmproxy-reason"), "of 4096 tokens")
  const host = hostNamed("Ollama")
  const page = (path: string) => JSON.parse(JSON.stringify(pageOf(host, path)).replaceAll(host.model, "qwen:latest"))
  const pages = { "/v1/models": page("/v1/models"), "/api/ps": page("/api/ps") }
  const ollama = await startRig(t, { local: scripted(host, { pages }), set: { ...AUTO, localModel: "qwen" } })
  t.match((await ollama.chat()).headers.get("x-llmproxy-reason"), "of 4096 tokens")
})
