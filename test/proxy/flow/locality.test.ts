/** What is to stay local goes to no upstream elsewhere, whatever it is: the core keeps that promise, not an addon. */
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { test } from "tap"
import { WebSocket, WebSocketServer } from "ws"
import type { Flow, LlmFlow } from "../../../lib/api/flow.ts"
import { addon, answer, CHAT, origin, startHost, until } from "../../helpers/hosts/proxy-host.ts"
import { hostBefore, UPGRADE_FIELDS } from "../../helpers/hosts/websocket-host.ts"

const WISH = "x-llmproxy-route: local\r\n"
const ELSEWHERE = "elsewhere.test"

/** A request in absolute-form for another machine, as far as the proxy can tell. */
function elsewhere(method: string, path: string, body: string | Buffer, fields: string): Buffer {
  const head = `${method} http://${ELSEWHERE}${path} HTTP/1.1\r\nHost: ${ELSEWHERE}\r\n${fields}Content-Length: ${body.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(body)])
}

const rule = (host: string, toHost: string, toPort: number) => ({ host, port: 80, toHost, toPort })
const leadTo = (port: number) => ({ settings: { connectTo: [rule(ELSEWHERE, "127.0.0.1", port)] } })

test("a wish to stay local is kept for every request, understood or not, without any addon", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const host = await startHost(t, leadTo(up.port))
  const chat = JSON.stringify({ model: "m", messages: [{ role: "user", content: "secret" }] })
  const cases: readonly (readonly [
    name: string,
    method: string,
    path: string,
    body: string | Buffer,
    fields: string,
  ])[] = [
    ["a chat", "POST", CHAT, chat, WISH],
    ["a coding that cannot be read", "POST", CHAT, chat, `${WISH}Content-Encoding: zstd\r\n`],
    ["two codings", "POST", CHAT, chat, `${WISH}Content-Encoding: br, gzip\r\n`],
    ["a false label", "POST", CHAT, chat, `${WISH}Content-Encoding: gzip\r\n`],
    ["a byte order mark", "POST", CHAT, `\uFEFF${chat}`, WISH],
    ["no JSON", "POST", CHAT, "secret", WISH],
    ["another endpoint", "POST", "/v1/embeddings", '{"input":"secret"}', WISH],
    ["another dialect", "POST", "/v1/messages", chat, WISH],
    ["a page", "GET", "/", "", WISH],
    ["in capitals", "POST", CHAT, chat, "X-LLMProxy-Route: LOCAL\r\n"],
    ["said twice", "POST", CHAT, chat, `${WISH}x-llmproxy-route: cloud\r\n`],
    ["an upgrade", "GET", "/v1/realtime?model=m", "", WISH + UPGRADE_FIELDS],
  ]
  for (const [name, method, path, body, fields] of cases) {
    const wire = await host.connect()
    wire.write(elsewhere(method, path, body, fields))
    const { status, text } = await wire.response(method)
    t.match(
      text,
      name === "said twice"
        ? /is no route; write local or cloud/
        : /is to stay local .*elsewhere\.test:80 is no local host/,
      name,
    )
    t.equal(status, name === "said twice" ? 400 : 403, name)
  }
  t.equal(up.connections, 0)
})

test("a misspelt wish is refused with the reason, also where the upstream is this machine", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const host = await hostBefore(t, up.port)
  for (const [field, status] of [
    ["lokal", 400],
    ["", 400],
    ["local", 200],
    ["cloud", 200],
  ] as const) {
    const wire = await host.connect()
    wire.write(`GET /x HTTP/1.1\r\nHost: 127.0.0.1:${host.port}\r\nx-llmproxy-route: ${field}\r\n\r\n`)
    const response = await wire.response("GET")
    t.equal(response.status, status, `"${field}"`)
    if (status === 400)
      t.equal(response.text, `llmproxy: x-llmproxy-route: "${field}" is no route; write local or cloud\n`)
  }
})

test("this machine is local only where nothing on the way leads elsewhere", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const settings = { connectTo: [rule("localhost", "192.0.2.1", 80)] }
  const host = await startHost(t, { settings })
  const ask = async (url: string) => {
    const wire = await host.connect()
    wire.write(`GET ${url} HTTP/1.1\r\nHost: x\r\n${WISH}\r\n`)
    return (await wire.response("GET")).status
  }
  t.equal(await ask(`http://127.0.0.1:${up.port}/`), 200)
  t.equal(await ask(`http://localhost:${up.port}/`), 200)
  t.equal(await ask("http://localhost/"), 403)
  t.equal(await ask("http://192.0.2.1/"), 403)
  t.equal(await ask("http://127.0.0.1.elsewhere.test/"), 403)
})

test("what an addon keeps local stays with its children, and may go to the hosts that it names", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const failures: unknown[] = []
  const keeps = (urls: readonly string[]) =>
    addon("keeps", {
      async request(flow: Flow) {
        t.equal(flow.localOnly, false)
        flow.keepLocal("a test", urls)
        t.equal(flow.localOnly, true)
        const { flow: child, status } = await flow.send({ text: "x" }, { url: `http://${ELSEWHERE}/y`, until: "end" })
        t.equal(child.localOnly, true)
        failures.push(child.error?.code ?? status)
        flow.respond({ text: "done" })
      },
    })
  for (const urls of [[], [`http://${ELSEWHERE}/v1`], [`https://${ELSEWHERE}`]]) {
    const host = await startHost(t, { ...leadTo(up.port), addons: [keeps(urls)] })
    const wire = await host.connect()
    wire.write(elsewhere("POST", "/x", "x", ""))
    t.equal((await wire.response("POST")).text, "done")
  }
  t.strictSame(failures, ["stays-local", 200, "stays-local"])
})

test("what an addon keeps local is not routed elsewhere either, also where it names its hosts by no URL", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const routes = addon("routes", {
    request(flow: Flow) {
      for (const [url, cure] of [
        ["127.0.0.1:1234", "http://127.0.0.1:1234"],
        ["gpu.test:1234", "http://gpu.test:1234"],
        ["ftp://h/x", "http://h/x"],
      ] as const)
        t.throws(() => flow.keepLocal("a test", [url]), {
          name: "TypeError",
          message: `flow.keepLocal: ${url} is no http or https URL; write ${cure}`,
        })
      t.equal(flow.localOnly, true, "it stays all the same")
      flow.route({ url: `http://${ELSEWHERE}/` })
    },
  })
  const host = await startHost(t, { ...leadTo(up.port), addons: [routes] })
  const wire = await host.connect()
  wire.write(`GET http://127.0.0.1:${up.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  t.equal((await wire.response("GET")).status, 403)
  t.equal(up.connections, 0)
})

test("a turn that is to stay local is not said on a connection that leads elsewhere", async (t) => {
  const keeps = addon("keeps", {
    llmRequest(flow: LlmFlow) {
      if (flow.llm.request.model === "mine") flow.keepLocal("a test")
    },
  })
  const asked: string[] = []
  const failed: unknown[] = []
  const watches = addon("watches", { error: (flow: Flow) => void failed.push(flow.error?.code) })
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" })
  await once(server, "listening")
  t.teardown(() => server.close())
  server.on("connection", (socket) => {
    t.teardown(() => socket.terminate())
    socket.on("message", (data) => void asked.push(JSON.parse(String(data)).model))
  })
  const { port } = server.address() as AddressInfo
  const settings = { ...leadTo(port).settings, baseUpstream: new URL(`http://${ELSEWHERE}`) }
  const host = await startHost(t, { settings, addons: [keeps, watches] })
  const client = new WebSocket(`ws://127.0.0.1:${host.port}/v1/responses`)
  t.teardown(() => client.terminate())
  await once(client, "open")
  for (const model of ["mine", "theirs"]) client.send(JSON.stringify({ type: "response.create", model, input: "x" }))
  await until(() => asked.length > 0)
  t.strictSame(asked, ["theirs"])
  t.strictSame(failed, ["stays-local"])
})
