/**
 * WebSockets that addons listen to, with real clients and servers (ws): what they see, what they change, how it ends.
 */
import { once } from "node:events"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { test } from "tap"
import { ProxyAgent, WebSocket as UndiciWebSocket } from "undici"
import { WebSocketServer } from "ws"
import type { WebSocketFlow, WebSocketMessage } from "../../../lib/api/flow.ts"
import { addon, recorder, startHost, until } from "../../helpers/hosts/proxy-host.ts"
import { startSocketHost } from "../../helpers/hosts/websocket-host.ts"
import { sharedCertificates } from "../../helpers/test-proxy.ts"

test("the hooks fire in order, see every message, and the close passes from end to end with its code", async (t) => {
  const hooks = recorder(["responseHeaders", "websocketStart", "websocketMessage", "websocketEnd", "response", "error"])
  const seen: string[] = []
  const watch = addon("watch", {
    websocketMessage(flow, message) {
      seen.push(`${message.id} ${message.from} ${message.type} ${message.bytes.toString("utf8")}`)
      if (flow.websocket.messages.at(-1) !== message) seen.push("the present message is not the last one")
    },
  })
  const host = await startSocketHost(t, { addons: [hooks.addon, watch] })
  const { socket, next, closed } = await host.client()
  socket.send("one")
  t.equal(await next(), "one")
  socket.send(Buffer.from("two"))
  t.same(await next(), Buffer.from("two"))
  socket.close(4001, "enough")
  const serverClosed = once(host.served[0] ?? socket, "close")
  t.same(await closed, { code: 4001, reason: "enough" })
  const [code, reason] = await serverClosed
  t.same([code, String(reason)], [4001, "enough"])
  await host.proxy.settled()
  t.same(hooks.events, [
    "responseHeaders",
    "websocketStart",
    "websocketMessage",
    "websocketMessage",
    "websocketMessage",
    "websocketMessage",
    "websocketEnd",
    "response",
  ])
  t.same(seen, ["1 client text one", "2 server text one", "3 client binary two", "4 server binary two"])
  const { websocket } = hooks.flow()
  t.same([websocket?.closeCode, websocket?.closeReason, websocket?.closedBy], [4001, "enough", "client"])
  t.equal(websocket?.messages.length, 4)
})

test("a message is changed or dropped before it is passed on, in both directions", async (t) => {
  const edit = addon("edit", {
    async websocketMessage(_flow, message) {
      await Promise.resolve()
      if (message.type === "binary") message.bytes = Buffer.concat([message.bytes, Buffer.from([0xff])])
      else if (message.text === "secret") message.drop()
      else message.text = `${message.text} ${message.from}`
    },
  })
  const host = await startSocketHost(t, { addons: [edit] })
  const { socket, next, closed } = await host.client()
  for (const data of ["a", "secret", "b", Buffer.from([1])]) socket.send(data)
  t.equal(await next(), "a client server")
  t.equal(await next(), "b client server")
  t.same(await next(), Buffer.from([1, 0xff, 0xff]))
  socket.close()
  t.same(await closed, { code: 1005, reason: "" })
})

test("an addon sends messages of its own to both sides, and closes both", async (t) => {
  let flow: WebSocketFlow | undefined
  const got: string[] = []
  const inject = addon("inject", {
    websocketStart(started) {
      flow = started
      started.websocket.send("client", "welcome")
      started.websocket.send("server", Buffer.from([7]))
    },
    websocketMessage: (_flow, { injected }) => void t.notOk(injected, "no hook sees them"),
  })
  const serve = (socket: import("ws").WebSocket) =>
    socket.on("message", (data, isBinary) => got.push(`${isBinary} ${String(data)}`))
  const host = await startSocketHost(t, { addons: [inject], serve })
  const { next, closed } = await host.client()
  t.equal(await next(), "welcome")
  await until(() => got.length === 1)
  t.same(got, ["true \x07"])
  t.same(
    flow?.websocket.messages.map(({ injected, from }) => [injected, from]),
    [
      [true, "server"],
      [true, "client"],
    ],
  )
  t.throws(() => flow?.websocket.close(1005), /close code 1005/)
  const server = host.served[0]
  const serverClosed = server === undefined ? undefined : once(server, "close")
  flow?.websocket.close(4000, "stop")
  t.same(await closed, { code: 4000, reason: "stop" })
  t.equal((await serverClosed)?.[0], 4000)
  await host.proxy.settled()
  t.equal(flow?.websocket.closedBy, undefined)
  t.equal(flow?.error, undefined)
  t.throws(() => flow?.websocket.send("client", "late"), /closing/)
})

test("a failing addon lets the message pass, or closes both sides with 1011 where it says block", async (t) => {
  const failing = (onError: "block" | "continue") =>
    addon("failing", { websocketMessage: () => Promise.reject(new Error("no")) }, { onError })
  const lenient = await startSocketHost(t, { addons: [failing("continue")] })
  const first = await lenient.client()
  first.socket.send("x")
  t.equal(await first.next(), "x")
  first.socket.close()
  const hooks = recorder()
  const strict = await startSocketHost(t, { addons: [failing("block"), hooks.addon] })
  const second = await strict.client()
  second.socket.send("x")
  t.equal((await second.closed).code, 1011)
  await strict.proxy.settled()
  t.equal(hooks.flow().error?.code, "addon-failed")
  t.same(hooks.events.slice(-2), ["websocketEnd", "error"])
})

test("permessage-deflate: changed, dropped and untouched messages all arrive, whatever takeover was agreed on", async (t) => {
  const edit = addon("edit", {
    websocketMessage(_flow, message: WebSocketMessage) {
      if (message.text.startsWith("change")) message.text = message.text.toUpperCase()
      if (message.text.startsWith("drop")) message.drop()
    },
  })
  const said = (word: string, n: number) => `${word} ${"the same words again and again ".repeat(20)}${n}`
  for (const clientNoContextTakeover of [false, true]) {
    for (const serverNoContextTakeover of [false, true]) {
      const perMessageDeflate = { clientNoContextTakeover, serverNoContextTakeover, threshold: 0 }
      const host = await startSocketHost(t, { addons: [edit], server: { perMessageDeflate } })
      const { socket, next, closed } = await host.client({ perMessageDeflate })
      t.match(socket.extensions, /permessage-deflate/)
      const expected: string[] = []
      for (let n = 0; n < 12; n++) {
        const word = ["keep", "keep", "change", "keep", "drop", "keep"][n % 6] ?? ""
        socket.send(said(word, n))
        if (word !== "drop") expected.push(word === "change" ? said(word, n).toUpperCase() : said(word, n))
      }
      const got: unknown[] = []
      while (got.length < expected.length) got.push(await next())
      t.same(got, expected, `${clientNoContextTakeover} ${serverNoContextTakeover}`)
      socket.close(1000)
      t.equal((await closed).code, 1000)
    }
  }
})

test("undici's WebSocket through CONNECT, with TLS and compression: seen, changed, closed", async (t) => {
  const seen: string[] = []
  const edit = addon("edit", {
    websocketMessage(flow, message) {
      seen.push(`${flow.websocket.subprotocol} ${message.from} ${message.text.length}`)
      if (message.from === "server") message.text = message.text.toUpperCase()
    },
  })
  const certificates = await sharedCertificates()
  const tls = createServer(certificates.chainFor("echo.test"))
  const server = new WebSocketServer({ server: tls, perMessageDeflate: { threshold: 0 } })
  server.on("connection", (socket) => socket.on("message", (data) => socket.send(String(data))))
  tls.listen(0, "127.0.0.1")
  await once(tls, "listening")
  const { port } = tls.address() as AddressInfo
  const connectTo = [{ host: "echo.test", port: 443, toHost: "127.0.0.1", toPort: port }]
  const proxy = await startHost(t, { addons: [edit], settings: { connectTo } })
  const dispatcher = new ProxyAgent({ uri: `http://127.0.0.1:${proxy.port}`, requestTls: { ca: certificates.ca } })
  t.teardown(async () => {
    for (const socket of server.clients) socket.terminate()
    server.close()
    tls.close()
    await dispatcher.close()
  })
  const client = new UndiciWebSocket("wss://echo.test/socket", { dispatcher, protocols: ["chat"] })
  const got: unknown[] = []
  const closed = new Promise<{ code: number; wasClean: boolean }>((resolve) => {
    client.onclose = ({ code, wasClean }) => resolve({ code, wasClean })
  })
  client.onopen = () => client.send("hello ".repeat(1_000))
  client.onmessage = ({ data }) => {
    got.push(data)
    if (got.length === 1) client.send("again")
    else client.close(1000)
  }
  t.same(await closed, { code: 1000, wasClean: true })
  t.same(got, ["HELLO ".repeat(1_000), "AGAIN"])
  t.same(seen, ["chat client 6000", "chat server 6000", "chat client 5", "chat server 5"])
  await proxy.settled()
})
