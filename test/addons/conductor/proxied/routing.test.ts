/** What decides beside the size: the client's wish, lists of models, hosts that failed, and what was learnt. */
import { test } from "tap"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import {
  CHAT_PATH,
  CLOUD,
  chatBody,
  fieldOf,
  localHost,
  message,
  notExpected,
  sentTo,
  startRig,
} from "../../../helpers/conductor-rig.ts"
import { hello, hostNamed, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { chatJson, jsonAnswer, origin, until } from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"
import type { WireResponse } from "../../../helpers/wire/wire.ts"

const KEY = "Authorization: Bearer sk-own\r\n"
const CLOUD_ANSWER = always(jsonAnswer(chatJson("from the cloud")).toString())
const words = (count: number) => ({ messages: [{ role: "user", content: "word ".repeat(count) }] })
const routeOf = ({ headers }: WireResponse) => headers.get("x-llmproxy-route")
const reasonOf = ({ headers }: WireResponse) => headers.get("x-llmproxy-reason")
const errorOf = ({ text }: WireResponse) => JSON.parse(text).error

test("a client may say where its request goes, and the field that says it goes nowhere", async (t) => {
  const rig = await startRig(t, {
    local: scripted(hostNamed("vLLM")),
    cloud: CLOUD_ANSWER,
    set: { maxTokenCount: 2_000 },
  })
  const cloud = await rig.chat({}, `${KEY}X-LLMProxy-Route: Cloud\r\n`)
  t.equal(routeOf(cloud), "cloud")
  t.equal(reasonOf(cloud), "x-llmproxy-route: cloud")
  t.notOk(cloud.headers.has("x-llmproxy-tokens"), "nothing was counted")
  const local = await rig.chat(words(2_500), `${KEY}x-llmproxy-route: local\r\n`)
  t.equal(routeOf(local), "local", "more than maxTokenCount, less than the host's window")
  t.match(reasonOf(local), /^x-llmproxy-route: local; needs \d+ of 4096 tokens/)
  const wire = await rig.through()
  wire.write(message("POST", "/v1/embeddings", CLOUD, { model: "e", input: "x" }, `${KEY}x-llmproxy-route: cloud\r\n`))
  await wire.response("POST")
  for (const { requests } of [rig.cloud, rig.local ?? rig.cloud])
    for (const request of requests) t.equal(fieldOf(request, "x-llmproxy-route"), undefined)
  const odd = await rig.chat({}, `${KEY}x-llmproxy-route: moon\r\n`)
  t.equal(odd.status, 400)
  t.match(errorOf(odd), { param: "x-llmproxy-route", message: /"moon" is no route; write local or cloud/ })
  const noKey = await rig.chat({}, "x-llmproxy-route: cloud\r\n")
  t.equal(noKey.status, 401)
  t.match(errorOf(noKey).message, /there is no key for it. Set OPENAI_API_KEY/)
})

test("what was to stay local is not sent to the cloud because a host failed", async (t) => {
  const rig = await startRig(t, { cloud: notExpected })
  const refused = await rig.chat({}, `${KEY}x-llmproxy-route: local\r\n`)
  t.equal(refused.status, 503)
  t.match(reasonOf(refused), /^x-llmproxy-route: local; local host failed before the first token: connection refused$/)
  t.equal(rig.cloud.requests.length, 0)
})

test("lists of models decide before the size does", async (t) => {
  const set = { preferLocal: "gpt-3.5*,*-mini", cloudModels: "gpt-4o,o1*", maxTokenCount: 100, answerReserve: 10 }
  const rig = await startRig(t, { local: scripted(hostNamed("LM Studio")), cloud: CLOUD_ANSWER, set })
  for (const [model, count, route, reason] of [
    ["gpt-3.5-turbo", 200, "local", /^preferLocal has gpt-3\.5\*; needs \d+ of 4096/],
    ["GPT-4o-mini", 200, "local", /^preferLocal has \*-mini/],
    ["gpt-4o", 1, "cloud", /^cloudModels has gpt-4o$/],
    ["other", 1, "local", /^needs \d+ of 100 tokens/],
    ["other", 200, "cloud", /^needs \d+ tokens/],
    ["gpt-3.5-turbo", 5_000, "cloud", /takes less than 4096/],
  ] as const) {
    const response = await rig.chat({ model, ...words(count) }, KEY)
    t.equal(routeOf(response), route, model)
    t.match(reasonOf(response), reason, model)
  }
})

test("a map of names tells which local model stands for the client's", async (t) => {
  const set = { localApi: "auto", modelMap: '{"gpt-4*":"big","*":"small"}' }
  const rig = await startRig(t, { local: localHost((request, socket) => void socket.write(hello(request))), set })
  for (const [asked, given] of [
    ["gpt-4o", "big"],
    ["gpt-3.5-turbo", "small"],
  ]) {
    t.equal((await rig.chat({ model: asked })).status, 200)
    t.equal(sentTo(rig.local, CHAT_PATH)?.model, given)
  }
  await t.rejects(startRig(t, { set: { modelMap: '{"gpt-4*":5}' } }), {
    message: /modelMap: gpt-4\* must name a local model/,
  })
})

test("a client that names a local model gets it", async (t) => {
  const local = localHost((request, socket) => void socket.write(hello(request)))
  const rig = await startRig(t, { local, set: { localApi: "auto" } })
  await rig.chat({ model: "other" })
  t.equal(sentTo(rig.local, CHAT_PATH)?.model, "other")
})

test("several hosts are tried in their order, and each is named in the reason", async (t) => {
  const host = hostNamed("LM Studio")
  const failing = await origin(t, scripted(host, { reply: (_, socket) => void socket.destroy() }))
  const small = await origin(t, scripted(hostNamed("vLLM"), { tokens: 9_000 }))
  const good = await origin(
    t,
    localHost((request, socket) => void socket.write(hello(request))),
  )
  const urls = [1, failing.port, small.port, good.port].map((port) => `http://127.0.0.1:${port}`)
  const rig = await startRig(t, { cloud: CLOUD_ANSWER, set: { localUrls: urls.join(",") } })
  const answered = await rig.chat({}, KEY)
  t.equal(routeOf(answered), "local")
  t.match(reasonOf(answered), new RegExp(`; http://127.0.0.1:${good.port}$`))
  t.equal(small.requests.filter(({ target }) => target.includes("completions")).length, 0, "skipped, not tried")
  const failed = await startRig(t, { cloud: CLOUD_ANSWER, set: { localUrls: urls.slice(0, 3).join(",") } })
  const passed = await failed.chat({}, KEY)
  t.equal(routeOf(passed), "cloud")
  const parts = [
    "127.0.0.1:1: local host failed",
    `127.0.0.1:${failing.port}: local host failed`,
    `127.0.0.1:${small.port}: needs`,
  ]
  for (const part of parts) t.match(reasonOf(passed), part)
  t.equal((await failed.ask("GET", "/v1/models")).status, 200, "the models of those that are there")
})

test("a host that failed is left alone for a while, longer each time, unless nobody else is there", async (t) => {
  const clock = new ManualClock(Date.now())
  const rig = await startRig(t, { clock, cloud: CLOUD_ANSWER, set: { cooldownMs: 10_000 } })
  const REFUSED = "local host failed before the first token: connection refused"
  t.equal(reasonOf(await rig.chat({}, KEY)), REFUSED)
  for (const seconds of [10, 20, 40]) {
    t.equal(
      reasonOf(await rig.chat({}, KEY)),
      `local host failed: connection refused; left alone for ${seconds} s more`,
    )
    clock.advance(seconds * 1_000)
    t.equal(reasonOf(await rig.chat({}, KEY)), REFUSED, `after ${seconds} s`)
  }
  t.equal(reasonOf(await rig.chat()), `${REFUSED}; no key for the cloud`, "nobody else: it is asked")
})

test("a host that stalls before the first word loses the request to the cloud", async (t) => {
  const clock = new ManualClock(Date.now())
  const local = scripted(hostNamed("LM Studio"), { reply: () => {} })
  const rig = await startRig(t, { clock, local, cloud: CLOUD_ANSWER, set: { localStallMs: 4_000, cooldownMs: 0 } })
  const posts = () => rig.local?.requests.filter(({ method }) => method === "POST").length ?? 0
  for (const [stream, ms] of [
    [true, 4_000],
    [false, 20_000],
  ] as const) {
    const before = posts()
    const asked = rig.chat({ stream }, KEY)
    await until(() => posts() > before)
    clock.advance(ms)
    const response = await asked
    if (stream) t.match(response.text, /from the cloud/)
    else t.equal(reasonOf(response), "local host failed before the first token: timeout")
  }
})

test("an answer to a prompt that Ollama has cut without a word is not delivered", async (t) => {
  const local = scripted(hostNamed("Ollama"), {
    pages: { "/api/version": { version: "0.9.0" }, "/api/ps": { models: [] }, "/api/show": {} },
    reply: (request, socket) => void socket.write(hello(request, 500)),
  })
  const rig = await startRig(t, { local, cloud: CLOUD_ANSWER })
  for (const stream of [true, false]) {
    const response = await rig.chat({ ...words(1_500), stream }, KEY)
    t.equal(routeOf(response), "cloud", `stream ${stream}`)
    t.match(reasonOf(response), "the host cut the prompt to 500 tokens")
    t.match(response.text, /from the cloud/)
  }
  t.equal(routeOf(await rig.chat(words(600), KEY)), "local", "too short to be cut")
  const refused = await rig.chat(words(1_500))
  t.equal(refused.status, 400)
  t.match(errorOf(refused), { code: "context_length_exceeded" })
})

test("the ratio is learnt from what the host counts, and said", async (t) => {
  const local = scripted(hostNamed("LM Studio"), {
    reply: (request, socket) => void socket.write(hello(request, 660)),
  })
  const rig = await startRig(t, { local })
  for (let times = 0; times < 5; times++)
    t.equal(routeOf(await rig.chat({ ...words(600), stream: times > 2 })), "local")
  t.match(reasonOf(await rig.chat(words(600))), /\(tokens x 1\.0\d, learnt from 5 answers\)$/)
})

test("the prompt format can be chosen, by name or as a file", async (t) => {
  const folder = t.testdir({ "mine.jinja": "<<{% for m in messages %}{{ m.content }}{% endfor %}>>" })
  for (const [template, prompt] of [
    ["chatml", "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n"],
    [`${folder}/mine.jinja`, "<<Say hello.>>"],
  ] as const) {
    const rig = await startRig(t, { local: scripted(hostNamed("vLLM")), set: { template } })
    t.equal(routeOf(await rig.chat()), "local")
    t.equal(sentTo(rig.local, "/v1/completions")?.prompt, prompt)
  }
  const own = await startRig(t, {
    local: scripted(hostNamed("llama.cpp")),
    set: { template: "host", localApi: "llamacpp" },
  })
  await own.chat()
  t.match(sentTo(own.local, "/completion"), { prompt: "<|im_start|>user\nSay hello.<|im_end|>", stop: ["<|im_end|>"] })
  const rig = await startRig(t, { local: scripted(hostNamed("vLLM")), set: { template: "host" } })
  t.match(errorOf(await rig.chat()).message, /this host does not tell its template/)
})

test("facts that are old are looked up again while they serve", async (t) => {
  const clock = new ManualClock(Date.now())
  let context = 4_096
  const rig = await startRig(t, {
    clock,
    local: (request, socket) => {
      const models = { data: [{ id: "m", owned_by: "vllm", max_model_len: context }] }
      if (request.target === "/v1/models") socket.write(jsonAnswer(models))
      else socket.write(request.target === "/tokenize" ? jsonAnswer({ count: 10 }) : hello(request))
    },
  })
  t.match(reasonOf(await rig.chat()), "of 4096 tokens")
  context = 2_048
  t.match(reasonOf(await rig.chat()), "of 4096 tokens")
  clock.advance(60_001)
  t.match(reasonOf(await rig.chat()), "of 4096 tokens", "nobody waits for it")
  await until(() => (rig.local?.requests.filter(({ target }) => target === "/v1/models").length ?? 0) > 1)
  await rig.chat()
  t.match(reasonOf(await rig.chat()), "of 2048 tokens")
})

test("a body whose request is conducted is what the cloud gets, field for field", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_ANSWER })
  await rig.chat({ odd: 1 }, KEY)
  t.strictSame(sentTo(rig.cloud, CHAT_PATH), chatBody({ odd: 1 }))
})
