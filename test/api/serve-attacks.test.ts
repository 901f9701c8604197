/** What must not reach a served path: pages of others, names of others, the proxy itself, and other spellings. */
import { test } from "tap"
import { call, openSession } from "../helpers/clients/h2-client.ts"
import { Wire } from "../helpers/wire/wire.ts"
import { askHttp1, rig } from "./serve-rig.ts"

test("a served path has the base URL's rules for Host and Origin; a page of its own may ask it", async (t) => {
  const served: string[] = []
  const { port, flows } = await rig(
    t,
    ({ serve }) =>
      serve({ method: "*", path: "/panel/*", access: "open" }, ({ url }) => {
        served.push(url)
        return new Response("served")
      }),
    { flags: { baseOrigin: ["http://friend.test"] } },
  )
  const own = `http://127.0.0.1:${port}`
  for (const [headers, status] of [
    [{}, 200],
    [{ Host: "localhost" }, 200],
    [{ Host: "rebound.test" }, 421],
    [{ Host: "llmproxy.local" }, 421],
    [{ Host: "127.0.0.1@rebound.test" }, 400],
    [{ Origin: own }, 200],
    [{ Origin: "http://friend.test" }, 200],
    [{ Origin: "http://friend.test", "Sec-Fetch-Site": "cross-site" }, 200],
    [{ Origin: "null" }, 403],
    [{ Origin: "http://evil.test" }, 403],
    [{ Origin: `http://127.0.0.1:${port + 1}` }, 403],
    [{ Origin: `http://localhost:${port}` }, 403],
    [{ "Sec-Fetch-Site": "cross-site" }, 403],
    [{ "Sec-Fetch-Site": "same-site" }, 403],
    [{ "Sec-Fetch-Site": "same-origin" }, 200],
  ] as const) {
    const before = served.length
    const answer = await askHttp1(port, { path: "/panel/x", headers })
    t.same([answer.status, served.length - before], [status, status === 200 ? 1 : 0], JSON.stringify(headers))
  }
  t.equal(
    (await askHttp1(port, { path: "/v1/models", headers: { Origin: own } })).status,
    403,
    "its page asks no model",
  )
  t.same(flows, [])
})

test("nothing is served through the proxy, in any spelling of its address", async (t) => {
  const served: string[] = []
  const { port, origin } = await rig(t, ({ serve }) =>
    serve({ method: "*", path: "/panel/*", access: "admin" }, ({ url }) => {
      served.push(url)
      return new Response("served")
    }),
  )
  const names = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "a.localhost",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0.0.0.0",
    "127.0.0.2",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::]",
  ]
  for (const name of names) {
    const authority = `${name}:${port}`
    const absolute = await askHttp1(port, { path: `http://${authority}/panel/x`, headers: { Host: authority } })
    t.ok([400, 502, 508].includes(absolute.status), `absolute-form ${name}: ${absolute.status}`)
    const wire = await Wire.connect(port)
    wire.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
    const { status } = await wire.response("CONNECT")
    if (status === 200) {
      wire.write(`GET /panel/x HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
      t.not((await wire.response()).status, 200, `CONNECT ${name}`)
    } else t.ok([400, 502, 508].includes(status), `CONNECT ${name}: ${status}`)
    wire.end()
  }
  for (const own of ["http://127.0.0.1", "http://localhost", "http://[::1]"])
    t.equal((await askHttp1(port, { path: `${own}:${port}/panel/x` })).status, 508, own)
  // Our own name, through the proxy: what is served there is the page that sets a device up, and nothing else.
  for (const path of ["http://llmproxy.local/panel/x", "http://llmproxy.local/.llmproxy/../panel/x"])
    t.equal((await askHttp1(port, { path })).status, 404, path)
  const tunnel = await Wire.tunnel(port, "llmproxy.local:80")
  tunnel.write("GET /panel/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.equal((await tunnel.response()).status, 404)
  tunnel.end()
  const session = await openSession(t, `http://127.0.0.1:${port}`)
  const foreign = await call(session, { ":path": "/panel/x", ":authority": `a.localhost:${port}` })
  t.equal(foreign.status, 508)
  t.same([served, origin.connections], [[], 0])
})

test("a path that reads two ways is refused over both protocols, and no handler sees it", async (t) => {
  const served: string[] = []
  const { protocols, flows, port } = await rig(t, ({ serve }) => {
    serve({ method: "*", path: "/open/*", access: "open" }, ({ url }) => {
      served.push(new URL(url).pathname)
      return new Response("served")
    })
    serve({ method: "*", path: "/open/secret/*", access: "user" }, () => new Response("secret"))
  })
  for (const [name, ask] of protocols) {
    for (const [path, status] of [
      ["/open/../open/secret/x", 400],
      ["/open/%2e%2E/open/secret/x", 400],
      ["/open/./secret/x", 400],
      ["/open/%2e/secret/x", 400],
      ["/open/secret%2fx", 400],
      ["/open/secret%5Cx", 400],
      ["/open/x/..%2fsecret/x", 400],
      ["/open/secret/x", 401],
      ["/open/%73ecret/x", 401],
      ["/open/secret/", 401],
      ["/open/secret", 200],
      ["/open/%2573ecret/x", 200],
      ["/open//secret/x", 200],
      // A framework undoes what can be undone, and so reads the narrower path.
      ["/open/%73ecret/%zz", 400],
      ["/open/%73ecret/%ff", 400],
    ] as const)
      t.equal((await ask({ path })).status, status, `${name} ${path}`)
  }
  const backslash = await askHttp1(port, { path: "/open\\..\\open\\secret\\x" })
  t.not(backslash.text, "secret")
  t.same(served.slice(0, 3), ["/open/secret", "/open/%2573ecret/x", "/open//secret/x"])
  t.ok(flows.length <= 1, "only the one with backslashes, which is no path of ours, may pass on")
})

test("who may use the proxy at all is asked first", async (t) => {
  const { protocols } = await rig(
    t,
    ({ serve }) => serve({ method: "GET", path: "/panel", access: "open" }, () => new Response("served")),
    { flags: { proxyAuth: ["ann:secret"] } },
  )
  const proof = `Basic ${Buffer.from("ann:secret").toString("base64")}`
  for (const [name, ask] of protocols) {
    t.equal((await ask({ path: "/panel" })).status, 407, name)
    t.equal((await ask({ path: "/panel", headers: { "proxy-authorization": proof } })).text, "served", name)
    t.equal((await ask({ path: "/.llmproxy/" })).status, 200, `${name}: the page that sets a device up needs none`)
  }
})
