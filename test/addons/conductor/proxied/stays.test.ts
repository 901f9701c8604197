/** What is to stay local never leaves, with a key at hand and whatever becomes of it there; and the order of wishes. */
import { test } from "tap"
import { CHAT_PATH, CLOUD, chatBody, message, notExpected, startRig } from "../../../helpers/conductor-rig.ts"
import { hostNamed, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { chatJson, jsonAnswer } from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"
import type { WireResponse } from "../../../helpers/wire/wire.ts"

const KEY = "Authorization: Bearer sk-own\r\n"
const WISH = `${KEY}x-llmproxy-route: local\r\n`
const CLOUD_ANSWER = always(jsonAnswer(chatJson("from the cloud")).toString())
const words = (count: number) => ({ messages: [{ role: "user", content: "word ".repeat(count) }] })
const TOOLS = { tools: [{ type: "function", function: { name: "f", parameters: {} } }] }
const reasonOf = ({ headers }: WireResponse) => headers.get("x-llmproxy-reason")
const errorOf = ({ text }: WireResponse) => JSON.parse(text).error

test("localModels never leave: too large is an overflow, tools are refused, a host that is down is 503", async (t) => {
  const set = { localModels: "mine*" }
  const up = await startRig(t, { local: scripted(hostNamed("LM Studio")), cloud: notExpected, set })
  const large = await up.chat({ model: "mine-7b", ...words(5_000) }, KEY)
  t.equal(large.status, 400)
  t.match(errorOf(large), { code: "context_length_exceeded", message: /maximum context length is 4096 tokens/ })
  t.notMatch(errorOf(large).message, "OPENAI_API_KEY")
  const tools = await up.chat({ model: "mine-7b", ...TOOLS }, KEY)
  t.equal(tools.status, 400)
  t.match(errorOf(tools), { code: "unsupported_parameter", param: "tools" })
  t.match(reasonOf(await up.chat({ model: "mine-7b" }, KEY)), /^localModels has mine\*; needs/)
  const down = await startRig(t, { cloud: notExpected, set })
  for (const stream of [true, false]) {
    const refused = await down.chat({ model: "mine", stream }, KEY)
    t.equal(refused.status, 503)
    t.equal(errorOf(refused).code, "local_host_failed")
  }
  t.equal(up.cloud.connections + down.cloud.connections, 0)
})

test("nor do they in another dialect, on another host, on a realtime socket, or when the model cannot be read", async (t) => {
  const rig = await startRig(t, { cloud: notExpected, set: { localModels: "mine" } })
  const chat = chatBody({ model: "mine" })
  for (const [name, path, body, fields] of [
    ["Responses", "/v1/responses", { model: "mine", input: "x" }, ""],
    ["Anthropic", "/v1/messages", { ...chat, max_tokens: 5 }, ""],
    ["completions", "/v1/completions", { model: "mine", prompt: "x" }, ""],
    ["a coding", CHAT_PATH, chat, "Content-Encoding: zstd\r\n"],
    ["a byte order mark before no JSON", CHAT_PATH, "\uFEFF{", ""],
  ] as const) {
    const wire = await rig.through()
    wire.write(message("POST", path, CLOUD, body, KEY + fields))
    for (const response of [await wire.response("POST"), await rig.ask("POST", path, body, KEY + fields)]) {
      t.equal(response.status, 403, name)
      t.match(response.text, /is to stay local \(localModels has /, name)
    }
  }
  const unnamed = await rig.chat({ model: undefined }, KEY)
  t.equal(unnamed.status, 400)
  t.match(errorOf(unnamed), { code: "model_required", param: "model" })
  const wire = await rig.through()
  const upgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
  wire.write(message("GET", "/v1/realtime?model=mine", CLOUD, undefined, KEY + upgrade))
  t.equal((await wire.response("GET")).status, 403)
  t.equal(rig.cloud.requests.length, 0)
})

test("a model in the query lets no body out: what the body names counts, and a chat's that cannot be read stays", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_ANSWER, set: { localModels: "mine" } })
  const coded = "Content-Encoding: foo\r\n"
  const chat = chatBody({ model: "mine" })
  for (const query of ["?model=x", "?model=", "?model=x&model=mine"])
    for (const [name, path, body, fields] of [
      ["a coding", CHAT_PATH, chat, coded],
      ["a coding, Responses", "/v1/responses", { model: "mine", input: "x" }, coded],
      ["no JSON", CHAT_PATH, "mine", ""],
      ["completions", "/v1/completions", { model: "mine", prompt: "x" }, ""],
      ["offers another protocol", CHAT_PATH, chat, `${coded}Connection: Upgrade\r\nUpgrade: h2c\r\n`],
    ] as const) {
      const wire = await rig.through()
      wire.write(message("POST", path + query, CLOUD, body, KEY + fields))
      const response = await wire.response("POST")
      t.equal(response.status, 403, `${name} ${query}`)
      t.match(response.text, /is to stay local \(localModels has /, `${name} ${query}`)
    }
  const embeddings = await rig.ask("POST", "/v1/embeddings?model=x&model=mine", { input: "x" }, KEY)
  t.equal(embeddings.status, 403, "what is no chat and names none in its body: each of the query's counts")
  t.equal(rig.cloud.requests.length, 0)
  const free = await rig.ask("POST", `${CHAT_PATH}?model=mine`, chatBody({ model: "other" }), KEY)
  t.equal(free.status, 200, "a chat's body names another")
})

test("nor do they on paths that are no dialect's: counts, embeddings, images, speech, odd spellings, forms", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_ANSWER, set: { localModels: "mine" } })
  const json = { model: "mine", input: "secret" }
  const form = (model: string) =>
    `--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n--b--\r\n`
  const typed = "Content-Type: application/json\r\n"
  const multipart = "Content-Type: multipart/form-data; boundary=b\r\n"
  for (const [method, path, body, fields] of [
    ["POST", "/v1/messages/count_tokens", json, ""],
    ["POST", "/v1/embeddings", json, ""],
    ["POST", "/v1/images/generations", json, ""],
    ["POST", "/v1/audio/speech", json, ""],
    ["POST", "/v1/threads/runs", json, ""],
    ["POST", "/v1/audio/transcriptions", form("mine"), multipart],
    ["POST", "/v1/embeddings", json, `${typed}Content-Encoding: zstd\r\n`],
    ["PUT", CHAT_PATH, chatBody({ model: "mine" }), ""],
    ["POST", "/V1/Chat/Completions", chatBody({ model: "mine" }), ""],
    ["POST", "/v1/chat%2Fcompletions", chatBody({ model: "mine" }), ""],
    ["POST", `${CHAT_PATH};x`, chatBody({ model: "mine" }), ""],
  ] as const) {
    const wire = await rig.through()
    wire.write(message(method, path, CLOUD, body, KEY + fields))
    const through = await wire.response("POST")
    t.equal(through.status, 403, `${method} ${path}`)
    t.match(through.text, /is to stay local \(localModels has /, path)
    t.equal((await rig.ask(method, path, body, KEY + fields)).status, 403, `${path} at the door`)
  }
  t.equal(rig.cloud.requests.length, 0)
  for (const [path, body, fields] of [
    ["/v1/embeddings", { ...json, model: "other" }, ""],
    ["/v1/files", { purpose: "x" }, ""],
    ["/v1/audio/transcriptions", form("other"), multipart],
  ] as const)
    t.equal((await rig.ask("POST", path, body, KEY + fields)).status, 200, `${path} of another`)
})

test("a chat whose model cannot be read passes while localModels is not set", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_ANSWER })
  const wire = await rig.through()
  wire.write(message("POST", CHAT_PATH, CLOUD, chatBody(), `${KEY}Content-Encoding: zstd\r\n`))
  t.match((await wire.response("POST")).text, "from the cloud")
})

test("wishes count in their order: local by field, localModels, cloud by field, cloudModels, preferLocal", async (t) => {
  const set = { localModels: "a*", cloudModels: "*b*", preferLocal: "*c,d", maxTokenCount: 100, answerReserve: 10 }
  const rig = await startRig(t, { local: scripted(hostNamed("LM Studio")), cloud: CLOUD_ANSWER, set })
  for (const [model, said, reason] of [
    ["b", "local", /^x-llmproxy-route: local; needs/],
    ["ab", "local", /^x-llmproxy-route: local; needs/],
    ["ab", "cloud", /^localModels has a\*; needs/],
    ["ab", undefined, /^localModels has a\*; needs/],
    ["c", "cloud", /^x-llmproxy-route: cloud$/],
    ["bc", undefined, /^cloudModels has \*b\*$/],
    ["c", undefined, /^preferLocal has \*c; needs/],
    ["d", undefined, /^preferLocal has d; needs/],
    ["e", undefined, /^needs \d+ tokens, the local host takes less than 100/],
  ] as const) {
    const field = said === undefined ? "" : `x-llmproxy-route: ${said}\r\n`
    t.match(reasonOf(await rig.chat({ model, ...words(200) }, KEY + field)), reason, `${model} ${said}`)
  }
  const down = await startRig(t, { cloud: CLOUD_ANSWER, set })
  t.match((await down.chat({ model: "c" }, KEY)).text, "from the cloud", "what is preferred local may leave")
})

test("what is to stay local is refused with the reason where it cannot be conducted, and gets no key", async (t) => {
  const rig = await startRig(t, { cloud: notExpected, set: { cloudKey: "sk-theirs" } })
  for (const [path, body, fields] of [
    ["/v1/embeddings", { model: "e", input: "x" }, ""],
    ["/v1/messages", { ...chatBody(), max_tokens: 5 }, ""],
    [CHAT_PATH, chatBody(), "Content-Encoding: zstd\r\n"],
    [CHAT_PATH, "no JSON", ""],
  ] as const) {
    const response = await rig.ask("POST", path, body, WISH + fields)
    t.equal(response.status, 403, path)
    t.match(response.text, /is to stay local \(x-llmproxy-route: local|is to stay local \(its client wants it/)
  }
  t.equal(rig.cloud.requests.length, 0)
})

test("the re-query never takes what is to stay local to the cloud", async (t) => {
  const local = scripted(hostNamed("LM Studio"), {
    reply: (_, socket) =>
      void socket.write(jsonAnswer({ choices: [{ index: 0, text: "no JSON", finish_reason: "stop" }] })),
  })
  const scripts = ["addons/conductor.ts", "addons/requery.ts"]
  const json = { response_format: { type: "json_object" } }
  const rig = await startRig(t, {
    local,
    cloud: CLOUD_ANSWER,
    scripts,
    set: { localModels: "mine", localApi: "messages" },
  })
  const response = await rig.chat({ model: "mine", ...json }, KEY)
  t.ok(response.status >= 400)
  t.equal(rig.cloud.requests.length, 0)
})
