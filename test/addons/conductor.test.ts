/** Where the conductor sends requests, what each side gets, and what the client is told of it. */
import { test } from "tap"
import type { Completion } from "../../lib/api/flow.ts"
import {
  CHAT_PATH,
  CLOUD,
  chatBody,
  localHost,
  message,
  notExpected,
  sentTo,
  startRig,
} from "../helpers/conductor-rig.ts"
import {
  chatEvent,
  chatJson,
  chunk,
  DONE,
  eventsOf,
  FINISH,
  jsonAnswer,
  LAST,
  SSE_HEAD,
  sseAnswer,
  textEvent,
} from "../helpers/hosts/proxy-host.ts"
import { always } from "../helpers/test-proxy.ts"

const COMPLETION = {
  id: "cmpl-1",
  object: "text_completion",
  created: 7,
  model: "deepseek-coder-6.7b",
  choices: [{ index: 0, text: "Hello there.\n<|EOT|>", finish_reason: "stop", logprobs: null }],
}
const LOCAL_TEXT = localHost((_, socket) => void socket.write(jsonAnswer(COMPLETION)))
const CLOUD_TEXT = always(jsonAnswer(chatJson("from the cloud")).toString())
const KEY = "Authorization: Bearer sk-own\r\n"
const LARGE_TEXT = "word ".repeat(6_000)
const LARGE = { messages: [{ role: "user", content: LARGE_TEXT }] }

test("a small request goes to the local host, by the base URL and by interception", async (t) => {
  const rig = await startRig(t, { local: LOCAL_TEXT, tokens: "own" })
  const byDoor = await rig.chat()
  const wire = await rig.through()
  wire.write(message("POST", CHAT_PATH, CLOUD, chatBody(), KEY))
  for (const response of [byDoor, await wire.response("POST")]) {
    t.equal(response.status, 200)
    t.equal(response.headers.get("x-llmproxy-route"), "local")
    t.match(response.headers.get("x-llmproxy-reason"), /^needs \d+ of 8192 tokens$/)
    t.match(response.headers.get("x-llmproxy-tokens"), /^\d+$/)
    const json = JSON.parse(response.text)
    t.equal(json.object, "chat.completion")
    t.equal(json.model, "deepseek-coder-6.7b")
    t.equal(json.choices[0].message.content, "Hello there.")
    t.equal(json.choices[0].finish_reason, "stop")
    t.equal(json.usage.prompt_tokens, Number(response.headers.get("x-llmproxy-tokens")), "the host gave none: counted")
    t.ok(json.usage.completion_tokens > 0)
  }
  t.equal(rig.cloud.requests.length, 0)
})

test("a large request goes to the cloud byte for byte as it came", async (t) => {
  const rig = await startRig(t, { local: notExpected, cloud: CLOUD_TEXT })
  const fields = `${KEY}x-odd:   spaced\r\nAccept: */*\r\nOpenAI-Organization: org-1\r\n`
  const body = `{ "messages": [ {"content":${JSON.stringify(LARGE_TEXT)}, "role":"user"} ],\n "model":"gpt-4o" }`
  const sent = message("POST", CHAT_PATH, CLOUD, body, fields)
  const wire = await rig.through()
  wire.write(sent)
  const response = await wire.response("POST")
  t.equal(response.headers.get("x-llmproxy-route"), "cloud")
  t.match(response.headers.get("x-llmproxy-reason"), /^needs \d+ tokens, the local host takes less than 8192$/)
  t.match(response.headers.get("x-llmproxy-tokens"), /^60\d\d$/)
  t.equal(JSON.parse(response.text).choices[0].message.content, "from the cloud")
  const byDoor = await rig.door()
  byDoor.write(message("POST", CHAT_PATH, `localhost:${rig.port}`, body, fields))
  await byDoor.response("POST")
  for (const got of rig.cloud.requests) t.equal(`${got.head}\r\n\r\n${got.body.toString()}`, sent.toString())
  t.equal(rig.cloud.requests.length, 2)
  t.equal(rig.local?.requests.length, 0)
})

test("the cloud's stream reaches the client event by event", async (t) => {
  let proceed: () => void = () => {}
  const rig = await startRig(t, {
    cloud: (_, socket) => {
      socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("one"))]))
      proceed = () => socket.write(Buffer.concat([chunk(chatEvent("two") + DONE), Buffer.from(LAST)]))
    },
  })
  const wire = await rig.through()
  wire.write(message("POST", CHAT_PATH, CLOUD, chatBody({ ...LARGE, stream: true }), KEY))
  t.notMatch(await wire.until("one"), /two/)
  proceed()
  t.equal((await wire.response("POST")).text, chatEvent("one") + chatEvent("two") + DONE)
})

test("a streaming client gets the local answer as chat chunks", async (t) => {
  const events = ["Hel", "lo", "\n<|EO", "T|>"].map((text) => textEvent(text))
  let completion: Completion | undefined
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(sseAnswer(...events, textEvent("", "stop"), DONE))),
    builtin: [
      {
        name: "last",
        llmResponse(flow, seen) {
          if (flow.parent === undefined) completion = seen
        },
      },
    ],
  })
  const asking = await rig.chat({ stream: true, stream_options: { include_usage: true } })
  t.equal(asking.headers.get("content-type"), "text/event-stream")
  const chunks = eventsOf(asking.text) as {
    model: string
    choices: { delta: { content?: string } }[]
    usage?: object
  }[]
  t.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), "Hello")
  t.ok(
    chunks.every(({ model }) => model === "up"),
    "the model that answered, as it names itself",
  )
  t.match(chunks.at(-1)?.usage, { completion_tokens: Number })
  t.ok(asking.text.endsWith("data: [DONE]\n\n"))
  const silent = await rig.chat({ stream: true })
  t.notMatch(silent.text, /"usage":\{/)
  t.match(completion?.usage, { source: "counted", inputTokens: Number(silent.headers.get("x-llmproxy-tokens")) })
  t.equal(completion?.text, "Hello")
})

test("a client that wants JSON and a host that streams, or the other way round, understand each other", async (t) => {
  const rig = await startRig(t, {
    local: localHost((request, socket) => {
      const stream = JSON.parse(request.body.toString()).stream === true
      socket.write(stream ? jsonAnswer(COMPLETION) : sseAnswer(textEvent("Hi"), textEvent("!", "stop"), DONE))
    }),
  })
  const json = await rig.chat()
  t.equal(JSON.parse(json.text).choices[0].message.content, "Hi!")
  const stream = await rig.chat({ stream: true })
  t.equal(stream.headers.get("content-type"), "text/event-stream")
  const texts = (eventsOf(stream.text) as { choices: { delta: { content?: string } }[] }[]).map(
    ({ choices }) => choices[0]?.delta.content ?? "",
  )
  t.equal(texts.join(""), "Hello there.")
})

test("a request that one text cannot carry goes to the cloud, and says why", async (t) => {
  const rig = await startRig(t, { local: notExpected, cloud: CLOUD_TEXT, set: { localApi: "completions" } })
  const tools = [{ type: "function", function: { name: "f", parameters: {} } }]
  const response = await rig.chat({ tools }, KEY)
  t.equal(response.headers.get("x-llmproxy-route"), "cloud")
  t.equal(response.headers.get("x-llmproxy-reason"), "unsupported: tools")
  t.match(response.headers.get("x-llmproxy-tokens"), /^\d+$/)
  const refused = await rig.chat({ tools })
  t.equal(refused.status, 400)
  t.match(JSON.parse(refused.text).error, {
    param: "tools",
    code: "unsupported_parameter",
    message: /^llmproxy: tools: /,
  })
  t.match(refused.headers.get("x-llmproxy-reason"), /^unsupported: tools; no key for the cloud$/)
  t.equal(rig.cloud.requests.length, 1)
})

test("messages: tools, images and choices go to the local host as they are", async (t) => {
  const chatAnswer = chatJson("", {
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        finish_reason: "tool_calls",
      },
    ],
    usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
  })
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(jsonAnswer(chatAnswer))),
    set: { localApi: "messages" },
  })
  const image = { type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(400_000)}` } }
  const body = {
    tools: [{ type: "function", function: { name: "f" } }],
    messages: [{ role: "user", content: [image] }],
  }
  const response = await rig.chat(body)
  t.equal(response.headers.get("x-llmproxy-route"), "local", "base64 is not counted as text")
  t.ok(Number(response.headers.get("x-llmproxy-tokens")) < 5_000)
  const { choices, usage } = JSON.parse(response.text)
  t.equal(choices[0].message.tool_calls[0].function.name, "f")
  t.strictSame(usage, { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }, "the host's own figures stay")
  t.match(sentTo(rig.local, CHAT_PATH), { ...body, model: "deepseek-coder-6.7b" })
})

test("messages: log probabilities leave as the host wrote them", async (t) => {
  const event = chatEvent("a", {
    choices: [{ index: 0, delta: { content: "a" }, logprobs: { content: [{ token: "a", logprob: -1 }] } }],
  })
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(sseAnswer(event, FINISH, DONE))),
    set: { localApi: "messages" },
  })
  const response = await rig.chat({ logprobs: true, stream: true })
  t.equal(response.text, event + FINISH + DONE)
})

test("what is no chat of OpenAI's passes untouched", async (t) => {
  const rig = await startRig(t, {
    local: notExpected,
    cloud: always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
  })
  const wire = await rig.through()
  const messages = [
    message("POST", "/v1/embeddings", CLOUD, { model: "text-embedding-3-small", input: "x" }, KEY),
    message("POST", "/v1/completions", CLOUD, { model: "gpt-3.5-turbo-instruct", prompt: "x" }, KEY),
    message("GET", "/v1/models", CLOUD, undefined, KEY),
    message("POST", CHAT_PATH, CLOUD, "{ no json", KEY),
  ]
  for (const [at, sent] of messages.entries()) {
    wire.write(sent)
    const response = await wire.response("POST")
    t.equal(response.text, "ok")
    t.notOk(response.headers.has("x-llmproxy-route"))
    const got = rig.cloud.requests[at]
    t.equal(`${got?.head}\r\n\r\n${got?.body}`, sent.toString())
  }
})

test("a chat with another host is not conducted, unless the option names it", async (t) => {
  for (const [set, route] of [
    [{}, undefined],
    [{ hosts: "127.0.0.1" }, "local"],
  ] as const) {
    const rig = await startRig(t, { local: LOCAL_TEXT, set })
    const wire = await rig.door()
    // In absolute form: a proxy request, to a port where nothing listens.
    wire.write(message("POST", `http://127.0.0.1:1${CHAT_PATH}`, "127.0.0.1:1", chatBody(), KEY))
    const response = await wire.response("POST")
    t.equal(response.headers.get("x-llmproxy-route"), route)
    t.equal(response.status, route === undefined ? 502 : 200)
  }
})

test("what another addon has routed, or sends itself, is left to it", async (t) => {
  const asked: (string | undefined)[] = []
  const rig = await startRig(t, {
    local: LOCAL_TEXT,
    cloud: CLOUD_TEXT,
    builtin: [
      {
        name: "router",
        async llmRequest(flow) {
          if (flow.parent !== undefined) return
          if (flow.llm.request.model === "routed") flow.route({ url: `https://${CLOUD}`, name: "mine" })
          if (flow.llm.request.model !== "sent") return
          const answer = await flow.send({ json: flow.llm.request.body }, { url: `https://${CLOUD}${CHAT_PATH}` })
          asked.push(answer.flow.routed?.name)
          flow.respond(answer)
        },
      },
    ],
  })
  for (const model of ["routed", "sent"]) {
    const response = await rig.chat({ model }, KEY)
    t.equal(JSON.parse(response.text).choices[0].message.content, "from the cloud", model)
    t.equal(response.headers.get("x-llmproxy-route"), model === "routed" ? "mine" : undefined)
  }
  t.strictSame(asked, [undefined])
  t.equal(rig.local?.requests.length, 0)
})

test("the threshold and the local host come from Pythagora-LLM-Proxy's variables, also from .env", async (t) => {
  const other = await startRig(t, { local: LOCAL_TEXT })
  const rig = await startRig(t, {
    scripts: ["addons/conductor.ts"],
    set: { localUrl: "" },
    envFile: { LOCAL_LLM_HOST: "127.0.0.1", LOCAL_LLM_PORT: String(other.local?.port), MAX_TOKEN_COUNT: "1040" },
    env: { MAX_TOKEN_COUNT: "1050" },
  })
  const small = await rig.chat()
  t.equal(small.headers.get("x-llmproxy-route"), "local")
  t.match(small.headers.get("x-llmproxy-reason"), /of 1050 tokens/, "the environment is before .env")
  const larger = await rig.chat({ messages: [{ role: "user", content: "word ".repeat(50) }] })
  t.equal(larger.status, 400)
})

test("a fault of the conductor itself sends to the cloud only what may go there", async (t) => {
  const tokens = {
    countRequest: () => Promise.reject(new Error("no tokens today")),
    countText: async () => 0,
    boundRequest: () => 0,
    warm: async () => {},
    vocabulary: () => Promise.reject(new Error("not in this test")),
  }
  const rig = await startRig(t, { local: notExpected, cloud: CLOUD_TEXT, tokens })
  const refused = await rig.chat()
  t.equal(refused.status, 500)
  t.match(JSON.parse(refused.text).error, { code: "conductor_failed", message: /no tokens today/ })
  t.equal(rig.cloud.requests.length, 0)
  const passed = await rig.chat({}, KEY)
  t.equal(passed.headers.get("x-llmproxy-route"), "cloud")
  t.equal(passed.headers.get("x-llmproxy-reason"), "the conductor failed")
  t.ok(rig.lines.some((line) => line.startsWith("error conductor: llmproxy: the conductor failed: no tokens today")))
})

test("a localUrl that is none is told at start", async (t) => {
  await t.rejects(startRig(t, { set: { localUrl: "localhost:1234" } }), {
    name: "UsageError",
    message: /conductor.*localUrl localhost:1234: write a URL/,
  })
})
