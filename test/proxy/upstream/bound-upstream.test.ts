/** NTLM and Negotiate authenticate a connection: nobody but the client that did it is ever served on it. */
import type { Socket } from "node:net"
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { authenticatesConnection, BOUND_MAX } from "../../../lib/proxy/upstream/bound-upstream.ts"
import type { OriginRequest, ReplyScript, ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { call, openSession } from "../../helpers/clients/h2-client.ts"
import { addon, answer, gate, origin, request, startHost, until } from "../../helpers/hosts/proxy-host.ts"
import { everythingTo } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const BEGIN = "Authorization: NTLM begin\r\n"
const proof = (user: string, scheme = "NTLM") => `Authorization: ${scheme} user ${user}\r\n`

/** A server as Microsoft's are: who has proved who he is, is known on that connection from then on. */
function ntlmServer(serve: (user: string, request: OriginRequest, socket: Socket) => void = sayUser): ReplyScript {
  const users = new Map<number, string>()
  return (asked, socket) => {
    const { connection, head } = asked
    const proved = /\r\nauthorization: (?:ntlm|negotiate) user (\w+)/i.exec(head)?.[1]
    if (proved !== undefined) users.set(connection, proved)
    const user = users.get(connection)
    if (/\r\nauthorization: ntlm begin/i.test(head))
      socket.write(answer("", "WWW-Authenticate: NTLM challenge\r\n", "401 Unauthorized"))
    else if (user !== undefined) serve(user, asked, socket)
    else socket.write(answer("who?", "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n", "401 Unauthorized"))
  }
}

function sayUser(user: string, _: OriginRequest, socket: Socket): void {
  socket.write(answer(user))
}

/** Asks, and says what came: a status, and a text where it is well. */
async function said(wire: Wire, up: ScriptedOrigin, fields = ""): Promise<string> {
  wire.write(request("GET", up.port, "/", "", fields))
  const { status, text } = await wire.response()
  return `${status} ${text}`
}

test("a connection that a client has authenticated serves that client alone, and closes with it", async (t) => {
  const up = await origin(t, ntlmServer())
  const host = await startHost(t)
  const first = await host.connect()
  const other = await host.connect()
  t.equal(await said(first, up), "401 who?")
  t.equal(await said(first, up, BEGIN), "401 ")
  t.equal(await said(first, up, proof("anna")), "200 anna")
  t.equal(await said(first, up), "200 anna", "without a word more")
  for (let times = 0; times < 3; times++) t.equal(await said(other, up), "401 who?")
  t.equal(await said(first, up), "200 anna")
  t.equal(await said(other, up, proof("bert", "negotiate")), "200 bert", "at once, as Kerberos does")
  t.equal(await said(first, up), "200 anna")
  const open = up.open
  first.socket.destroy()
  await until(() => up.open === open - 1)
  t.equal(await said(other, up), "200 bert")
  const third = await host.connect()
  t.equal(await said(third, up), "401 who?")
})

test("an offer of NTLM binds nothing, nor does another scheme: such connections are shared", async (t) => {
  const up = await origin(t, ntlmServer())
  const host = await startHost(t)
  for (const fields of ["", "Authorization: Basic abc\r\n", "Authorization: NTLMX y\r\n", ""]) {
    const wire = await host.connect()
    t.equal(await said(wire, up, fields), "401 who?")
    wire.socket.destroy()
  }
  t.equal(up.connections, 1)
})

test("a client that knows of the proxy is told that sessions stay its own, any other is told nothing", async (t) => {
  const up = await origin(t, ntlmServer())
  const basic = await origin(t, (_, socket) => {
    socket.write(answer("", "WWW-Authenticate: Basic realm=x\r\n", "401 Unauthorized"))
  })
  const host = await startHost(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${up.port}`) } })
  const supports = async (wire: Wire, text: string) => {
    wire.write(text)
    return (await wire.response()).headers.get("proxy-support")
  }
  const direct = `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  const wire = await host.connect()
  t.equal(await supports(wire, request("GET", up.port, "/")), "Session-Based-Authentication")
  t.equal(await supports(wire, request("GET", basic.port, "/")), undefined)
  t.equal(await supports(wire, direct), undefined, "the base-URL door")
  t.equal(await supports(await Wire.tunnel(host.port, `127.0.0.1:${up.port}`), direct), undefined, "a tunnel")
})

test("where the bound connection ends, a client of that one server is closed, another only loses what it had proved", async (t) => {
  const up = await origin(
    t,
    ntlmServer((user, { target }, socket) => {
      if (target === "/last") socket.end(answer(user, "Connection: close\r\n"))
      else socket.write(answer(user), () => void (target === "/cut" && socket.destroy()))
    }),
  )
  const host = await startHost(t)
  for (const path of ["/last", "/cut"]) {
    const proxied = await host.connect()
    proxied.write(request("GET", up.port, path, "", proof("anna")))
    t.equal((await proxied.response()).text, "anna")
    await until(() => up.open === 0)
    t.equal(await said(proxied, up), "401 who?", path)
    proxied.socket.destroy()
    await until(() => up.open <= 1)
    const tunnel = await Wire.tunnel(host.port, `127.0.0.1:${up.port}`)
    tunnel.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${proof("bert")}\r\n`)
    t.equal((await tunnel.response()).text, "bert")
    t.equal(await tunnel.ended, "end", path)
    tunnel.socket.destroy()
    host.clock.advance(600_000) // What is idle in the pool goes.
    await until(() => up.open === 0)
  }
})

test("a request on a bound connection that breaks is not sent again on another", async (t) => {
  const up = await origin(
    t,
    ntlmServer((user, { target }, socket) => void (target === "/cut" ? socket.destroy() : socket.write(answer(user)))),
  )
  const host = await startHost(t)
  const wire = await host.connect()
  t.equal(await said(wire, up, proof("anna")), "200 anna")
  wire.write(request("GET", up.port, "/cut"))
  t.equal((await wire.response()).status, 502)
  t.equal(up.requests.length, 2)
})

test("requests of an HTTP/2 client go one after the other on its bound connection, others' beside it", async (t) => {
  let busy = 0
  const order: string[] = []
  const up = await origin(
    t,
    ntlmServer((user, { target }, socket) => {
      busy++
      order.push(`${target} ${busy}`)
      setImmediate(() => {
        busy--
        socket.write(answer(user))
      })
    }),
  )
  const host = await startHost(t, { settings: everythingTo(up) })
  const url = `http://127.0.0.1:${host.port}`
  const session = await openSession(t, url)
  const other = await openSession(t, url)
  const ask = (from: typeof session, path: string, authorization?: string) =>
    call(from, {
      ":path": path,
      ":authority": "other.test",
      ":scheme": "http",
      ...(authorization === undefined ? {} : { authorization }),
    })
  t.equal((await ask(session, "/0", "NTLM begin")).status, 401)
  t.equal((await ask(session, "/0", "NTLM user anna")).text, "anna")
  const paths = ["/1", "/2", "/3", "/4"]
  const answers = paths.map((path) => ask(session, path))
  t.equal((await ask(other, "/other")).status, 401)
  for (const one of answers) t.equal((await one).text, "anna")
  t.strictSame(order, ["/0 1", ...paths.map((path) => `${path} 1`)])
  const own = up.requests.filter(({ target }) => /^\/\d/.test(target))
  t.equal(new Set(own.map(({ connection }) => connection)).size, 1)
})

test("what waits for a bound connection that ends goes on as any other request", async (t) => {
  const { opened, open } = gate()
  const up = await origin(
    t,
    ntlmServer(async (user, { target }, socket) => {
      if (target !== "/slow") return void socket.write(answer(user))
      await opened
      socket.end(answer(user, "Connection: close\r\n"))
    }),
  )
  const host = await startHost(t, { settings: everythingTo(up) })
  const session = await openSession(t, `http://127.0.0.1:${host.port}`)
  const fields = { ":authority": "other.test", ":scheme": "http" }
  const slow = call(session, { ...fields, ":path": "/slow", authorization: "NTLM user anna" })
  await up.received(1)
  const waiting = call(session, { ...fields, ":path": "/waits" })
  const proving = call(session, { ...fields, ":path": "/proves", authorization: "NTLM user anna" })
  const gone = session.request({ ...fields, ":path": "/gone" })
  gone.on("error", () => {})
  gone.close(8)
  await until(() => host.chain.flows === 3)
  open()
  t.equal((await slow).text, "anna")
  t.equal((await waiting).status, 401)
  t.equal((await proving).text, "anna")
})

test("what an addon sends with such a credential is on a connection of its own, which nobody gets afterwards", async (t) => {
  const up = await origin(t, ntlmServer())
  const texts: string[] = []
  const sends = addon("sends", {
    async request(flow: Flow) {
      const url = `http://127.0.0.1:${up.port}/`
      const sent = await flow.send({ method: "GET", headers: { Authorization: "NTLM user addon" } }, { url })
      texts.push(await sent.text())
    },
  })
  const host = await startHost(t, { addons: [sends] })
  const wire = await host.connect()
  for (let times = 0; times < 2; times++) t.equal(await said(wire, up), "401 who?")
  t.equal(await said(wire, up, proof("anna")), "200 anna")
  await host.settled()
  t.strictSame(texts, ["addon", "addon", "addon"])
  await until(() => up.open === 2)
})

test("an upgrade on a bound connection takes it away from what follows", async (t) => {
  const up = await origin(
    t,
    ntlmServer((user, { head }, socket) => {
      if (!/\r\nupgrade:/i.test(head)) return void socket.write(answer(user))
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: own\r\nConnection: Upgrade\r\n\r\nhello ${user}`)
    }),
  )
  const host = await startHost(t)
  const wire = await host.connect()
  t.equal(await said(wire, up, proof("anna")), "200 anna")
  wire.write(request("GET", up.port, "/", "", "Connection: Upgrade\r\nUpgrade: own\r\n"))
  await wire.until("hello anna")
  t.equal(up.connections, 1)
  wire.socket.destroy()
  await until(() => up.open === 0)
})

test("a server that cannot be reached is a 502, and the client may try again", async (t) => {
  const up = await origin(t, ntlmServer())
  const { port } = up
  await up.close()
  const host = await startHost(t)
  const wire = await host.connect()
  for (let times = 0; times < 2; times++) {
    wire.write(request("GET", port, "/", "", proof("anna")))
    t.equal((await wire.response()).status, 502)
  }
})

test("one client binds a number of connections, then the one that was bound first is let go", async (t) => {
  const up = await origin(t, ntlmServer())
  const host = await startHost(t, { settings: everythingTo(up) })
  const wire = await host.connect()
  const ask = async (name: string, fields = "") => {
    wire.write(`GET http://${name}.test/ HTTP/1.1\r\nHost: ${name}.test\r\n${fields}\r\n`)
    return (await wire.response()).text
  }
  for (let count = 0; count <= BOUND_MAX; count++) t.equal(await ask(`h${count}`, proof("anna")), "anna")
  await until(() => up.open === BOUND_MAX)
  t.equal(await ask("h0"), "who?")
  t.equal(await ask("h1"), "anna")
})

test("what binds: the connection's own schemes, towards a proxy on the way as well", (t) => {
  const binds = (fields: Record<string, string | string[]>, via?: string) =>
    authenticatesConnection(new Headers(fields), { via })
  t.ok(binds({ Authorization: "NTLM TlRM" }))
  t.ok(binds({ Authorization: "negotiate YII" }))
  t.ok(binds({ Authorization: ["Basic abc", "Negotiate YII"] }))
  t.ok(binds({ Authorization: "NEGOTIATE\tYII" }), "a server may take a tab for the space")
  t.notOk(binds({ Authorization: "Bearer negotiate" }))
  t.notOk(binds({ Authorization: "NTLM-not abc" }))
  t.notOk(binds({ "Proxy-Authorization": "NTLM TlRM" }), "it is for us, and does not leave")
  t.ok(binds({ "Proxy-Authorization": "NTLM TlRM" }, "http://proxy:3128"))
  t.end()
})
