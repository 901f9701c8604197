/** One request with an end: answers, refusals, silence, redirects, too much. */
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { type Test, test } from "tap"
import { fieldOf, listOf, makeAsk, numberIn } from "../../../lib/cli/doctor/ask.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test("an answer comes with its status, text and JSON", async (t) => {
  const url = await serve(t, (request, response) => {
    response.statusCode = 418
    response.end(JSON.stringify([request.method, request.headers["x-a"], request.headers["content-type"]]))
  })
  const ask = makeAsk(new ManualClock())
  t.match(await ask(url, { headers: { "x-a": "1" } }), { kind: "answer", status: 418, json: ["GET", "1", null], ms: 0 })
  t.match(await ask(url, { json: { a: 1 } }), { json: ["POST", null, "application/json"] })
})

test("a text that is no JSON is a text", async (t) => {
  const url = await serve(t, (_request, response) => response.end("<html>"))
  t.match(await makeAsk(new ManualClock())(url), { kind: "answer", text: "<html>", json: undefined })
})

test("a port where nobody listens refuses", async (t) => {
  const url = await serve(t, () => {})
  const closed = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => closed.once("listening", resolve))
  const { port } = closed.address() as AddressInfo
  await new Promise((resolve) => closed.close(resolve))
  t.match(await makeAsk(new ManualClock())(`http://127.0.0.1:${port}`), { kind: "refused", why: "ECONNREFUSED" })
  t.ok(url)
})

test("silence ends after two seconds of the clock", async (t) => {
  const clock = new ManualClock()
  const url = await serve(t, () => clock.advance(2_000))
  t.match(await makeAsk(clock)(url), { kind: "late", why: "no answer within 2 s" })
})

test("a redirect is not followed: a key may be in the request", async (t) => {
  let requests = 0
  const url = await serve(t, (_request, response) => {
    requests += 1
    response.writeHead(302, { location: "/elsewhere" }).end()
  })
  t.match(await makeAsk(new ManualClock())(url), { kind: "answer", status: 302 })
  t.equal(requests, 1)
})

test("an answer without end is a failure, and so is one that breaks off", async (t) => {
  const endless = await serve(t, (_request, response) => {
    const more = () => {
      while (response.write(Buffer.alloc(65_536)));
    }
    response.on("drain", more)
    more()
  })
  t.match(await makeAsk(new ManualClock())(endless), { kind: "failed", why: /exceeds 1048576 bytes/ })
  const broken = await serve(t, (request) => request.socket.destroy())
  t.match(await makeAsk(new ManualClock())(broken), { kind: "failed" })
  const odd = makeAsk(new ManualClock(), () => Promise.reject("a text"))
  t.match(await odd("http://h"), { kind: "failed", why: "a text" })
})

test("fields are found by their path, or not at all", async (t) => {
  t.equal(fieldOf({ a: { b: 1 } }, "a", "b"), 1)
  t.equal(fieldOf({ a: "text" }, "a", "length"), undefined)
  t.same(listOf({ data: [{ id: 1 }, "x", null] }, "data"), [{ id: 1 }])
  t.same(listOf({ data: {} }, "data"), [])
  t.same([numberIn(1), numberIn("1"), numberIn(Number.NaN)], [1, undefined, undefined])
})
