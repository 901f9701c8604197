import assert from "node:assert/strict"
import zlib from "node:zlib"
import type { Test } from "tap"
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import {
  addon,
  answer,
  CHAT,
  chat,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  eventsOf,
  FINISH,
  gate,
  jsonAnswer,
  origin,
  recorder,
  SSE_HEAD,
  sseAnswer,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

/** A client that streams and is kept alive while an addon waits; then `then` says how it goes on. */
async function kept(t: Test, up: Buffer | "cut", then: (flow: Flow) => unknown = () => {}) {
  const go = gate()
  const waiting = gate()
  const from = await origin(t, (_, socket) => {
    if (up === "cut") socket.destroy()
    else socket.end(up)
  })
  const seen = recorder(["llmResponse", "llmError", "response", "error"])
  const keeps = addon("keeps", {
    async llmRequest(flow) {
      flow.keepAlive("thinking")
      waiting.open()
      await flow.waitFor(go.opened)
      await then(flow)
    },
  })
  const host = await startHost(t, { addons: [seen.addon, keeps] })
  const wire = await host.connect()
  wire.write(chat(from.port, { stream: true }, "Accept-Encoding: gzip\r\n"))
  await waiting.opened
  return { host, wire, from, seen, go: () => go.open() }
}

test("comments come after keepAliveMs and each time that passes, then the answer follows, its route in a comment", async (t) => {
  const events = chatEvent("a") + FINISH + DONE
  const { host, wire, go, seen } = await kept(t, sseAnswer(chatEvent("a"), FINISH, DONE), (flow) =>
    flow.route({ name: "cloud", reason: "too\nlarge" }),
  )
  host.clock.advance(4_999)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(wire.count, 0)
  host.clock.advance(1)
  await wire.until(": thinking\n\n")
  host.clock.advance(10_000)
  await wire.until(": thinking\n\n\r\nc\r\n: thinking\n\n\r\nc\r\n: thinking\n\n")
  go()
  const response = await wire.response("POST")
  assert.equal(response.status, 200)
  assert.equal(response.headers.get("x-llmproxy-route"), "pending")
  assert.equal(response.headers.get("content-type"), "text/event-stream")
  assert.equal(response.text, `${": thinking\n\n".repeat(3)}: route cloud: too large\n\n${events}`)
  await host.settled()
  assert.deepEqual(seen.events, ["llmResponse", "response"])
})

test("an answer that comes in time is delivered with its own head", async (t) => {
  const { host, wire, go } = await kept(t, sseAnswer(chatEvent("a"), DONE))
  host.clock.advance(4_999)
  go()
  const response = await wire.response("POST")
  assert.equal(response.text, chatEvent("a") + DONE)
  host.clock.advance(60_000)
  await host.settled()
  assert.equal(wire.text, "")
})

test("what keepAlive gives undoes it before a head is sent, and not after", async (t) => {
  let undo = () => {}
  const early = await kept(t, sseAnswer(chatEvent("a"), DONE), (flow) => {
    undo = flow.keepAlive("again")
    undo()
  })
  early.go()
  assert.equal((await early.wire.response("POST")).text, chatEvent("a") + DONE)
  const late = await kept(t, sseAnswer(chatEvent("a"), DONE))
  late.host.clock.advance(5_000)
  await late.wire.until(": thinking")
  undo()
  late.go()
  assert.match((await late.wire.response("POST")).text, /: route upstream: answered/)
})

test("after a comment, a JSON answer becomes events, and so does an encoded one", async (t) => {
  const json = JSON.stringify(chatJson("whole"))
  const zipped = answer(zlib.gzipSync(json), "Content-Type: application/json\r\nContent-Encoding: gzip\r\n")
  for (const up of [jsonAnswer(chatJson("whole")), zipped]) {
    const { host, wire, go, seen } = await kept(t, up)
    host.clock.advance(5_000)
    await wire.until(": thinking")
    go()
    const { text } = await wire.response("POST")
    const events = eventsOf(text) as { choices: { delta: { content?: string } }[] }[]
    assert.equal(events[0]?.choices[0]?.delta.content, "whole")
    assert.ok(text.endsWith(DONE))
    await host.settled()
    assert.deepEqual(seen.events, ["llmResponse", "response"])
    assert.equal(host.server.core.memory.used, 0)
  }
})

test("after a comment, an encoded stream is decoded: the client was told of no coding", async (t) => {
  const events = chatEvent("a") + FINISH + DONE
  const fields = "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
  const { host, wire, go } = await kept(t, answer(zlib.gzipSync(events), fields))
  host.clock.advance(5_000)
  await wire.until(": thinking")
  go()
  assert.ok((await wire.response("POST")).text.endsWith(events))
})

const LATE_FAILURES: [string, Buffer | "cut", string[]][] = [
  ["an error status", jsonAnswer({ error: { message: "no such model" } }, "404 Not Found"), ["llmError", "error"]],
  ["a JSON error with 200", jsonAnswer({ error: { message: "no such model" } }), ["llmError", "error"]],
  ["JSON that is no answer", jsonAnswer({ a: 1 }), ["llmResponse", "error"]],
  ["a cut before the head", "cut", ["error"]],
  ["a cut in the stream", Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]), ["llmResponse", "error"]],
]

for (const [what, up, hooks] of LATE_FAILURES) {
  test(`after a comment, ${what} is an error event and a cut, never a clean end`, async (t) => {
    const { host, wire, go, seen } = await kept(t, up)
    host.clock.advance(5_000)
    await wire.until(": thinking")
    go()
    await wire.ended
    assert.equal(wire.text.includes("0\r\n\r\n"), false)
    if (what !== "a cut in the stream") {
      const event = /data: (\{.*\})\n\n/.exec(wire.text)?.[1] ?? "{}"
      assert.match((JSON.parse(event) as { error: { message: string } }).error.message, /^llmproxy: /)
    }
    await host.settled()
    assert.deepEqual(seen.events, hooks)
  })
}

test("after a comment, an addon's error reply is an error event as well, and its answer's failure, too", async (t) => {
  const replies = await kept(t, "cut", (flow) =>
    flow.respond({ status: 503, error: { code: "c", message: "no luck" } }),
  )
  replies.host.clock.advance(5_000)
  await replies.wire.until(": thinking")
  replies.go()
  await replies.wire.ended
  assert.match(replies.wire.text, /data: \{"error":\{"message":"llmproxy: no luck"/)

  const from = await origin(t, (_, socket) => void socket.write(jsonAnswer({ error: { message: "child" } }, "500 No")))
  const sends = await kept(t, "cut", async (flow) => {
    const json = { model: "c", messages: [] }
    flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${from.port}${CHAT}` }))
  })
  sends.host.clock.advance(5_000)
  await sends.wire.until(": thinking")
  sends.go()
  await sends.wire.ended
  assert.match(sends.wire.text, /data: \{"error":\{"message":"llmproxy: child"/)
})

test("a client that leaves while it is kept alive ends the flow, and no comment comes any more", async (t) => {
  const { host, wire, seen } = await kept(t, "cut")
  host.clock.advance(5_000)
  await wire.until(": thinking")
  wire.socket.destroy()
  await seen.saw("error")
  await host.settled()
  host.clock.advance(60_000)
  assert.equal(host.clock.pending, 0)
})

test("a client that waits for JSON is sent nothing, and a stalled one no more than it takes", async (t) => {
  const go = gate()
  const waiting = gate()
  let calls = 0
  const keeps = addon("keeps", {
    async llmRequest(flow) {
      flow.keepAlive("x".repeat(60_000))
      calls += 1
      waiting.open()
      await flow.waitFor(go.opened)
      flow.respond({ json: chatJson("done") as never })
    },
  })
  const host = await startHost(t, { addons: [keeps] })
  const json = await host.connect()
  json.write(chat(1))
  await waiting.opened
  await new Promise((resolve) => setImmediate(resolve)) // The hook's time stands still once it has begun to await.
  host.clock.advance(60_000)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(json.count, 0)

  const stalled = await host.connect()
  stalled.socket.pause()
  stalled.write(chat(1, { stream: true }))
  await until(() => calls === 2)
  const before = process.memoryUsage().arrayBuffers
  for (let comments = 0; comments < 1_000; comments++) {
    host.clock.advance(5_000)
    if (comments % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 30_000_000, "60 MB of comments are not queued")
  go.open()
  assert.equal(JSON.parse((await json.response("POST")).text).choices[0].message.content, "done")
})
