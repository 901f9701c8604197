/**
 * Our own address: the base-URL door and who may use it, and requests that would come back to us.
 */
import { hostname } from "node:os"
import { test } from "tap"
import { always, baseTo, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const SPELLINGS = [
  "localhost",
  "LOCALHOST",
  "localhost.",
  "x.localhost",
  "127.0.0.1",
  "127.0.0.2",
  "127.1",
  "0.0.0.0",
  "0",
  "[::1]",
  "[::]",
  "[0:0:0:0:0:0:0:1]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "2130706433",
  "0x7f.1",
  "0177.0.0.1",
  "self.test",
]

const OURS = {
  self: [
    { address: "192.0.2.1", family: 4 },
    { address: "127.0.0.1", family: 4 },
  ],
}

test("a request that would reach the proxy itself is refused with 508, however loopback is spelt", async (t) => {
  const names: string[] = []
  const proxy = await startProxy(t, {
    lookup: (name, _options, done) => {
      names.push(name)
      done(null, OURS.self)
    },
  })
  for (const spelling of SPELLINGS) {
    const client = await Wire.connect(proxy.port)
    client.write(`GET http://${spelling}:${proxy.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    const response = await client.response()
    t.equal(response.status, 508, spelling)
    t.match(response.text, "is the proxy itself")
    client.end()
    const tunnel = await Wire.connect(proxy.port)
    tunnel.write(`CONNECT ${spelling}:${proxy.port} HTTP/1.1\r\nHost: x\r\n\r\n`)
    let refused = await tunnel.response("CONNECT")
    if (spelling === "self.test") {
      // What a name means is known when it is dialled: the tunnel is there, requests in it are refused.
      tunnel.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      refused = await tunnel.response()
    }
    t.equal(refused.status, 508, `CONNECT ${spelling}`)
    tunnel.end()
  }
  t.same(new Set(names), new Set(["self.test"]), "addresses are never looked up")
})

test("a listener on every address knows this machine's names and addresses", async (t) => {
  for (const host of ["0.0.0.0", "::"]) {
    const proxy = await startProxy(t, {
      host,
      lookup: (_name, _options, done) => done(null, [{ address: "::ffff:7f00:1", family: 6 }]),
    })
    for (const name of ["127.0.0.1", "[::1]", hostname()]) {
      const client = await Wire.connect(proxy.port)
      client.write(`GET http://${name}:${proxy.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
      t.equal((await client.response()).status, 508, `${name} at ${host}`)
      client.end()
    }
  }
})

test("a base upstream or a --connect-to that is the proxy itself is refused as well", async (t) => {
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL("http://loop.test:1/") } })
  const settings = {
    connectTo: [{ host: "loop.test", port: undefined, toHost: "127.0.0.3", toPort: proxy.port }],
    baseUpstream: new URL("http://loop.test:1/"),
  }
  const second = await startProxy(t, { settings })
  const client = await Wire.connect(second.port)
  // The rule leads to the first proxy, which is another one: only a loop of one is refused here.
  client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.not((await client.response()).status, 508)
  client.end()
})

test("the base-URL door wants a Host that is an address, localhost or allowed", async (t) => {
  const origin = await startOrigin(t, always(ok("in")))
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), baseHosts: ["proxy.test"] } })
  const cases: readonly [string, number][] = [
    ["localhost", 200],
    [`localhost:${proxy.port}`, 200],
    ["LocalHost:1", 200],
    ["127.0.0.1", 200],
    ["[::1]:8080", 200],
    ["10.1.2.3", 200],
    ["proxy.test:8080", 200],
    ["evil.example", 421],
    ["localhost.evil.example", 421],
    ["127.0.0.1.evil.example", 421],
    ["proxy.test.evil.example", 421],
    ["", 421],
  ]
  for (const [host, status] of cases) {
    const client = await Wire.connect(proxy.port)
    client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    t.equal((await client.response()).status, status, `Host: ${host}`)
    client.end()
  }
  const old = await Wire.connect(proxy.port)
  old.write("GET / HTTP/1.0\r\n\r\n")
  t.equal((await old.response()).status, 421, "no Host at all")
  t.equal(origin.requests.length, 7)
})

test("a page's Origin that was not allowed gets 403, and nothing is forwarded", async (t) => {
  const origin = await startOrigin(t, always(ok("in")))
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), baseOrigins: ["http://good.test"] } })
  for (const [value, status] of [
    ["http://good.test", 200],
    ["http://good.test.evil.example", 403],
    ["https://good.test", 403],
    ["null", 403],
    ["", 403],
  ] as const) {
    const client = await Wire.connect(proxy.port)
    client.write(`POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: ${value}\r\nContent-Length: 1\r\n\r\nx`)
    t.equal((await client.response()).status, status, `Origin: ${value}`)
    client.end()
  }
  t.equal(origin.requests.length, 1)
})

test("paths below /.llmproxy/ are ours and never forwarded", async (t) => {
  const origin = await startOrigin(t, always(ok("in")))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  for (const path of ["/.llmproxy/", "/.llmproxy/flows?x", "/.llmproxy", "/.llmproxy?x"]) {
    const client = await Wire.connect(proxy.port)
    client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    t.equal((await client.response()).status, 404, path)
    client.end()
  }
  t.equal(origin.requests.length, 0)
})

test("a base upstream's own path comes before the request's, once", async (t) => {
  const origin = await startOrigin(t, always(ok("in")))
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${origin.port}/v1/`) } })
  const client = await Wire.connect(proxy.port)
  for (const [sent, forwarded] of [
    ["/models", "/v1/models"],
    ["/v1/models", "/v1/models"],
    ["/v1", "/v1"],
    ["/v1?x", "/v1?x"],
    ["/v10", "/v1/v10"],
  ]) {
    client.write(`GET ${sent} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await client.response()
    t.equal(origin.requests.at(-1)?.target, forwarded)
  }
  client.write("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
  await client.response()
  t.equal(origin.requests.at(-1)?.target, "*")
  client.end()
})

test("a target that is no http URL is refused", async (t) => {
  const proxy = await startProxy(t)
  for (const target of ["ftp://a.test/", "http://user@a.test/", "http:///x", "http://a.test:0/", "gopher://x/"]) {
    const client = await Wire.connect(proxy.port)
    client.write(`GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    t.equal((await client.response()).status, 400, target)
    t.equal(await client.ended, "end")
  }
})

test("inside a tunnel an absolute URL goes where the tunnel goes", async (t) => {
  const origin = await startOrigin(t, always(ok("here")))
  const other = await startOrigin(t, always(ok("there")))
  const proxy = await startProxy(t)
  const client = await Wire.tunnel(proxy.port, `127.0.0.1:${origin.port}`)
  client.write(`GET http://127.0.0.1:${other.port}/x HTTP/1.1\r\nHost: a\r\n\r\n`)
  t.equal((await client.response()).text, "here")
  t.equal(origin.requests[0]?.target, "/x")
  t.equal(other.connections, 0)
  client.end()
})
