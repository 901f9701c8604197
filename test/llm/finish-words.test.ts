import { test } from "tap"
import type { JsonObject } from "../../lib/base/json.ts"
import { finishReasonOf, isUnknownWord } from "../../lib/llm/finish-words.ts"
import { DIALECTS } from "../../lib/llm/index.ts"
import { openaiChat } from "../../lib/llm/openai/chat.ts"
import { openaiResponses } from "../../lib/llm/responses/responses.ts"
import { contextFor } from "../helpers/llm/dialect-fixtures.ts"

test("a provider's word for the end of an answer means what it means, in whatever dialect it comes", async (t) => {
  const words = {
    stop: ["stop", "end_turn", "STOP", "eos"],
    length: ["length", "max_tokens", "model_context_window_exceeded"],
    contentFilter: ["content_filter", "sensitive", "refusal", "SAFETY"],
    toolCalls: ["tool_calls", "tool_use"],
    error: ["error", "network_error", "insufficient_system_resource"],
    other: ["pause_turn", "tired", ""],
  }
  for (const [unified, raws] of Object.entries(words))
    for (const raw of raws) {
      t.strictSame(finishReasonOf(raw), { unified, raw })
      if (raw === "") continue
      const chat = openaiChat.parseAnswer({ choices: [{ message: { content: "Hi" }, finish_reason: raw }] })
      t.equal(chat?.completion?.finishReason.unified, unified, `chat: ${raw}`)
    }
  const bodies: [string, JsonObject][] = [
    ["anthropic-messages", { type: "message", content: [{ type: "text", text: "Hi" }], stop_reason: "stop" }],
    ["ollama", { message: { content: "Hi" }, done: true, done_reason: "end_turn" }],
    ["llamacpp", { content: "Hi", stop: true, stop_type: "stop" }],
  ]
  for (const [name, body] of bodies) {
    const answer = DIALECTS.find((dialect) => dialect.name === name)?.parseAnswer(body)
    t.equal(answer?.completion?.finishReason.unified, "stop", name)
  }
})

test("a choice that holds an error has failed, whatever its finish reason says", async (t) => {
  for (const finish_reason of ["stop", "error", null, undefined]) {
    const choice = { message: { content: "Hal" }, finish_reason, error: { code: 502, message: "upstream" } }
    const answer = openaiChat.parseAnswer({ choices: [choice] })
    t.equal(answer?.completion?.finishReason.unified, "error", String(finish_reason))
  }
  const failed = openaiResponses.parseAnswer({ object: "response", status: "failed", output: [{ type: "message" }] })
  t.not(failed?.completion?.finishReason.unified, "stop")
})

test("a word that nobody knows is written as an end that is not whole, never as a good one", async (t) => {
  t.ok(isUnknownWord(finishReasonOf("pause_turn")))
  t.notOk(isUnknownWord({ unified: "other", raw: undefined }), "no word is no unknown word")
  const good = /"(?:finish_reason|stop_reason|done_reason|stop_type)":"(stop|end_turn|eos)"|response\.completed/
  for (const dialect of DIALECTS) {
    const encoder = dialect.encoder(contextFor(dialect))
    const text = encoder.delta({ type: "text", index: 0, text: "Hi" })
    const written = text + encoder.delta({ type: "finish", index: 0, reason: finishReasonOf("tired") }) + encoder.end()
    t.notMatch(written, good, dialect.name)
  }
})
