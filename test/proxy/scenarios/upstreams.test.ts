/**
 * Upstreams that cannot be reached, are not to be trusted, or break: what the client is told; connections that are used
 * again, and requests that are sent again; other proxies on the way.
 */
import { connect, createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import type { ProxySettings } from "../../../lib/proxy/settings.ts"
import type { Lookup } from "../../../lib/proxy/upstream/dial.ts"
import { testCertificates } from "../../helpers/test-certificates.ts"
import { always, baseTo, eventually, everythingTo, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

/** An HTTP proxy that makes tunnels, or answers `refusal`; keeps the heads it was sent. */
async function parentProxy(t: Test, refusal?: string): Promise<{ port: number; heads: string[] }> {
  const heads: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.once("data", (bytes) => {
      const head = bytes.toString("latin1")
      heads.push(head)
      if (refusal !== undefined) {
        socket.end(refusal)
        return
      }
      const port = Number(/^CONNECT [^ ]+:(\d+) /.exec(head)?.[1])
      const to = connect({ host: "127.0.0.1", port }, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n")
        socket.pipe(to).pipe(socket)
      })
      to.on("error", () => socket.destroy())
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === "object" ? (address?.port ?? 0) : 0, heads }
}

test("an upstream that cannot be reached is a 502 that says what was attempted", async (t) => {
  const gone = await startOrigin(t, always(ok("")))
  const { port } = gone
  await gone.close()
  const unknown: Lookup = (_name, _options, done) => done(Object.assign(new Error("x"), { code: "ENOTFOUND" }), [])
  const proxy = await startProxy(t, { lookup: unknown })
  const client = await Wire.connect(proxy.port)
  for (const [url, message] of [
    [`http://127.0.0.1:${port}/`, `connect 127.0.0.1:${port}: refused`],
    ["http://no.test/", "connect no.test:80: no such host (ENOTFOUND); the request was not sent"],
  ] as const) {
    client.write(`POST ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi`)
    const response = await client.response()
    t.equal(response.status, 502)
    t.ok(response.text.includes(message), response.text)
  }
  client.end()
})

test("an upstream that is not there in time is a 504, as is one that says nothing", async (t) => {
  const never: Lookup = () => {}
  const slow = await startProxy(t, { lookup: never, settings: { connectTimeoutMs: 1_000 } })
  const client = await Wire.connect(slow.port)
  client.write("GET http://slow.test/ HTTP/1.1\r\nHost: slow.test\r\n\r\n")
  await eventually(() => {
    slow.clock.advance(100)
    return client.count > 0
  })
  const late = await client.response()
  t.equal(late.status, 504)
  t.match(late.text, "no connection within 1000 ms")
  const origin = await startOrigin(t, () => {})
  const silent = await startProxy(t, { settings: { ...baseTo(origin), stallTimeoutMs: 2_000 } })
  const waiting = await Wire.connect(silent.port)
  waiting.write(GET)
  await origin.received(1)
  silent.clock.advance(2_000)
  const stalled = await waiting.response()
  t.equal(stalled.status, 504)
  t.match(stalled.text, /sent nothing for 2 s/)
  t.equal(origin.requests.length, 1, "after a timeout nothing is sent again")
  client.end()
  waiting.end()
})

test("a certificate that is not trusted is a 502, unless the user accepts any", async (t) => {
  const stranger = await testCertificates()
  const { ScriptedOrigin } = await import("../../../lib/testing/origin.ts")
  const origin = await ScriptedOrigin.start(always(ok("unsafe")), stranger.chainFor("a.test"))
  t.teardown(() => origin.close())
  for (const verify of [true, false]) {
    const proxy = await startProxy(t, { settings: { ...everythingTo(origin), verify } })
    const tunnel = await Wire.tunnel(proxy.port, "a.test:443")
    const client = await tunnel.secure({ servername: "a.test", ca: proxy.certificates.ca })
    client.write("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer secret\r\n\r\n")
    const response = await client.response()
    t.equal(response.status, verify ? 502 : 200)
    if (verify) t.match(response.text, /certificate not accepted: .*--upstream-ca FILE.*--insecure/)
    t.equal(origin.requests.length, verify ? 0 : 1)
    client.end()
  }
})

test("a request on a reused connection that ends before its answer is sent again, once", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    if (request.connection === 1 && origin.requests.length > 1) socket.destroy()
    else socket.write(ok(`${request.method} ${request.body}`))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(GET)
  await client.response()
  client.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody")
  t.equal((await client.response()).text, "POST body")
  t.same(
    origin.requests.map(({ connection }) => connection),
    [1, 1, 2],
  )
  client.end()
})

test("a request on a new connection, or with a byte of its answer, is never sent again", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    if (request.target === "/first") socket.write(ok("hi"))
    else if (request.target === "/part") socket.write("HTTP/1.1 200 OK\r\nCont", () => socket.destroy())
    else socket.destroy()
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(GET)
  t.equal((await client.response()).status, 502)
  t.equal(origin.requests.length, 1)
  client.write("GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n")
  await client.response()
  client.write("GET /part HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.equal((await client.response()).status, 502)
  t.equal(origin.requests.length, 3)
  client.end()
})

test("clients share upstream connections, and wait for one at the limit", async (t) => {
  const release: (() => void)[] = []
  const origin = await startOrigin(t, (request, socket) => void release.push(() => socket.write(ok(request.target))))
  const settings: Partial<ProxySettings> = { ...baseTo(origin), upstreamConnections: 2 }
  const proxy = await startProxy(t, { settings })
  const clients = await Promise.all([1, 2, 3, 4].map(() => Wire.connect(proxy.port)))
  for (const [index, client] of clients.entries()) {
    client.write(`GET /${index} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    if (index < 2) await origin.received(index + 1)
  }
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(origin.requests.length, 2)
  clients[2]?.reset() // Leaves the line.
  await eventually(() => proxy.server.clients === 3)
  for (let count = 1; count <= 3; count++) {
    await origin.received(Math.min(3, count + 1))
    release.shift()?.()
  }
  t.equal((await clients[0]?.response())?.text, "/0")
  t.equal((await clients[1]?.response())?.text, "/1")
  t.equal((await clients[3]?.response())?.text, "/3")
  t.equal(origin.connections, 2)
  for (const client of clients) client.end()
})

test("an addon can send a request through another proxy, with credentials that go no further", async (t) => {
  const origin = await startOrigin(t, always(ok("through")), "127.0.0.1")
  const parent = await parentProxy(t)
  const proxy = await startProxy(t, {
    settings: baseTo(origin, "https"),
    hooks: { request: (flow) => flow.route({ via: `http://user:secret@127.0.0.1:${parent.port}` }) },
  })
  const client = await Wire.connect(proxy.port)
  for (let count = 0; count < 2; count++) {
    client.write(GET)
    t.equal((await client.response()).text, "through")
  }
  t.equal(parent.heads.length, 1, "the tunnel is kept")
  t.match(parent.heads[0], /^CONNECT 127\.0\.0\.1:\d+ HTTP\/1\.1\r\nHost: .*\r\nProxy-Authorization: Basic /)
  t.notMatch(origin.requests[0]?.head, /proxy/i)
  client.end()
})

test("another proxy that refuses is told of without its credentials", async (t) => {
  const parent = await parentProxy(t, "HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")
  const proxy = await startProxy(t, {
    settings: { baseUpstream: new URL("https://a.test") },
    hooks: { request: (flow) => flow.route({ via: `http://user:secret@127.0.0.1:${parent.port}` }) },
  })
  const client = await Wire.connect(proxy.port)
  client.write(GET)
  const response = await client.response()
  t.equal(response.status, 502)
  t.match(response.text, /connect a\.test:443 through 127\.0\.0\.1:\d+: .*407 Who Are You/)
  t.notMatch(response.text, "secret")
  t.notMatch(proxy.lines.join("\n"), "secret")
  client.end()
})
