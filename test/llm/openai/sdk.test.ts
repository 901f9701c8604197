/**
 * What we write is what OpenAI's own client reads: the real package parses our streams, answers and errors, without a
 * network, over the forms of other servers.
 */
import { readdirSync, readFileSync } from "node:fs"
import OpenAI from "openai"
import { test } from "tap"
import { Assembler } from "../../../lib/llm/assemble.ts"
import type { Dialect, EncodeContext } from "../../../lib/llm/dialect.ts"
import type { Completion } from "../../../lib/llm/model.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"
import { openaiCompletions } from "../../../lib/llm/openai/completions.ts"

const BODY = { model: "m", messages: [], prompt: "", stream_options: { include_usage: true } }

// openai-node keeps the last piece of a name that comes in pieces, from whomever. We pass pieces on as they come: to
// hold them back would change the order of a stream in which other events leave as their own bytes.
const SPLIT_NAME = "gemini-name-pieces.sse"

/** A client whose every request is answered with `body`. */
function client(body: string, type: string, status = 200): OpenAI {
  const fetch = async (): Promise<Response> => new Response(body, { status, headers: { "content-type": type } })
  return new OpenAI({ apiKey: "made-up", baseURL: "http://127.0.0.1:9/v1", maxRetries: 0, fetch })
}

function contextFor(dialect: Dialect): EncodeContext {
  return { id: "made-id", model: "made-model", created: 7, request: dialect.parseRequest(BODY, "/") }
}

interface Answer {
  readonly name: string
  readonly completion: Completion
  /** Written anew as a stream. */
  readonly stream: string
}

/** The streams of a dialect that hold no error. */
function answers(dialect: Dialect): Answer[] {
  const folder = new URL(`../../fixtures/llm/${dialect.name}/`, import.meta.url)
  const names = readdirSync(folder).filter((name) => name.endsWith(".sse"))
  return names.flatMap((name) => {
    const decoder = dialect.decoder()
    const events = [...decoder.feed(readFileSync(new URL(name, folder))), ...decoder.finish()]
    const assembler = new Assembler()
    for (const event of events) assembler.push(event)
    if (assembler.error) return []
    const encoder = dialect.encoder(contextFor(dialect))
    const deltas = events.flatMap((event) => event.deltas)
    const stream = [...deltas.map((delta) => encoder.delta(delta)), encoder.end()].join("")
    return [{ name, completion: assembler.finish(false), stream }]
  })
}

/** Text and tool calls as the client's message says them. */
function said(message: OpenAI.Chat.ChatCompletionMessage | undefined): unknown {
  const calls = message?.tool_calls?.map((call) => (call.type === "function" ? call.function : undefined))
  return [
    message?.role,
    message?.content ?? "",
    message?.refusal ?? "",
    (calls ?? []).map((fn) => [fn?.name, fn?.arguments]),
  ]
}

for (const { name, completion, stream } of answers(openaiChat)) {
  const expected = [
    "assistant",
    completion.text,
    completion.refusal,
    completion.toolCalls.map((call) => [call.name, call.arguments]),
  ]

  test(`the client reads ${name}, written as a whole answer`, async (t) => {
    const json = JSON.stringify(openaiChat.writeAnswer(completion, contextFor(openaiChat)))
    const answer = await client(json, "application/json").chat.completions.create({ model: "m", messages: [] })
    t.strictSame(said(answer.choices[0]?.message), expected)
  })

  if (name === SPLIT_NAME) continue
  test(`the client assembles ${name}, written anew, to the same answer`, async (t) => {
    const runner = client(stream, "text/event-stream").chat.completions.stream({ model: "m", messages: [] })
    const final = await runner.finalChatCompletion()
    t.strictSame(said(final.choices[0]?.message), expected)
    t.equal(final.usage?.prompt_tokens, completion.usage.inputTokens)
  })
}

for (const { name, completion, stream } of answers(openaiCompletions)) {
  test(`the client reads ${name} of completions, written anew`, async (t) => {
    const api = client(stream, "text/event-stream")
    let text = ""
    for await (const chunk of await api.completions.create({ model: "m", prompt: "", stream: true })) {
      const [choice] = chunk.choices
      if (choice?.index === 0) text += choice.text
    }
    t.equal(text, completion.text)
  })
}

test("the client raises our errors with their code, in a body and in a stream", async (t) => {
  const error = { status: 400, code: "context_length_exceeded", message: "Too long." }
  const body = client(JSON.stringify(openaiChat.writeError(error)), "application/json", 400)
  const expected = { code: "context_length_exceeded", type: "invalid_request_error", message: /Too long\./ }
  await t.rejects(Promise.resolve(body.chat.completions.create({ model: "m", messages: [] })), {
    ...expected,
    status: 400,
  })
  const stream = client(openaiChat.comment("pending") + openaiChat.errorEvent(error), "text/event-stream")
  const chunks = await stream.chat.completions.create({ model: "m", messages: [], stream: true })
  const read = async (): Promise<void> => {
    for await (const chunk of chunks) t.fail(`a chunk: ${JSON.stringify(chunk)}`)
  }
  await t.rejects(read(), expected)
})
