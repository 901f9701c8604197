/** What the local host is asked, in each of its forms, and how it is found out what it is. */
import { test } from "tap"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import { CHAT_PATH, chatBody, localHost, sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { answer, chatJson, jsonAnswer, until } from "../../../helpers/hosts/proxy-host.ts"

const TEXT = jsonAnswer({
  id: "t",
  object: "text_completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, text: "ok", finish_reason: "stop" }],
  usage: { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 },
})
const CHAT = jsonAnswer(chatJson("ok"))
const PARAMS = {
  temperature: 0.3,
  n: 1,
  top_p: 0.95,
  top_k: 40,
  min_p: 0.05,
  presence_penalty: 0,
  frequency_penalty: 0,
}

test("a DeepSeek-Coder gets a raw prompt with stop strings, the seed's parameters and a limit", async (t) => {
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(TEXT)) })
  const response = await rig.chat({ temperature: 0.9, seed: 3 })
  const sent = sentTo(rig.local, "/v1/completions")
  const room = 8_192 - Number(response.headers.get("x-llmproxy-tokens")) * 1.35
  t.match(sent, {
    ...PARAMS,
    model: "deepseek-coder-6.7b",
    seed: 3,
    prompt: /### Instruction:\nSay hello\.\n### Response:\n$/,
    stop: ["<|EOT|>", "### Instruction:", "<｜end▁of▁sentence｜>"],
    max_tokens: Math.floor(room),
  })
  t.notOk(sent && "messages" in sent)
  t.equal(JSON.parse(response.text).usage.prompt_tokens, 5, "the host's own count stays")
})

test("chat: one user message", async (t) => {
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(CHAT)), set: { localApi: "chat" } })
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Say hello." },
  ]
  await rig.chat({ messages, max_tokens: 100_000 })
  const sent = sentTo(rig.local, CHAT_PATH)
  t.match(sent, { ...PARAMS, messages: [{ role: "user", content: "Be brief. Say hello." }] })
  t.ok(Number(sent?.max_tokens) < 8_192)
  t.strictSame(
    rig.local?.requests.map(({ target }) => target),
    ["/v1/models", "/api/v0/models", CHAT_PATH],
    "no other host's page is asked for",
  )
})

test("localUrl with a path of its own, localModel and localParams are used as given", async (t) => {
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(CHAT)) })
  const localUrl = `http://127.0.0.1:${rig.local?.port}/api/v1/`
  const set = { localUrl, localApi: "messages", localModel: "mine", localParams: '{"top_k":1}' }
  rig.app.store.update({
    set: Object.entries(set).map(([name, value]) => `conductor.${name}=${value}`),
    flags: {},
    env: {},
    envFile: undefined,
    config: undefined,
  })
  await rig.chat({ temperature: 0.9 })
  t.strictSame(sentTo(rig.local, `/api${CHAT_PATH}`), { ...chatBody(), temperature: 0.9, top_k: 1, model: "mine" })
})

test("the first model that is no embedding model is asked for", async (t) => {
  const models = (...ids: unknown[]) =>
    JSON.stringify({ data: ids.map((id) => (typeof id === "string" ? { id } : id)) })
  const cases = [
    [models("bge-m3", "intfloat/e5-large", "gte-base", "all-MiniLM-L6", "nomic-embed", "qwen"), "qwen"],
    [models({ id: "odd", type: "embeddings" }, { id: 5 }, "qwen"), "qwen"],
    [models("only-embed"), undefined],
    ["no list", undefined],
    ['{"data":"x"}', undefined],
  ] as const
  for (const [list, model] of cases) {
    const rig = await startRig(t, {
      local: localHost((_, socket) => void socket.write(TEXT), { "/v1/models": list }),
      set: { localApi: "completions" },
    })
    t.equal((await rig.chat()).headers.get("x-llmproxy-route"), "local")
    t.equal(sentTo(rig.local, "/v1/completions")?.model, model, list)
  }
})

test("LM Studio answers unknown pages with 200, and is no Ollama", async (t) => {
  const pages = {
    "/api/version": '{"error":"Unexpected endpoint or method. (GET /api/version). Returning 200 anyway"}',
  }
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(TEXT), pages) })
  t.equal((await rig.chat()).headers.get("x-llmproxy-route"), "local")
})

test("a host that does not say what it is within two seconds is asked all the same, and again the next time", async (t) => {
  const clock = new ManualClock(Date.now())
  const rig = await startRig(t, {
    clock,
    local: ({ method }, socket) => {
      if (method === "POST") socket.write(TEXT)
    },
    set: { localApi: "completions" },
  })
  for (const asked of [2, 4]) {
    const answered = rig.chat()
    await until(() => (rig.local?.requests.length ?? 0) === asked - 1)
    clock.advance(2_000)
    t.equal((await answered).headers.get("x-llmproxy-route"), "local")
    t.equal(rig.local?.requests.length, asked)
  }
  t.notOk("model" in (sentTo(rig.local, "/v1/completions") ?? {}))
})

test("the host is asked what it is once", async (t) => {
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(TEXT)) })
  for (let times = 0; times < 3; times++) await rig.chat()
  t.equal(rig.local?.requests.filter(({ method }) => method === "GET").length, 2)
  rig.app.store.update({
    set: [`conductor.localUrl=http://127.0.0.1:${rig.local?.port}`, "conductor.answerReserve=5"],
    flags: {},
    env: {},
    envFile: undefined,
    config: undefined,
  })
  await rig.chat()
  t.equal(rig.local?.requests.filter(({ method }) => method === "GET").length, 4, "again when an option has changed")
})

test("a stream is asked for as a stream, with usage if the client wants it", async (t) => {
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(answer(""))) })
  await rig.chat({ stream: true, stream_options: { include_usage: true } })
  t.match(sentTo(rig.local, "/v1/completions"), { stream: true, stream_options: { include_usage: true } })
  const sent = rig.local?.requests.find(({ method }) => method === "POST")
  t.match(sent?.head, /accept: text\/event-stream/i)
})
