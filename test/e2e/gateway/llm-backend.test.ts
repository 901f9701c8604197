/** llm-backend's way, request for request: its variables, no key asked for, and whatever its chat UI shows as a key is dropped. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Test, test } from "tap"
import { startCommand } from "../../helpers/command-process.ts"
import { EMBEDDED_NAMES, embeddedModel, NO_LIBRARY } from "../../helpers/hosts/embedded-model.ts"
import { listOf, OPENAI_KEY, startUpstream } from "./rig.ts"

/** The key that the UI is given so that it lets its user ask. */
const DUMMY = { Authorization: "Bearer dummy", "Content-Type": "application/json" }
const MESSAGES = [
  { role: "system", content: "You are ChatGPT, a large language model trained by OpenAI." },
  { role: "user", content: "Hi." },
]

/** The UI's server, with what stands in for OpenAI and, as `llama`, for the machine's own host. */
async function start(t: Test, env: Record<string, string> = {}) {
  const openai = await startUpstream(t, listOf("gpt-3.5-turbo", "gpt-4"))
  const llama = await startUpstream(t, listOf("llama"))
  openai.say("Hello from OpenAI.")
  llama.say("Hello from the llama.")
  const at = (port: number) => `http://127.0.0.1:${port}/v1`
  const folder = t.testdir({ conf: {} })
  writeFileSync(
    join(folder, "conf", "config.yaml"),
    [
      "models:",
      "  upstreams:",
      `    openai: { url: ${at(openai.upstream.port)}, key: env OPENAI_API_KEY }`,
      `    box: ${at(llama.upstream.port)}`,
      "  routes:",
      "    - { model: llama, to: [box] }",
    ].join("\n"),
  )
  const args = ["-s", "models", "-p", "0", "--confdir", "conf"]
  const program = startCommand(t, args, { folder, env: { OPENAI_API_KEY: OPENAI_KEY, ...env } })
  const [, base = ""] = await program.printed(/listening on (http:\/\/127\.0\.0\.1:\d+)/)
  const chat = (model: string, more: Record<string, unknown> = {}) =>
    fetch(`${base}/v1/chat/completions`, {
      method: "POST",
      headers: DUMMY,
      body: JSON.stringify({ model, messages: MESSAGES, temperature: 1, max_tokens: 1_000, ...more }),
    })
  return { base, openai, llama, chat, program }
}

test("the chat UI's calls: the list of models, one of them, and chats, whole and streamed, by the model's name", async (t) => {
  const { base, openai, llama, chat } = await start(t)
  t.match(await (await fetch(`${base}/v1/models`, { headers: DUMMY })).json(), {
    object: "list",
    data: [{ id: "gpt-3.5-turbo" }, { id: "gpt-4" }, { id: "llama" }],
  })
  t.match(await (await fetch(`${base}/v1/models/gpt-4`, { headers: DUMMY })).json(), { id: "gpt-4", object: "model" })
  for (const [model, text] of [
    ["gpt-4", "Hello from OpenAI."],
    ["llama", "Hello from the llama."],
  ] as const) {
    const whole = await chat(model, { stream: false })
    t.equal(whole.status, 200)
    t.match(await whole.json(), {
      object: "chat.completion",
      choices: [{ message: { role: "assistant", content: text } }],
    })
    const streamed = await chat(model, { stream: true })
    t.match(streamed.headers.get("content-type"), /^text\/event-stream/)
    const events = (await streamed.text()).split("\n\n").filter((event) => event !== "")
    t.equal(events.pop(), "data: [DONE]")
    const pieces = events.map((event) => JSON.parse(event.replace(/^data: /, "")).choices[0]?.delta.content ?? "")
    t.equal(pieces.join(""), text)
  }
  t.equal(openai.chats().length, 2)
  for (const { headers, json } of openai.chats()) {
    t.equal(headers.get("authorization"), `Bearer ${OPENAI_KEY}`, "the server's key, in the dummy's place")
    t.match(json(), { messages: MESSAGES, temperature: 1, max_tokens: 1_000 }, "and every field")
  }
  t.equal(llama.chats().length, 2)
  for (const { headers } of llama.upstream.asked) t.equal(headers.get("authorization"), undefined)
})

test("LLAMA_MODEL_FILE answers as llama and by its file's name, beside OpenAI, with whatever key", {
  skip: NO_LIBRARY,
}, async (t) => {
  const openai = await startUpstream(t, listOf("gpt-4"))
  const folder = t.testdir({ conf: {} })
  const cloud = `{"openai":{"url":"http://127.0.0.1:${openai.upstream.port}/v1","key":"env OPENAI_API_KEY"}}`
  const args = [
    "-s",
    "models",
    "-s",
    "local-model",
    "--set",
    `models.upstreams=${cloud}`,
    "-p",
    "0",
    "--confdir",
    "conf",
  ]
  const env = { OPENAI_API_KEY: OPENAI_KEY, ...embeddedModel(folder) }
  const program = startCommand(t, args, { folder, env })
  const [, base = ""] = await program.printed(/listening on (http:\/\/127\.0\.0\.1:\d+)/)
  const listed = JSON.parse(await (await fetch(`${base}/v1/models`, { headers: DUMMY })).text())
  t.same(listed.data.map(({ id }: { id: string }) => id).sort(), [...EMBEDDED_NAMES, "gpt-4"].sort())
  const texts = new Set<string>()
  for (const model of ["llama", "embedded.gguf"])
    for (const stream of [false, true]) {
      const body = JSON.stringify({ model, messages: MESSAGES, temperature: 0, max_tokens: 8, stream })
      const answer = await fetch(`${base}/v1/chat/completions`, { method: "POST", headers: DUMMY, body })
      t.equal(answer.status, 200)
      const text = await answer.text()
      const events = text.split("\n\n").filter((event) => event !== "")
      if (stream) t.equal(events.pop(), "data: [DONE]")
      const parts = stream ? events.map((event) => JSON.parse(event.replace(/^data: /, ""))) : [JSON.parse(text)]
      const said = parts.map(({ choices: [one] }) => (one?.message ?? one?.delta)?.content ?? "")
      texts.add(said.join(""))
    }
  t.equal(texts.size, 1, "the same by each name, whole and streamed")
  t.notOk(texts.has(""))
  t.same(openai.chats(), [], "and OpenAI was asked nothing")
})

test("what its users met as a 500, as text or as made-up data is the host's own answer", async (t) => {
  const { base, openai, chat } = await start(t)
  openai.say({
    status: 429,
    headers: { "Retry-After": "7", "x-ratelimit-remaining-requests": "0" },
    error: { code: "rate_limit_exceeded", message: "slower" },
  })
  const slower = await chat("gpt-4")
  t.same([slower.status, slower.headers.get("retry-after")], [429, "7"])
  t.match(await slower.json(), { error: { code: "rate_limit_exceeded" } })
  const unknown = await chat("llama-3-70b")
  t.equal(unknown.status, 400, "a name that only begins as the local one is nobody's")
  t.match(await unknown.json(), { error: { message: /gpt-4/ } })
  openai.say({ json: { id: "modr-1", model: "text-moderation-007", results: [{ flagged: false }] } })
  const body = JSON.stringify({ input: "Hi." })
  const moderated = await fetch(`${base}/v1/moderations`, {
    method: "POST",
    headers: { ...DUMMY, "x-llmproxy-upstream": "openai" },
    body,
  })
  t.match(await moderated.json(), { results: [{ flagged: false }] })
})

test("LOG_LEVEL says what is logged, in the words that it had", async (t) => {
  const loud = await start(t, { LOG_LEVEL: "DEBUG" })
  t.equal((await loud.chat("gpt-4")).status, 200)
  await loud.program.printed(/^debug: /m)
  const silent = await start(t, { LOG_LEVEL: "ERROR" })
  t.equal((await silent.chat("gpt-4")).status, 200)
  silent.program.signal("SIGTERM")
  const { stderr } = await silent.program.outcome
  t.notMatch(stderr, /^(debug|models): /m)
})

test("the page shows the calls that are made here", (t) => {
  const page = readFileSync("docs/llm-backend.md", "utf8")
  for (const path of ["/v1/models", "/v1/models/gpt-4.1", "/v1/chat/completions"]) t.match(page, `8080${path}`)
  t.match(page, /-s models/)
  t.match(page, /"stream": true/)
  t.end()
})
