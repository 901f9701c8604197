/**
 * The rules that hold for the requests of every dialect: a view changes what is set and no other byte, fields that we
 * do not know survive, and what a dialect has no place for is refused instead of lost.
 */
import { test } from "tap"
import type { JsonObject } from "../../lib/base/json.ts"
import { dialectFor } from "../../lib/llm/index.ts"
import type { LlmRequest } from "../../lib/llm/model.ts"
import { RequestBody } from "../../lib/llm/request-body.ts"

interface Case {
  readonly path: string
  /** As a client wrote it: white space, order and unknown fields are its own. */
  readonly text: string
  readonly system: string | undefined
  readonly texts: readonly string[]
  /** What the setters write, each with the text that stands in the body then. */
  readonly maxTokens: string
  readonly temperature: string
  readonly stop: string | undefined
}

const CASES: readonly Case[] = [
  {
    path: "/v1/messages",
    text: '{ "model":"m", "system":[{"type":"text","text":"Be kind.","cache_control":{"type":"ephemeral"}}],\n "messages":[{"role":"user","content":[{"type":"text","text":"H\\u0069"}]}], "max_tokens":10.0,"thinking":{"type":"enabled"}, "x":1e2 }',
    system: "Be kind.",
    texts: ['[{"type":"text","text":"Hi"}]'],
    maxTokens: '"max_tokens":77',
    temperature: '"temperature":0.5',
    stop: '"stop_sequences":["a"]',
  },
  {
    path: "/v1/responses",
    text: '{"input" : [{"role":"user","content":"Hi"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"1"}], "model":"m","instructions":"Be kind.","store":false,"reasoning":{"effort":"low"}}',
    system: "Be kind.",
    texts: ['"Hi"', "undefined", "undefined"],
    maxTokens: '"max_output_tokens":77',
    temperature: '"temperature":0.5',
    stop: undefined,
  },
  {
    path: "/api/chat",
    text: '{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi","images":["aGk="]}],  "model":"m","options":{"num_ctx":4096, "num_predict":-1},"keep_alive":"5m"}',
    system: "Be kind.",
    texts: ['"Be kind."', '"Hi"'],
    maxTokens: '"num_predict":77',
    temperature: '"temperature":0.5',
    stop: '"stop":["a"]',
  },
  {
    path: "/api/generate",
    text: '{"model":"m", "prompt":"Hi","system":"Be kind.","raw":true,"context":[1,2]}',
    system: "Be kind.",
    texts: ['"Hi"'],
    maxTokens: '"options":{"num_predict":77}',
    temperature: '"options":{"temperature":0.5}',
    stop: '"options":{"stop":["a"]}',
  },
  {
    path: "/completion",
    text: '{"prompt": {"prompt_string":"Hi","multimodal_data":["aGk="]},"n_probs":2, "cache_prompt":true,"id_slot":-1}',
    system: undefined,
    texts: ['"Hi"'],
    maxTokens: '"n_predict":77',
    temperature: '"temperature":0.5',
    stop: '"stop":["a"]',
  },
]

function parse({ path, text }: Case): { body: RequestBody; request: LlmRequest } {
  const body = RequestBody.parse(Buffer.from(text))
  const request = body && dialectFor("POST", path)?.parseRequest(body.json, path)
  if (!body || !request) throw new Error(`no request: ${path}`)
  return { body, request }
}

for (const known of CASES) {
  test(`${known.path}: a request that was only read leaves byte for byte`, async (t) => {
    const { body, request } = parse(known)
    t.equal(request.system, known.system)
    t.strictSame(
      request.messages.map((message) => String(JSON.stringify(message.content))),
      known.texts,
    )
    t.ok(request.messages.every((message) => typeof message.role === "string"))
    t.strictSame([request.n, request.maxTokens ?? 10, request.temperature, request.topP], [1, 10, undefined, undefined])
    t.strictSame([request.stop, request.tools], [undefined, undefined])
    t.equal(request.model, known.path === "/completion" ? "" : "m")
    t.equal(request.stream, known.path.startsWith("/api/"), "Ollama streams unless told not to")
    t.equal(body.changed(), false)
    t.equal(body.bytes().toString(), known.text)
  })

  test(`${known.path}: a setter writes one value and no other byte`, async (t) => {
    const after = (change: (request: LlmRequest) => void): string => {
      const { body, request } = parse(known)
      change(request)
      return body.bytes().toString()
    }
    const maxed = after((request) => {
      request.maxTokens = 77
    })
    t.ok(maxed.includes(known.maxTokens), maxed)
    const warm = after((request) => {
      request.temperature = 0.5
    })
    t.ok(warm.includes(known.temperature), warm)
    const streamed = after((request) => {
      request.stream = false
    })
    t.ok(streamed.includes('"stream":false'))
    for (const text of [maxed, warm, streamed]) t.equal(withoutOwn(text), withoutOwn(known.text))
    if (known.stop === undefined) return
    const stopped = after((request) => {
      request.stop = ["a"]
    })
    t.ok(stopped.includes(known.stop), stopped)
  })

  test(`${known.path}: what is set is read again`, async (t) => {
    const { request } = parse(known)
    request.model = "other"
    request.topP = 0.9
    request.stream = true
    request.n = 1
    t.strictSame([request.model, request.topP, request.stream], ["other", 0.9, true])
    request.messages = [{ role: "user", content: "New" }]
    t.equal(request.messages.at(-1)?.content, "New")
    request.topP = undefined
    t.equal(request.topP, undefined)
    t.throws(
      () => {
        request.n = 2
      },
      { code: "no-place", message: /n to 2/ },
    )
    if (known.system === undefined) {
      t.throws(
        () => {
          request.system = "x"
        },
        { code: "no-system-prompt" },
      )
      request.system = undefined
    } else {
      request.system = "Be brief."
      t.equal(request.system, "Be brief.")
      request.system = undefined
      t.equal(request.system, undefined)
    }
  })
}

/** A body without the members that the setters write. */
function withoutOwn(text: string): string {
  const { options, max_tokens, max_output_tokens, n_predict, temperature, stream, ...rest } = JSON.parse(text)
  const { num_predict, temperature: _, ...others } = options ?? {}
  return JSON.stringify([rest, others])
}

function view(path: string, body: JsonObject): LlmRequest | undefined {
  return dialectFor("POST", path)?.parseRequest(body, path)
}

test("a body that is no request of the dialect has no view", async (t) => {
  const bodies: [string, JsonObject][] = [
    ["/v1/messages", { model: "m" }],
    ["/v1/messages", { messages: ["hi"] }],
    ["/v1/responses", { input: "hi" }],
    ["/v1/responses", { model: "m" }],
    ["/v1/responses", { model: "m", input: [1] }],
    ["/api/chat", { messages: [{ role: "user", content: "from a web page" }] }],
    ["/api/chat", { model: "m", messages: [1] }],
    ["/api/generate", { model: "m", prompt: 1 }],
    ["/completion", { n_predict: 1 }],
  ]
  for (const [path, body] of bodies) t.equal(view(path, body), undefined, `${path} ${JSON.stringify(body)}`)
})

test("a request to Ollama without messages or prompt asks for the model to be loaded", async (t) => {
  const chat = view("/api/chat", { model: "m" })
  t.strictSame([chat?.messages, chat?.system], [[], undefined])
  if (chat) chat.system = "s"
  t.strictSame(chat?.body.messages, [{ role: "system", content: "s" }])
  t.strictSame(view("/api/generate", { model: "m" })?.messages, [])
})

test("Anthropic: text behind several system blocks becomes a block of its own, and the cached ones stay", async (t) => {
  const blocks = [
    { type: "text", text: "One", cache_control: { type: "ephemeral" } },
    { type: "text", text: "Two" },
  ]
  const request = view("/v1/messages", { messages: [], system: [...blocks] })
  t.equal(request?.system, "One\nTwo")
  if (request) request.system = "One\nTwo"
  t.strictSame(request?.body.system, blocks)
  if (request) request.system = "One\nTwo\nThree"
  t.strictSame(request?.body.system, [...blocks, { type: "text", text: "Three" }])
  if (request) request.system = "New"
  t.equal(request?.body.system, "New")
  t.equal(view("/v1/messages", { messages: [], system: [] })?.system, undefined)
})

test("Anthropic: the only system block keeps its cache mark", async (t) => {
  const system = [{ type: "text", text: "One", cache_control: { type: "ephemeral" } }]
  const request = view("/v1/messages", { messages: [], system })
  if (request) request.system = "Two"
  t.strictSame(request?.body.system, [{ type: "text", text: "Two", cache_control: { type: "ephemeral" } }])
})

test("Responses: a text is one user message, and editing the message edits the text", async (t) => {
  const request = view("/v1/responses", { model: "m", input: "Once" })
  const [message] = request?.messages ?? []
  t.match(message, { role: "user", content: "Once" })
  if (message) message.content = [{ type: "input_text", text: "Twice" }]
  t.equal(request?.body.input, "Twice")
})

test("Responses: items without a role have one that is not written", async (t) => {
  const input = [
    { type: "reasoning", summary: [] },
    { type: "custom_tool_call_output", output: "x" },
  ]
  const request = view("/v1/responses", { model: "m", input })
  t.strictSame(
    request?.messages.map((message) => message.role),
    ["assistant", "tool"],
  )
  t.equal(JSON.stringify(request?.body.input), JSON.stringify(input))
  t.notOk(JSON.stringify(input).includes("role"))
  t.strictSame(view("/v1/responses", { model: "m", previous_response_id: "r" })?.messages, [])
})

test("what a dialect has no place for is refused", async (t) => {
  const responses = view("/v1/responses", { model: "m", input: "" })
  const raw = [view("/completion", { prompt: "" }), view("/api/generate", { model: "m", prompt: "" })]
  const refused = { code: "no-place" }
  t.throws(() => Object.assign(responses ?? {}, { stop: ["a"] }), refused)
  if (responses) responses.stop = undefined
  for (const request of raw) {
    t.throws(() => Object.assign(request ?? {}, { tools: [] }), refused)
    if (request) request.tools = undefined
    t.equal(request?.tools, undefined)
  }
})
