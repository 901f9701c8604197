/** What a hook may wait for, and for how long: waitFor, pause, a deadline for send, and comments that can be undone. */
import { test } from "tap"
import type { AnswerFailure, Flow, LlmFlow } from "../../../lib/api/flow.ts"
import { FlowError } from "../../../lib/base/errors.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  DONE,
  gate,
  jsonAnswer,
  origin,
  request,
  sseAnswer,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

test("waitFor gives what the promise becomes, and the hook's time stands still meanwhile", async (t) => {
  const { opened, open } = gate()
  let got: unknown
  const waits = addon("waits", {
    async request(flow: Flow) {
      got = await flow.waitFor(opened.then(() => "x"))
    },
  })
  const host = await startHost(t, { addons: [waits] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await until(() => host.chain.flows === 1)
  await new Promise((resolve) => setImmediate(resolve))
  host.clock.advance(60_000)
  open()
  t.equal((await wire.response()).text, "ok")
  t.equal(got, "x")
  t.notMatch(host.lines.join("\n"), /took more than/)
})

test("waitFor passes a rejection on, and counts the time after it again", async (t) => {
  const never = new Promise<void>(() => {})
  const seen: unknown[] = []
  const waits = addon("waits", {
    async request(flow: Flow) {
      await flow.waitFor(Promise.reject(new Error("no"))).catch((thrown: unknown) => seen.push(thrown))
      await never
    },
  })
  const host = await startHost(t, { addons: [waits] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await until(() => seen.length === 1)
  t.match(seen, [{ message: "no" }])
  await new Promise((resolve) => setImmediate(resolve))
  host.clock.advance(5_000)
  t.equal((await wire.response()).text, "ok", "goes on without the addon")
  t.match(host.lines.join("\n"), /addon "waits": request took more than 5000 ms/)
})

test("waitFor and pause reject when the client leaves or the flow is killed, at once if that has been", async (t) => {
  for (const [end, code] of [
    ["leave", "client-gone"],
    ["kill", "killed"],
  ] as const) {
    const thrown: unknown[] = []
    let seen: Flow | undefined
    const waits = addon("waits", {
      async request(flow: Flow) {
        seen = flow
        const waiting = [flow.waitFor(new Promise(() => {})), flow.pause()]
        for (const one of waiting) await one.catch((error: unknown) => thrown.push(error))
        await flow.waitFor(Promise.resolve()).catch((error: unknown) => thrown.push(error))
      },
    })
    const host = await startHost(t, { addons: [waits] })
    const wire = await host.connect()
    wire.write(request("GET", 1, "/"))
    await until(() => seen !== undefined)
    if (end === "leave") wire.socket.destroy()
    else seen?.kill()
    await until(() => thrown.length === 3)
    for (const error of thrown) t.match(error, { code })
    await host.settled()
  }
})

test("pause ends with resume, for all that wait", async (t) => {
  let seen: Flow | undefined
  const waits = addon("waits", {
    async request(flow: Flow) {
      seen = flow
      await Promise.all([flow.pause(), flow.pause()])
    },
  })
  const host = await startHost(t, { addons: [waits] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await until(() => seen !== undefined)
  seen?.resume()
  t.equal((await wire.response()).text, "ok")
})

test("send with timeoutMs gives up when nothing has come by then, and not later", async (t) => {
  const failures: (AnswerFailure | undefined)[] = []
  const texts: string[] = []
  const up = await origin(t, ({ target }, socket) => {
    if (target === "/quick") socket.write(answer("quick"))
  })
  const sends = addon("sends", {
    async request(flow: Flow) {
      for (const path of ["/quick", "/silent"]) {
        const url = `http://127.0.0.1:${up.port}${path}`
        const sent = await flow.send({ method: "GET" }, { url, until: "end", timeoutMs: 2_000 })
        failures.push(sent.failure)
        if (sent.failure === undefined) texts.push(await sent.text())
      }
      flow.respond({ text: "done" })
    },
  })
  const host = await startHost(t, { addons: [sends] })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/asks"))
  await until(() => up.requests.length === 2)
  host.clock.advance(2_000)
  t.equal((await wire.response()).text, "done")
  t.strictSame(texts, ["quick"], "what was read to its end can be read as text")
  t.equal(failures[0], undefined)
  t.match(failures[1], { kind: "connect", message: /\/silent: no answer within 2000 ms/ })
  await host.settled()
})

test("keep-alive can be undone until a head was sent, and not after that", async (t) => {
  for (const undoAt of ["before", "after"] as const) {
    const { opened, open } = gate()
    const limited = jsonAnswer({ error: { message: "slow down" } }, "429 Too Many Requests")
    const up = await origin(
      t,
      (_, socket) => void socket.write(undoAt === "before" ? limited : sseAnswer(chatEvent("a"), DONE)),
    )
    const keeps = addon("keeps", {
      async llmRequest(flow: LlmFlow) {
        const stop = flow.keepAlive("thinking")
        if (undoAt === "before") stop()
        await flow.waitFor(opened)
        stop()
      },
    })
    const host = await startHost(t, { addons: [keeps] })
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    await until(() => host.chain.flows === 1)
    await new Promise((resolve) => setImmediate(resolve))
    host.clock.advance(5_000)
    if (undoAt === "after") await wire.until(": thinking")
    else t.equal(wire.all, "")
    open()
    const response = await wire.response("POST")
    t.equal(response.status, undoAt === "before" ? 429 : 200)
    if (undoAt === "after") t.ok(response.text.endsWith(chatEvent("a") + DONE))
    await host.settled()
    t.equal(host.clock.pending <= 3, true, "no timer of it is left")
  }
})

test("keep-alive of a client that wants no stream does nothing, and can be undone", async (t) => {
  const keeps = addon("keeps", {
    llmRequest(flow: LlmFlow) {
      flow.keepAlive()()
      flow.respond({ json: { a: 1 } })
    },
  })
  const host = await startHost(t, { addons: [keeps] })
  const wire = await host.connect()
  wire.write(chat(1))
  t.equal((await wire.response("POST")).text, '{"a":1}')
})

test("fields for one origin leave towards it, and towards no other", async (t) => {
  const here = await origin(t, (_, socket) => void socket.write(answer("here")))
  const there = await origin(t, (_, socket) => void socket.write(answer("there")))
  const url = `http://127.0.0.1:${there.port}/there`
  const cases = [
    ["/own", (flow: Flow) => flow.route({ headers: { "X-Mark": "k" } }), here, "k"],
    ["/routed", (flow: Flow) => flow.route({ url, headers: [["x-mark", "k"]] }), there, "k"],
    [
      "/moved",
      (flow: Flow) => {
        flow.route({ headers: { "X-Mark": "k" } })
        flow.route({ url })
      },
      there,
      "client's",
    ],
    ["/named", (flow: Flow) => flow.route({ name: "x" }), here, "client's"],
  ] as const
  for (const [path, route, to, value] of cases) {
    const seen: (string | undefined)[] = []
    const later = addon("later", { request: (flow: Flow) => void seen.push(flow.request.headers.get("x-mark")) })
    const host = await startHost(t, { addons: [addon("routes", { request: (flow: Flow) => route(flow) }), later] })
    const wire = await host.connect()
    wire.write(request("GET", here.port, path, "", "X-Mark: client's\r\n"))
    t.equal((await wire.response()).text, to === here ? "here" : "there", path)
    t.match(to.requests.at(-1)?.head, new RegExp(`x-mark: ${value}`, "i"), path)
    t.strictSame(seen, ["client's"], "hooks do not see them")
  }
})

test("the error hook fires although a listener of llmResponse fails when the stream is cut", async (t) => {
  const events: string[] = []
  const up = await origin(
    t,
    (_, socket) => void socket.write(sseAnswer(chatEvent("a")).subarray(0, -5), () => socket.destroy()),
  )
  const throws = addon(
    "throws",
    {
      llmResponse() {
        events.push("llmResponse")
        throw new FlowError("addon", "oops", "oops")
      },
      error: () => void events.push("error"),
    },
    { onError: "block" },
  )
  const host = await startHost(t, { addons: [throws] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await wire.ended
  await host.settled()
  t.strictSame(events, ["llmResponse", "error"])
})
