/**
 * TLS in a tunnel and straight to the port: which name the leaf is for, which protocols are agreed, what is relayed
 * unseen, how handshakes fail, and that hellos of every size and cut are read.
 */
import { createServer as createTlsServer, type TLSSocket } from "node:tls"
import { type Test, test } from "tap"
import {
  always,
  eventually,
  everythingTo,
  ok,
  sharedCertificates,
  startOrigin,
  startProxy,
  type TestProxyOptions,
} from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const REQUEST = "GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n"

function peerNames(wire: Wire): string {
  return (wire.socket as TLSSocket).getPeerCertificate().subjectaltname ?? ""
}

test("a TLS tunnel is answered with a leaf for its SNI, and the upstream is asked for the same name", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const proxy = await startProxy(t, { settings: everythingTo(origin) })
  const { ca } = proxy.certificates
  const tunnel = await Wire.tunnel(proxy.port, "api.test:443")
  const client = await tunnel.secure({ servername: "api.test", ca, ALPNProtocols: ["http/1.1"] })
  t.equal((client.socket as TLSSocket).alpnProtocol, "http/1.1")
  t.equal(peerNames(client), "DNS:api.test")
  for (let count = 0; count < 2; count++) {
    client.write(REQUEST)
    t.equal((await client.response()).text, "hi")
  }
  t.equal(origin.connections, 1)
  client.end()
  await client.closed
  await eventually(() => proxy.server.clients === 0)
})

test("a tunnel to an address takes the name from the SNI, or the address where there is none", async (t) => {
  const proxy = await startProxy(t)
  const { ca } = proxy.certificates
  const named = await startOrigin(t, always(ok("by name")), "api.test")
  const byName = await (await Wire.tunnel(proxy.port, `127.0.0.1:${named.port}`)).secure({ servername: "api.test", ca })
  byName.write(REQUEST)
  t.equal((await byName.response()).text, "by name")
  const bare = await startOrigin(t, always(ok("by address")), "127.0.0.1")
  const byAddress = await (await Wire.tunnel(proxy.port, `127.0.0.1:${bare.port}`)).secure({ host: "127.0.0.1", ca })
  t.equal(peerNames(byAddress), "IP Address:127.0.0.1")
  t.equal((byAddress.socket as TLSSocket).alpnProtocol, false, "a client that offers no protocol is not refused")
  byAddress.write(REQUEST)
  t.equal((await byAddress.response()).text, "by address")
})

test("an HTTP/1.0 offer is agreed to", async (t) => {
  const proxy = await startProxy(t)
  const tunnel = await Wire.tunnel(proxy.port, "api.test:443")
  const client = await tunnel.secure({
    servername: "api.test",
    ca: proxy.certificates.ca,
    ALPNProtocols: ["http/1.0"],
  })
  t.equal((client.socket as TLSSocket).alpnProtocol, "http/1.0")
})

test("a client that offers only protocols that are not ours is relayed unseen", async (t) => {
  const certificates = await sharedCertificates()
  const server = createTlsServer({ ...certificates.chainFor("mail.test"), ALPNProtocols: ["imap"] }, (socket) => {
    socket.on("data", (bytes) => socket.write(`${socket.alpnProtocol}: ${bytes}`))
    socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" ? (address?.port ?? 0) : 0
  let flows = 0
  const proxy = await startProxy(t, { settings: everythingTo({ port }), hooks: { request: () => void flows++ } })
  const tunnel = await Wire.tunnel(proxy.port, "mail.test:993")
  const client = await tunnel.secure({ servername: "mail.test", ca: certificates.ca, ALPNProtocols: ["imap"] })
  client.write("GET / HTTP/1.1\r\n\r\n")
  await client.until("imap: GET / HTTP/1.1")
  client.end()
  await client.closed
  t.equal(flows, 0)
})

test("an ignored SNI and an addon's passthrough are relayed unseen", async (t) => {
  const origin = await startOrigin(t, always(ok("direct")), "api.test")
  let hellos = 0
  const hooks = {
    tlsClientHello: (hello: { passthrough(): void; sni: string | undefined; port: number | undefined }) => {
      hellos++
      t.same([hello.sni, hello.port], ["api.test", 443])
      hello.passthrough()
    },
    request: () => void t.fail("no flow is seen"),
  }
  const both: TestProxyOptions[] = [
    { settings: { ...everythingTo(origin), ignoreHosts: [/^api\.test:443$/] } },
    { settings: everythingTo(origin), hooks },
  ]
  for (const options of both) {
    const proxy = await startProxy(t, options)
    // Connected by address: only the hello tells the name.
    const tunnel = await Wire.tunnel(proxy.port, "192.0.2.1:443")
    const client = await tunnel.secure({ servername: "api.test", ca: proxy.certificates.ca })
    client.write(REQUEST)
    t.equal((await client.response()).text, "direct")
    client.end()
  }
  t.equal(hellos, 1)
})

test("httpConnect can refuse a tunnel, or have it relayed unseen", async (t) => {
  const origin = await startOrigin(t, always(ok("direct")))
  const proxy = await startProxy(t, {
    hooks: {
      httpConnect: (connect) => {
        if (connect.host === "bad.test") connect.refuse(403, "not there")
        else connect.passthrough()
        if (connect.host === "bad.test") connect.refuse(400, "the first word counts")
        if (connect.host !== "bad.test") t.equal(connect.headers.get("x-note"), "1")
      },
      request: () => void t.fail("no flow is seen"),
    },
  })
  const client = await Wire.connect(proxy.port)
  client.write("CONNECT bad.test:443 HTTP/1.1\r\nHost: x\r\nX-Note: 1\r\n\r\n")
  const refused = await client.response()
  t.equal(refused.status, 403)
  t.match(refused.text, "not there")
  t.equal(origin.connections, 0)
  const relayed = await Wire.connect(proxy.port)
  relayed.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\nX-Note: 1\r\n\r\n`)
  t.equal((await relayed.response("CONNECT")).status, 200)
  relayed.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
  t.equal((await relayed.response()).text, "direct")
  relayed.end()
})

test("TLS straight to the port is answered for its SNI or our address, and serves both doors", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${origin.port}`) } })
  const { ca } = proxy.certificates
  for (const [options, names] of [
    [{ servername: "localhost" }, "DNS:localhost"],
    [{ host: "127.0.0.1" }, "IP Address:127.0.0.1"],
  ] as const) {
    const client = await (await Wire.connect(proxy.port)).secure({ ...options, ca })
    t.equal(peerNames(client), names)
    client.write("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    t.equal((await client.response()).text, "hi")
    client.write(`GET http://127.0.0.1:${origin.port}/y HTTP/1.1\r\nHost: x\r\n\r\n`)
    t.equal((await client.response()).text, "hi")
    client.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`)
    t.equal((await client.response("CONNECT")).status, 200)
    client.write(REQUEST)
    t.equal((await client.response()).text, "hi", "a tunnel in TLS to the proxy")
    client.end()
  }
})

test("TLS in a tunnel in TLS to the proxy is answered as well", async (t) => {
  const origin = await startOrigin(t, always(ok("deep")), "api.test")
  const proxy = await startProxy(t, { settings: everythingTo(origin) })
  const { ca } = proxy.certificates
  const outer = await (await Wire.connect(proxy.port)).secure({ servername: "localhost", ca })
  outer.write("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
  t.equal((await outer.response("CONNECT")).status, 200)
  const inner = await outer.secure({ servername: "api.test", ca })
  inner.write(REQUEST)
  t.equal((await inner.response()).text, "deep")
  inner.end()
})

test("a client that does not trust the CA is told of in the log, with what to do", async (t) => {
  const proxy = await startProxy(t)
  const tunnel = await Wire.tunnel(proxy.port, "api.test:443")
  await t.rejects(tunnel.secure({ servername: "api.test", ca: [] }))
  t.match(await proxy.logged("does not accept our certificate for api.test:443"), /llmproxy ca trust/)
  t.equal(proxy.lines.filter((line) => line.startsWith("warn")).length, 1)
  await eventually(() => proxy.server.clients === 0)
})

test("a cut of a close-delimited answer over TLS is no clean end", async (t) => {
  const origin = await startOrigin(
    t,
    (_, socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\nsome")
    },
    "api.test",
  )
  const proxy = await startProxy(t, { settings: { ...everythingTo(origin), stallTimeoutMs: 60_000 } })
  const tunnel = await Wire.tunnel(proxy.port, "api.test:443")
  const client = await tunnel.secure({ servername: "api.test", ca: proxy.certificates.ca })
  client.write("GET / HTTP/1.0\r\nHost: api.test\r\n\r\n")
  await client.until("some")
  proxy.clock.advance(60_000)
  t.equal(await client.ended, "reset")
  await eventually(() => proxy.server.clients === 0)
})

test("a handshake that does not end in time is given up, a broken one at once", async (t) => {
  const proxy = await startProxy(t, { settings: { headerTimeoutMs: 5_000 } })
  const slow = await Wire.tunnel(proxy.port, "api.test:443")
  slow.write(Buffer.from([0x16, 3, 1, 1, 0, 1]))
  await oneTurn(t)
  await eventually(() => {
    proxy.clock.advance(5_000)
    return slow.socket.destroyed
  })
  for (const bytes of [
    Buffer.from([0x16, 3, 1, 0, 4, 2, 0, 0, 0]), // a ServerHello
    Buffer.from([0x16, 3, 1, 0, 0]), // an empty record
    Buffer.from([0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), // 16 MiB announced
    Buffer.from([0x16, 3, 1, 0, 8, 1, 0, 0, 4, 3, 3, 0, 0]), // cut short inside
  ]) {
    const broken = await Wire.tunnel(proxy.port, "api.test:443")
    broken.write(bytes)
    await broken.closed
  }
  await eventually(() => proxy.server.clients === 0)
})

async function oneTurn(_: Test): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

test("an upgrade inside TLS on both sides half-closes as well", async (t) => {
  const certificates = await sharedCertificates()
  const server = createTlsServer({ ...certificates.chainFor("ws.test"), allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {})
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello")
      socket.on("data", (bytes) => socket.write(`echo ${bytes}`))
    })
    socket.once("end", () => socket.end("bye"))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const proxy = await startProxy(t, {
    settings: everythingTo({ port: typeof address === "object" ? (address?.port ?? 0) : 0 }),
  })
  const tunnel = await Wire.tunnel(proxy.port, "ws.test:443", { allowHalfOpen: true })
  const client = await tunnel.secure({ servername: "ws.test", ca: certificates.ca })
  client.write("GET /ws HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
  await client.until("hello")
  client.write("there")
  await client.until("echo there")
  client.end()
  t.equal(await client.ended, "end")
  t.match(client.text, /bye$/)
  await eventually(() => proxy.server.clients === 0)
})

test("a client that agreed on HTTP/2 and speaks HTTP/1.1 is closed, in a tunnel and at the port, and nothing is asked", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const proxy = await startProxy(t, { settings: everythingTo(origin) })
  const { ca } = proxy.certificates
  const tunnel = await Wire.tunnel(proxy.port, "api.test:443")
  const inside = await tunnel.secure({ servername: "api.test", ca, ALPNProtocols: ["h2"] })
  t.equal((inside.socket as TLSSocket).alpnProtocol, "h2")
  inside.write(REQUEST)
  await inside.closed
  const direct = await Wire.connect(proxy.port)
  const own = await direct.secure({ servername: "localhost", ca, ALPNProtocols: ["h2"] })
  own.write(REQUEST)
  await own.closed
  t.equal(origin.connections, 0)
})
