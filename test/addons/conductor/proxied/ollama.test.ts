/** Ollama cuts prompts and loads models in silence: what it is asked, so that it does neither, and how a cut is told. */
import type { Socket } from "node:net"
import { test } from "tap"
import { shownModel } from "../../../../addons/conductor/host-kind.ts"
import { fitsOllama, ollamaRequest } from "../../../../addons/conductor/ollama-request.ts"
import { isObject, type JsonObject } from "../../../../lib/base/json.ts"
import type { LlmRequest } from "../../../../lib/llm/model.ts"
import { openaiChat } from "../../../../lib/llm/openai/chat.ts"
import type { OriginRequest, ScriptedOrigin } from "../../../../lib/testing/origin.ts"
import { CHAT_PATH, chatBody, message, sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { hello, hostNamed, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { chatJson, jsonAnswer, until } from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"

const KEY = "Authorization: Bearer sk-own\r\n"
const CLOUD = always(jsonAnswer(chatJson("from the cloud")).toString())
const MODEL = "deepseek-coder:6.7b"
const words = (count: number) => ({ messages: [{ role: "user", content: "word ".repeat(count) }] })
const tool = { type: "function", function: { name: "f", parameters: {} } }
const running = (window: number) => ({ models: [{ name: MODEL, model: MODEL, context_length: window }] })

function optionsOf(local: ScriptedOrigin | undefined): JsonObject {
  const options = sentTo(local, "/api/chat")?.options
  return isObject(options) ? options : {}
}

function request(more: JsonObject): LlmRequest {
  const made = openaiChat.parseRequest({ model: "m", messages: [{ role: "user", content: "hi" }], ...more }, CHAT_PATH)
  if (made === undefined) throw new Error("no request")
  return made
}

test("messages and chat go to /api/chat, told not to cut, and to end where the window does", async (t) => {
  const pages = { "/api/ps": running(1_024) }
  for (const localApi of ["messages", "chat", "auto"]) {
    const rig = await startRig(t, { local: scripted(hostNamed("Ollama"), { pages }), set: { localApi, template: "" } })
    const more = localApi === "auto" ? { tools: [tool] } : {}
    t.equal((await rig.chat(more)).status, 200, localApi)
    t.match(sentTo(rig.local, "/api/chat"), { truncate: false, shift: false, options: { num_ctx: 1_024 } }, localApi)
    const predicted = Number(optionsOf(rig.local).num_predict)
    t.ok(predicted > 900 && predicted < 1_024, `${predicted} tokens are left`)
  }
})

test("forced tools and remote images stay on /v1, and end where the window does, too", async (t) => {
  const rig = await startRig(t, { local: scripted(hostNamed("Ollama")), set: { localApi: "messages" } })
  const image = (url: string) => ({
    messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }],
  })
  for (const [more, isNative] of [
    [{ tools: [tool] }, true],
    [{ tools: [tool], tool_choice: "auto" }, true],
    [{ tools: [tool], tool_choice: "required" }, false],
    [{ tools: [tool], tool_choice: { type: "function", function: { name: "f" } } }, false],
    [image("data:image/png;base64,AAAA"), true],
    [image("https://example.com/a.png"), false],
    [{ n: 2 }, false],
    [{ logprobs: true }, false],
    [{ functions: [{ name: "f" }] }, false],
    [{ messages: [{ role: "user", content: [{ type: "input_audio", input_audio: {} }] }] }, false],
    [{ messages: [{ role: "assistant", tool_calls: [{ function: { name: "f", arguments: "{" } }] }] }, false],
    [{ messages: [{ role: "function", name: "f", content: "1" }] }, false],
  ] as const)
    t.equal(fitsOllama(request(more as JsonObject)), isNative, JSON.stringify(more))
  await rig.chat({ tools: [tool], tool_choice: "required" })
  t.match(sentTo(rig.local, CHAT_PATH), { tool_choice: "required", max_tokens: Number })
})

test("a conversation with tools, images and a format is the same one in Ollama's form", (t) => {
  const called = { id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } }
  const messages = [
    {
      role: "user",
      content: [
        { type: "text", text: "look" },
        { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
      ],
    },
    {
      role: "assistant",
      content: null,
      tool_calls: [called, { id: "c2", type: "function", function: { name: "g", arguments: "" } }],
    },
    { role: "tool", tool_call_id: "c1", content: "one" },
    { role: "tool", tool_call_id: "unknown", content: "two" },
  ]
  const of = (more: JsonObject) =>
    ollamaRequest({ path: "", dialect: "openai-chat", json: { model: "m", messages, ...more } }, undefined).json
  t.strictSame(of({ tools: [tool] }), {
    model: "m",
    stream: false,
    options: {},
    truncate: false,
    shift: false,
    messages: [
      { role: "user", content: "look", images: ["AAAA"] },
      {
        role: "assistant",
        content: "",
        tool_calls: [{ function: { name: "f", arguments: { a: 1 } } }, { function: { name: "g", arguments: {} } }],
      },
      { role: "tool", content: "one", tool_name: "f" },
      { role: "tool", content: "two" },
    ],
    tools: [tool],
  })
  t.notOk("tools" in of({ tools: [tool], tool_choice: "none" }))
  t.equal(of({ response_format: { type: "json_object" } }).format, "json")
  t.strictSame(of({ response_format: { type: "json_schema", json_schema: { schema: { type: "object" } } } }).format, {
    type: "object",
  })
  t.notOk("format" in of({ response_format: { type: "text" } }))
  t.equal(of({ reasoning_effort: "low" }).think, "low")
  t.equal(of({ reasoning_effort: "none" }).think, false)
  t.end()
})

test("however many results a conversation has, each call is looked at as often, and a result is its last caller's", (t) => {
  const write = (messages: JsonObject[]) =>
    ollamaRequest({ path: "", dialect: "openai-chat", json: { model: "m", messages } }, undefined).json.messages
  const looksAt = (results: number) => {
    let looks = 0
    const call = (id: string, name: string) => ({
      get id() {
        looks += 1
        return id
      },
      function: { name, arguments: "{}" },
    })
    const turns = Array.from({ length: results }, (_, i) => [
      { role: "assistant", tool_calls: [call(`c${i}`, "f")] },
      { role: "tool", tool_call_id: `c${i}`, content: "x" },
    ])
    write(turns.flat())
    return looks
  }
  t.ok(looksAt(1) > 0)
  t.equal(looksAt(400), 400 * looksAt(1))
  const called = (name: string) => ({
    role: "assistant",
    tool_calls: [{ id: "0", function: { name, arguments: "{}" } }],
  })
  const result = { role: "tool", tool_call_id: "0", content: "x" }
  const written = write([called("f"), result, called("g"), result])
  t.match(written, [{}, { tool_name: "f" }, {}, { tool_name: "g" }], "hosts that count from 0 in each turn")
  t.end()
})

test("no request makes Ollama load a model anew: the window is the running one, else the Modelfile's, else not named", async (t) => {
  const host = hostNamed("Ollama")
  for (const [name, running_, parameters, expected] of [
    ["it runs", 2_048, 'num_ctx                        1024\nstop  "x"', 2_048],
    ["it does not, and its Modelfile names one", undefined, 'stop   "x"\nnum_ctx                        1024', 1_024],
    ["it does not, and nobody names one", undefined, undefined, undefined],
  ] as const) {
    let loaded = running_
    const reloads: unknown[] = []
    const shown = { parameters, model_info: { "llama.context_length": 16_384 } }
    const script = scripted(
      { ...host, counts: () => ({ "/api/show": shown }) },
      {
        reply(asked: OriginRequest, socket: Socket) {
          // As Ollama does: another window than the running model's loads it again.
          const wanted = JSON.parse(asked.body.toString()).options?.num_ctx ?? loaded ?? 4_096
          if (loaded !== undefined && loaded !== wanted) reloads.push(wanted)
          loaded = wanted
          socket.write(hello(asked))
        },
      },
    )
    const local = (asked: OriginRequest, socket: Socket) =>
      asked.target === "/api/ps"
        ? void socket.write(jsonAnswer(loaded === undefined ? { models: [] } : running(loaded)))
        : script(asked, socket)
    const rig = await startRig(t, { local, set: { localApi: "messages" } })
    for (const more of [{}, { max_tokens: 9 }]) await rig.chat(more)
    t.equal(optionsOf(rig.local).num_ctx, expected, name)
    t.strictSame(reloads, [], name)
  }
  t.strictSame(shownModel(undefined), { window: undefined, made: undefined })
  t.strictSame(shownModel({ parameters: "num_ctx many", model_info: {} }), { window: undefined, made: undefined })
})

test("a prompt count at the window is a cut, whatever was counted", async (t) => {
  const pages = { "/api/ps": running(1_024), "/api/version": { version: "0.0.0" } }
  for (const more of [{}, { tools: [tool], tool_choice: "required" }]) {
    for (const stream of [true, false]) {
      const local = scripted(hostNamed("Ollama"), {
        pages,
        reply: (asked, socket) => void socket.write(hello(asked, 1_024)),
      })
      const rig = await startRig(t, { local, cloud: CLOUD, set: { localApi: "messages", tokenRatio: 0.5 } })
      const response = await rig.chat({ ...words(1_100), ...more, stream, max_tokens: 5 }, KEY)
      t.match(response.text, "from the cloud")
      t.match(response.headers.get("x-llmproxy-reason"), "the host cut the prompt to 1024 tokens")
    }
  }
})

test("version 0.0.0 is judged by what it does: held until it has refused a prompt that was too long", async (t) => {
  const pages = { "/api/ps": running(1_024), "/api/version": { version: "0.0.0" } }
  let isFull = false
  let sent: (() => void) | undefined
  const local = scripted(hostNamed("Ollama"), {
    pages,
    reply(asked, socket) {
      const overflow = jsonAnswer({ error: "the input length exceeds the context length" }, "400 Bad Request")
      if (isFull) return void socket.write(overflow)
      const bytes = hello(asked, 700)
      const half = bytes.indexOf("lo")
      socket.write(bytes.subarray(0, half))
      sent = () => void socket.write(bytes.subarray(half))
    },
  })
  const rig = await startRig(t, { local, cloud: CLOUD, set: { localApi: "messages", tokenRatio: 1 } })
  const ask = async () => {
    sent = undefined
    const wire = await rig.door()
    wire.write(message("POST", CHAT_PATH, "localhost", chatBody({ ...words(600), stream: true, max_tokens: 5 }), KEY))
    await until(() => sent !== undefined)
    return wire
  }
  const held = await ask()
  t.notMatch(held.all, "Hel")
  sent?.()
  t.match((await held.response("POST")).text, "Hel")
  isFull = true
  t.match((await rig.chat({ ...words(600), max_tokens: 5 }, KEY)).text, "from the cloud")
  isFull = false
  const streamed = await ask()
  await streamed.until("Hel")
  sent?.()
  await streamed.response("POST")
})

test("the reserve for an answer is a quarter of a known window at most", async (t) => {
  const pages = { "/api/ps": running(1_024) }
  const rig = await startRig(t, { local: scripted(hostNamed("Ollama"), { pages }), cloud: CLOUD })
  const response = await rig.chat({}, KEY)
  t.equal(response.headers.get("x-llmproxy-route"), "local")
  t.match(response.headers.get("x-llmproxy-reason"), /of 1024 tokens/)
  t.equal((await rig.chat(words(900), KEY)).headers.get("x-llmproxy-route"), "cloud")
})

test("an overflow names the window that counts, and a cut is told as one", async (t) => {
  const pages = { "/api/ps": running(1_024) }
  const local = scripted(hostNamed("Ollama"), {
    pages,
    reply: (asked, socket) => void socket.write(hello(asked, 1_024)),
  })
  const rig = await startRig(t, { local, set: { localApi: "messages" } })
  const cut = await rig.chat({ tools: [tool], tool_choice: "required" })
  t.match(JSON.parse(cut.text).error, {
    code: "context_length_exceeded",
    message: /: the host cut the prompt to 1024 tokens\. Reduce/,
  })
  t.notMatch(cut.text, /refused|failed before/)
  for (const count of [2_000, 9_000]) {
    const { message } = JSON.parse((await rig.chat(words(count))).text).error
    t.match(message, /maximum context length is 1024 tokens/, `${count} words`)
  }
})
