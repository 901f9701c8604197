/**
 * Errors of the dialects that are not OpenAI's chat: each in the words its clients look for, read and written.
 */
import { test } from "tap"
import { anthropicMessages } from "../../lib/llm/anthropic/messages.ts"
import type { Dialect } from "../../lib/llm/dialect.ts"
import { llamacpp } from "../../lib/llm/llamacpp/llamacpp.ts"
import type { LlmErrorKind } from "../../lib/llm/model.ts"
import { ollama } from "../../lib/llm/ollama/ollama.ts"
import { openaiResponses } from "../../lib/llm/responses/responses.ts"
import { decodeAll } from "../helpers/llm/dialect-fixtures.ts"

test("anthropic-messages: an error has the type of its kind, and a status may say more", async (t) => {
  const cases: [number, string, string][] = [
    [400, "refused", "invalid_request_error"],
    [401, "invalid_api_key", "authentication_error"],
    [403, "refused", "permission_error"],
    [404, "refused", "not_found_error"],
    [404, "model_not_found", "not_found_error"],
    [413, "body-too-large", "request_too_large"],
    [429, "rate_limit_exceeded", "rate_limit_error"],
    [429, "insufficient_quota", "billing_error"],
    [500, "server_error", "api_error"],
    [502, "connection-refused", "api_error"],
    [503, "busy", "overloaded_error"],
    [529, "overloaded_error", "overloaded_error"],
  ]
  for (const [status, code, type] of cases) {
    const message = "No."
    t.strictSame(anthropicMessages.writeError({ status, code, message }), { type: "error", error: { type, message } })
  }
})

test("anthropic-messages: an overflow says what clients look for, once", async (t) => {
  const says = (message: string) =>
    anthropicMessages.writeError({ status: 400, code: "context_length_exceeded", message }).error
  t.match(says("9 tokens > 8."), { message: "prompt is too long: 9 tokens > 8.", type: "invalid_request_error" })
  t.match(says("prompt is too long: 9 > 8"), { message: "prompt is too long: 9 > 8" })
  const again = anthropicMessages.parseError(400, JSON.stringify({ type: "error", error: says("Too big.") }))
  t.equal(again.kind, "context_length")
})

test("anthropic-messages: a client that waits gets a ping, and the note beside it", async (t) => {
  t.equal(anthropicMessages.comment("pending"), ': pending\nevent: ping\ndata: {"type":"ping"}\n\n')
})

test("ollama: an error is a text for its clients, and a line in a stream", async (t) => {
  const error = { status: 404, code: "model_not_found", message: "model 'x' not found" }
  t.strictSame(ollama.writeError(error), { error: "model 'x' not found", code: "model_not_found" })
  t.equal(ollama.errorEvent(error), '{"error":"model \'x\' not found","code":"model_not_found"}\n')
  t.equal(ollama.comment("pending"), "")
})

test("llamacpp: the code is the status, and the type is llama.cpp's", async (t) => {
  const type = (status: number, code: string, given?: string) => {
    const error = { status, code, message: "No.", ...(given === undefined ? {} : { type: given }) }
    return llamacpp.writeError(error).error
  }
  t.strictSame(type(503, "busy"), { code: 503, message: "No.", type: "unavailable_error" })
  t.match(type(400, "context_length_exceeded"), { code: 400, type: "exceed_context_size_error" })
  t.match(type(502, "connection-refused"), { type: "server_error" })
  t.match(type(429, "rate_limit_exceeded"), { type: "rate_limit_exceeded" })
  t.match(type(429, "x", "tokens"), { type: "tokens" })
})

test("openai-responses: an error event has its words where they are documented and where they are sent", async (t) => {
  const [event] = decodeAll(
    openaiResponses,
    Buffer.from(openaiResponses.errorEvent({ status: 429, code: "c", message: "m" })),
  )
  t.match(event?.json, {
    type: "error",
    code: "c",
    message: "m",
    param: null,
    error: { code: "c", message: "m", type: "rate_limit_error" },
  })
})

test("an error's kind is known in each provider's words", async (t) => {
  const cases: [Dialect, number, string, LlmErrorKind][] = [
    [
      anthropicMessages,
      404,
      '{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}',
      "model_not_found",
    ],
    [anthropicMessages, 402, '{"type":"error","error":{"type":"billing_error","message":"Pay."}}', "quota"],
    [
      anthropicMessages,
      401,
      '{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}',
      "auth",
    ],
    [ollama, 503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}', "overloaded"],
    [
      ollama,
      400,
      '{"error":"the prompt is longer than the context length currently available to the model"}',
      "context_length",
    ],
    [ollama, 500, "<html><title>502 Bad Gateway</title></html>", "other"],
    [llamacpp, 503, '{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', "loading"],
    [llamacpp, 401, '{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}', "auth"],
  ]
  for (const [dialect, status, body, kind] of cases) t.equal(dialect.parseError(status, body).kind, kind, body)
})

test("what is no answer of a dialect is none", async (t) => {
  for (const dialect of [anthropicMessages, ollama, llamacpp, openaiResponses]) {
    for (const body of [null, "text", [], {}, [1], { choices: [] }])
      t.equal(dialect.parseAnswer(body), undefined, `${dialect.name} ${JSON.stringify(body)}`)
  }
})

test("what is no event of a dialect costs nothing but itself", async (t) => {
  for (const dialect of [anthropicMessages, llamacpp, openaiResponses]) {
    const events = decodeAll(dialect, Buffer.from("data: [1]\n\ndata: nonsense\n\nevent: error\ndata: broken\n\n"))
    t.strictSame(
      events.map(({ deltas, error }) => [deltas.length, error?.message]),
      [
        [1, undefined],
        [0, undefined],
        [0, "broken"],
      ],
    )
  }
  const [odd] = decodeAll(ollama, Buffer.from("nonsense\n"))
  t.strictSame(odd?.deltas, [])
})
