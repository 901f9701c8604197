import { test } from "tap"
import type { StreamEvent } from "../../../lib/llm/dialect.ts"
import { OpenAiDecoder } from "../../../lib/llm/openai/stream.ts"

function decode(text: string): StreamEvent[] {
  const decoder = new OpenAiDecoder()
  return [...decoder.feed(Buffer.from(text)), ...decoder.finish()]
}

test("an event named error is an error, whatever its data is", async (t) => {
  for (const data of ["data: plain words", "data: two\ndata: lines", 'data: {"message":"m"}', 'data: {"error":"e"}']) {
    const [event] = decode(`event: error\n${data}\n\n`)
    t.match(event, { error: { status: 200 }, deltas: [], done: false }, data)
  }
})

test("data that is no JSON costs its deltas, not the stream", async (t) => {
  const events = decode('data: oops\n\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: no\ndata: json\n\n')
  t.strictSame(
    events.map((event) => [event.deltas.length, event.json === undefined, event.error]),
    [
      [0, true, undefined],
      [1, false, undefined],
      [0, true, undefined],
    ],
  )
})

test("an error among lines that end with one line end is an error", async (t) => {
  const [event] = decode('data: {"choices":[{"delta":{"content":"a"}}]}\ndata: {"error":{"message":"m"}}\n\n')
  t.match(event, { error: { message: "m" }, deltas: [] })
})

test("the error field of old llama.cpp is an error, with its code", async (t) => {
  const [event] = decode('error: {"code":500,"message":"boom","type":"server_error"}\n\n')
  t.match(event?.error, { message: "boom", code: "500", type: "server_error", status: 200 })
})

test("an event whose meaning is its data keeps the data as JSON beside the deltas", async (t) => {
  const chunk = { id: "x", choices: [{ index: 0, delta: { content: "a" }, logprobs: { content: [] } }] }
  const [event] = decode(`data: ${JSON.stringify(chunk)}\n\n`)
  t.strictSame(event?.json, chunk)
  t.strictSame(event?.deltas, [{ type: "text", index: 0, text: "a" }])
})
