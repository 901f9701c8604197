/**
 * The gateway as a program, asked by the clients of three APIs, each at an upstream of its own; and each lists all models, the embedded
 * one's names as well.
 */
import { spawn } from "node:child_process"
import { join } from "node:path"
import Anthropic from "@anthropic-ai/sdk"
import { Ollama } from "ollama"
import OpenAI from "openai"
import { type Test, test } from "tap"
import { interpreterWith, noInterpreter } from "../../helpers/clients/python.ts"
import { missing } from "../../helpers/command-process.ts"
import { EMBEDDED_NAMES, embeddedModel, NO_LIBRARY } from "../../helpers/hosts/embedded-model.ts"
import {
  ANTHROPIC_KEY,
  createKey,
  folderFor,
  OPENAI_KEY,
  ollamaSaid,
  type Said,
  ALL_MODELS as SCRIPTED_MODELS,
  startGateway,
  startUpstreams,
} from "./rig.ts"

const ALL_MODELS = [...SCRIPTED_MODELS, ...EMBEDDED_NAMES].sort()
const MESSAGES = [{ role: "user" as const, content: "Hi." }]
const TOOL = {
  name: "add",
  description: "Adds.",
  parameters: { type: "object", properties: { a: { type: "number" } } },
}
const CALLS_TOOL = { completion: { toolCalls: [{ name: "add", arguments: '{"a":1}' }] } }
const SLOWER = { status: 429, error: { code: "rate_limit_exceeded", message: "slower" } }
const WRONG = { status: 400, error: { code: "invalid_value", type: "invalid_request_error", message: "no such thing" } }
const UNKNOWN_KEY = "llmproxy-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

async function start(t: Test) {
  const upstreams = await startUpstreams(t)
  const folder = folderFor(t, upstreams)
  const key = await createKey(t, folder, "--label", "Ann's laptop", "--owner", "ann", "--team", "sales")
  const gateway = await startGateway(t, folder, { env: embeddedModel(folder) })
  return { ...upstreams, ...gateway, folder, key }
}

/** What it is rejected with. */
function failure(asked: Promise<unknown>): Promise<unknown> {
  return asked.then(
    () => undefined,
    (error: unknown) => error,
  )
}

/** What reached it has its own key, and none of ours. */
function seen(t: Test, { chats, upstream }: Said, field: string, own: string | undefined, key: string): void {
  t.ok(chats().length > 0)
  for (const { headers, text } of upstream.asked) {
    t.equal(headers.get(field), own)
    t.notMatch(JSON.stringify([...headers]) + text, key)
    t.notMatch(JSON.stringify([...headers]), /x-llmproxy-/i)
  }
}

test("the openai package: whole, streamed, with tools, errors, and all models", async (t) => {
  const { base, key, openai, claude } = await start(t)
  const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 })
  const chat = { model: "gpt-4.1", messages: MESSAGES }
  t.equal((await client.chat.completions.create(chat)).choices[0]?.message.content, "Hello.")
  let text = ""
  for await (const chunk of await client.chat.completions.create({ ...chat, model: "fast", stream: true }))
    text += chunk.choices[0]?.delta.content ?? ""
  t.equal(text, "Hello.")
  t.equal(openai.chats().at(-1)?.llm?.model, "gpt-4.1-mini")
  openai.say(CALLS_TOOL)
  const tools = [{ type: "function" as const, function: TOOL }]
  const called = await client.chat.completions.create({ ...chat, tools })
  t.match(called.choices[0]?.message.tool_calls, [{ function: { name: "add", arguments: '{"a":1}' } }])
  openai.say(SLOWER)
  await t.rejects(client.chat.completions.create(chat), { status: 429, code: "rate_limit_exceeded" })
  openai.say(WRONG)
  await t.rejects(client.chat.completions.create(chat), { status: 400, code: "invalid_value" })
  await t.rejects(client.chat.completions.create({ ...chat, model: "none" }), { status: 400, code: "model_not_found" })
  const stranger = new OpenAI({ baseURL: `${base}/v1`, apiKey: UNKNOWN_KEY, maxRetries: 0 })
  const before = openai.upstream.asked.length
  t.match(await failure(stranger.chat.completions.create(chat)), { status: 401 })
  t.match(await failure(stranger.models.list()), { status: 401 })
  t.equal(openai.upstream.asked.length, before, "nothing of a stranger's leaves")
  const all: string[] = []
  for await (const { id } of client.models.list()) all.push(id)
  t.same(all.sort(), ALL_MODELS)
  t.equal((await client.models.retrieve("gemma3:270m")).id, "gemma3:270m")
  seen(t, openai, "authorization", `Bearer ${OPENAI_KEY}`, key)
  t.same(claude.chats(), [])
})

test("the openai package asks the embedded model beside the upstreams: whole, streamed, and by each name", {
  skip: NO_LIBRARY,
}, async (t) => {
  const { base, key, openai, claude, ollama } = await start(t)
  const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 })
  const chat = { messages: MESSAGES, max_tokens: 8, temperature: 0 }
  const texts: string[] = []
  for (const model of [...EMBEDDED_NAMES, "local-model/llama"]) {
    const { choices, usage } = await client.chat.completions.create({ ...chat, model })
    t.equal(usage?.completion_tokens, 8, model)
    texts.push(choices[0]?.message.content ?? "")
  }
  let streamed = ""
  for await (const chunk of await client.chat.completions.create({ ...chat, model: "llama", stream: true }))
    streamed += chunk.choices[0]?.delta.content ?? ""
  t.not(streamed, "")
  t.same(new Set(texts), new Set([streamed]), "it says the same whoever asks, and however")
  await t.rejects(
    client.chat.completions.create({ model: "llama", messages: [{ role: "user", content: "a ".repeat(600) }] }),
    {
      status: 400,
      code: "context_length_exceeded",
    },
  )
  for (const { chats } of [openai, claude, ollama]) t.same(chats(), [], "nothing leaves the machine")
})

test("@anthropic-ai/sdk: whole, streamed, with tools, errors, and all models, with either way to show a key", async (t) => {
  const { base, key, claude } = await start(t)
  const client = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 })
  const request = { model: "claude-test", max_tokens: 64, messages: MESSAGES }
  t.match((await client.messages.create(request)).content, [{ type: "text", text: "Hello." }])
  t.equal(await client.messages.stream(request).finalText(), "Hello.")
  const byToken = new Anthropic({ baseURL: base, apiKey: null, authToken: key, maxRetries: 0 })
  t.match((await byToken.messages.create(request)).content, [{ type: "text", text: "Hello." }])
  claude.say(CALLS_TOOL)
  const tools = [{ name: TOOL.name, input_schema: { type: "object" as const } }]
  t.match((await client.messages.create({ ...request, tools })).content, [
    { type: "tool_use", name: "add", input: { a: 1 } },
  ])
  claude.say(SLOWER)
  t.match(await failure(client.messages.create(request)), { status: 429 })
  claude.say(WRONG)
  t.match(await failure(client.messages.create(request)), { status: 400 })
  await t.rejects(client.messages.create({ ...request, model: "gpt-4.1" }), {
    status: 400,
    message: /does not translate/,
  })
  const stranger = new Anthropic({ baseURL: base, apiKey: UNKNOWN_KEY, maxRetries: 0 })
  const before = claude.upstream.asked.length
  t.match(await failure(stranger.messages.create(request)), {
    status: 401,
    error: { type: "error", error: { type: "authentication_error" } },
  })
  t.equal(claude.upstream.asked.length, before)
  const all: string[] = []
  for await (const { id } of client.models.list()) all.push(id)
  t.same(all.sort(), ALL_MODELS)
  seen(t, claude, "x-api-key", ANTHROPIC_KEY, key)
})

test("the ollama package, with what an Ollama has said: whole, streamed, with tools, errors, and all models", async (t) => {
  const { base, key, ollama } = await start(t)
  const client = new Ollama({ host: base, headers: { Authorization: `Bearer ${key}` } })
  const chat = { model: "gemma3:270m", messages: MESSAGES }
  ollama.say(ollamaSaid("api-chat"))
  const whole = await client.chat(chat)
  t.equal(whole.done, true)
  ollama.say(ollamaSaid("api-chat-stream"))
  let text = ""
  let done = 0
  for await (const part of await client.chat({ ...chat, stream: true })) {
    text += part.message.content
    if (part.done) done++
  }
  t.ok(text.length > 0)
  t.equal(done, 1)
  ollama.say(CALLS_TOOL)
  const tools = [{ type: "function", function: TOOL }]
  t.match((await client.chat({ ...chat, tools })).message.tool_calls, [{ function: { arguments: { a: 1 } } }])
  ollama.say(SLOWER)
  t.match(await failure(client.chat(chat)), { status_code: 429 })
  ollama.say({ status: 400, json: { error: "no such thing" } })
  t.match(await failure(client.chat(chat)), { status_code: 400, message: /no such thing/ })
  const stranger = new Ollama({ host: base, headers: { Authorization: `Bearer ${UNKNOWN_KEY}` } })
  const before = ollama.upstream.asked.length
  t.match(await failure(stranger.chat(chat)), { status_code: 401 })
  t.match(await failure(stranger.list()), { status_code: 401 })
  t.equal(ollama.upstream.asked.length, before)
  t.same((await client.list()).models.map(({ name }) => name).sort(), ALL_MODELS)
  t.ok((await client.show({ model: "gemma3:270m" })).details)
  seen(t, ollama, "authorization", undefined, key)
})

/** Runs a program to its end; what it printed. */
async function printed(command: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const [program = "", ...args] = command
  const child = spawn(program, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece
  })
  await new Promise((resolve) => child.once("close", resolve))
  return text
}

test("curl: whole, streamed, errors, and all models, with each field that shows a key", {
  skip: missing("curl"),
}, async (t) => {
  const { base, key, openai, claude } = await start(t)
  const curl = (path: string, ...args: string[]) =>
    printed(["curl", "-s", "-w", "\n%{http_code}", `${base}${path}`, ...args])
  const asks = (stream: boolean) => ["-d", JSON.stringify({ model: "gpt-4.1", messages: MESSAGES, stream })]
  for (const field of [`Authorization: Bearer ${key}`, `Authorization: ${key}`, `x-api-key: ${key}`, `api-key: ${key}`])
    t.match(await curl("/v1/chat/completions", "-H", field, ...asks(false)), /"Hello\."[\s\S]*\n200$/)
  const bearer = ["-H", `Authorization: Bearer ${key}`]
  const streamed = await curl("/v1/chat/completions", ...bearer, ...asks(true))
  t.match(streamed, /^data: \{[\s\S]*\ndata: \[DONE\]\n\n\n200$/)
  openai.say(SLOWER)
  t.match(await curl("/v1/chat/completions", ...bearer, ...asks(false)), /"rate_limit_exceeded"[\s\S]*\n429$/)
  const before = openai.upstream.asked.length
  t.match(await curl("/v1/chat/completions", "-H", `x-api-key: ${UNKNOWN_KEY}`, ...asks(false)), /\n401$/)
  t.match(await curl("/v1/chat/completions", ...asks(false)), /\n401$/)
  t.equal(openai.upstream.asked.length, before)
  const listed = JSON.parse((await curl("/v1/models", ...bearer)).replace(/\n200$/, ""))
  t.same(listed.data.map(({ id }: { id: string }) => id).sort(), ALL_MODELS)
  const message = JSON.stringify({ model: "claude-test", max_tokens: 9, messages: MESSAGES })
  t.match(await curl("/v1/messages", "-H", `x-api-key: ${key}`, "-d", message), /"Hello\."[\s\S]*\n200$/)
  t.equal(claude.chats().length, 1)
})

const python = interpreterWith("openai")

test("openai-python: whole, streamed, with tools, errors, and all models", {
  skip: python === undefined && noInterpreter("openai"),
}, async (t) => {
  const { base, key, openai } = await start(t)
  openai.say(({ llm }) => {
    const words = JSON.stringify(llm?.body.messages)
    if (words.includes("slower")) return SLOWER
    if (words.includes("wrong")) return WRONG
    return llm?.body.tools === undefined ? { completion: { text: "Hello." } } : CALLS_TOOL
  })
  const script = join("test", "fixtures", "e2e", "gateway_calls.py")
  const env = { OPENAI_BASE_URL: `${base}/v1`, OPENAI_API_KEY: key, UNKNOWN_KEY }
  const told = JSON.parse(await printed([python ?? "", script], env))
  t.same(told, {
    whole: "Hello.",
    streamed: "Hello.",
    tool: ["add", '{"a":1}'],
    errors: { slower: 429, wrong: 400, model: 400, key: 401 },
    models: ALL_MODELS,
  })
  seen(t, openai, "authorization", `Bearer ${OPENAI_KEY}`, key)
})
