/** --mode reverse: everything goes to one server, whatever form it came in. */
import { connect as connectHttp2 } from "node:http2"
import { test } from "tap"
import { type Mode, parseMode } from "../../../lib/proxy/session/mode.ts"
import { always, eventually, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const reverseTo = (port: number, base = "", scheme = "http"): Mode =>
  parseMode(`reverse:${scheme}://127.0.0.1:${port}${base}`).mode

test("every request goes to the server, its path behind the base path, Host being the server's", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    socket.write(ok(request.target))
  })
  const proxy = await startProxy(t, { mode: reverseTo(origin.port, "/v1/") })
  const client = await Wire.connect(proxy.port)
  for (const [target, path] of [
    ["/chat?x=1", "/v1/chat?x=1"],
    ["/v1/chat", "/v1/chat"],
    ["/v10", "/v1/v10"],
    ["/.llmproxy/ca", "/v1/.llmproxy/ca"],
    ["http://elsewhere.test:99/chat", "/v1/chat"],
    ["https://elsewhere.test", "/v1/"],
    [`http://127.0.0.1:${proxy.port}/own`, "/v1/own"],
  ] as const) {
    client.write(`GET ${target} HTTP/1.1\r\nHost: any.name.test\r\nOrigin: https://page.test\r\n\r\n`)
    t.equal((await client.response()).text, path, target)
    t.match(origin.requests.at(-1)?.head, new RegExp(`\r\nHost: 127\\.0\\.0\\.1:${origin.port}\r\n`), target)
  }
  client.write("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
  t.equal((await client.response()).text, "*")
  client.end()
})

test("keepHostHeader leaves Host as the client sent it", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { mode: reverseTo(origin.port), settings: { keepHostHeader: true } })
  const client = await Wire.connect(proxy.port)
  client.write("GET / HTTP/1.1\r\nhOST: Public.test:8443\r\n\r\n")
  await client.response()
  t.match(origin.requests[0]?.head, /^GET \/ HTTP\/1\.1\r\nhOST: Public\.test:8443/)
  client.write("GET / HTTP/1.0\r\n\r\n")
  await client.response()
  t.match(origin.requests[1]?.head, `Host: 127.0.0.1:${origin.port}`)
  client.end()
})

test("TLS with us has a leaf for the name that is asked for, and TLS with the server is checked for its own", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "127.0.0.1")
  const proxy = await startProxy(t, { mode: reverseTo(origin.port, "", "https") })
  for (const servername of ["public.test", undefined]) {
    const plain = await Wire.connect(proxy.port)
    const name = servername === undefined ? { host: "127.0.0.1" } : { servername }
    const client = await plain.secure({ ...name, ca: proxy.certificates.ca })
    client.write("GET / HTTP/1.1\r\nHost: public.test\r\n\r\n")
    t.equal((await client.response()).text, "hi")
    client.end()
  }
})

test("CONNECT and what is neither path nor URL are refused", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { mode: reverseTo(origin.port) })
  for (const [line, status, text] of [
    ["CONNECT h.test:443", 405, /CONNECT is for proxies, and this address stands for one server/],
    ["GET h.test", 400, /"h\.test" is no target/],
    ["GET ftp://h.test/", 400, /ftp: URLs/],
    ["GET http://a..b/", 400, /host of the request-target/],
  ] as const) {
    const client = await Wire.connect(proxy.port)
    client.write(`${line} HTTP/1.1\r\nHost: h.test\r\n\r\n`)
    const response = await client.response()
    t.equal(response.status, status, line)
    t.match(response.text, text)
    t.equal(await client.ended, "end")
  }
  t.equal(origin.requests.length, 0)
})

test("an upgrade goes through, both ways", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    t.match(request.head, /\r\nUpgrade: echo\r\n/)
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nready")
    socket.removeAllListeners("data")
    socket.on("data", (bytes: Buffer) => socket.write(`echo ${bytes}`))
  })
  const proxy = await startProxy(t, { mode: reverseTo(origin.port, "/base") })
  const client = await Wire.connect(proxy.port)
  client.write("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
  await client.until("\r\n\r\nready")
  t.equal(origin.requests[0]?.target, "/base/ws")
  client.write("hello")
  await client.until("echo hello")
  client.reset()
  await eventually(() => origin.open === 0)
})

test("a reverse listener that leads to itself answers 508, and does not go round", async (t) => {
  const proxy = await startProxy(t)
  const own = await proxy.server.listen("127.0.0.1", 0, reverseTo(proxy.port))
  const client = await Wire.connect(own.port)
  client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
  t.equal((await client.response()).status, 508)
  client.end()
})

test("HTTP/2, behind TLS and by prior knowledge, is answered for that server as well", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    socket.write(ok(`${request.target} ${/host: (.*)/i.exec(request.head)?.[1]}`))
  })
  const proxy = await startProxy(t, { mode: reverseTo(origin.port, "/v1") })
  for (const scheme of ["http", "https"]) {
    const session = connectHttp2(`${scheme}://localhost:${proxy.port}`, { ca: proxy.certificates.ca })
    t.teardown(() => session.destroy())
    const stream = session.request({ ":path": "/chat", ":authority": "public.test" })
    let text = ""
    for await (const piece of stream.setEncoding("utf8")) text += piece
    t.equal(text, `/v1/chat 127.0.0.1:${origin.port}`, scheme)
    session.close()
  }
})
