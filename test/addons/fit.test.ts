import { type Test, test } from "tap"
import fit from "../../addons/fit.ts"
import models from "../../addons/models.ts"
import { MODEL_CONTEXT } from "../../addons/shared/context-size.ts"
import { type Flow, isObject, type JsonObject } from "../../lib/index.ts"
import { type LoadAddonOptions, loadAddon, type TestAddon, type TestRequest } from "../../lib/testing/index.ts"

/** Some 200 tokens. */
const LONG = "word ".repeat(200)
const say = (role: string, content: string) => ({ role, content })
const CONVERSATION = [
  say("system", "Be brief."),
  say("user", `first ${LONG}`),
  say("assistant", `one ${LONG}`),
  say("user", `second ${LONG}`),
  say("assistant", `two ${LONG}`),
  say("user", "And now?"),
]

async function start(t: Test, options: JsonObject, load: LoadAddonOptions = {}): Promise<TestAddon> {
  const addon = await loadAddon(fit, { options, ...load })
  t.teardown(() => addon.close())
  return addon
}

const chat = (messages: object[], more: object = {}): TestRequest => ({
  json: { model: "m", messages, ...more } as JsonObject,
})

function askedMessages(addon: TestAddon): unknown {
  const json = addon.asked.at(-1)?.json()
  return isObject(json) ? json.messages : undefined
}

function outcome(addon: TestAddon): unknown {
  return addon.flows.at(-1)?.metadata["fit.outcome"]
}

test("what fits, or nobody knows not to, passes as it came", async (t) => {
  const addon = await start(t, {})
  const got = await addon.request(chat(CONVERSATION))
  t.strictSame([got.status, got.headers.has("x-llmproxy-fit")], [200, false])
  await addon.set({ context: 5_000 })
  await addon.request(chat(CONVERSATION))
  t.strictSame(askedMessages(addon), CONVERSATION)
})

test("a request that does not fit is rejected with the numbers, in each client's words", async (t) => {
  const addon = await start(t, { context: 500 })
  const openai = await addon.request(chat(CONVERSATION))
  t.match(openai.json(), {
    error: { code: "context_length_exceeded", type: "invalid_request_error", param: "messages" },
  })
  t.match(
    openai.error?.message,
    /maximum context length is 500 tokens\. However, you requested \d+ tokens \(\d+ in the messages, 125 in/,
  )
  t.match(openai.error, { kind: "context_length", overflow: { limit: 500 } })
  t.match(openai.headers.get("x-llmproxy-fit"), /^rejected: \d+ of 500 tokens$/)
  t.match(openai.headers.get("x-llmproxy-reason"), /^rejected: /)
  t.match(outcome(addon), { action: "reject", context: 500, reserve: 125 })
  const json = { model: "claude", max_tokens: 10, messages: CONVERSATION.slice(1) }
  const claude = await addon.request({ url: "https://api.anthropic.com/v1/messages", json })
  t.match(claude.json(), {
    type: "error",
    error: { type: "invalid_request_error", message: /^prompt is too long: \d+ tokens > 500 maximum/ },
  })
  t.equal(claude.status, 400)
  const ollama = await addon.request({ url: "http://o.test/api/chat", json: { model: "m", messages: CONVERSATION } })
  t.match(ollama.json(), { error: /maximum context length is 500 tokens/ })
  const prompt = await addon.request({
    url: "https://api.openai.com/v1/completions",
    json: { model: "m", prompt: LONG.repeat(4) },
  })
  t.equal(prompt.error?.code, "context_length_exceeded")
  t.equal(addon.asked.length, 0)
})

test("the oldest turns are left out, which the answer and the record say", async (t) => {
  const addon = await start(t, { context: 700, action: "trim", reserve: 100 })
  const got = await addon.request(chat(CONVERSATION))
  t.strictSame([got.status, got.headers.get("x-llmproxy-fit")], [200, "trimmed 3 messages"])
  t.strictSame(
    askedMessages(addon),
    [0, 1, 5].map((at) => CONVERSATION[at]),
  )
  t.match(outcome(addon), { action: "trim", messages: 3 })
  t.match(addon.log.lines.join("\n"), /m: trimmed 3 messages/)
  for (const url of ["https://api.anthropic.com/v1/messages", "http://o.test/api/chat"]) {
    const messages = CONVERSATION.slice(1)
    const other = await addon.request({
      url,
      json: { model: "m", max_tokens: 10, options: { num_predict: 10 }, messages },
    })
    t.equal(other.headers.get("x-llmproxy-fit"), "trimmed 1 message", url)
    t.strictSame(
      askedMessages(addon),
      [0, 2, 3, 4].map((at) => messages[at]),
    )
  }
})

test("what cannot be trimmed enough is rejected, and says what the least is", async (t) => {
  const addon = await start(t, { context: 300, action: "trim", reserve: 0 })
  const got = await addon.request(chat([say("user", LONG), say("user", LONG)]))
  t.match(got.error?.message, /Even the system prompt, the first message and the last turn are 4\d\d tokens\.$/)
  const prompt = await addon.request({
    url: "https://api.openai.com/v1/completions",
    json: { model: "m", prompt: LONG.repeat(4) },
  })
  t.match(prompt.error?.message, /cannot be trimmed\.$/)
  t.equal(addon.asked.length, 0)
})

test("how much a model takes: by its name, else as a routing addon says, else as for all", async (t) => {
  const router = {
    name: "router",
    llmRequest: (flow: Flow) => void (flow.request.headers.has("x-small") && MODEL_CONTEXT.write(flow, 300)),
  }
  const addon = await loadAddon(router, {
    others: [fit],
    program: { fit: { context: 2_000, contexts: { "tiny*": 200, "huge*": 90_000 } } },
  })
  t.teardown(() => addon.close())
  const ask = async (model: string, headers: Record<string, string> = {}) => {
    const { error } = await addon.request({ json: { model, messages: CONVERSATION }, headers })
    return error?.overflow?.limit
  }
  t.strictSame([await ask("tiny-1"), await ask("m"), await ask("m", { "x-small": "1" })], [200, undefined, 300])
  t.equal(await ask("huge-1", { "x-small": "1" }), undefined)
})

test("a larger model is asked, with its own key and name, unless the request is to stay", async (t) => {
  const options = {
    context: 500,
    action: "cloud",
    cloud: "https://big.test/v1",
    cloudModel: "big",
    cloudKey: "sk-ours-0123456789",
  }
  const addon = await start(t, options)
  const got = await addon.request({ ...chat(CONVERSATION), headers: { Authorization: "Bearer sk-theirs-0123456789" } })
  t.match(got.headers.get("x-llmproxy-fit"), /^cloud: needs \d+ tokens, the model takes 500$/)
  const [asked] = addon.asked
  t.strictSame(
    [asked?.url, asked?.headers.get("authorization")],
    ["https://big.test/v1/chat/completions", "Bearer sk-ours-0123456789"],
  )
  t.match(asked?.json(), { model: "big" })
  const local = await addon.request({ ...chat(CONVERSATION), headers: { "x-llmproxy-route": "local" } })
  t.match(local.error?.message, /It is to stay local/)
  const other = await addon.request({ ...chat(CONVERSATION), headers: { "Sec-Fetch-Site": "cross-site" } })
  t.match(other.error?.message, /key is not given to clients that have not authenticated/)
  t.equal(addon.asked.length, 1)
})

test("the larger model's host gets its key as its own clients send it, and the model that was asked for", async (t) => {
  const addon = await start(t, {
    context: 500,
    action: "cloud",
    cloud: "https://big.test",
    cloudKey: "sk-ours-0123456789",
  })
  const json = { model: "claude", max_tokens: 10, messages: CONVERSATION.slice(1) }
  await addon.request({ url: "https://api.anthropic.com/v1/messages", json })
  const [asked] = addon.asked
  t.strictSame([asked?.url, asked?.headers.get("x-api-key")], ["https://big.test/v1/messages", "sk-ours-0123456789"])
  t.match(asked?.json(), { model: "claude" })
  const bare = await start(t, { context: 500, action: "cloud", cloud: "https://big.test/v1" })
  await bare.request({ ...chat(CONVERSATION), headers: { Authorization: "Bearer sk-theirs-0123456789" } })
  t.equal(bare.asked[0]?.headers.has("authorization"), false, "the client's key is for another host")
})

test("options that cannot be are refused", async (t) => {
  const wrong: readonly [options: JsonObject, message: RegExp][] = [
    [{ action: "cloud" }, /fit\.cloud says not where/],
    [{ action: "cloud", cloud: "ftp://x" }, /no http or https URL/],
    [{ cloud: "openai", cloudKey: "k" }, /has its own key/],
    [{ contexts: { m: "8k" } }, /must be a number of tokens/],
    [{ action: "shorten" }, /reject/],
  ]
  for (const [options, message] of wrong) await t.rejects(loadAddon(fit, { options }), { message })
})

const UPSTREAMS = {
  box: { url: "http://box.test/v1", local: true, context: 500 },
  house: { url: "http://house.test/v1", local: true, context: 600 },
  big: { url: "http://big.test/v1", context: 100_000 },
}

async function startModels(t: Test, to: readonly string[], options: JsonObject): Promise<TestAddon> {
  const addon = await loadAddon(models, {
    options: {
      upstreams: UPSTREAMS,
      routes: [
        { model: "m", to: [...to] },
        { model: "*", to: ["big"] },
      ],
    },
    others: [fit],
    program: { fit: options },
  })
  t.teardown(() => addon.close())
  return addon
}

const own = (messages: object[]): TestRequest => ({ url: "/v1/chat/completions", ...chat(messages) })

test("behind models each upstream's own context counts", async (t) => {
  const alone = await startModels(t, ["box"], {})
  const rejected = await alone.request(own(CONVERSATION))
  t.match(rejected.error, { code: "context_length_exceeded", overflow: { limit: 500 } })
  t.equal(alone.asked.length, 0)
  const several = await startModels(t, ["box", "big"], {})
  const got = await several.request(own(CONVERSATION))
  t.strictSame(
    [got.status, several.asked.map(({ url }) => new URL(url).hostname)],
    [200, ["big.test"]],
    "the larger one",
  )
  const trimming = await startModels(t, ["box", "house"], { action: "trim", reserve: 0 })
  const trimmed = await trimming.request(own(CONVERSATION))
  t.strictSame([trimmed.status, trimmed.headers.get("x-llmproxy-fit")], [200, "trimmed 3 messages"])
  t.equal(new URL(trimming.asked[0]?.url ?? "").hostname, "box.test")
})

test("and an upstream of theirs is the larger model", async (t) => {
  for (const to of [["box"], ["box", "house"]]) {
    const addon = await startModels(t, to, { action: "cloud", cloud: "big", cloudModel: "b" })
    const got = await addon.request(own(CONVERSATION))
    t.strictSame([got.status, got.completion?.text], [200, "Hello."])
    t.match(got.headers.get("x-llmproxy-fit"), /^cloud: needs/)
    t.strictSame(
      addon.asked.map(({ url }) => url),
      ["http://big.test/v1/chat/completions"],
    )
    t.match(addon.asked[0]?.json(), { model: "b", messages: CONVERSATION })
    await addon.close()
  }
})

test("what other addons ask for themselves is let be", async (t) => {
  const asking = {
    name: "asking",
    async llmRequest(flow: Flow) {
      if (flow.parent !== undefined) return
      flow.route({ name: "local" })
      const url = "http://h.test/v1/chat/completions"
      flow.respond(await flow.send({ json: { model: "m", messages: CONVERSATION } }, { url }))
    },
  }
  const addon = await loadAddon(asking, { others: [fit], program: { fit: { context: 500 } } })
  t.teardown(() => addon.close())
  t.equal((await addon.request(chat(CONVERSATION))).status, 200)
  const passing = await loadAddon(
    { name: "conducting", llmRequest: (flow) => flow.route({ name: "cloud" }) },
    {
      others: [fit],
      program: { fit: { context: 500 } },
    },
  )
  t.teardown(() => passing.close())
  t.equal((await passing.request(chat(CONVERSATION))).status, 200)
})
