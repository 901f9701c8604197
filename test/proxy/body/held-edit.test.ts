/** A held answer that is changed by meaning: in every dialect and framing, in the provider's own JSON. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { type Test, test } from "tap"
import type { Completion, CompletionChange, LlmFlow } from "../../../lib/api/flow.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import type { Choice } from "../../../lib/llm/model.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  chatJson,
  jsonAnswer,
  origin,
  recorder,
  request,
  sseAnswer,
  startHost,
} from "../../helpers/hosts/proxy-host.ts"
import { ANSWER_FORMS, labelled, SECRET_TEXT } from "../../helpers/llm/answer-forms.ts"
import { told } from "../../helpers/llm/edited-streams.ts"

type Edit = (flow: LlmFlow, completion: Completion) => void

const holder = (edit: Edit, name = "holder") =>
  addon(name, { responseHeaders: (flow) => flow.response?.hold(), llmResponse: edit })

const sets = (change: CompletionChange) =>
  holder(({ response }) => {
    if (response !== undefined) response.completion = change
  })

/** What a client gets for `bytes` of an upstream. */
async function deliveredBy(
  t: Test,
  addons: ReturnType<typeof addon>[],
  bytes: Buffer,
  asked: (port: number) => string,
) {
  const seen = recorder(["llmResponse", "llmError", "response", "error"])
  const host = await startHost(t, { addons: [...addons, seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(bytes))
  const wire = await host.connect()
  wire.write(asked(up.port))
  const response = await wire.response("POST")
  await host.settled()
  return { response, seen, lines: host.lines, used: host.server.core.memory.used }
}

test("a text is changed in every dialect, framing and form; what stands beside it stays", async (t) => {
  for (const { title, path, body, isStream } of ANSWER_FORMS) {
    const asked = JSON.stringify({
      model: "m",
      max_tokens: 9,
      messages: [{ role: "user", content: "x" }],
      stream: isStream,
    })
    const bytes = labelled(body, undefined, "X-Kept: yes\r\n")
    const made = await deliveredBy(t, [sets({ text: "other words" })], bytes, (port) =>
      request("POST", port, path, asked),
    )
    assert.equal(made.response.status, 200, title)
    assert.equal(made.response.text.includes("secret"), false, title)
    assert.match(made.response.text, /other words/, title)
    assert.equal(made.response.headers.get("x-kept"), "yes")
    assert.equal(made.response.headers.get("content-length"), String(made.response.body.length))
    assert.equal(made.seen.flow().llm?.completion?.text, "other words", title)
    assert.deepEqual(made.seen.events, ["llmResponse", "response"])
    assert.equal(made.used, 0, title)
    if (!isStream)
      assert.equal(
        made.response.text.length,
        body.replace("\uFEFF", "").replace(SECRET_TEXT, "other words").length,
        title,
      )
  }
})

const STREAMS = [
  ["openai-chat", "/v1/chat/completions", "openai-tools.sse"],
  ["openai-chat", "/v1/chat/completions", "gemini-parallel-tools.sse"],
  ["openai-chat", "/v1/chat/completions", "gemini-name-pieces.sse"],
  ["openai-responses", "/v1/responses", "tools.sse"],
  ["anthropic-messages", "/v1/messages", "tools.sse"],
  ["ollama", "/api/chat", "chat-tools.ndjson"],
] as const

const ASKED = JSON.stringify({
  model: "m",
  max_tokens: 9,
  messages: [{ role: "user", content: "x" }],
  input: "x",
  stream: true,
})

const CHANGES: readonly (readonly [string, (first: Choice) => CompletionChange])[] = [
  [
    "a call's arguments",
    ({ toolCalls }) => ({ toolCalls: toolCalls.map((call) => ({ ...call, arguments: '{"own":1}' })) }),
  ],
  ["a call's name", ({ toolCalls }) => ({ toolCalls: toolCalls.map((call) => ({ ...call, name: "own" })) })],
  ["no calls", () => ({ toolCalls: [], finishReason: { unified: "stop", raw: undefined } })],
  ["a text before the calls, or another one", () => ({ text: "said first" })],
  ["one more call", ({ toolCalls }) => ({ toolCalls: [...toolCalls, { id: "own_1", name: "own", arguments: "{}" }] })],
]

test("calls are changed, left out and added, and a text said that was none, in streams of every dialect", async (t) => {
  for (const [name, path, file] of STREAMS) {
    const dialect = dialectNamed(name)
    const stream = readFileSync(new URL(`../../fixtures/llm/${name}/${file}`, import.meta.url), "utf8")
    const before = told(dialect, stream)
    for (const [what, change] of CHANGES) {
      const [first] = before.completion.choices
      assert.ok(first !== undefined)
      const expected = { ...first, ...change(first) }
      const type = dialect.streamType
      const asked = (port: number) => request("POST", port, path, ASKED)
      const bytes = answer(stream, `Content-Type: ${type}\r\n`)
      const { response } = await deliveredBy(t, [sets(change(first))], bytes, asked)
      const after = told(dialect, response.body.toString())
      const title = `${name}: ${what}`
      const simple = ({ text, reasoning, toolCalls, finishReason }: Choice) => ({
        text,
        reasoning,
        // A call that is added in the event that ends the choice stands in an event before it.
        calls: toolCalls.map((call) => `${call.name} ${JSON.stringify(JSON.parse(call.arguments))}`).sort(),
        finish: finishReason.unified,
      })
      const [changed] = after.completion.choices
      assert.ok(changed !== undefined, title)
      assert.deepEqual(simple(changed), simple(expected), title)
      assert.deepEqual([after.done, after.failed], [before.done, false], title)
      assert.deepEqual(after.completion.usage, before.completion.usage, title)
    }
  }
})

test("what is set to what it was leaves byte for byte", async (t) => {
  for (const { title, path, body, isStream } of ANSWER_FORMS) {
    const asked = JSON.stringify({
      model: "m",
      max_tokens: 9,
      messages: [{ role: "user", content: "x" }],
      stream: isStream,
    })
    for (const change of [{}, { text: SECRET_TEXT }]) {
      const made = await deliveredBy(t, [sets(change)], labelled(body, undefined), (port) =>
        request("POST", port, path, asked),
      )
      assert.equal(made.response.body.toString(), body, title)
    }
  }
})

test("choices are changed and left out, whole completions are taken, and each holder sees what the last one made", async (t) => {
  const choice = (index: number, content: string) => ({
    index,
    message: { role: "assistant", content },
    finish_reason: "stop",
  })
  const bytes = jsonAnswer({ id: "c", model: "m", choices: [choice(0, "one"), choice(1, "two")], extra: [1.0] })
  const seen: unknown[] = []
  const first = holder((flow, completion) => {
    if (flow.response === undefined) return
    flow.response.completion = { ...completion, text: "ONE" }
    seen.push(completion.text)
  }, "first")
  const second = holder((flow, completion) => {
    seen.push(completion.text, flow.response?.completion === completion)
    const [one] = completion.choices
    if (flow.response === undefined || one === undefined) return
    flow.response.completion = { choices: [{ ...one, text: `${one.text}!` }] }
  }, "second")
  const { response } = await deliveredBy(t, [first, second], bytes, (port) => chat(port))
  assert.deepEqual(seen, ["ONE", "ONE", true])
  const { choices, extra } = JSON.parse(response.text) as { choices: { message: object }[]; extra: unknown }
  assert.deepEqual(choices[0]?.message, { role: "assistant", content: "ONE!" })
  assert.doesNotMatch(response.text, /"two"/)
  assert.deepEqual(extra, [1])
})

test("another answer that takes its place counts, whatever was set before", async (t) => {
  const both = holder((flow) => {
    if (flow.response !== undefined) flow.response.completion = { text: "edited" }
    flow.respond({ error: { code: "no", message: "no" } })
  })
  const { response, seen } = await deliveredBy(t, [both], jsonAnswer(chatJson("x")), (port) => chat(port))
  assert.equal(response.status, 400)
  assert.deepEqual(seen.events, ["llmError", "response"])
})

test("where it cannot be, setting it throws, and the answer leaves as it came", async (t) => {
  const wrong = (value: object) => value as CompletionChange
  const edits = (change: CompletionChange): Edit => {
    return ({ response }) => {
      if (response !== undefined) response.completion = change
    }
  }
  const unheld = addon("unheld", { llmResponse: edits({ text: "x" }) })
  const early = addon("early", {
    responseHeaders({ response }) {
      if (response !== undefined) response.completion = { text: "x" }
    },
  })
  const failing = addon("failing", {
    responseHeaders: (flow) => flow.response?.hold(),
    llmError({ response }) {
      if (response !== undefined) response.completion = { text: "x" }
    },
  })
  const json = jsonAnswer(chatJson("came"))
  const cases: [ReturnType<typeof addon>, Buffer, RegExp][] = [
    [unheld, json, /set in llmResponse of an answer that is held/],
    [early, json, /set in llmResponse of an answer that is held/],
    [
      failing,
      jsonAnswer({ error: { message: "came" } }, "500 Error"),
      /the answer is an error; flow\.respond replaces it/,
    ],
    [holder(edits({ text: "x" })), sseAnswer(chatEvent("came")), /the answer is not known to its end/],
    [holder(edits(wrong({ text: 5 }))), json, /text of choice 0 is no string/],
    [
      holder(edits(wrong({ toolCalls: [{ name: "f" }] }))),
      json,
      /a tool call of choice 0 has no name, or no arguments/,
    ],
    [
      holder((flow, { choices }) =>
        edits({ choices: [...choices, ...choices] })(flow, flow.llm.completion as Completion),
      ),
      json,
      /there is no other choice 0/,
    ],
  ]
  for (const [one, bytes, message] of cases) {
    const { response, lines } = await deliveredBy(t, [one], bytes, (port) => chat(port))
    assert.match(response.text, /came/)
    assert.match(lines.join("\n"), message)
  }
})

test("an answer that cannot be edited is not sent at all", async (t) => {
  const broken = sseAnswer(
    chatEvent("came"),
    "data: {no json\n\n",
    `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\n`,
  )
  const { response } = await deliveredBy(t, [sets({ text: "x" })], broken, (port) => chat(port, { stream: true }))
  assert.equal(response.status, 502)
  assert.match(response.text, /the stream holds an event that is no JSON/)
})
