/** Bodies that name a model, or objects, in other ways than a chat does; and answers that tell no ids. */
import { test } from "tap"
import { as, chat, ENV, hostOf, NAMES, others, startModels } from "./rig.ts"

test("ids are found wherever they stand in a body, however deep, and only as whole ids", async (t) => {
  const addon = await startModels(t, { default: "openai" }, { others: [NAMES] })
  let deep: object = { file_ids: ["file-9", 7] }
  for (let level = 0; level < 300; level++) deep = { a: [deep] }
  for (const body of [
    { input_file_id: "file-9" },
    { conversation: { id: "conv_9" } },
    { tools: [{ type: "file_search", vector_store_ids: ["vs_9"] }] },
    deep,
  ]) {
    const { status, text } = await addon.request({ url: "/v1/batches", json: { ...body }, ...as("ann") })
    t.match([status, text], [404, /there is no object with the id/])
  }
  const none = { file_ids: [7, "", "a b"], conversation: 7, previous_response_id: null, x: "file-9" }
  t.equal((await addon.request({ url: "/v1/batches", json: none, ...as("ann") })).status, 200)
  t.equal(
    (await addon.request({ url: "/v1/batches", json: { input_file_id: "file-9" } })).status,
    200,
    "nobody is named",
  )
})

test("an upload streams on unread, and a body that is no JSON or too long goes where its head says", async (t) => {
  const addon = await startModels(t, { default: "openai" }, { program: { bodyLimit: 1_000 } })
  const bytes = Buffer.alloc(50_000, "x")
  t.equal((await addon.request({ url: "/v1/files", bytes })).status, 200)
  t.equal(others(addon)[0]?.bytes.length, 50_000)
  t.equal((await addon.request({ url: "/v1/embeddings", text: "{" })).status, 200)
  const headers = { "x-llmproxy-upstream": "box" }
  t.equal((await addon.request({ ...chat("x".repeat(2_000)), headers })).status, 200)
  t.equal(others(addon).map(hostOf).at(-1), "127.0.0.1:1234")
  const form = { "Content-Type": "multipart/form-data; boundary=x" }
  t.equal((await addon.request({ url: "/v1/audio/transcriptions", text: "--x\r\nodd", headers: form })).status, 200)
})

test("a form goes to the upstreams that have the model by the same name", async (t) => {
  const routes = [
    {
      model: "ears",
      to: [
        { upstream: "box", model: "w" },
        { upstream: "openai", model: "whisper-1" },
        { upstream: "ollama", model: "w" },
      ],
    },
  ]
  const say = (asked: Parameters<typeof hostOf>[0]) =>
    hostOf(asked) === "127.0.0.1:1234" ? { status: 503, text: "no" } : { json: { text: "Hi." } }
  const addon = await startModels(t, { routes }, { say })
  const text = '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nears\r\n--x--\r\n'
  const { status } = await addon.request({
    url: "/v1/audio/transcriptions",
    text,
    headers: { "Content-Type": "multipart/form-data; boundary=x" },
  })
  t.equal(status, 200)
  t.same(others(addon).map(hostOf), ["127.0.0.1:1234", "127.0.0.1:11434"])
  for (const asked of others(addon)) t.match(asked.text, /\r\n\r\nw\r\n/)
})

test("an answer without an id, an error and a long one pass as they are", async (t) => {
  const addon = await startModels(t, { default: "openai" }, { others: [NAMES] })
  const long = JSON.stringify({ id: "file-long", text: "x".repeat(1_100_000) })
  const json = { "Content-Type": "application/json" }
  for (const answer of [
    { json: ["file-1"] },
    { json: { id: 7, result_files: ["a b"] } },
    { text: "{", headers: json },
    { text: long, headers: { ...json, "Content-Length": String(long.length) } },
    { status: 400, json: { error: { message: "no" } } },
  ]) {
    addon.answer(answer)
    const got = await addon.request({ url: "/v1/batches", json: {}, ...as("ann") })
    t.equal(got.text, "json" in answer ? JSON.stringify(answer.json) : answer.text)
  }
  t.same(addon.log.errors, [])
})

test("a response of a flow that nobody named is remembered for nobody", async (t) => {
  const addon = await startModels(t, { default: "box" }, {})
  const made = await addon.request({ url: "/v1/responses", json: { model: "gpt-4.1", input: "Hi." } })
  const id = /"id":\s*"(resp_[^"]+)"/.exec(made.text)?.[1] ?? ""
  t.match(id, /^resp_/)
  await addon.request({ url: `/v1/responses/${id}` })
  t.equal(others(addon).map(hostOf).at(-1), "api.openai.com", "and goes where it was made")
})

test("the model that is decided on is the one that counts at the upstream, wherever else another stands", async (t) => {
  const routes = [{ model: "good", to: ["box"] }]
  const addon = await startModels(t, { routes })
  const chatted = await addon.request({ ...chat("good"), url: "/v1/chat/completions?model=gpt-4.1" })
  t.equal(chatted.status, 200)
  t.match(
    [hostOf(others(addon)[0] ?? fail()), others(addon)[0]?.json()],
    ["127.0.0.1:1234", { model: "good" }],
    "the body's",
  )
  const field = (value: string) => `--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n${value}\r\n`
  const headers = { "Content-Type": "multipart/form-data; boundary=x" }
  const url = "/v1/audio/transcriptions?model=gpt-4.1"
  await addon.request({ url, text: `${field("good")}${field("gpt-4.1")}--x--\r\n`, headers })
  t.match(others(addon)[1]?.text, /good/)
  t.notMatch(others(addon)[1]?.text, /gpt-4\.1/)
  const twice = await addon.request({ url: "/v1/realtime?model=good&model=gpt-4.1" })
  t.match([twice.status, twice.json()], [400, { error: { code: "model_not_found" } }])
  const counted = addon.metrics().find(({ name }) => name.includes("models_attempts_total"))
  t.match(counted?.series, [{ labels: { upstream: "box", result: "answered" } }])
})

function fail(): never {
  throw new Error("nothing was asked")
}

test("a WebSocket goes where the model of its query is, with the server's key", async (t) => {
  const addon = await startModels(t)
  addon.serveWebSocket(async (socket) => socket.send("hello"))
  const socket = await addon.websocket("/v1/realtime?model=gpt-4.1", { Authorization: "Bearer dummy" })
  t.equal(await socket.next(), "hello")
  socket.close()
  const asked = others(addon)[0]
  t.equal(asked?.url, "https://api.openai.com/v1/realtime?model=gpt-4.1")
  t.equal(asked?.headers.get("authorization"), `Bearer ${ENV.OPENAI_API_KEY}`)
})
