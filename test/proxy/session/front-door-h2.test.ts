/** What the front door answers over HTTP/2, to Node's own client. */
import { once } from "node:events"
import { connect } from "node:http2"
import { connect as connectTls } from "node:tls"
import { type Test, test } from "tap"
import { proxyUser } from "../../../lib/proxy/access/rules.ts"
import { always, baseTo, ok, startOrigin, startProxy, type TestProxy } from "../../helpers/test-proxy.ts"

/** A client session over TLS with the proxy's own address. */
async function session(t: Test, proxy: TestProxy) {
  const socket = connectTls({
    port: proxy.port,
    host: "127.0.0.1",
    servername: "localhost",
    ca: proxy.certificates.ca,
    ALPNProtocols: ["h2"],
  })
  await once(socket, "secureConnect")
  const client = connect(`https://localhost:${proxy.port}`, { createConnection: () => socket })
  client.on("error", () => {})
  t.teardown(() => client.destroy())
  return async (headers: Record<string, string>) => {
    const stream = client.request({ ":path": "/", ...headers })
    const [head] = await once(stream, "response")
    const pieces: Buffer[] = []
    for await (const piece of stream) pieces.push(piece)
    return { head, text: Buffer.concat(pieces).toString() }
  }
}

test("over HTTP/2 a password is asked for, taken, and goes no further", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const seen: (string | undefined)[] = []
  const proxy = await startProxy(t, {
    settings: { ...baseTo(origin), proxyUsers: [proxyUser("ann:secret")] },
    hooks: { request: (flow) => void seen.push(flow.client.id, flow.request.headers.get("proxy-authorization")) },
  })
  const ask = await session(t, proxy)
  const refused = await ask({})
  t.equal(refused.head[":status"], 407)
  t.match(refused.head["proxy-authenticate"], /^Basic realm="llmproxy"/)
  const proof = `Basic ${Buffer.from("ann:secret").toString("base64")}`
  t.equal((await ask({ "proxy-authorization": proof })).text, "hi")
  t.same(seen, ["ann", undefined])
  t.notMatch(origin.requests.map(({ head }) => head).join(), /proxy-authorization|Basic/i)
})

test("over HTTP/2 our own page is served as well", async (t) => {
  const proxy = await startProxy(t, {
    page: ({ url }) => Promise.resolve(url.endsWith("/.llmproxy/") ? new Response("own") : undefined),
  })
  const ask = await session(t, proxy)
  t.equal((await ask({ ":path": "/.llmproxy/" })).text, "own")
  t.equal((await ask({ ":path": "/.llmproxy/x" })).head[":status"], 404)
  t.equal((await ask({ ":path": "/.llmproxy/", ":method": "DELETE" })).head[":status"], 405)
})
