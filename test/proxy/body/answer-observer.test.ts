import assert from "node:assert/strict"
import { test } from "tap"
import { Headers } from "../../../lib/base/headers.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"
import { AnswerObserver } from "../../../lib/proxy/body/answer-observer.ts"
import { chatEvent, chatJson, DONE } from "../../helpers/hosts/proxy-host.ts"
import { contextFor, streamedAnswers } from "../../helpers/llm/dialect-fixtures.ts"

function observer(fields: Record<string, string>, status = 200, stream = true) {
  const deltas: string[] = []
  const head = { status, reason: "", headers: new Headers(fields) }
  const made = new AnswerObserver({
    dialect: openaiChat,
    head,
    stream,
    elapsed: () => 5,
    onDelta: (delta) => void deltas.push("text" in delta ? delta.text : delta.type),
  })
  return { made, deltas }
}

const SSE = { "content-type": "text/event-stream" }
const JSON_TYPE = { "content-type": "application/json" }

test("what cannot be read is given up with the reason, and the bytes after it are not looked at", async () => {
  const unknown = observer({ ...SSE, "content-encoding": "compress" })
  assert.equal(unknown.made.feed(Buffer.from(chatEvent("a"))), undefined)
  assert.match(unknown.made.finish(false).unparsed ?? "", /Content-Encoding compress/)

  const broken = observer({ ...SSE, "content-encoding": "gzip" })
  await broken.made.feed(Buffer.from("no gzip"))
  assert.match(broken.made.finish(false).unparsed ?? "", /could not be decoded/)

  const endless = observer(SSE)
  const line = Buffer.from(`data: ${"x".repeat(1_000_000)}`)
  for (let count = 0; count < 40; count++) endless.made.feed(line)
  const { completion, unparsed } = endless.made.finish(false)
  assert.notEqual(unparsed, undefined)
  assert.equal(completion?.text, "")
  assert.deepEqual([unknown.deltas, broken.deltas, endless.deltas], [[], [], []])
})

test("a JSON answer beyond 32 MiB passes unread, an error body is read from its beginning", async () => {
  const large = observer(JSON_TYPE, 200, false)
  const piece = Buffer.alloc(1_048_576, "x")
  for (let count = 0; count < 33; count++) large.made.feed(piece)
  assert.match(large.made.finish(false).unparsed ?? "", /exceeds 33554432 bytes/)

  const failed = observer(JSON_TYPE, 500, false)
  failed.made.feed(Buffer.from('{"error":{"message":"first"}}'.padEnd(60_000)))
  failed.made.feed(piece)
  const { error, completion, unparsed } = failed.made.finish(true)
  assert.deepEqual([error?.status, error?.message, completion, unparsed], [500, "first", undefined, undefined])
})

test("whole, cut, an error in JSON, and no answer at all", async () => {
  const whole = observer(JSON_TYPE, 200, false)
  whole.made.feed(Buffer.from(JSON.stringify(chatJson("hi"))))
  assert.deepEqual(whole.made.finish(false).completion?.timings, { firstDeltaMs: undefined, totalMs: 5 })

  const cut = observer(SSE)
  cut.made.feed(Buffer.from(chatEvent("a") + DONE.slice(0, 4)))
  assert.equal(cut.made.finish(true).completion?.finishReason.unified, "cut")
  assert.deepEqual(cut.deltas, ["a"])

  const error = observer(JSON_TYPE, 200, false)
  error.made.feed(Buffer.from('{"error":"no"}'))
  assert.equal(error.made.finish(false).error?.message, "no")

  const other = observer(JSON_TYPE, 200, false)
  other.made.feed(Buffer.from("[]"))
  assert.match(other.made.finish(false).unparsed ?? "", /no openai-chat answer/)
})

test("an answer is complete with its dialect's end mark and not before, a JSON answer with its last byte", async () => {
  for (const { title, dialect, deltas } of streamedAnswers()) {
    const encoder = dialect.encoder(contextFor(dialect))
    const stream = Buffer.from(deltas.map((delta) => encoder.delta(delta)).join("") + encoder.end())
    const head = { status: 200, reason: "", headers: new Headers({ "content-type": dialect.streamType }) }
    const made = new AnswerObserver({ dialect, head, stream: true, elapsed: () => 5, onDelta: () => {} })
    for (const [bytes, complete] of [
      [stream.subarray(0, -1), false],
      [stream.subarray(-1), true],
    ] as const) {
      made.feed(bytes)
      assert.equal(made.complete, complete, title)
    }
  }
  const whole = Buffer.from(JSON.stringify(chatJson("a")))
  for (const status of [200, 429]) {
    const { made } = observer(JSON_TYPE, status, false)
    made.feed(whole.subarray(0, -1))
    assert.equal(made.complete, false)
    made.feed(whole.subarray(-1))
    assert.equal(made.complete, true)
  }
  const unreadable = observer({ ...JSON_TYPE, "content-encoding": "compress" }, 200, false)
  unreadable.made.feed(whole)
  assert.equal(unreadable.made.complete, false)
})
