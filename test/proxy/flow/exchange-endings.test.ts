import assert from "node:assert/strict"
import type { Socket } from "node:net"
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import type { Hooks } from "../../../lib/api/hooks.ts"
import type { ScriptedOrigin } from "../../../lib/testing/origin.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  gate,
  jsonAnswer,
  origin,
  recorder,
  request,
  SSE_HEAD,
  sseAnswer,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

const LAST_HOOKS = ["responseHeaders", "llmResponse", "llmError", "response", "error"]

test("an upstream that is cut before its head: 502 in the dialect, only error fires", async (t) => {
  const seen = recorder(LAST_HOOKS)
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => void socket.destroy())
  const wire = await host.connect()
  wire.write(chat(up.port))
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(response.status, 502)
  const { error } = JSON.parse(response.text) as { error: { message: string; code: string } }
  assert.match(error.message, /^llmproxy: /)
  assert.deepEqual(seen.events, ["error"])
  assert.equal(seen.flow().error?.code, "cut")
})

test("an upstream that cannot be reached: 502, a dialect's path gets its error shape, any other one line", async (t) => {
  const seen = recorder(LAST_HOOKS)
  const host = await startHost(t, { addons: [seen.addon] })
  const closed = await origin(t, () => {})
  const { port } = closed
  await closed.close()
  const wire = await host.connect()
  wire.write(chat(port))
  const dialect = await wire.response("POST")
  assert.equal(dialect.status, 502)
  assert.match(dialect.headers.get("content-type") ?? "", /json/)
  wire.write(request("GET", port, "/"))
  const plain = await wire.response()
  assert.deepEqual([plain.status, plain.headers.get("content-type")], [502, "text/plain; charset=utf-8"])
  assert.match(plain.text, /refused/)
  await host.settled()
  assert.deepEqual(seen.events, ["error", "error"])
})

const CUTS: [string, (socket: Socket) => void][] = [
  [
    "in a body with a length",
    (s) =>
      void s.end(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n${chatEvent("a")}`),
  ],
  ["between two chunks", (s) => void s.end(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))],
  [
    "inside a chunk",
    (s) => void s.end(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a")), Buffer.from("ff\r\ndata: ")])),
  ],
  [
    "by a broken chunk size",
    (s) => void s.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a")), Buffer.from("zz\r\n")])),
  ],
]

for (const [where, cut] of CUTS) {
  test(`an upstream cut ${where}: the client sees a cut, llmResponse says cut, then error`, async (t) => {
    const seen = recorder(LAST_HOOKS)
    const host = await startHost(t, { addons: [seen.addon] })
    const up = await origin(t, (_, socket) => cut(socket))
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    await assert.rejects(wire.response("POST"))
    await host.settled()
    assert.deepEqual(seen.events, ["responseHeaders", "llmResponse", "error"])
    const completion = seen.flow().llm?.completion
    assert.deepEqual([completion?.text, completion?.finishReason.unified], ["a", "cut"])
    assert.equal(host.server.core.memory.used, 0)
  })
}

test("an answer that lasts until the connection closes ends cleanly, and a reset of it is a cut", async (t) => {
  const seen = recorder(LAST_HOOKS)
  const host = await startHost(t, { addons: [seen.addon] })
  // Data and RST that arrive together are an EOF to libuv: the reset waits until the data has been seen.
  const arrived = gate()
  const up = await origin(t, async ({ target }, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello")
    if (target === "/end") return void socket.end()
    await arrived.opened
    socket.resetAndDestroy()
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/end"))
  assert.equal((await wire.response()).text, "hello")
  wire.write(request("GET", up.port, "/reset"))
  await wire.until("hello")
  arrived.open()
  await assert.rejects(wire.response())
  await host.settled()
  assert.deepEqual(seen.events, ["responseHeaders", "response", "responseHeaders", "error"])
})

test("a client that leaves in any phase ends the flow with error, and upstream is aborted", async (t) => {
  const stay = gate()
  t.teardown(() => stay.open())
  const phases: [string, Partial<Hooks>, ((socket: Socket) => void)?][] = [
    ["requestHeaders", { requestHeaders: (flow) => aborted(flow) }],
    ["request", { request: (flow) => aborted(flow) }],
    ["llmRequest", { llmRequest: (flow) => aborted(flow) }],
    ["waiting", {}, () => {}],
    ["responseHeaders", { responseHeaders: (flow) => aborted(flow) }, (s) => void s.write(SSE_HEAD)],
    ["llmDelta", {}, (s) => void s.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))],
  ]
  for (const [phase, hooks, reply] of phases) {
    const seen = recorder()
    const host = await startHost(t, { addons: [seen.addon, addon("waits", hooks)] })
    const closed = gate()
    const up = await origin(t, (_, socket) => {
      socket.once("close", closed.open)
      reply?.(socket)
    })
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    if (phase === "waiting") await up.received(1)
    else await until(() => seen.events.some((event) => is(event, phase)))
    wire.socket.destroy()
    await seen.saw("error")
    await host.settled()
    if (reply !== undefined) await closed.opened
    const after = seen.events.slice(seen.events.findIndex((event) => is(event, phase)) + 1)
    const headCame = phase === "responseHeaders" || phase === "llmDelta"
    if (phase !== "waiting") assert.deepEqual(after, headCame ? ["llmResponse", "error"] : ["error"], phase)
    assert.equal(seen.flow().error?.code, "client-gone", phase)
    assert.equal(host.server.core.memory.used, 0, phase)
  }
})

function is(event: string, phase: string): boolean {
  return event.split(" ")[0] === phase
}

/** A hook that waits for the flow's signal. */
function aborted(flow: Flow): Promise<void> {
  return new Promise((resolve) => flow.signal.addEventListener("abort", () => resolve()))
}

test("a client that half-closes while its answer is outstanding has left", async (t) => {
  const seen = recorder(LAST_HOOKS)
  const host = await startHost(t, { addons: [seen.addon] })
  const closed = gate()
  const up = await origin(t, (_, socket) => void socket.once("close", closed.open))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await up.received(1)
  wire.end()
  await closed.opened
  await host.settled()
  assert.deepEqual(seen.events, ["error"])
})

type KillHook =
  | "requestHeaders"
  | "request"
  | "llmRequest"
  | "responseHeaders"
  | "llmDelta"
  | "llmResponse"
  | "llmError"
const KILL_HOOKS: readonly KillHook[] = [
  "requestHeaders",
  "request",
  "llmRequest",
  "responseHeaders",
  "llmDelta",
  "llmResponse",
  "llmError",
]

function replyFor(hook: KillHook): (request: unknown, socket: Socket) => void {
  if (hook === "llmError") return (_, socket) => void socket.write(jsonAnswer({ error: { message: "no" } }, "500 No"))
  return (_, socket) => void socket.write(sseAnswer(chatEvent("a"), FINISH, DONE))
}

for (const hook of KILL_HOOKS) {
  test(`flow.kill() in ${hook} ends in error, once, and nothing else`, async (t) => {
    const seen = recorder()
    const kills = addon("kills", { [hook]: (flow: Flow) => flow.kill("enough") })
    const host = await startHost(t, { addons: [seen.addon, kills] })
    const up = await origin(t, replyFor(hook))
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }, "Connection: close\r\n"))
    await wire.ended
    await host.settled()
    checkEnding(seen.events, hook)
    assert.deepEqual([seen.flow().error?.code, seen.flow().error?.message], ["killed", "enough"])
    // What was written before it was looked at has gone out; an end has not.
    if (hook === "llmDelta") assert.ok(!wire.text.endsWith("0\r\n\r\n"))
    else if (!["llmResponse", "llmError"].includes(hook)) assert.ok(!wire.text.includes("[DONE]"))
  })
}

function checkEnding(events: readonly string[], hook: string): void {
  assert.equal(events.filter((event) => event === "error" || event === "response").length, 1, events.join(" "))
  assert.equal(events.at(-1), "error", events.join(" "))
  const judged = events.filter((event) => event === "llmResponse" || event === "llmError").length
  assert.equal(judged, events.includes("responseHeaders") ? 1 : 0, `${hook}: ${events.join(" ")}`)
}

for (const hook of KILL_HOOKS) {
  test(`a throwing ${hook} lets the flow go on with "continue", and stops it with "block"`, async (t) => {
    for (const how of ["throw", "reject"] as const) {
      for (const onError of ["continue", "block"] as const) {
        const seen = recorder()
        const fails = () => {
          if (how === "reject") return Promise.reject(new Error("oops"))
          throw new Error("oops")
        }
        const breaks = addon("breaks", { [hook]: fails }, { onError })
        const host = await startHost(t, { addons: [seen.addon, breaks] })
        const up = await origin(t, replyFor(hook))
        const wire = await host.connect()
        wire.write(chat(up.port, { stream: true }, "Connection: close\r\n"))
        await wire.ended
        await host.settled()
        const what = `${hook} ${how} ${onError}: ${seen.events.join(" ")}`
        if (onError === "block") {
          // A rejection that nobody waits for comes after the end at times: then there is nothing left to stop.
          if (hook === "llmDelta" && how === "reject" && seen.events.at(-1) === "response") continue
          checkEnding(seen.events, what)
          assert.equal(seen.flow().error?.code, "addon-failed", what)
          if (!seen.events.includes("responseHeaders")) assert.match(wire.text, /^HTTP\/1.1 500 /, what)
        } else assert.equal(seen.events.at(-1), "response", what)
        assert.ok(
          host.lines.some((line) => line.includes(`addon "breaks": ${hook} failed: oops`)),
          what,
        )
      }
    }
  })
}

test("response and error hooks that throw change nothing any more, whatever onError says", async (t) => {
  const seen = recorder(LAST_HOOKS)
  const oops = () => {
    throw new Error("oops")
  }
  const breaks = addon("breaks", { response: oops, error: oops }, { onError: "block" })
  const host = await startHost(t, { addons: [breaks, seen.addon] })
  const up = await origin(t, ({ target }, socket) => {
    if (target === "/cut") socket.destroy()
    else socket.write(answer("ok"))
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).text, "ok")
  wire.write(request("GET", up.port, "/cut"))
  assert.equal((await wire.response()).status, 502)
  await host.settled()
  assert.deepEqual(seen.events, ["responseHeaders", "response", "error"])
})

test("llmResponse of a cut stream that throws with block does not take error's place", async (t) => {
  const seen = recorder(LAST_HOOKS)
  const breaks = addon("breaks", { llmResponse: () => Promise.reject(new Error("oops")) }, { onError: "block" })
  const host = await startHost(t, { addons: [seen.addon, breaks] })
  const up = await origin(
    t,
    (_, socket) => void socket.end(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))])),
  )
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await wire.ended
  await host.settled()
  assert.deepEqual(seen.events, ["responseHeaders", "llmResponse", "error"])
})

test("a hook that takes longer than its budget counts as failed", async (t) => {
  for (const onError of ["continue", "block"] as const) {
    const seen = recorder(LAST_HOOKS)
    const started = gate()
    const slow = addon(
      "slow",
      {
        request() {
          started.open()
          return new Promise(() => {})
        },
      },
      { onError },
    )
    const host = await startHost(t, { addons: [slow, seen.addon] })
    const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    await started.opened
    host.clock.advance(4_999)
    assert.deepEqual(seen.events, [])
    host.clock.advance(1)
    const response = await wire.response()
    await host.settled()
    assert.equal(response.status, onError === "block" ? 500 : 200)
    assert.equal(seen.events.at(-1), onError === "block" ? "error" : "response")
  }
})

test("pause stands the budget still, resume goes on, and kill rejects the pause", async (t) => {
  const seen = recorder(LAST_HOOKS)
  const paused = gate()
  let rejected: unknown
  const pauses = addon("pauses", {
    async request(flow) {
      const waiting = flow.pause()
      paused.open()
      await waiting.catch((thrown: unknown) => {
        rejected = thrown
        throw thrown
      })
    },
  })
  const host = await startHost(t, { addons: [seen.addon, pauses, recorder(["request"]).addon] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const flows: Flow[] = []
  const keep = addon("keep", { requestHeaders: (flow) => void flows.push(flow) })
  const second = await startHost(t, { addons: [keep, pauses] })
  const wire = await second.connect()
  wire.write(request("GET", up.port, "/"))
  await paused.opened
  second.clock.advance(60_000)
  flows[0]?.resume()
  assert.equal((await wire.response()).text, "ok")
  await second.settled()
  wire.write(request("GET", up.port, "/"))
  await until(() => flows.length === 2)
  await new Promise((resolve) => setImmediate(resolve))
  flows[1]?.kill()
  await wire.ended
  await second.settled()
  assert.equal(rejected, flows[1]?.error)
  assert.equal(
    second.lines.some((line) => line.includes("failed")),
    false,
  )
  await assert.rejects(flows[1]?.pause() ?? Promise.resolve(), { code: "killed" })
  assert.equal(host.chain.flows, 0)
})

test("kill ends a flow whose client does not read any more", async (t) => {
  const seen = recorder(["responseHeaders", "response", "error"])
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await bigOrigin(t)
  const wire = await host.connect()
  wire.socket.pause()
  wire.write(request("GET", up.port, "/"))
  await stalled(up)
  seen.flow().kill()
  await seen.saw("error")
  await host.settled()
})

test("kill ends a flow whose upstream is being dialled", async (t) => {
  const seen = recorder(["response", "error"])
  const dialling = gate()
  const never = addon("never", {
    serverConnect() {
      dialling.open()
      return new Promise(() => {})
    },
  })
  const flows: Flow[] = []
  const keep = addon("keep", { request: (flow) => void flows.push(flow) })
  const host = await startHost(t, { addons: [never, keep, seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await dialling.opened
  flows[0]?.kill()
  await seen.saw("error")
  await host.settled()
  await wire.ended
})

/** An origin that writes without end, as long as somebody reads. */
async function bigOrigin(t: Parameters<typeof origin>[0]): Promise<ScriptedOrigin & { full(): boolean }> {
  let socketOf: Socket | undefined
  const up = await origin(t, (_, socket) => {
    socketOf = socket
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    const more = () => {
      while (!socket.destroyed && socket.write(chunk("x".repeat(60_000)))) {}
    }
    socket.on("drain", more)
    more()
  })
  let written = -1
  return Object.assign(up, {
    full: () => {
      const before = written
      written = socketOf?.bytesWritten ?? -1
      return written > 0 && before === written && socketOf?.writableNeedDrain === true
    },
  })
}

/** Resolves when nothing has moved for many turns of the loop. */
async function stalled(up: { full(): boolean }): Promise<void> {
  for (let quiet = 0; quiet < 200; ) {
    await new Promise((resolve) => setImmediate(resolve))
    quiet = up.full() ? quiet + 1 : 0
  }
}

test("a request that breaks off while it is collected ends in error, with nothing forwarded", async (t) => {
  const seen = recorder()
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("x"))))
  const wire = await host.connect()
  const head = `POST http://127.0.0.1:${up.port}/v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`
  wire.write(`${head}3\r\nabc\r\nzz\r\n`)
  const response = await wire.response("POST")
  await host.settled()
  assert.equal(response.status, 400)
  assert.deepEqual(seen.events, ["requestHeaders", "error"])
  assert.equal(up.connections, 0)
})
