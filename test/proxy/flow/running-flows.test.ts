/** What addons do with an answer that is out is nothing its client waits for: not its next request, up to a limit. */
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import { CONCLUDING_MAX, RunningFlows } from "../../../lib/proxy/flow/running-flows.ts"
import { LAST_HOOKS_MS } from "../../../lib/proxy/session/server.ts"
import { call, openSession } from "../../helpers/clients/h2-client.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  chatJson,
  DONE,
  FINISH,
  gate,
  jsonAnswer,
  origin,
  recorder,
  request,
  sseAnswer,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"
import { everythingTo } from "../../helpers/test-proxy.ts"

/** Enough turns of the event loop for what is under way within this process. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test("the next request is served while response or llmResponse of the one before still runs", async (t) => {
  for (const hook of ["response", "llmResponse"] as const) {
    for (const reply of [jsonAnswer(chatJson("a")), sseAnswer(chatEvent("a"), FINISH, DONE)]) {
      const { opened, open } = gate()
      let waiting = 0
      const slow = addon("slow", {
        async [hook](flow: Flow) {
          waiting++
          await flow.waitFor(opened)
        },
      })
      const host = await startHost(t, { addons: [slow] })
      const up = await origin(t, (_, socket) => void socket.write(reply))
      const wire = await host.connect()
      for (let count = 1; count <= 3; count++) {
        wire.write(chat(up.port))
        t.equal((await wire.response("POST")).status, 200)
        await until(() => waiting === count)
      }
      t.equal(host.chain.flows, 3, `${hook}: all three hooks run`)
      open()
      await host.settled()
    }
  }
})

test("pipelined requests are answered in order, each once the one before is out", async (t) => {
  const { opened, open } = gate()
  const slow = addon("slow", { response: (flow: Flow) => flow.waitFor(opened) })
  const host = await startHost(t, { addons: [slow] })
  const up = await origin(t, ({ target }, socket) => void socket.write(answer(target)))
  const wire = await host.connect()
  wire.write(["/1", "/2", "/3"].map((path) => request("GET", up.port, path)).join(""))
  for (const path of ["/1", "/2", "/3"]) t.equal((await wire.response()).text, path)
  open()
  await host.settled()
})

test("with so many ended flows whose hooks run, the next request waits for one of them", async (t) => {
  const gates: { open(): void }[] = []
  const slow = addon("slow", {
    async response(flow: Flow) {
      const one = gate()
      gates.push(one)
      await flow.waitFor(one.opened)
    },
  })
  const host = await startHost(t, { addons: [slow] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  for (let count = 1; count <= CONCLUDING_MAX; count++) {
    wire.write(request("GET", up.port, "/"))
    await wire.response()
    await until(() => gates.length === count)
  }
  wire.write(request("GET", up.port, "/last"))
  await turns()
  t.equal(up.requests.length, 16)
  gates[3]?.open()
  t.equal((await wire.response()).text, "ok")
  t.equal(up.requests.length, 17)
  await until(() => gates.length === 17)
  for (const { open } of gates) open()
  await host.settled()
})

test("clientDisconnected fires after the last hooks of the connection's flows, over both protocols", async (t) => {
  for (const protocol of ["HTTP/1.1", "HTTP/2"]) {
    const { opened, open } = gate()
    const seen = recorder(["response", "clientDisconnected"])
    const slow = addon("slow", { response: (flow: Flow) => flow.waitFor(opened) })
    const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
    const host = await startHost(t, { addons: [slow, seen.addon], settings: everythingTo(up) })
    if (protocol === "HTTP/1.1") {
      const wire = await host.connect()
      wire.write(request("GET", up.port, "/"))
      await wire.response()
      wire.socket.destroy()
    } else {
      const session = await openSession(t, `http://127.0.0.1:${host.port}`)
      const fields = { ":path": "/", ":authority": "other.test", ":scheme": "http" }
      t.equal((await call(session, fields)).text, "ok")
      session.destroy()
    }
    await turns()
    t.strictSame(seen.events, [], protocol)
    open()
    await seen.saw("clientDisconnected")
    t.strictSame(seen.events, ["response", "clientDisconnected"], protocol)
  }
})

test("a proxy that stops closes a connection whose answer is out, and waits for its hooks", async (t) => {
  const { opened, open } = gate()
  const slow = addon("slow", { response: (flow: Flow) => flow.waitFor(opened) })
  const host = await startHost(t, { addons: [slow] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await wire.response()
  let stopped = false
  const stopping = host.server.stop(10_000).then(() => {
    stopped = true
  })
  t.equal(await wire.ended, "end")
  wire.socket.destroy()
  await turns()
  t.equal(stopped, false)
  open()
  await stopping
})

test("when the grace is over, hooks of clients that are gone run on; what still runs then is said", async (t) => {
  for (const ends of [true, false]) {
    const { opened, open } = gate()
    const seen = recorder()
    const slow = addon("slow", { response: (flow: Flow) => flow.waitFor(opened) })
    const host = await startHost(t, { addons: [slow, seen.addon] })
    const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    await wire.response()
    wire.socket.destroy()
    let stopped = false
    const stopping = host.server.stop(1_000).then(() => {
      stopped = true
    })
    await turns()
    host.clock.advance(1_000)
    await turns()
    t.equal(stopped, false)
    if (ends) open()
    else host.clock.advance(LAST_HOOKS_MS)
    await stopping
    const said = host.lines.filter((line) => line.includes("still ran"))
    t.match(said, ends ? [] : [/^warn stopped while addons' hooks for a client still ran$/])
    t.strictSame(seen.events.includes("response"), ends)
    open()
  }
})

test("who waits begins one by one, first come first", async (t) => {
  const flows = new RunningFlows()
  const begun: number[] = []
  t.equal(flows.begin(1), undefined)
  for (const number of [1, 2]) void flows.begin(1)?.then(() => begun.push(number))
  let ended = false
  void flows.ended().then(() => {
    ended = true
  })
  for (const seen of [[], [1], [1, 2]]) {
    await turns()
    t.strictSame(begun, seen)
    t.equal(flows.count, 1)
    flows.end()
  }
  await turns()
  t.equal(ended, true)
  t.equal(flows.count, 0)
})
