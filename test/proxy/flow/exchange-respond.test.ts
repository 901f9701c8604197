import assert from "node:assert/strict"
import { test } from "tap"
import type { Flow, Reply } from "../../../lib/api/flow.ts"
import { completionFrom } from "../../../lib/llm/assemble.ts"
import {
  addon,
  answer,
  chat,
  eventsOf,
  gate,
  origin,
  recorder,
  request,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

const replier = (hook: "requestHeaders" | "request" | "llmRequest", reply: Reply) =>
  addon("replies", { [hook]: (flow: Flow) => flow.respond(reply) })

test("respond answers without upstream: later request hooks are skipped, response hooks run", async (t) => {
  const expected = {
    requestHeaders: ["requestHeaders", "responseHeaders", "response"],
    request: ["requestHeaders", "request", "responseHeaders", "response"],
    llmRequest: ["requestHeaders", "request", "llmRequest", "responseHeaders", "llmError", "response"],
  }
  for (const hook of ["requestHeaders", "request", "llmRequest"] as const) {
    const before = recorder()
    const after = recorder()
    const host = await startHost(t, {
      addons: [before.addon, replier(hook, { status: 429, text: "budget spent" }), after.addon],
    })
    const up = await origin(t, () => {})
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    const response = await wire.response("POST")
    await host.settled()
    assert.equal(response.status, 429)
    const { error } = JSON.parse(response.text) as { error: { message: string } }
    assert.equal(error.message, "budget spent", "a text with an error status is the dialect's error")
    assert.deepEqual(before.events, expected[hook])
    assert.equal(after.events.includes(hook), false, `${hook} of the next addon is skipped`)
    assert.equal(up.connections, 0)
    assert.equal(before.flow().response?.status, 429)
  }
})

test("what respond sends: text, JSON, an error in the dialect, an error in no dialect", async (t) => {
  const cases: [Reply, string, number, string, string][] = [
    [{ text: "hello" }, "/x", 200, "text/plain; charset=utf-8", "hello"],
    [{ status: 404, text: "none" }, "/x", 404, "text/plain; charset=utf-8", "none"],
    [{ json: { a: 1 } }, "/v1/chat/completions", 200, "application/json", '{"a":1}'],
    [{ status: 201, json: [1], headers: { "Content-Type": "text/x" } }, "/x", 201, "text/x", "[1]"],
    [{ error: { code: "c", message: "m" } }, "/x", 400, "text/plain; charset=utf-8", "m\n"],
    [{}, "/x", 200, "text/plain; charset=utf-8", ""],
  ]
  for (const [reply, path, status, type, body] of cases) {
    const host = await startHost(t, { addons: [replier("request", reply)] })
    const wire = await host.connect()
    wire.write(request("POST", 1, path, "{}"))
    const response = await wire.response("POST")
    assert.deepEqual([response.status, response.headers.get("content-type"), response.text], [status, type, body])
    assert.equal(response.headers.get("content-length"), String(body.length))
  }
  const host = await startHost(t, {
    addons: [replier("request", { status: 403, error: { code: "c", message: "m", type: "t", param: "p" } })],
  })
  const wire = await host.connect()
  wire.write(chat(1))
  const { error } = JSON.parse((await wire.response("POST")).text) as { error: object }
  assert.deepEqual(error, { message: "m", type: "t", param: "p", code: "c" })
})

test("an error takes the shape of the dialect that the client speaks, also when an addon changes the path", async (t) => {
  const changes = addon("changes", {
    request(flow) {
      flow.request.path = "/elsewhere"
      flow.respond({ error: { code: "c", message: "m" } })
    },
  })
  const host = await startHost(t, { addons: [changes] })
  const wire = await host.connect()
  wire.write(chat(1))
  const response = await wire.response("POST")
  assert.equal((JSON.parse(response.text) as { error: { code: string } }).error.code, "c")
  const moves = addon("moves", {
    request(flow) {
      flow.request.path = "/elsewhere"
    },
  })
  const other = await startHost(t, { addons: [moves] })
  const closed = await origin(t, () => {})
  const { port } = closed
  await closed.close()
  const second = await other.connect()
  second.write(chat(port))
  assert.match((await second.response("POST")).headers.get("content-type") ?? "", /json/)
})

test("a reply's fields are the addon's, framing is ours", async (t) => {
  const headers = { "Content-Length": "999", "Transfer-Encoding": "chunked", "X-A": ["1", "2"] }
  const host = await startHost(t, { addons: [replier("request", { text: "abc", headers })] })
  const wire = await host.connect()
  wire.write(request("GET", 1, "/"))
  const response = await wire.response()
  assert.equal(response.text, "abc")
  assert.deepEqual(response.headers.getAll("x-a"), ["1", "2"])
})

test("a reply that cannot be sent is the hook's failure, not the program's", async (t) => {
  const bad: [Reply, RegExp][] = [
    [{ headers: { "bad name": "x" } }, /header name "bad name"/],
    [{ headers: { x: "a\r\nb" } }, /header x/],
    [{ status: 99 }, /status 99/],
    [{ status: 1000 }, /status 1000/],
    [{ status: 101 }, /status 101/],
    [{ status: 200.5 }, /status 200.5/],
  ]
  for (const [reply, message] of bad) {
    const host = await startHost(t, { addons: [replier("request", reply)] })
    const up = await origin(t, (_, socket) => void socket.write(answer("went on")))
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    assert.equal((await wire.response()).text, "went on")
    assert.match(host.lines.join("\n"), message)
  }
})

test("the last respond counts; once the answer is on its way it comes too late", async (t) => {
  const late: unknown[] = []
  const twice = addon("twice", {
    request(flow) {
      if (flow.request.path !== "/twice") return
      flow.respond({ text: "one" })
      flow.respond({ text: "two" })
    },
    response(flow) {
      try {
        flow.respond({ text: "late" })
      } catch (thrown) {
        late.push(thrown)
      }
      flow.kill()
    },
  })
  const host = await startHost(t, { addons: [twice] })
  const up = await origin(t, (_, socket) => void socket.write(answer("upstream")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/twice"))
  assert.equal((await wire.response()).text, "two")
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).text, "upstream")
  assert.equal(late.length, 2)
  assert.match(String(late[0]), /comes too late/)
})

test("respond and kill on a flow that has ended do nothing", async (t) => {
  const seen = recorder(["response", "error"])
  const host = await startHost(t, { addons: [seen.addon, replier("requestHeaders", { text: "x" })] })
  const wire = await host.connect()
  wire.write(request("GET", 1, "/"))
  await wire.response()
  await host.settled()
  const flow = seen.flow()
  flow.respond({ text: "again" })
  flow.kill()
  assert.equal(flow.error, undefined)
  assert.deepEqual(seen.events, ["response"])
  await assert.rejects(flow.pause(), { code: "ended" })
  await assert.rejects(flow.send({}, { url: "http://127.0.0.1:1/" }), { code: "ended" })
})

test("a request whose body was not read is answered, and the connection closed after it", async (t) => {
  const host = await startHost(t, { addons: [replier("requestHeaders", { status: 403, text: "no" })] })
  const wire = await host.connect()
  wire.write("POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nstart")
  const response = await wire.response("POST")
  assert.deepEqual([response.status, response.text], [403, "no"])
  assert.equal(await wire.ended, "end")
})

test("a HEAD request gets a reply's head alone", async (t) => {
  const host = await startHost(t, { addons: [replier("request", { text: "hello" })] })
  const wire = await host.connect()
  wire.write(request("HEAD", 1, "/"))
  assert.equal((await wire.response("HEAD")).text, "")
  wire.write(request("GET", 1, "/"))
  assert.equal((await wire.response()).text, "hello")
})

test("a reply of JSON to a client that was kept alive becomes events", async (t) => {
  const answers = gate()
  const waits = addon("waits", {
    async llmRequest(flow) {
      flow.keepAlive("wait")
      await flow.waitFor(answers.opened)
      const choices = [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }]
      flow.respond({ json: { model: "x", choices } })
    },
  })
  const host = await startHost(t, { addons: [waits] })
  const wire = await host.connect()
  wire.write(chat(1, { stream: true }))
  await until(() => host.clock.pending > 1)
  host.clock.advance(5_000)
  await wire.until(": wait\n\n")
  answers.open()
  const response = await wire.response("POST").catch(() => undefined)
  assert.equal(response?.status, 200)
  assert.match(response?.text ?? "", /^: wait\n\n: route upstream: answered\n\n/)
  assert.equal(eventsOf(response?.text ?? "").length, 2)
  assert.ok(response?.text.endsWith("data: [DONE]\n\n"))
})

test("a completion is given in the form that the client asked for, and as its text where it speaks no dialect", async (t) => {
  const deltas = [
    { type: "text", index: 0, text: "hi" },
    { type: "finish", index: 0, reason: { unified: "stop", raw: "stop" } },
  ] as const
  const completion = completionFrom(deltas, { model: "made" })
  // The form is known once the body was read.
  const gives = addon("gives", { request: (flow) => flow.respond({ completion }) }, { reads: "bodies" })
  const host = await startHost(t, { addons: [gives] })
  const asked: [string, RegExp, RegExp][] = [
    [chat(1, { stream: true }), /event-stream/, /^data: .*"model":"made".*"content":"hi".*data: \[DONE\]\n\n$/s],
    [chat(1), /json/, /"model":"made".*"content":"hi"/],
    [request("POST", 1, "/page", "x"), /text\/plain/, /^hi$/],
  ]
  for (const [bytes, type, text] of asked) {
    const wire = await host.connect()
    wire.write(bytes)
    const response = await wire.response("POST")
    assert.match(response.headers.get("content-type") ?? "", type)
    assert.match(response.text, text)
  }
})
