/**
 * --mode transparent: clients that were redirected here and know of no proxy. Where they were going is told by the test
 * in the kernel's place (test/e2e/transparent.test.ts has a real packet filter), or by nobody.
 */
import { createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import type { LlmFlow } from "../../../lib/api/flow.ts"
import type { Mode } from "../../../lib/proxy/session/mode.ts"
import {
  always,
  eventually,
  everythingTo,
  ok,
  startOrigin,
  startProxy,
  type TestProxy,
} from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const mode: Mode = { kind: "transparent" }

async function rawServer(t: Test, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    serve(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return typeof address === "object" ? (address?.port ?? 0) : 0
}

/** The URLs of flows. */
function urls(): { seen: string[]; hooks: { request(flow: Pick<LlmFlow, "request">): void } } {
  const seen: string[] = []
  return { seen, hooks: { request: (flow) => void seen.push(flow.request.url) } }
}

test("TLS goes to where the client was going, under the name that it asked for", async (t) => {
  const origin = await startOrigin(t, always(ok("secret")), "a.test")
  const { seen, hooks } = urls()
  // What the name means to a resolver plays no part: nobody is asked.
  const lookup = () => t.fail("no name is resolved")
  const original = { host: "127.0.0.1", port: origin.port }
  const proxy = await startProxy(t, { mode, hooks, lookup, destinationOf: () => original })
  const plain = await Wire.connect(proxy.port)
  const client = await plain.secure({ servername: "a.test", ca: proxy.certificates.ca })
  client.write("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
  t.equal((await client.response()).text, "secret")
  t.strictSame(seen, [`https://a.test:${origin.port}/x`])
  client.end()
  const wrong = await Wire.connect(proxy.port)
  const other = await wrong.secure({ servername: "b.test", ca: proxy.certificates.ca })
  other.write("GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n")
  const response = await other.response()
  t.equal(response.status, 502, "the server's certificate is checked for that name")
  t.match(response.text, /certificate not accepted/)
  other.end()
})

test("TLS without a name is for the address", async (t) => {
  const origin = await startOrigin(t, always(ok("secret")), "127.0.0.1")
  const original = { host: "127.0.0.1", port: origin.port }
  const proxy = await startProxy(t, { mode, destinationOf: () => original })
  const plain = await Wire.connect(proxy.port)
  const client = await plain.secure({ host: "127.0.0.1", ca: proxy.certificates.ca })
  client.write("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
  t.equal((await client.response()).text, "secret")
  client.end()
})

test("plain requests are for what Host says, at the address that the client was going to", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { seen, hooks } = urls()
  const original = { host: "127.0.0.1", port: origin.port }
  const proxy = await startProxy(t, { mode, hooks, destinationOf: () => original, lookup: () => t.fail() })
  const client = await Wire.connect(proxy.port)
  for (const host of ["one.test", "two.test:99", "localhost"]) {
    client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    t.equal((await client.response()).text, "hi")
    t.match(origin.requests.at(-1)?.head, `Host: ${host}`)
  }
  client.write("GET / HTTP/1.0\r\n\r\n")
  t.equal((await client.response()).text, "hi")
  t.strictSame(
    seen,
    ["one.test", "two.test", "localhost", "127.0.0.1"].map((host) => `http://${host}:${origin.port}/`),
  )
})

test("bytes that are not ours to read, ignored hosts, and servers that speak first are relayed to there", async (t) => {
  const port = await rawServer(t, (socket) => socket.on("data", (bytes) => socket.write(`raw ${bytes}`)))
  const original = { host: "127.0.0.1", port }
  const proxy = await startProxy(t, {
    mode,
    destinationOf: () => original,
    settings: { ignoreHosts: [/^ignored\.test/] },
  })
  const opaque = await Wire.connect(proxy.port)
  opaque.write("\x00opaque")
  await opaque.until("raw \x00opaque")
  opaque.reset()
  const ignored = await Wire.connect(proxy.port)
  ignored.write("GET / HTTP/1.1\r\nHost: ignored.test\r\n\r\n")
  await ignored.until("raw GET / HTTP/1.1\r\nHost: ignored.test\r\n\r\n")
  ignored.reset()
  const byAddress = await startProxy(t, { mode, destinationOf: () => original, settings: { ignoreHosts: [/^127\./] } })
  const known = await Wire.connect(byAddress.port)
  known.write("GET / HTTP/1.1\r\nHost: any.test\r\n\r\n")
  await known.until("raw GET / HTTP/1.1\r\nHost: any.test")
  known.reset()
  const first = await rawServer(t, (socket) => socket.write("220 ready\r\n"))
  const mail = await startProxy(t, { mode, destinationOf: () => ({ host: "127.0.0.1", port: first }) })
  const silent = await Wire.connect(mail.port)
  await eventually(() => {
    mail.clock.advance(100)
    return silent.text.includes("220 ready")
  })
  silent.reset()
})

/** Everything fails on this connection; resolves with the log's line. */
async function refused(proxy: TestProxy, bytes: string, line: string): Promise<string> {
  const client = await Wire.connect(proxy.port)
  client.write(bytes)
  await client.closed
  return proxy.logged(line)
}

test("where nobody tells the destination, SNI and Host do, and what has neither is closed in one line", async (t) => {
  const plain = await startOrigin(t, always(ok("hi")))
  const { seen, hooks } = urls()
  const proxy = await startProxy(t, { mode, hooks, destinationOf: () => undefined, settings: everythingTo(plain) })
  const client = await Wire.connect(proxy.port)
  client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET / HTTP/1.1\r\nHost: b.test:81\r\n\r\n")
  await client.response()
  await client.response()
  client.write("GET http://c.test/ HTTP/1.1\r\nHost: x\r\n\r\n")
  await client.response()
  client.write("GET / HTTP/1.0\r\n\r\n")
  t.equal((await client.response()).status, 400)
  const own = await Wire.connect(proxy.port)
  own.write(`GET / HTTP/1.1\r\nHost: localhost:${proxy.port}\r\n\r\n`)
  t.equal((await own.response()).status, 508)
  const secure = await startOrigin(t, always(ok("secret")), "a.test")
  const other = await startProxy(t, {
    mode,
    hooks,
    destinationOf: () => undefined,
    settings: { ...everythingTo(secure), transparentPort: 8443 },
  })
  const tls = await (await Wire.connect(other.port)).secure({ servername: "a.test", ca: other.certificates.ca })
  tls.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
  t.equal((await tls.response()).text, "secret")
  tls.end()
  t.strictSame(seen, ["http://a.test/", "http://b.test:81/", "http://c.test/", "https://a.test:8443/"])
  t.match(await refused(proxy, "\x00opaque", "names no host"), /^warn .*it names no host$/)
})

test("a connection that nobody redirected is refused in one line", async (t) => {
  let original = { host: "127.0.0.1", port: 0 }
  const proxy = await startProxy(t, { mode, destinationOf: () => original })
  original = { host: "127.0.0.1", port: proxy.port }
  const line = await refused(proxy, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "go round")
  t.match(
    line,
    /^warn 127\.0\.0\.1:\d+: refused, because it would go round: nobody redirected this connection to 127\.0\.0\.1/,
  )
  t.equal(proxy.lines.filter((one) => one.startsWith("warn")).length, 1)
})
