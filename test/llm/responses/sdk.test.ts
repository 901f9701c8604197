/**
 * What we write is what OpenAI's own client reads, for Responses: the real package parses our streams, answers and
 * errors, without a network, over the forms of every dialect.
 */
import OpenAI from "openai"
import { test } from "tap"
import type { Completion } from "../../../lib/llm/model.ts"
import { openaiResponses } from "../../../lib/llm/responses/responses.ts"
import { contextFor, streamedAnswers } from "../../helpers/llm/dialect-fixtures.ts"

/** A client whose every request is answered with `body`. */
function client(body: string, type: string, status = 200): OpenAI {
  const fetch = async (): Promise<Response> => new Response(body, { status, headers: { "content-type": type } })
  return new OpenAI({ apiKey: "made-up", baseURL: "http://127.0.0.1:9/v1", maxRetries: 0, fetch })
}

/** Text, refusal, reasoning and calls as the client's object says them. */
function said(response: OpenAI.Responses.Response): unknown {
  const refusals: string[] = []
  const thoughts: string[] = []
  const calls: unknown[] = []
  for (const item of response.output) {
    if (item.type === "message")
      for (const part of item.content) if (part.type === "refusal") refusals.push(part.refusal)
    if (item.type === "reasoning") for (const part of item.content ?? []) thoughts.push(part.text)
    if (item.type === "function_call") calls.push([item.name, item.arguments])
  }
  return [response.output_text, refusals.join(""), thoughts.join(""), calls]
}

function expected({ text, refusal, reasoning, toolCalls }: Completion): unknown {
  return [text, refusal, reasoning, toolCalls.map((call) => [call.name, call.arguments])]
}

for (const { title, completion, deltas } of streamedAnswers()) {
  test(`the client reads ${title} as a response, streamed and whole`, async (t) => {
    const encoder = openaiResponses.encoder(contextFor(openaiResponses))
    const text = [...deltas.map((delta) => encoder.delta(delta)), encoder.end()].join("")
    const stream = client(text, "text/event-stream").responses.stream({ model: "m", input: "" })
    const numbers: number[] = []
    for await (const event of stream) numbers.push(event.sequence_number)
    t.strictSame(
      numbers,
      numbers.map((_, at) => at),
      "events are numbered in their order",
    )
    const final = await stream.finalResponse()
    t.strictSame(said(final), expected(completion))
    t.equal(
      final.usage?.input_tokens,
      completion.usage.source === "none" ? undefined : (completion.usage.inputTokens ?? 0),
    )
    const body = JSON.stringify(openaiResponses.writeAnswer(completion, contextFor(openaiResponses)))
    const whole = await client(body, "application/json").responses.create({ model: "m", input: "" })
    t.strictSame(said(whole), expected(completion))
  })
}

test("the client raises our errors with their code, in a body and in a stream", async (t) => {
  const error = { status: 400, code: "context_length_exceeded", message: "Too long." }
  const api = client(JSON.stringify(openaiResponses.writeError(error)), "application/json", 400)
  const words = { code: "context_length_exceeded", type: "invalid_request_error", message: /Too long\./ }
  await t.rejects(Promise.resolve(api.responses.create({ model: "m", input: "" })), { ...words, status: 400 })
  const body = openaiResponses.comment("pending") + openaiResponses.errorEvent(error)
  const stream = await client(body, "text/event-stream").responses.create({ model: "m", input: "", stream: true })
  const read = async (): Promise<void> => {
    for await (const event of stream) t.fail(`an event: ${JSON.stringify(event)}`)
  }
  await t.rejects(read(), words)
})
