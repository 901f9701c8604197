/**
 * --mode socks5: the handshake in every piece, what is served behind it, who may come, and what clients are told in
 * SOCKS's own terms when it cannot be.
 */
import { createServer, type Server, type Socket } from "node:net"
import { type Test, test } from "tap"
import type { Mode } from "../../../lib/proxy/session/mode.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"
import { always, eventually, everythingTo, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const mode: Mode = { kind: "socks5" }
const GREETING = Buffer.from([5, 1, 0])
const SUCCESS = Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
const GET = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"

function requestTo(host: string, port: number, command = 1): Buffer {
  const name = Buffer.from(host)
  return Buffer.concat([Buffer.from([5, command, 0, 3, name.length]), name, Buffer.from([port >> 8, port & 0xff])])
}

function userAndPassword(user: string, password: string): Buffer {
  const [a, b] = [Buffer.from(user), Buffer.from(password)]
  return Buffer.from([1, a.length, ...a, b.length, ...b])
}

/** Resolves when `count` bytes stand there, and takes them all. */
async function takeBytes(wire: Wire, count: number): Promise<Buffer> {
  await eventually(() => wire.bytes.length >= count || wire.socket.destroyed)
  return Buffer.from(wire.take())
}

/** Makes a tunnel; rejects with the reply's code. */
async function socks(port: number, host: string, to: number): Promise<Wire> {
  const wire = await Wire.connect(port, { allowHalfOpen: true })
  wire.write(Buffer.concat([GREETING, requestTo(host, to)]))
  const reply = await takeBytes(wire, 12)
  if (reply[3] !== 0) throw new Error(`reply ${reply[3]}`)
  return wire
}

function portOf(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" ? (address?.port ?? 0) : 0)
    })
  })
}

/** A server of raw bytes that the test closes, with half-open sockets. Resolves with its port. */
function rawServer(t: Test, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    serve(socket)
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return portOf(server)
}

test("the handshake may come in any two pieces, with the request's first bytes behind it", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { mode })
  const all = Buffer.concat([GREETING, requestTo("127.0.0.1", origin.port), Buffer.from(GET)])
  for (const [before, after] of everySplit(all)) {
    const client = await Wire.connect(proxy.port)
    client.write(before)
    // What is asked for by the first piece is answered before the second one comes.
    if (before.length >= GREETING.length) await eventually(() => client.count >= 2)
    client.write(after)
    await eventually(() => client.count >= 12)
    t.same(client.bytes.subarray(0, 12), Buffer.concat([Buffer.from([5, 0]), SUCCESS]))
    await client.until("\r\n\r\nhi")
    client.end()
    await client.closed
  }
  t.equal(origin.requests.length, all.length + 1)
})

test("TLS inside is intercepted with a leaf for its SNI, and what is not HTTP is relayed unseen", async (t) => {
  const origin = await startOrigin(t, always(ok("secret")), "a.test")
  const proxy = await startProxy(t, { mode, settings: everythingTo(origin), hooks: { request: () => {} } })
  const tunnel = await socks(proxy.port, "a.test", 443)
  const client = await tunnel.secure({ servername: "a.test", ca: proxy.certificates.ca })
  client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
  t.equal((await client.response()).text, "secret")
  client.end()
  const echo = await rawServer(t, (socket) => socket.pipe(socket))
  const relaying = await startProxy(t, { mode })
  const raw = await socks(relaying.port, "127.0.0.1", echo)
  raw.write("\x00opaque")
  await raw.until("\x00opaque")
  raw.end()
  t.equal(await raw.ended, "end")
})

test("a host that is only relayed is dialled first, and the reply says how that went", async (t) => {
  const closed = createServer()
  const gone = await portOf(closed)
  await new Promise((resolve) => closed.close(resolve))
  const port = await rawServer(t, (socket) => socket.end("hello from there"))
  const unknown = Object.assign(new Error("no such host"), { code: "ENOTFOUND" })
  const proxy = await startProxy(t, {
    mode,
    settings: { ignoreHosts: [/./] },
    lookup: (_name, _options, done) => done(unknown, []),
  })
  const client = await socks(proxy.port, "127.0.0.1", port)
  await client.until("hello from there")
  client.end()
  await t.rejects(socks(proxy.port, "127.0.0.1", gone), /reply 5/)
  await t.rejects(socks(proxy.port, "no.such.test", 443), /reply 4/)
  t.match(await proxy.logged("no such host"), /^warn 127\.0\.0\.1: connect no\.such\.test:443: no such host/)
  t.equal(proxy.lines.filter((line) => line.includes("no.such.test")).length, 1, "in one line")
})

test("what cannot be met is refused in SOCKS's terms, in one log line, and closed", async (t) => {
  const proxy = await startProxy(t, { mode })
  for (const [request, code, line] of [
    [requestTo("h.test", 80, 2), 7, "SOCKS BIND is not supported, only CONNECT is"],
    [requestTo("h.test", 80, 3), 7, "SOCKS UDP ASSOCIATE is not supported"],
    [Buffer.from([5, 1, 0, 9]), 8, "SOCKS address type 9 is not supported"],
    [requestTo("a b", 80), 1, "the host or the port that SOCKS asks for is none"],
    [requestTo("127.0.0.1", proxy.port), 2, "is the proxy itself"],
    [requestTo("localhost", proxy.port), 2, "localhost:"],
  ] as const) {
    const client = await Wire.connect(proxy.port)
    client.write(Buffer.concat([GREETING, request]))
    t.equal(await client.ended, "end")
    t.equal(client.bytes[3], code, line)
    t.equal(proxy.lines.filter((one) => one.startsWith("warn") && one.includes(line)).length >= 1, true, line)
  }
  t.equal(proxy.lines.filter((one) => one.startsWith("warn")).length, 6)
})

test("another protocol's bytes are closed at once, in one clear line", async (t) => {
  const proxy = await startProxy(t, { mode })
  for (const [bytes, line] of [
    ["\x04\x01\x00\x50\x0a\x00\x00\x01\x00", "SOCKS4; set the client to SOCKS5"],
    ["GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "speaks HTTP; give it a listener of --mode regular"],
    ["\x16\x03\x01\x00\x05hello", "begins TLS"],
    ["\x05\x01\x00\x07", "handshake not understood: version 7 of the request"],
  ] as const) {
    const client = await Wire.connect(proxy.port)
    client.write(bytes)
    await client.closed
    t.match(await proxy.logged(line), /^warn 127\.0\.0\.1: /)
  }
  t.equal(proxy.lines.filter((one) => one.startsWith("warn")).length, 4)
})

test("where users have to authenticate, wrong credentials end it, and right ones are the client's name", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  let user: string | undefined
  const proxy = await startProxy(t, {
    mode,
    settings: { proxyUsers: [{ name: "me", secret: { kind: "password", text: "right" } }] },
    hooks: {
      request: (flow) => {
        user = flow.client.id
      },
    },
  })
  const open = await Wire.connect(proxy.port)
  open.write(GREETING)
  t.equal(await open.ended, "end")
  t.same(open.bytes, Buffer.from([5, 0xff]), "no method will do")
  t.match(proxy.lines.at(-1), /does not offer user and password, which are asked for here/)
  const wrong = await Wire.connect(proxy.port)
  wrong.write(Buffer.concat([Buffer.from([5, 2, 0, 2]), userAndPassword("me", "guess")]))
  t.equal(await wrong.ended, "end")
  t.same(wrong.bytes, Buffer.from([5, 2, 1, 1]))
  const right = await Wire.connect(proxy.port)
  const asked = requestTo("127.0.0.1", origin.port)
  right.write(Buffer.concat([Buffer.from([5, 2, 0, 2]), userAndPassword("me", "right"), asked, Buffer.from(GET)]))
  await right.until("\r\n\r\nhi")
  t.same(right.bytes.subarray(0, 4), Buffer.from([5, 2, 1, 0]))
  t.equal(user, "me")
  t.notMatch(origin.requests[0]?.head, /right|Proxy-Authorization/)
  t.notMatch(proxy.lines.join("\n"), /guess|right$/)
  right.end()
})

test("a client that can only say who it is may do so where nobody asks", async (t) => {
  const proxy = await startProxy(t, { mode })
  const client = await Wire.connect(proxy.port)
  client.write(Buffer.concat([Buffer.from([5, 1, 2]), userAndPassword("a", "b")]))
  t.same(await takeBytes(client, 4), Buffer.from([5, 2, 1, 0]))
  client.end()
  const other = await Wire.connect(proxy.port)
  other.write(Buffer.from([5, 1, 1]))
  t.equal(await other.ended, "end")
  t.same(other.bytes, Buffer.from([5, 0xff]), "GSSAPI is not known here")
  t.match(proxy.lines.at(-1), /does not offer a method that is known here/)
})

test("a handshake that never becomes whole ends after its time, and one that is left costs no line", async (t) => {
  const proxy = await startProxy(t, { mode, settings: { headerTimeoutMs: 1_000 } })
  const clients = await Promise.all(Array.from({ length: 50 }, () => Wire.connect(proxy.port)))
  for (const [index, client] of clients.entries()) client.write(Buffer.from([5, 1, 0, 5, 1, 0, 3].slice(0, index % 8)))
  await eventually(() => proxy.clock.pending === 50)
  const gone = await Wire.connect(proxy.port)
  gone.write(Buffer.from([5]))
  await eventually(() => proxy.clock.pending === 51)
  gone.end()
  await gone.closed
  t.equal(proxy.lines.filter((line) => line.startsWith("warn")).length, 0)
  proxy.clock.advance(1_000)
  await Promise.all(clients.map((client) => client.closed))
  await eventually(() => proxy.server.clients === 0)
  t.match(proxy.lines.at(-1), /SOCKS handshake was not whole within 1000 ms/)
  t.equal(proxy.clock.pending, 0, "no timer is left behind")
})

test("a server that speaks first is heard through SOCKS as through CONNECT", async (t) => {
  const port = await rawServer(t, (socket) => socket.write("220 ready\r\n"))
  const proxy = await startProxy(t, { mode })
  const client = await socks(proxy.port, "127.0.0.1", port)
  await eventually(() => {
    proxy.clock.advance(100)
    return client.text.includes("220 ready\r\n")
  })
  client.reset()
})
