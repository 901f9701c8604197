/** In which order an upstream is found, and what is said where none is. */
import { test } from "tap"
import { as, chat, hostOf, NAMES, others, startModels } from "./rig.ts"

test("x-llmproxy-upstream comes before the model, and names one of the upstreams or nobody", async (t) => {
  const addon = await startModels(t)
  const by = (name: string) => ({ "x-llmproxy-upstream": name })
  await addon.request({ ...chat("gpt-4.1"), headers: by("box") })
  await addon.request({ ...chat("fast"), headers: by("box") })
  await addon.request({ ...chat("box/shared"), headers: by("box") })
  t.same(
    others(addon).map((asked) => [hostOf(asked), asked.llm?.model, asked.headers.get("x-llmproxy-upstream")]),
    [
      ["127.0.0.1:1234", "gpt-4.1", undefined],
      ["127.0.0.1:1234", "qwen3-4b", undefined],
      ["127.0.0.1:1234", "shared", undefined],
    ],
  )
  for (const name of ["bxo", "http://example.com", "box, openai", "../box", "__proto__", "x".repeat(500)]) {
    const { status, error } = await addon.request({ ...chat("gpt-4.1"), headers: by(name) })
    t.match([status, error?.code], [400, "unknown_upstream"], name)
    t.match(error?.message, /there are openai, box, claude, ollama/)
  }
  t.equal(others(addon).length, 3, "nothing was sent for those")
})

test("a model that nobody has is 400 with the choices, or goes to models.default", async (t) => {
  const addon = await startModels(t)
  const { status, error } = await addon.request(chat("nobody's"))
  t.match([status, error?.code], [400, "model_not_found"])
  t.match(error?.message, /"nobody's".*"llama\*", "fast", "gpt-4.1".*GET \/v1\/models/s)
  t.same(others(addon), [])
  await addon.set({ default: "box" })
  await addon.request(chat("nobody's"))
  t.same(others(addon).map(hostOf), ["127.0.0.1:1234"])
})

test("what names no model goes to the default, to the only upstream of its kind, or is refused with the choices", async (t) => {
  const addon = await startModels(t)
  const file = { url: "/v1/files", text: "x", headers: { "Content-Type": "text/plain" } }
  const { status, json } = await addon.request(file)
  t.match([status, json()], [400, { error: { code: "no_upstream", message: /there are openai, box, claude, ollama/ } }])
  const batch = await addon.request({ url: "/v1/messages/batches", json: { requests: [] } })
  t.equal(batch.status, 200)
  t.same(
    others(addon).map(({ url }) => url),
    ["https://api.anthropic.com/v1/messages/batches"],
    "one speaks it",
  )
  await addon.set({ default: "openai" })
  await addon.request(file)
  t.equal(others(addon).at(-1)?.url, "https://api.openai.com/v1/files")
})

test("the model is found in a form, in the query, and in a path, and an alias is put in its place there", async (t) => {
  const routes = [{ model: "ears", to: [{ upstream: "openai", model: "whisper-1" }] }]
  const addon = await startModels(t, { routes })
  const form = new FormData()
  form.set("model", "ears")
  form.set("file", new Blob(["RIFF\u0000\u00ff"]), "a.wav")
  const body = new Response(form)
  const type = body.headers.get("content-type") ?? ""
  const bytes = new Uint8Array(await body.arrayBuffer())
  await addon.request({ url: "/v1/audio/transcriptions", bytes, headers: { "Content-Type": type } })
  const [asked] = others(addon)
  t.equal(asked?.url, "https://api.openai.com/v1/audio/transcriptions")
  t.match(asked?.text, /name="model"\r\n\r\nwhisper-1\r\n/)
  t.match(asked?.text, /RIFF/)
  await addon.request({ url: "/v1/embeddings", json: { model: "ears", input: "x" } })
  t.match(others(addon)[1]?.json(), { model: "whisper-1", input: "x" })
  await addon.request({ url: "/v1/models/ears", method: "DELETE" })
  t.equal(others(addon)[2]?.url, "https://api.openai.com/v1/models/whisper-1")
  await addon.request({ url: "/v1/models/openai%2Fft%3Agpt-4.1%3Aa", method: "DELETE" })
  t.equal(others(addon)[3]?.url, "https://api.openai.com/v1/models/ft%3Agpt-4.1%3Aa")
  await addon.request({ url: "/v1/realtime?model=ears&x=1" })
  t.equal(others(addon)[4]?.url, "https://api.openai.com/v1/realtime?model=whisper-1&x=1")
})

test("what was made is found again where it was made, and is another owner's nowhere", async (t) => {
  const confdir = t.testdir()
  const made: Record<string, string> = { "/v1/files": "file-1", "/v1/batches": "batch_1", "/v1/responses": "resp_1" }
  const say = ({ method, url }: { method: string; url: string }) => {
    const { pathname } = new URL(url)
    if (method === "POST") return { json: { id: made[pathname] ?? "other-1", object: "thing" } }
    return { json: { id: pathname.split("/")[3] ?? "", output_file_id: "file-2" } }
  }
  const first = await startModels(t, { default: "claude" }, { others: [NAMES], say, confdir })
  const upload = { "x-llmproxy-upstream": "openai", "Content-Type": "text/plain", ...as("ann").headers }
  t.equal((await first.request({ url: "/v1/files", text: "{}", headers: upload })).status, 200)
  t.equal((await first.request({ url: "/v1/batches", json: { input_file_id: "file-1" }, ...as("ann") })).status, 200)
  t.equal(others(first).at(-1)?.url, "https://api.openai.com/v1/batches", "the upstream that keeps the file")
  const bobs = await first.request({ url: "/v1/batches", json: { input_file_id: "file-1" }, ...as("bob") })
  t.match([bobs.status, bobs.json()], [404, { error: { code: "not_found", type: "invalid_request_error" } }])
  await first.close()

  const again = await startModels(t, { default: "claude" }, { others: [NAMES], say, confdir })
  t.equal((await again.request({ url: "/v1/batches/batch_1", ...as("ann") })).status, 200)
  t.equal((await again.request({ url: "/v1/files/file-2/content", ...as("ann") })).status, 200, "its result is hers")
  for (const path of ["batches/batch_1", "files/file-1", "files/file-2", "batches/unknown"])
    t.equal((await again.request({ url: `/v1/${path}`, ...as("bob") })).status, 404, path)
  t.same(
    others(again).map(({ url }) => url),
    ["https://api.openai.com/v1/batches/batch_1", "https://api.openai.com/v1/files/file-2/content"],
  )
  const inner = { model: "gpt-4.1", input: [{ role: "user", content: [{ type: "input_file", file_id: "file-1" }] }] }
  t.equal((await again.request({ url: "/v1/responses", json: inner, ...as("bob") })).status, 404)
  t.equal((await again.request({ url: "/v1/responses", json: inner, ...as("ann") })).status, 200)
  const next = { model: "gpt-4.1", input: "On.", previous_response_id: "resp_1" }
  t.equal((await again.request({ url: "/v1/responses", json: next, ...as("bob") })).status, 404)
  t.equal((await again.request({ url: "/v1/responses", json: next, ...as("ann") })).status, 200)
})

test("the id of a streamed response is its owner's from its end on", async (t) => {
  const addon = await startModels(t, {}, { others: [NAMES] })
  const { text, status } = await addon.request({
    url: "/v1/responses",
    json: { model: "gpt-4.1", input: "Hi.", stream: true },
    ...as("ann"),
  })
  const id = /"id":"(resp_[^"]+)"/.exec(text)?.[1] ?? ""
  t.match([status, id], [200, /^resp_/])
  t.equal((await addon.request({ url: `/v1/responses/${id}`, ...as("bob") })).status, 404)
  t.equal((await addon.request({ url: `/v1/responses/${id}`, ...as("ann") })).status, 200)
})
