/**
 * The dialects on the wire: what nobody changes leaves byte for byte, what an addon changes is changed wherever the
 * format repeats it, and an answer in one dialect reaches a client that speaks another.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { type Test, test } from "tap"
import type { RespondOptions } from "../../../lib/api/flow.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import type { Dialect } from "../../../lib/llm/dialect.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import type { Completion } from "../../../lib/llm/model.ts"
import { addon, answer, origin, recorder, request, startHost } from "../../helpers/hosts/proxy-host.ts"
import { assembled, decodeAll } from "../../helpers/llm/dialect-fixtures.ts"

interface Form {
  readonly name: string
  readonly path: string
  readonly body: JsonObject
  /** A stream with text and tool calls, where the dialect has them. */
  readonly stream: string
  /** A stream with a text, where that one has none. */
  readonly text?: string
  readonly id: RegExp | undefined
}

const FORMS: readonly Form[] = [
  {
    name: "openai-responses",
    path: "/v1/responses",
    body: { model: "m", input: "hi", stream: true },
    stream: "tools.sse",
    id: /^resp_/,
  },
  {
    name: "anthropic-messages",
    path: "/v1/messages",
    body: { model: "m", max_tokens: 9, messages: [{ role: "user", content: "hi" }], stream: true },
    stream: "tools.sse",
    id: /^msg_/,
  },
  {
    name: "ollama",
    path: "/api/chat",
    body: { model: "m", messages: [{ role: "user", content: "hi" }] },
    stream: "chat-tools.ndjson",
    id: undefined,
  },
  {
    name: "llamacpp",
    path: "/completion",
    body: { prompt: "hi", stream: true },
    stream: "text.sse",
    id: undefined,
  },
  {
    name: "openai-chat",
    path: "/v1/chat/completions",
    body: {
      model: "m",
      messages: [{ role: "user", content: "hi" }],
      stream: true,
      stream_options: { include_usage: true },
    },
    stream: "openai-tools.sse",
    text: "openai-text.sse",
    id: /^chatcmpl-/,
  },
]

function fixture({ name, stream }: Form): Buffer {
  return readFileSync(new URL(`../../fixtures/llm/${name}/${stream}`, import.meta.url))
}

function reply(form: Form): Buffer {
  return answer(fixture(form), `Content-Type: ${dialectNamed(form.name).streamType}\r\n`)
}

function read(dialect: Dialect, bytes: string): { completion: Completion; done: boolean } {
  const assembler = assembled(decodeAll(dialect, Buffer.from(bytes)))
  return { completion: assembler.finish(false), done: assembler.done }
}

function calls({ toolCalls }: Completion): unknown {
  return toolCalls.map((call) => [call.name, JSON.parse(call.arguments)])
}

/** A client of `form` whose request passes `addons`; its answer is `up`. */
async function asked(t: Test, form: Form, up: Buffer, addons: Parameters<typeof startHost>[1]) {
  const from = await origin(t, (_, socket) => void socket.write(up))
  const host = await startHost(t, addons)
  const wire = await host.connect()
  wire.write(request("POST", from.port, form.path, JSON.stringify(form.body), "Content-Type: application/json\r\n"))
  const response = await wire.response("POST")
  await host.settled()
  return { text: Buffer.from(response.text, "latin1").toString(), headers: response.headers }
}

for (const form of FORMS) {
  const dialect = dialectNamed(form.name)
  const expected = read(dialect, fixture(form).toString()).completion

  test(`${form.name}: an answer that is only watched leaves byte for byte`, async (t) => {
    const seen = recorder(["llmRequest", "llmDelta", "llmResponse", "response", "error"])
    const response = await asked(t, form, reply(form), { addons: [seen.addon] })
    assert.equal(response.text, fixture(form).toString())
  })

  test(`${form.name}: a text that a transform changes is changed wherever the stream says it`, async (t) => {
    const upper = addon("upper", {
      responseHeaders(flow) {
        flow.response?.transformDeltas((delta) =>
          delta.type === "text" ? { ...delta, text: delta.text.toUpperCase() } : delta,
        )
      },
    })
    const spoken = { ...form, stream: form.text ?? form.stream }
    const expected = read(dialect, fixture(spoken).toString()).completion
    assert.notEqual(expected.text, "", "there is a text to change")
    const { text } = await asked(t, form, reply(spoken), { addons: [upper] })
    const { completion, done } = read(dialect, text)
    assert.ok(done)
    assert.equal(completion.text, expected.text.toUpperCase())
    assert.deepEqual(calls(completion), calls(expected))
    assert.deepEqual(completion.usage, expected.usage)
    assert.equal(completion.finishReason.unified, expected.finishReason.unified)
    assert.ok(!text.includes(JSON.stringify(expected.text)), "the text that came is nowhere")
  })

  test(`${form.name}: a changed end is written with its end mark`, async (t) => {
    const short = addon("short", {
      responseHeaders(flow) {
        flow.response?.transformDeltas((delta) =>
          delta.type === "finish" ? { ...delta, reason: { unified: "length", raw: undefined } } : delta,
        )
      },
    })
    const { completion, done } = read(dialect, (await asked(t, form, reply(form), { addons: [short] })).text)
    assert.ok(done)
    assert.equal(completion.finishReason.unified, "length")
    assert.equal(completion.text, expected.text)
    assert.deepEqual(completion.usage, expected.usage)
  })

  test(`${form.name}: another model's name is written where the dialect has it`, async (t) => {
    const { text } = await relayed(t, form, form, { model: "renamed" })
    const { completion } = read(dialect, text)
    assert.equal(completion.model, "renamed")
    assert.deepEqual([completion.text, calls(completion)], [expected.text, calls(expected)])
  })
}

/** A client of `client`, answered by a child that speaks `child`. */
async function relayed(t: Test, client: Form, child: Form, respond: RespondOptions = {}) {
  const from = await origin(t, (_, socket) => void socket.write(reply(child)))
  const relays = addon("relays", {
    async llmRequest(flow) {
      const options = { url: `http://127.0.0.1:${from.port}${child.path}` }
      flow.respond(await flow.send({ json: child.body }, options), respond)
    },
  })
  return asked(t, client, reply(client), { addons: [relays] })
}

for (const client of FORMS) {
  test(`a client of ${client.name} reads answers of every dialect`, async (t) => {
    const dialect = dialectNamed(client.name)
    for (const child of FORMS) {
      if (child === client) continue
      const expected = read(dialectNamed(child.name), fixture(child).toString()).completion
      const { text, headers } = await relayed(t, client, child)
      const { completion, done } = read(dialect, text)
      assert.ok(done, child.name)
      assert.equal(headers.get("content-type"), dialect.streamType)
      assert.equal(completion.text, expected.text, child.name)
      if (client.name !== "llamacpp") assert.deepEqual(calls(completion), calls(expected), child.name)
      assert.equal(completion.usage.inputTokens, expected.usage.inputTokens, child.name)
      if (client.id) assert.match(completion.id ?? "", client.id)
      if (expected.model !== undefined && child.name !== "llamacpp") assert.equal(completion.model, expected.model)
    }
  })
}
