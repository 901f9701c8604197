/**
 * Turns of OpenAI's Realtime API: events as server-sent events (how a turn's messages come), requests, whole responses.
 */
import { test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import { Assembler } from "../../../lib/llm/assemble.ts"
import type { Completion, Delta, LlmError } from "../../../lib/llm/model.ts"
import { openaiRealtime } from "../../../lib/llm/openai/realtime.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"

const AT = { response_id: "resp_1", item_id: "item_1", output_index: 0, content_index: 0 }
const USAGE = {
  total_tokens: 30,
  input_tokens: 20,
  output_tokens: 10,
  input_token_details: { cached_tokens: 8, audio_tokens: 2 },
  output_token_details: { text_tokens: 4 },
}

function done(response: JsonObject): JsonObject {
  return { type: "response.done", response: { id: "resp_1", object: "realtime.response", ...response } }
}

function bytesOf(events: readonly JsonObject[]): Buffer {
  return Buffer.from(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""))
}

function read(...pieces: Buffer[]): {
  completion: Completion
  deltas: Delta[]
  error: LlmError | undefined
  done: boolean
} {
  const decoder = openaiRealtime.decoder()
  const assembler = new Assembler()
  const deltas: Delta[] = []
  const events = [...pieces.flatMap((piece) => decoder.feed(piece)), ...decoder.finish()]
  for (const event of events) {
    assembler.push(event)
    deltas.push(...event.deltas)
  }
  return { completion: assembler.finish(false), deltas, error: assembler.error, done: assembler.done }
}

test("a voice's transcript is the text, its audio is nothing, at every split", async (t) => {
  const bytes = bytesOf([
    { type: "response.created", response: { id: "resp_1", status: "in_progress" } },
    { type: "response.output_item.added", ...AT, item: { type: "message", content: [] } },
    { type: "response.output_audio.delta", ...AT, delta: "AAAA" },
    { type: "response.output_audio_transcript.delta", ...AT, delta: "Hé" },
    { type: "response.output_audio_transcript.delta", ...AT, delta: "llo" },
    { type: "response.output_audio.done", ...AT },
    { type: "response.output_audio_transcript.done", ...AT, transcript: "Héllo" },
    { type: "rate_limits.updated", rate_limits: [] },
    done({ status: "completed", output: [], usage: USAGE }),
  ])
  for (const [before, after] of everySplit(bytes)) {
    const { completion, deltas } = read(before, after)
    if (completion.text !== "Héllo" || deltas.length !== 4) t.fail(`cut at byte ${before.length}`)
  }
  const { completion, done: isDone } = read(bytes)
  t.ok(isDone)
  t.same(completion.finishReason, { unified: "stop", raw: "completed" })
  t.match(completion.usage, { inputTokens: 20, outputTokens: 10, totalTokens: 30, cachedTokens: 8, source: "provider" })
})

test("texts under their new and their older name, and what was only told whole", async (t) => {
  for (const type of ["response.output_text", "response.text", "response.audio_transcript"]) {
    t.equal(read(bytesOf([{ type: `${type}.delta`, ...AT, delta: "hi" }])).completion.text, "hi", type)
  }
  t.equal(read(bytesOf([{ type: "response.audio_transcript.done", ...AT, transcript: "hi" }])).completion.text, "hi")
  const item = { type: "message", role: "assistant", content: [{ type: "output_audio", transcript: "hi" }] }
  t.equal(read(bytesOf([{ type: "response.output_item.done", ...AT, item }])).completion.text, "hi")
  t.equal(read(bytesOf([done({ status: "completed", output: [item] })])).completion.text, "hi")
})

test("function calls, in pieces", async (t) => {
  const item = { type: "function_call", call_id: "call_1", name: "weather" }
  const { completion } = read(
    bytesOf([
      { type: "response.output_item.added", ...AT, item },
      { type: "response.function_call_arguments.delta", ...AT, delta: '{"at":' },
      { type: "response.function_call_arguments.delta", ...AT, delta: "1}" },
      { type: "response.function_call_arguments.done", ...AT, arguments: '{"at":1}' },
      done({ status: "completed", output: [{ ...item, arguments: '{"at":1}' }] }),
    ]),
  )
  t.same(completion.toolCalls, [{ id: "call_1", name: "weather", arguments: '{"at":1}' }])
  t.equal(completion.finishReason.unified, "toolCalls")
})

test("how a response ends: cut short, cancelled, failed, with an error event", async (t) => {
  const ended = (status: string, details: JsonObject) => read(bytesOf([done({ status, status_details: details })]))
  t.equal(ended("incomplete", { reason: "max_output_tokens" }).completion.finishReason.unified, "length")
  t.equal(ended("incomplete", { reason: "content_filter" }).completion.finishReason.unified, "contentFilter")
  t.equal(ended("cancelled", { reason: "turn_detected" }).completion.finishReason.unified, "other")
  const failed = ended("failed", { error: { type: "server_error", code: "rate_limit_exceeded", message: "slow" } })
  t.match(failed.error, { message: "slow", code: "rate_limit_exceeded", kind: "rate_limit" })
  t.equal(read(bytesOf([done({ status: "failed" })])).error?.message, "the response failed")
  t.equal(read(bytesOf([{ type: "error", error: { message: "bad", code: "x" } }])).error?.message, "bad")
})

test("a request's parameters stand in `response`, its model in the path; what has no place is refused", async (t) => {
  const path = "/v1/realtime?model=gpt-realtime"
  const input = [{ type: "message", role: "user", content: [{ type: "input_text", text: "hi" }] }]
  const body: JsonObject = {
    type: "response.create",
    response: { instructions: "be brief", input, tools: [{ type: "function" }] },
  }
  const request = openaiRealtime.parseRequest(body, path)
  t.equal(request?.model, "gpt-realtime")
  t.equal(request?.system, "be brief")
  t.same(request?.messages, input)
  t.equal(request?.tools?.length, 1)
  t.equal(request?.stream, true)
  if (request === undefined) return
  request.system = undefined
  request.maxTokens = 5
  request.messages = []
  request.tools = undefined
  request.stream = false
  t.same(body, { type: "response.create", response: { input: [], max_output_tokens: 5 } })
  t.throws(() => {
    request.model = "other"
  }, /no place for it/)
  const bare: JsonObject = { type: "response.create" }
  const view = openaiRealtime.parseRequest(bare, "/v1/realtime")
  t.same([view?.model, view?.messages, view?.tools, view?.system], ["", [], undefined, undefined])
  if (view !== undefined) view.system = "x"
  t.same(bare, { type: "response.create", response: { instructions: "x" } })
  t.equal(openaiRealtime.parseRequest({ type: "session.update" }, path), undefined)
  t.equal(openaiRealtime.match("POST", "/v1/realtime"), false)
})

test("a whole response is read, anything else is none", async (t) => {
  const output = [{ type: "message", content: [{ type: "audio", transcript: "hi" }] }]
  t.equal(openaiRealtime.parseAnswer({ id: "r", status: "completed", output })?.completion?.text, "hi")
  t.equal(openaiRealtime.parseAnswer("x"), undefined)
})
