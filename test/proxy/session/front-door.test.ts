import { type Test, test } from "tap"
import { proxyUser } from "../../../lib/proxy/access/rules.ts"
import { always, everythingTo, ok, startOrigin, startProxy, type TestProxyOptions } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

async function rig(t: Test, options: TestProxyOptions = {}) {
  const origin = await startOrigin(t, always(ok("the origin")))
  const asked: string[] = []
  const flows: string[] = []
  const proxy = await startProxy(t, {
    page: ({ url }) => {
      asked.push(url)
      const isPage = ["/", "/.llmproxy/"].includes(new URL(url).pathname)
      const headers = { "X-Own": "yes", Server: "llmproxy", "Content-Length": "3" }
      return Promise.resolve(isPage ? new Response("own", { headers }) : undefined)
    },
    hooks: { request: (flow) => void flows.push(flow.request.url) },
    ...options,
    settings: { ...everythingTo(origin), ...options.settings },
  })
  return { proxy, origin, asked, flows }
}

test("our own page is served through the proxy, in a tunnel and at our address, and is no flow", async (t) => {
  const { proxy, origin, asked, flows } = await rig(t)
  const direct = await Wire.connect(proxy.port)
  for (const [line, host] of [
    ["GET http://llmproxy.local/", "llmproxy.local"],
    ["GET http://LLMPROXY.local:8080/", "llmproxy.local"],
    ["GET /.llmproxy/", "localhost"],
  ] as const) {
    direct.write(`${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    const response = await direct.response()
    t.equal(response.text, "own", line)
    t.equal(response.headers.get("x-own"), "yes")
  }
  direct.end()
  const tunnel = await Wire.tunnel(proxy.port, "llmproxy.local:443")
  const inside = await tunnel.secure({ servername: "llmproxy.local", ca: proxy.certificates.ca })
  inside.write("GET / HTTP/1.1\r\nHost: llmproxy.local\r\n\r\n")
  t.equal((await inside.response()).text, "own")
  inside.end()
  t.same(asked, [
    "http://llmproxy.local/",
    "http://llmproxy.local/",
    "http://localhost/.llmproxy/",
    "https://llmproxy.local/",
  ])
  t.same(flows, [])
  t.equal(origin.connections, 0)
})

test("what is not there is 404, what is not reading 405, and HEAD has no body", async (t) => {
  const { proxy, origin, asked } = await rig(t)
  const client = await Wire.connect(proxy.port)
  for (const [line, status] of [
    ["GET /.llmproxy/history", 404],
    ["GET http://llmproxy.local/v1/models", 404],
    ["DELETE /.llmproxy/", 405],
    ["OPTIONS http://llmproxy.local/", 405],
    ["HEAD /.llmproxy/", 200],
  ] as const) {
    client.write(`${line} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    const response = await client.response(line.split(" ")[0])
    t.equal(response.status, status, line)
    t.equal(response.headers.get("server"), "llmproxy", "by which doctor knows us")
    if (status === 405) t.equal(response.headers.get("allow"), "GET, HEAD")
    if (line.startsWith("HEAD")) t.same([response.text, response.headers.get("content-length")], ["", "3"])
  }
  t.equal(asked.length, 3)
  t.equal(origin.connections, 0)
  client.end()
})

test("pages of other origins and other names reach nothing", async (t) => {
  const { proxy, asked } = await rig(t)
  const client = await Wire.connect(proxy.port)
  client.write("GET /.llmproxy/ HTTP/1.1\r\nHost: rebound.test\r\n\r\n")
  t.equal((await client.response()).status, 421)
  await client.closed
  const other = await Wire.connect(proxy.port)
  other.write("GET /.llmproxy/ HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\n\r\n")
  t.equal((await other.response()).status, 403)
  await other.closed
  t.same(asked, [])
})

test("with users the page is there directly, where a device is set up, and else with the password", async (t) => {
  const { proxy } = await rig(t, { settings: { proxyUsers: [proxyUser("ann:secret")] } })
  const client = await Wire.connect(proxy.port)
  client.write("GET /.llmproxy/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.equal((await client.response()).text, "own")
  client.write("GET http://llmproxy.local/ HTTP/1.1\r\nHost: llmproxy.local\r\n\r\n")
  t.equal((await client.response()).status, 407)
  client.end()
})

test("a program without pages serves nothing there", async (t) => {
  const proxy = await startProxy(t)
  const client = await Wire.connect(proxy.port)
  client.write("GET /.llmproxy/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
  const response = await client.response()
  t.equal(response.status, 404)
  t.equal(response.text, "llmproxy: nothing is served here\n")
  client.end()
})

test("the page is intercepted even where only other hosts are", async (t) => {
  const { proxy } = await rig(t, { settings: { allowHosts: [/^api\.test:/] } })
  const tunnel = await Wire.tunnel(proxy.port, "llmproxy.local:443")
  const inside = await tunnel.secure({ servername: "llmproxy.local", ca: proxy.certificates.ca })
  inside.write("GET / HTTP/1.1\r\nHost: llmproxy.local\r\n\r\n")
  t.equal((await inside.response()).text, "own")
  inside.end()
})
