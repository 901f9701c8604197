/**
 * What is to stay local is judged by the connection that it is given: whoever has led that elsewhere, and whenever, not a
 * byte of the request goes out on it.
 */
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"
import { networkInterfaces } from "node:os"
import { type Test, test } from "tap"
import { WebSocket, WebSocketServer } from "ws"
import type { Flow, LlmFlow, WebSocketFlow, WebSocketMessage } from "../../../lib/api/flow.ts"
import type { ServerHookInfo } from "../../../lib/api/hooks.ts"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import type { Lookup } from "../../../lib/proxy/upstream/dial.ts"
import { startHttp2Origin } from "../../helpers/hosts/h2-origin.ts"
import { addon, answer, gate, origin, type ProxyHost, startHost, until } from "../../helpers/hosts/proxy-host.ts"

const WISH = "x-llmproxy-route: local\r\n"
const ELSEWHERE = "elsewhere.test"
/** Names of other machines, all of which are this one, as the proxy cannot know. */
const lookup: Lookup = (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }])

/** Leads connections elsewhere, as long as `to` says so. */
function leads(to: () => string | undefined, more: LoadedAddon["hooks"] = {}): LoadedAddon {
  const serverConnect = (server: ServerHookInfo) => {
    server.connectTo = to()
  }
  return addon("leads", { serverConnect, ...more })
}

async function ask(host: ProxyHost, url: string, fields = WISH): Promise<{ status: number; text: string }> {
  const wire = await host.connect()
  wire.write(`GET ${url} HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n`)
  return wire.response("GET")
}

test("what serverConnect leads elsewhere gets nothing of a request that is to stay local", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  let to: string | undefined
  const host = await startHost(t, { lookup, addons: [leads(() => to)] })
  const url = `http://localhost:${up.port}/`
  to = `${ELSEWHERE}:${up.port}`
  const { status, text } = await ask(host, url)
  t.equal(status, 403)
  t.equal(
    text,
    `llmproxy: the request is to stay local (x-llmproxy-route: local), and localhost:${up.port} ` +
      `is connected to ${to}, which is no local host\n`,
  )
  t.equal((await ask(host, url, `${WISH}Authorization: Negotiate YII=\r\n`)).status, 403, "on a connection of its own")
  t.equal(up.requests.length, 0)
  for (const here of [`127.0.0.1:${up.port}`, `localhost:${up.port}`, undefined]) {
    to = here
    t.equal((await ask(host, url)).status, 200, here ?? "where it was to go")
  }
})

test("a connection that was led elsewhere for others is not used again for what is to stay local", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  let to: string | undefined = `${ELSEWHERE}:${up.port}`
  const host = await startHost(t, { lookup, addons: [leads(() => to)] })
  const url = `http://localhost:${up.port}/`
  t.equal((await ask(host, url, "")).status, 200)
  to = undefined
  t.equal((await ask(host, url)).status, 403)
  t.equal(up.requests.length, 1)
  t.equal((await ask(host, url)).status, 200, "the next one is made anew")
})

test("a session that all clients share is closed to what is to stay local, if it leads elsewhere", async (t) => {
  const up = await startHttp2Origin(t, (stream) => stream.respond({ ":status": 204 }, { endStream: true }), {
    name: "localhost",
  })
  const settings = { baseUpstream: new URL(`https://localhost:${up.port}`) }
  const host = await startHost(t, { lookup, settings, addons: [leads(() => `${ELSEWHERE}:${up.port}`)] })
  t.equal((await ask(host, "/", "")).status, 204)
  t.equal((await ask(host, "/")).status, 403)
  t.equal((await ask(host, "/", "")).status, 204, "others go on with it")
  t.equal(up.sessions.length, 1)
  t.equal(up.streams.length, 2)
})

test("what is sent again for a request that is to stay local is judged by its second connection", async (t) => {
  let to: string | undefined
  const up = await origin(t, ({ target }, socket) => {
    if (target === "/first") socket.write(answer("there"))
    else socket.destroy() // As a server does that has closed what was idle.
  })
  const host = await startHost(t, { lookup, addons: [leads(() => to)] })
  t.equal((await ask(host, `http://localhost:${up.port}/first`)).status, 200)
  to = `${ELSEWHERE}:${up.port}`
  t.equal((await ask(host, `http://localhost:${up.port}/second`)).status, 403)
  t.same(
    up.requests.map(({ target }) => target),
    ["/first", "/second"],
  )
})

test("a wish that comes while the connection is made is kept", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const { opened, open } = gate()
  let seen: Flow | undefined
  const waits = addon("waits", {
    request: (flow) => {
      seen = flow
    },
    serverConnect: async () => {
      seen?.keepLocal("a test")
      await opened
    },
  })
  const host = await startHost(t, { lookup, addons: [waits] })
  const asked = ask(host, `http://${ELSEWHERE}:${up.port}/`, "")
  await until(() => seen?.localOnly === true)
  open()
  t.equal((await asked).status, 403)
  t.equal(up.requests.length, 0)
})

test("a name of this machine that is another's address is no local host", async (t) => {
  const other = otherAddress()
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", () => t.fail("nothing is sent"))
  })
  t.teardown(() => server.close())
  server.listen(0, other ?? "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  // Where the machine has no other address than loopback, nothing can be dialled that is not local.
  if (other === undefined) return
  const host = await startHost(t, {
    lookup: (_name, _options, done) => done(null, [{ address: other, family: 4 }]),
  })
  const { status, text } = await ask(host, `http://app.localhost:${port}/`)
  t.equal(status, 403)
  t.ok(text.includes(`and app.localhost:${port} is at ${other}, which is not this machine`), text)
})

test("a host that an addon names is local where its connection goes to it, to this machine or to another named one", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const named = `http://gpu.test:${up.port}`
  for (const [connectTo, names, status] of [
    [undefined, [named], 200],
    [`gpu.test:${up.port}`, [named], 200],
    [`127.0.0.1:${up.port}`, [named], 200],
    [`${ELSEWHERE}:${up.port}`, [named], 403],
    [`${ELSEWHERE}:${up.port}`, [named, `http://${ELSEWHERE}:${up.port}`], 200],
  ] as const) {
    const request = (flow: Flow) => flow.keepLocal("a test", names)
    const what = `${connectTo} with ${names.join(" and ")}`
    const byHook = await startHost(t, { lookup, addons: [leads(() => connectTo, { request })] })
    t.equal((await ask(byHook, `${named}/`, "")).status, status, `by a hook: ${what}`)
    const [toHost = "", toPort = ""] = connectTo?.split(":") ?? []
    const rule = { host: "gpu.test", port: up.port, toHost, toPort: Number(toPort) }
    const settings = { connectTo: connectTo === undefined ? [] : [rule] }
    const byRule = await startHost(t, { lookup, settings, addons: [addon("keeps", { request })] })
    t.equal((await ask(byRule, `${named}/`, "")).status, status, `by a rule: ${what}`)
  }
})

/** A WebSocket through a proxy, on a connection to this machine that is led elsewhere; what its server was told. */
async function socketElsewhere(t: Test, hooks: LoadedAddon["hooks"]): Promise<{ client: WebSocket; told: string[] }> {
  const told: string[] = []
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" })
  await once(server, "listening")
  server.on("connection", (socket) => {
    t.teardown(() => socket.terminate())
    socket.on("message", (data) => void told.push(String(data)))
  })
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const settings = { baseUpstream: new URL(`http://localhost:${port}`) }
  const host = await startHost(t, { lookup, settings, addons: [leads(() => `${ELSEWHERE}:${port}`, hooks)] })
  const client = new WebSocket(`ws://127.0.0.1:${host.port}/v1/responses`)
  t.teardown(() => client.terminate())
  client.on("error", () => {})
  await once(client, "open")
  return { client, told }
}

test("a turn that is to stay local is not said on a connection that serverConnect has led elsewhere", async (t) => {
  const failed: unknown[] = []
  const { client, told } = await socketElsewhere(t, {
    llmRequest(flow: LlmFlow) {
      if (flow.llm.request.model === "mine") flow.keepLocal("a test")
    },
    error: (flow: Flow) => void failed.push(flow.error?.code),
  })
  for (const model of ["mine", "theirs"]) client.send(JSON.stringify({ type: "response.create", model, input: "x" }))
  await until(() => told.length > 0)
  t.strictSame(
    told.map((text) => JSON.parse(text).model),
    ["theirs"],
  )
  t.strictSame(failed, ["stays-local"])
})

test("from keepLocal on, no message passes on a WebSocket that leads elsewhere", async (t) => {
  const { client, told } = await socketElsewhere(t, {
    websocketMessage(flow: WebSocketFlow, message: WebSocketMessage) {
      if (message.text === "secret") flow.keepLocal("a test")
    },
  })
  client.send("open")
  client.send("secret")
  client.send("more")
  const [code] = await once(client, "close")
  t.equal(code, 1011)
  t.strictSame(told, ["open"])
})

test("a WebSocket that an addon keeps local when it starts, and that leads elsewhere, is closed", async (t) => {
  const thrown: unknown[] = []
  const { client, told } = await socketElsewhere(t, {
    websocketStart(flow: WebSocketFlow) {
      flow.keepLocal("a test")
      try {
        flow.websocket.send("server", "secret")
      } catch (error) {
        thrown.push(error)
      }
    },
  })
  client.send("secret")
  const [code] = await once(client, "close")
  t.equal(code, 1011)
  t.match(thrown, [{ code: "stays-local" }])
  t.strictSame(told, [])
})

/** An address of this machine that is not its loopback: what another machine's looks like from here. */
function otherAddress(): string | undefined {
  for (const list of Object.values(networkInterfaces()))
    for (const { family, internal, address } of list ?? []) if (family === "IPv4" && !internal) return address
  return undefined
}
