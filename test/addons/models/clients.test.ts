/** Real clients at the proxy's own address, each with an upstream of its dialect: openai, @anthropic-ai/sdk, ollama. */
import Anthropic from "@anthropic-ai/sdk"
import { Ollama } from "ollama"
import OpenAI from "openai"
import { type Test, test } from "tap"
import models from "../../../addons/models.ts"
import { App } from "../../../lib/app.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { NO_SOURCES } from "../../../lib/options/sources.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { TestUpstream } from "../../../lib/testing/test-upstream.ts"

const TOOL = {
  name: "add",
  description: "Adds.",
  parameters: { type: "object", properties: { a: { type: "number" } } },
}

/** Three upstreams of three dialects on one port, and the proxy's own address before them. */
async function start(t: Test) {
  const clock = new ManualClock(Date.now())
  const upstream = await TestUpstream.start(clock)
  t.teardown(() => upstream.close())
  const url = `http://127.0.0.1:${upstream.port}`
  const upstreams = {
    openai: { url: `${url}/v1`, key: "env OPENAI_API_KEY", models: ["gpt-4.1"] },
    claude: { url, key: "env ANTHROPIC_API_KEY", dialect: "anthropic-messages", models: ["claude-test"] },
    ollama: { url, dialect: "ollama", models: ["llama3.2:latest"] },
  }
  const app = new App({
    sources: {
      ...NO_SOURCES,
      env: { OPENAI_API_KEY: "sk-real-0123456789", ANTHROPIC_API_KEY: "sk-ant-real-0123456789" },
      flags: { port: 0 },
      config: { path: "the test", values: { models: { upstreams } } },
    },
    scripts: [],
    places: { folders: [], shipped: undefined },
    confdir: t.testdir(),
    log: makeLogger(() => {}, "error"),
    builtin: [{ ...models, addons: [], givesKeys: true }],
    watch: false,
    clock,
  })
  const { port } = await app.start()
  t.teardown(() => app.stop())
  const say = (...answers: [TestUpstream["answers"][number], ...TestUpstream["answers"]]) => {
    upstream.answers = answers
  }
  return { base: `http://127.0.0.1:${port}`, upstream, say }
}

const ALL = ["claude-test", "gpt-4.1", "llama3.2:latest"]

test("the openai package: chat, streams, tools, embeddings, errors, and all models", async (t) => {
  const { base, upstream, say } = await start(t)
  const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "dummy", maxRetries: 0 })
  const messages = [{ role: "user" as const, content: "Hi." }]
  const chat = { model: "gpt-4.1", messages }
  t.equal((await client.chat.completions.create(chat)).choices[0]?.message.content, "Hello.")
  let text = ""
  for await (const chunk of await client.chat.completions.create({ ...chat, stream: true }))
    text += chunk.choices[0]?.delta.content ?? ""
  t.equal(text, "Hello.")
  say({ completion: { toolCalls: [{ name: "add", arguments: '{"a":1}' }] } })
  const tools = [{ type: "function" as const, function: TOOL }]
  const called = await client.chat.completions.create({ ...chat, tools })
  t.match(called.choices[0]?.message.tool_calls, [{ function: { name: "add", arguments: '{"a":1}' } }])
  t.equal((await client.responses.create({ model: "openai/gpt-4.1", input: "Hi." })).output[0]?.type, "function_call")
  say({ json: { object: "list", data: [{ object: "embedding", index: 0, embedding: [0.5] }], model: "e" } })
  const embedded = await client.embeddings.create({ model: "gpt-4.1", input: "x", encoding_format: "float" })
  t.same(embedded.data[0]?.embedding, [0.5])
  say({ status: 429, error: { code: "rate_limit_exceeded", message: "slower" } })
  await t.rejects(client.chat.completions.create(chat), { status: 429, code: "rate_limit_exceeded" })
  await t.rejects(client.chat.completions.create({ ...chat, model: "none" }), { status: 400, code: "model_not_found" })
  const all: string[] = []
  for await (const { id } of client.models.list()) all.push(id)
  t.same(all.sort(), ALL)
  t.equal((await client.models.retrieve("openai/gpt-4.1")).id, "openai/gpt-4.1")
  t.equal((await client.models.retrieve("gpt-4.1")).owned_by, "openai")
  for (const { headers } of upstream.asked) t.equal(headers.get("authorization"), "Bearer sk-real-0123456789")
})

test("@anthropic-ai/sdk: messages, streams, tools, errors, and all models", async (t) => {
  const { base, upstream, say } = await start(t)
  const client = new Anthropic({ baseURL: base, apiKey: "dummy", maxRetries: 0 })
  const request = { model: "claude-test", max_tokens: 64, messages: [{ role: "user" as const, content: "Hi." }] }
  t.match((await client.messages.create(request)).content, [{ type: "text", text: "Hello." }])
  t.equal(await client.messages.stream(request).finalText(), "Hello.")
  say({ completion: { toolCalls: [{ name: "add", arguments: '{"a":1}' }] } })
  const tools = [{ name: TOOL.name, input_schema: { type: "object" as const } }]
  t.match((await client.messages.create({ ...request, tools })).content, [
    { type: "tool_use", name: "add", input: { a: 1 } },
  ])
  say({ status: 529, error: { code: "overloaded_error", message: "later" } })
  const failure: unknown = await client.messages.create(request).catch((error: unknown) => error)
  t.match(failure, { status: 529 })
  await t.rejects(client.messages.create({ ...request, model: "gpt-4.1" }), {
    status: 400,
    message: /does not translate/,
  })
  const all: string[] = []
  for await (const { id } of client.models.list()) all.push(id)
  t.same(all.sort(), ALL)
  t.equal((await client.models.retrieve("gpt-4.1")).display_name, "gpt-4.1")
  for (const { headers } of upstream.asked) t.equal(headers.get("x-api-key"), "sk-ant-real-0123456789")
})

test("the ollama package: chat, streams, tools, show, ps, version, and all models", async (t) => {
  const { base, upstream, say } = await start(t)
  const client = new Ollama({ host: base, headers: { Authorization: "Bearer dummy" } })
  const messages = [{ role: "user", content: "Hi." }]
  t.equal((await client.chat({ model: "llama3.2", messages })).message.content, "Hello.")
  let text = ""
  for await (const part of await client.chat({ model: "llama3.2:latest", messages, stream: true }))
    text += part.message.content
  t.equal(text, "Hello.")
  t.equal((await client.generate({ model: "llama3.2", prompt: "Hi." })).response, "Hello.")
  say({ completion: { toolCalls: [{ name: "add", arguments: '{"a":1}' }] } })
  const tools = [{ type: "function", function: TOOL }]
  t.match((await client.chat({ model: "llama3.2", messages, tools })).message.tool_calls, [
    { function: { arguments: { a: 1 } } },
  ])
  await t.rejects(client.chat({ model: "gpt-4.1", messages }), { message: /does not translate/ })
  t.same((await client.list()).models.map(({ name }) => name).sort(), ALL)
  t.same((await client.ps()).models.map(({ name }) => name).sort(), ALL, "all three are on this machine")
  say({ json: { details: { family: "llama" } } })
  t.equal((await client.show({ model: "llama3.2" })).details.family, "llama")
  t.match(await client.version(), { version: /^\d/ })
  t.same((await client.show({ model: "gpt-4.1" })).capabilities, ["completion"])
  say({ json: { status: "success" } })
  t.equal((await client.delete({ model: "llama3.2" })).status, "success")
  for (const { headers } of upstream.asked) t.equal(headers.get("authorization"), undefined)
})
