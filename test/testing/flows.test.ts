/** Flows without a socket, as the tests of an addon use them. */
import assert from "node:assert/strict"
import { test } from "tap"
import { llmFlow, testFlow } from "../../lib/testing/flows.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

test("a test flow is a real one, with its body collected", async () => {
  const clock = new ManualClock()
  const { flow, replied } = await testFlow({
    url: "http://x.example:81/a?b=c",
    text: "hello",
    headers: { "X-A": "1" },
    clock,
  })
  assert.deepEqual(
    [flow.request.method, flow.request.url, flow.request.text],
    ["POST", "http://x.example:81/a?b=c", "hello"],
  )
  assert.deepEqual([flow.request.headers.get("host"), flow.request.headers.get("x-a")], ["x.example:81", "1"])
  assert.equal(flow.timings.start, clock.now())
  assert.equal(flow.client.id, "127.0.0.1")
  assert.equal(replied(), undefined)
  flow.respond({ status: 403, text: "no" })
  assert.deepEqual(replied(), { status: 403, text: "no" })
})

test("without options: a GET of OpenAI's chat path, and send rejects", async () => {
  const { flow } = await testFlow()
  assert.deepEqual([flow.request.method, flow.request.url], ["GET", "https://api.openai.com/v1/chat/completions"])
  await assert.rejects(flow.send({}, { url: "http://x/" }), /this test flow has no `send`/)
})

test("an LLM flow has its request read; send is what the test says", async () => {
  const json = { model: "m", messages: [{ role: "user", content: "hi" }] }
  const asked: unknown[] = []
  const { flow } = await llmFlow({
    json,
    send: (request, options) => {
      asked.push(request, options)
      return Promise.reject(new Error("as told"))
    },
  })
  assert.equal(flow.llm.request.model, "m")
  assert.equal(flow.request.headers.get("content-type"), "application/json")
  await assert.rejects(flow.send({ json }, { url: "http://x/" }), /as told/)
  assert.deepEqual(asked, [{ json }, { url: "http://x/" }])
})

test("a path or a body that is no LLM request is told", async () => {
  await assert.rejects(llmFlow({ url: "http://x/y", json: {} }), /no dialect has the path \/y/)
  await assert.rejects(llmFlow({ json: { a: 1 } }), /no openai-chat request/)
})
