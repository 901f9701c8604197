import assert from "node:assert/strict"
import { createServer, type Socket } from "node:net"
import { test } from "tap"
import type { Flow, FlowSnapshot } from "../../../lib/api/flow.ts"
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
  systemClock,
} from "../../helpers/hosts/proxy-host.ts"
import { sharedCertificates } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

test("a snapshot is plain data that outlives its flow", async (t) => {
  const shots: FlowSnapshot[] = []
  const takes = addon("takes", {
    requestHeaders: (flow) => void shots.push(flow.snapshot()),
    responseHeaders: (flow) => flow.response?.keep(20),
    llmRequest(flow) {
      flow.route({ name: "here", reason: "why" })
      flow.metadata["takes.note"] = { deep: [1] }
      flow.metadata["takes.fn"] = () => {}
    },
    llmResponse: () => {},
    response: (flow) => void shots.push(flow.snapshot()),
    error: (flow) => void shots.push(flow.snapshot()),
  })
  const host = await startHost(t, { addons: [takes] })
  const up = await origin(t, ({ body }, socket) => {
    if (body.includes("cut")) socket.destroy()
    else socket.write(jsonAnswer(chatJson("hello")))
  })
  const wire = await host.connect()
  wire.write(chat(up.port, {}, "X-A: 1\r\nx-a: 2\r\n"))
  await wire.response("POST")
  wire.write(chat(up.port, { model: "cut" }))
  await wire.response("POST")
  await host.settled()
  const [early, whole, , broken] = shots
  for (const shot of shots) assert.deepEqual(structuredClone(shot), shot)
  assert.deepEqual([early?.response, early?.llm, early?.request.body], [undefined, undefined, undefined])
  assert.match(whole?.id ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  assert.equal(whole?.request.url, `http://127.0.0.1:${up.port}/v1/chat/completions`)
  assert.match(whole?.request.body ?? "", /"messages"/)
  assert.deepEqual(
    whole?.request.headers.filter(([name]) => name.toLowerCase() === "x-a"),
    [
      ["X-A", "1"],
      ["x-a", "2"],
    ],
  )
  assert.deepEqual(
    [whole?.response?.status, whole?.response?.body?.length, whole?.response?.truncated],
    [200, 20, true],
  )
  assert.deepEqual(
    [whole?.llm?.dialect, whole?.llm?.model, whole?.llm?.completion?.text],
    ["openai-chat", "m", "hello"],
  )
  assert.deepEqual(whole?.routed, { name: "here", reason: "why", tokens: undefined, url: undefined })
  assert.deepEqual(whole?.metadata, { "takes.note": { deep: [1] } })
  assert.equal(whole?.server?.address, "127.0.0.1")
  assert.deepEqual(whole?.bytes, {
    request: up.requests[0]?.body.length,
    response: JSON.stringify(chatJson("hello")).length,
  })
  assert.equal(whole?.error, undefined)
  assert.equal(broken?.error?.source, "upstream")
  assert.equal(broken?.error?.code, "cut")
})

test("timings are told by the clock: request whole, head, first piece of text, end", async (t) => {
  const steps = [gate(), gate(), gate()] as const
  const sockets: Socket[] = []
  const seen = recorder(["request", "responseHeaders", "llmDelta", "response"])
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => void sockets.push(socket))
  const wire = await host.connect()
  const text = chat(up.port, { stream: true })
  const cut = text.length - 10
  wire.write(text.slice(0, cut))
  while (host.chain.flows === 0) await new Promise((resolve) => setImmediate(resolve))
  host.clock.advance(10)
  wire.write(text.slice(cut))
  await up.received(1)
  host.clock.advance(20)
  sockets[0]?.write(SSE_HEAD)
  await seen.saw("responseHeaders")
  host.clock.advance(30)
  sockets[0]?.write(Buffer.concat([chunk(chatEvent("", { usage: { prompt_tokens: 1 } }))]))
  await seen.saw("llmDelta usage")
  host.clock.advance(40)
  sockets[0]?.write(chunk(chatEvent("a")))
  await seen.saw("llmDelta a")
  host.clock.advance(50)
  sockets[0]?.write(Buffer.concat([chunk(DONE), Buffer.from("0\r\n\r\n")]))
  await host.settled()
  const { timings, llm } = seen.flow()
  assert.deepEqual(
    { ...timings, start: 0 },
    { start: 0, requestMs: 10, responseHeadMs: 30, firstDeltaMs: 100, endMs: 150 },
  )
  assert.deepEqual(llm?.completion?.timings, { firstDeltaMs: 90, totalMs: 140 })
  assert.ok(timings.start > 1_700_000_000_000)
  for (const step of steps) step.open()
})

test("a body that streams is whole when its last byte has passed", async (t) => {
  const seen = recorder(["request", "response"])
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(`POST http://127.0.0.1:${up.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab`)
  await seen.saw("request")
  assert.equal(seen.flow().timings.requestMs, undefined)
  host.clock.advance(25)
  wire.write("cd")
  await wire.response("POST")
  await host.settled()
  assert.equal(seen.flow().timings.requestMs, 25)
})

test("client.id is one for each credential, never the credential, else the address", async (t) => {
  const ids: string[] = []
  const host = await startHost(t, {
    addons: [addon("ids", { request: (flow) => void ids.push(flow.client.id, flow.client.id) })],
  })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  const fields = [
    "",
    "Authorization: Bearer sk-one\r\n",
    "Authorization: Bearer sk-two\r\n",
    "X-Api-Key: k\r\n",
    "Api-Key: k\r\n",
    "Authorization: Bearer sk-one\r\n",
  ]
  for (const field of fields) {
    wire.write(request("GET", up.port, "/", "", field))
    await wire.response()
  }
  const [none, one, two, key, other, again] = ids.filter((_, index) => index % 2 === 0)
  assert.equal(none, "127.0.0.1")
  assert.equal(one, again)
  assert.equal(key, other)
  assert.equal(new Set([none, one, two, key]).size, 4)
  assert.equal(
    ids.some((id) => id.includes("sk-")),
    false,
  )
})

test("a flow tells its client and its upstream, TLS included", async (t) => {
  const certificates = await sharedCertificates()
  const seen = recorder(["response"])
  const host = await startHost(t, { addons: [seen.addon], settings: { connectTo: [] } })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")), "localhost")
  const tunnel = await Wire.tunnel(host.port, `localhost:${up.port}`)
  const wire = await tunnel.secure({ servername: "localhost", ca: certificates.ca })
  t.teardown(() => wire.socket.destroy())
  wire.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
  const response = await wire.response()
  assert.equal(response.status, 200, response.text)
  await host.settled()
  const { client, server } = seen.flow()
  assert.equal(client.tls?.sni, "localhost")
  assert.equal(client.address, "127.0.0.1")
  assert.ok(client.port > 0)
  assert.equal(server?.host, "localhost")
  assert.match(server?.tls?.version ?? "", /^TLSv1/)
  assert.deepEqual(structuredClone(seen.flow().snapshot()).client.tls, { ...client.tls })
})

test("signal is made when read, and aborted with the reason when the client leaves", async (t) => {
  const flows: Flow[] = []
  const waits = addon("waits", {
    async request(flow) {
      flows.push(flow)
      await new Promise((resolve) => flow.signal.addEventListener("abort", resolve))
    },
  })
  const host = await startHost(t, { addons: [waits] })
  const wire = await host.connect()
  wire.write(request("GET", 1, "/"))
  while (flows.length === 0) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(flows[0]?.signal.aborted, false)
  wire.socket.destroy()
  await host.settled()
  assert.equal(flows[0]?.signal.reason, flows[0]?.error)
  assert.equal(flows[0]?.error?.code, "client-gone")
  const late = recorder(["error"])
  const other = await startHost(t, { addons: [late.addon] })
  const second = await other.connect()
  second.write(request("GET", 1, "/"))
  await second.response()
  await other.settled()
  assert.equal(late.flow().signal.aborted, true)
})

test("an upgrade relays bytes both ways and ends in response, or in error when it is killed", async (t) => {
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
      socket.on("data", (bytes: Buffer) => socket.write(bytes))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  for (const killed of [false, true]) {
    const seen = recorder(["responseHeaders", "response", "error"])
    const host = await startHost(t, { addons: [seen.addon] })
    const wire = await host.connect()
    wire.write(`GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`)
    await wire.until("101 Switching Protocols")
    wire.write("ping")
    await wire.until("ping")
    if (killed) seen.flow().kill()
    else wire.socket.end()
    await wire.ended
    await host.settled()
    assert.deepEqual(seen.events, ["responseHeaders", killed ? "error" : "response"])
  }
})

test("500 events reach the client one by one, each before the origin sends the next", async (t) => {
  for (const base of [false, true]) {
    const seen = recorder(["llmDelta", "llmResponse"])
    const acks: (() => void)[] = []
    const up = await origin(t, async (_, socket) => {
      socket.write(SSE_HEAD)
      for (let index = 0; index < 500; index++) {
        const read = new Promise<void>((resolve) => acks.push(resolve))
        socket.write(chunk(chatEvent(`t${index}`)))
        await read
      }
      socket.write(Buffer.concat([chunk(FINISH), chunk(DONE), Buffer.from("0\r\n\r\n")]))
    })
    const settings = { baseUpstream: new URL(`http://127.0.0.1:${up.port}`) }
    const host = await startHost(t, { addons: [seen.addon], settings, runOn: systemClock })
    const wire = await host.connect()
    const pieces: string[] = []
    wire.socket.on("data", (bytes: Buffer) => {
      pieces.push(bytes.toString())
      // The head may come alone; an event never comes with another one.
      if (bytes.includes("data: ")) acks.shift()?.()
    })
    const text = chat(up.port, { stream: true })
    wire.write(base ? text.replace(/http:\/\/127\.0\.0\.1:\d+/, "").replace(/Host: \S+/, "Host: localhost") : text)
    await wire.until("[DONE]")
    await host.settled()
    const events = pieces.filter((piece) => /"content":"t\d+"/.test(piece))
    assert.equal(events.length, 500)
    for (const [index, event] of events.entries()) {
      assert.equal(event.split("data: ").length, 2)
      assert.ok(event.includes(`"t${index}"`))
    }
    assert.equal(seen.events.length, 502)
  }
})

test("a client that leaves in the middle of a stream aborts its upstream", async (t) => {
  const closed = gate()
  const seen = recorder(["llmDelta", "error"])
  const host = await startHost(t, { addons: [seen.addon] })
  const up = await origin(t, (_, socket) => {
    socket.once("close", closed.open)
    socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))
  })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await wire.until('"a"')
  wire.socket.destroy()
  await closed.opened
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
  assert.equal(host.server.core.upstream.size, 0)
})

test("flows that nobody asked anything of make no timer, no signal and hold no memory", async (t) => {
  const host = await startHost(t)
  const up = await origin(t, (_, socket) => void socket.write(sseAnswer(chatEvent("a"), DONE)))
  const wire = await host.connect()
  for (let count = 0; count < 20; count++) {
    wire.write(chat(up.port, { stream: true }))
    await wire.response("POST")
    assert.equal(host.server.core.memory.used, 0)
  }
  await host.settled()
  assert.equal(up.connections, 1)
})

test("client.id is told from the head as it came, whatever addons make of the request, in child flows too", async (t) => {
  const ids: Record<string, string[]> = {}
  const note = (flow: Flow) => {
    const { path } = flow.request
    ids[path] = [...(ids[path] ?? []), flow.client.id]
  }
  const drops = addon("drops", {
    async requestHeaders(flow) {
      for (const headers of [flow.request.headers, flow.original.headers]) {
        headers.delete("authorization")
        headers.set("X-Api-Key", "the addon's")
      }
    },
    async request(flow) {
      const url = `http://127.0.0.1:${up.port}${flow.request.path}`
      await flow.send({ method: "GET", headers: { Authorization: "Bearer the addon's" } }, { url })
    },
  })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const host = await startHost(t, { addons: [drops, addon("late", { response: note })] })
  const wire = await host.connect()
  for (const path of ["/one", "/two", "/none"]) {
    const field = path === "/none" ? "" : `Authorization: Bearer sk${path}\r\n`
    wire.write(request("GET", up.port, path, "", field))
    await wire.response()
  }
  await host.settled()
  for (const [path, seen] of Object.entries(ids)) {
    assert.equal(seen.length, 2, path)
    assert.equal(new Set(seen).size, 1, path)
  }
  assert.equal(ids["/none"]?.[0], "127.0.0.1")
  assert.equal(new Set(Object.values(ids).flat()).size, 3)
})
