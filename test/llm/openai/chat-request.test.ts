import { test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import type { LlmRequest } from "../../../lib/llm/model.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"

function request(body: JsonObject, path = "/v1/chat/completions"): LlmRequest {
  const parsed = openaiChat.parseRequest(body, path)
  if (!parsed) throw new Error("no request")
  return parsed
}

test("a body without a list of messages that have roles is no chat request", async (t) => {
  const bodies: JsonObject[] = [
    {},
    { messages: "x" },
    { messages: [1] },
    { messages: [{ content: "x" }] },
    { messages: [null] },
  ]
  for (const body of bodies) t.equal(openaiChat.parseRequest(body, "/"), undefined, JSON.stringify(body))
  t.ok(openaiChat.parseRequest({ messages: [] }, "/"))
})

test("the model is the body's, else Azure's deployment in the path", async (t) => {
  const azure = "/openai/deployments/my%20gpt/chat/completions?api-version=2024-06-01"
  t.equal(request({ model: "m", messages: [] }, azure).model, "m")
  t.equal(request({ messages: [] }, azure).model, "my gpt")
  t.equal(request({ messages: [] }, "/openai/deployments/%ff/chat/completions").model, "%ff")
  t.equal(request({ messages: [] }).model, "")
})

test("every field is a view on the body", async (t) => {
  const body: JsonObject = { messages: [] }
  const view = request(body)
  t.match(view, { dialect: "openai-chat", body, stream: false, n: 1 })
  for (const key of ["tools", "maxTokens", "temperature", "topP", "stop", "system"] as const)
    t.equal(view[key], undefined, key)
  Object.assign(view, {
    model: "m",
    stream: true,
    n: 2,
    temperature: 0.5,
    topP: 0.9,
    stop: ["a"],
    tools: [{ raw: {} }],
    maxTokens: 5,
  })
  t.strictSame(body, {
    messages: [],
    model: "m",
    stream: true,
    n: 2,
    temperature: 0.5,
    top_p: 0.9,
    stop: ["a"],
    tools: [{}],
    max_completion_tokens: 5,
  })
  t.match(view, {
    model: "m",
    stream: true,
    n: 2,
    temperature: 0.5,
    topP: 0.9,
    stop: ["a"],
    tools: [{ raw: {} }],
    maxTokens: 5,
  })
  Object.assign(view, {
    temperature: undefined,
    topP: undefined,
    stop: undefined,
    tools: undefined,
    maxTokens: undefined,
  })
  t.strictSame(body, { messages: [], model: "m", stream: true, n: 2 })
})

test("values of a wrong type read as absent", async (t) => {
  const view = request({ messages: [], model: 1, stream: "yes", n: "2", temperature: "hot", stop: [1, "a"], tools: {} })
  t.match(view, { model: "", stream: false, n: 1, temperature: undefined, stop: ["a"], tools: undefined })
  t.strictSame(request({ messages: [], stop: "a" }).stop, ["a"])
  view.body.messages = "broken by an addon"
  t.strictSame(view.messages, [])
})

test("the token limit is read from either name, and written to the names that are there", async (t) => {
  const set = (body: JsonObject, value: number | undefined): JsonObject => {
    const view = request({ messages: [], ...body })
    view.maxTokens = value
    const { messages: _, ...rest } = view.body
    return rest
  }
  t.equal(request({ messages: [], max_tokens: 5 }).maxTokens, 5)
  t.equal(request({ messages: [], max_tokens: 5, max_completion_tokens: 6 }).maxTokens, 6)
  t.strictSame(set({ max_tokens: 5 }, 7), { max_tokens: 7 })
  t.strictSame(set({ max_completion_tokens: 5 }, 7), { max_completion_tokens: 7 })
  t.strictSame(set({ max_tokens: 5, max_completion_tokens: 6 }, 7), { max_tokens: 7, max_completion_tokens: 7 })
  t.strictSame(set({ max_tokens: 5, max_completion_tokens: 6 }, undefined), {})
  t.strictSame(set({}, 7), { max_completion_tokens: 7 })
})

test("messages are the body's own objects", async (t) => {
  const body: JsonObject = { messages: [{ role: "user", content: "a", name: "n" }] }
  const view = request(body)
  t.equal(view.messages, body.messages)
  view.messages = [{ role: "user", content: "b" }]
  t.strictSame(body.messages, [{ role: "user", content: "b" }])
})

test("the system prompt is the first system or developer message, as text", async (t) => {
  const system = (...messages: JsonObject[]): string | undefined => request({ messages }).system
  t.equal(system({ role: "user", content: "u" }, { role: "developer", content: "d" }), "d")
  t.equal(system({ role: "system", content: "a" }, { role: "system", content: "b" }), "a")
  const parts = [{ type: "text", text: "a" }, { type: "image_url" }, { type: "text", text: "b" }]
  t.equal(system({ role: "system", content: parts }), "a\nb")
  t.equal(system({ role: "system", content: null }), "")
  t.equal(system({ role: "user", content: "u" }), undefined)
})

test("setting the system prompt edits it in place, inserts it in front, or removes it", async (t) => {
  const set = (value: string | undefined, ...messages: JsonObject[]): unknown => {
    const view = request({ messages })
    view.system = value
    return view.body.messages
  }
  const user = { role: "user", content: "u" }
  t.strictSame(set("new", user), [{ role: "system", content: "new" }, user])
  t.strictSame(set("new", { role: "developer", content: "d", name: "n" }), [
    { role: "developer", content: "new", name: "n" },
  ])
  const part = { type: "text", text: "a", cache_control: {} }
  t.strictSame(set("new", { role: "system", content: [part] }), [
    { role: "system", content: [{ type: "text", text: "new", cache_control: {} }] },
  ])
  t.strictSame(set("new", { role: "system", content: [part, part] }), [{ role: "system", content: "new" }])
  t.strictSame(set(undefined, user, { role: "system", content: "s" }), [user])
  t.strictSame(set(undefined, user), [user])
})
