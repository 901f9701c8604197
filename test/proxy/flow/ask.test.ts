import assert from "node:assert/strict"
import { createServer, type Socket } from "node:net"
import { test } from "tap"
import type { Flow, RouteSpec } from "../../../lib/api/flow.ts"
import {
  addon,
  answer,
  CHAT,
  chat,
  chatJson,
  gate,
  jsonAnswer,
  origin,
  recorder,
  request,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"
import { sharedCertificates } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const KEYS =
  "Authorization: Bearer sk-client-123456\r\nCookie: a=b\r\nCookie: c=d\r\nX-Api-Key: k\r\nApi-Key: k\r\nX-Goog-Api-Key: k\r\nOpenAI-Organization: org\r\nOpenAI-Beta: x\r\nX-Kept: yes\r\n"

const routes = (spec: RouteSpec | ((flow: Flow) => RouteSpec)) =>
  addon("routes", { request: (flow) => flow.route(typeof spec === "function" ? spec(flow) : spec) })

test("a change of origin drops credentials, sets Host, and leaves original as it came", async (t) => {
  const seen = recorder(["response"])
  const up = await origin(t, (_, socket) => void socket.write(answer("there")))
  const url = `http://127.0.0.1:${up.port}/v9/x?y=1`
  const host = await startHost(t, {
    addons: [routes({ url, name: "local", reason: "föö\r\nx", tokens: 7 }), seen.addon],
  })
  const wire = await host.connect()
  wire.write(request("POST", 9, "/v1/a?b=c", "body", KEYS))
  const response = await wire.response("POST")
  assert.equal(response.text, "there")
  assert.equal(response.headers.get("x-llmproxy-route"), "local")
  assert.equal(response.headers.get("x-llmproxy-reason"), "f x")
  assert.equal(response.headers.get("x-llmproxy-tokens"), "7")
  const [got] = up.requests
  assert.equal(got?.target, "/v9/x?y=1")
  assert.equal(got?.body.toString(), "body")
  assert.deepEqual(got?.head.split("\r\n").slice(1).sort(), [
    "Content-Length: 4",
    `Host: 127.0.0.1:${up.port}`,
    "X-Kept: yes",
  ])
  const flow = seen.flow()
  assert.equal(flow.original.url, "http://127.0.0.1:9/v1/a?b=c")
  assert.equal(flow.original.headers.get("authorization"), "Bearer sk-client-123456")
  assert.equal(flow.request.url, url)
  assert.deepEqual(flow.routed, { name: "local", reason: "föö\r\nx", tokens: 7, url })
})

test("credentials that an addon sets itself go along, also those that only it knows", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const url = `http://127.0.0.1:${up.port}`
  const sets = addon("sets", {
    request(flow) {
      flow.request.headers.set("Authorization", "Bearer mine")
      flow.request.headers.set("OpenAI-Organization", "mine")
      flow.request.headers.append("Cookie", "e=f")
      flow.route({ url, headers: { "X-Api-Key": "routed" } })
    },
  })
  const host = await startHost(t, { addons: [sets] })
  const wire = await host.connect()
  wire.write(request("GET", 9, "/v1/a?b=c", "", KEYS))
  await wire.response()
  const head = up.requests[0]?.head ?? ""
  assert.equal(up.requests[0]?.target, "/v1/a?b=c", "a URL without a path keeps the request's")
  assert.match(head, /Authorization: Bearer mine/)
  assert.match(head, /OpenAI-Organization: mine/)
  assert.match(head, /X-Api-Key: routed/)
  assert.doesNotMatch(head, /OpenAI-Beta|X-Goog|^Api-Key/m)
})

test("an addon that sets the client's own Authorization means it: the field goes along", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const url = `http://127.0.0.1:${up.port}`
  const sets = addon("sets", {
    request(flow) {
      const { headers } = flow.request
      headers.set("Authorization", headers.get("authorization") ?? "")
      headers.append("Cookie", "c=d")
      headers.set("X-Api-Key", "k")
      headers.delete("X-Api-Key")
      flow.route({ url })
    },
  })
  const host = await startHost(t, { addons: [sets] })
  const wire = await host.connect()
  wire.write(request("GET", 9, "/v1/a", "", KEYS))
  await wire.response()
  const head = up.requests[0]?.head ?? ""
  assert.match(head, /Authorization: Bearer sk-client-123456/)
  assert.match(head, /^Cookie: c=d$/m)
  assert.doesNotMatch(head, /a=b|X-Api-Key|X-Goog|OpenAI-/)
})

test("whatever is named like a credential stays behind, in the query as in the head", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const names = ["X-Amz-Security-Token", "X-Auth-Token", "Ocp-Apim-Subscription-Key", "Helicone-Auth", "X-Signature"]
  const fields = `${names.map((name) => `${name}: v\r\n`).join("")}Idempotency-Key: once\r\nX-Max-Tokens: 9\r\n`
  const protocols = "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.k\r\n"
  const url = `http://127.0.0.1:${up.port}`
  const ways: [string, RouteSpec | ((flow: Flow) => RouteSpec)][] = [
    ["to a site", { url }],
    ["a copy of the URL", (flow) => ({ url: `${url}${flow.request.path}` })],
    ["with parameters of the addon's", (flow) => ({ url: `${url}${flow.request.path}&key=own&token=` })],
  ]
  for (const [what, spec] of ways) {
    const host = await startHost(t, { addons: [routes(spec)] })
    const wire = await host.connect()
    wire.write(
      request("GET", 9, "/v1/a?key=k&alt=sse&%6Bey=k&X-Amz-Signature=s&access_token=t", "", fields + protocols),
    )
    await wire.response()
    const got = up.requests.at(-1)
    assert.equal(got?.target, `/v1/a?alt=sse${what.startsWith("with") ? "&key=own&token=" : ""}`, what)
    for (const name of names) assert.doesNotMatch(got?.head ?? "", new RegExp(name, "i"))
    assert.match(got?.head ?? "", /Idempotency-Key: once\r\nX-Max-Tokens: 9\r\nSec-WebSocket-Protocol: realtime$/m)
  }
})

test("editing host, port or scheme is a change of origin like any other", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const edits = addon("edits", {
    request(flow) {
      flow.request.port = up.port
    },
  })
  const host = await startHost(t, { addons: [edits] })
  const wire = await host.connect()
  wire.write(request("GET", 9, "/", "", KEYS))
  await wire.response()
  assert.doesNotMatch(up.requests[0]?.head ?? "", /Bearer/)
  assert.match(up.requests[0]?.head ?? "", new RegExp(`Host: 127.0.0.1:${up.port}`))
})

test("a route to the same origin keeps everything, and without url it only says why", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const host = await startHost(t, { addons: [routes({ name: "cloud" })] })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/", "", KEYS))
  const response = await wire.response()
  assert.equal(response.headers.get("x-llmproxy-route"), "cloud")
  assert.equal(response.headers.has("x-llmproxy-reason"), false)
  assert.match(up.requests[0]?.head ?? "", /Authorization: Bearer sk-client-123456/)
})

test("connectTo and ca: another address for the same host, a certificate trusted for one flow", async (t) => {
  const certificates = await sharedCertificates()
  const up = await origin(t, (_, socket) => void socket.write(answer("secret")), "api.example")
  const spec = { url: "https://api.example/x", connectTo: `127.0.0.1:${up.port}` }
  for (const ca of [certificates.ca, undefined]) {
    const route = ca === undefined ? spec : { ...spec, ca }
    const host = await startHost(t, { addons: [routes(route)], settings: { upstreamCa: [] } })
    const wire = await host.connect()
    wire.write(request("GET", 9, "/"))
    const response = await wire.response()
    assert.equal(response.status, ca === undefined ? 502 : 200, response.text)
    if (ca !== undefined) assert.match(up.requests[0]?.head ?? "", /Host: api\.example$/m)
  }
})

test("via: the request goes through another proxy, for one flow", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("not asked")))
  const other = await origin(t, (_, socket) => void socket.write(answer("end")))
  const host = await startHost(t, { addons: [routes({ via: `http://127.0.0.1:${other.port}` })] })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).text, "end")
  assert.equal(other.requests[0]?.target, `http://127.0.0.1:${up.port}/`)
  assert.equal(up.requests.length, 0)
})

test("a route that cannot be is the hook's failure, told where it was made", async (t) => {
  const bad: [RouteSpec, RegExp][] = [
    [{ url: "nonsense" }, /flow\.route: nonsense/],
    [{ url: "ftp://x/" }, /flow\.route: ftp:\/\/x\//],
    [{ connectTo: "nowhere" }, /connectTo nowhere: write host:port/],
    [{ connectTo: "a b:1" }, /connectTo a b:1: write host:port/],
  ]
  for (const [spec, message] of bad) {
    const host = await startHost(t, { addons: [routes(spec)] })
    const up = await origin(t, (_, socket) => void socket.write(answer("went on")))
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    assert.equal((await wire.response()).text, "went on")
    assert.match(host.lines.join("\n"), message)
  }
})

test("a host that an addon breaks is refused, not dialled", async (t) => {
  const breaks = addon("breaks", {
    request(flow) {
      flow.request.host = "a b"
    },
  })
  const host = await startHost(t, { addons: [breaks] })
  const wire = await host.connect()
  wire.write(request("GET", 9, "/"))
  const response = await wire.response()
  assert.equal(response.status, 400)
  assert.match(response.text, /a b is no host name/)
})

test("route with a url after the request was sent comes too late; a name and a reason do not", async (t) => {
  const thrown: unknown[] = []
  const late = addon("late", {
    responseHeaders(flow) {
      flow.route({ name: "late", reason: "seen" })
      try {
        flow.route({ url: "http://x/" })
      } catch (error) {
        thrown.push(error)
      }
    },
  })
  const host = await startHost(t, { addons: [late] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).headers.get("x-llmproxy-reason"), "seen")
  assert.match(String(thrown[0]), /comes too late/)
})

test("a child's TLS name is its own host's, not that of its parent's tunnel", async (t) => {
  const certificates = await sharedCertificates()
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("hi"))), "local.example")
  const sends = addon("sends", {
    async llmRequest(flow) {
      const url = `https://local.example${CHAT}`
      flow.respond(await flow.send({ json: flow.llm.request.body }, { url, connectTo: `127.0.0.1:${up.port}` }))
    },
  })
  const host = await startHost(t, { addons: [sends] })
  const tunnel = await Wire.tunnel(host.port, "api.example:443")
  const wire = await tunnel.secure({ servername: "api.example", ca: certificates.ca })
  t.teardown(() => wire.socket.destroy())
  wire.write(
    `POST ${CHAT} HTTP/1.1\r\nHost: api.example\r\nContent-Length: 57\r\n\r\n{"model":"m","messages":[{"role":"user","content":"hi!"}]}`.replace(
      "57",
      "58",
    ),
  )
  const response = await wire.response("POST")
  assert.equal(response.status, 200, response.text)
})

/** An origin that answers the first request of a connection, and does `then` with the second. */
async function fickle(t: Parameters<typeof origin>[0], then: (socket: Socket) => void) {
  const counts = new Map<number, number>()
  return origin(t, ({ connection }, socket) => {
    const count = (counts.get(connection) ?? 0) + 1
    counts.set(connection, count)
    if (connection === 1 && count === 2) then(socket)
    else socket.write(answer(`from ${connection}`))
  })
}

test("a reused connection that ends before a byte: the request goes out once more, on a new one, body and all", async (t) => {
  const bodies = ["", "small", "x".repeat(65_536)]
  const ends: ((socket: Socket) => void)[] = [
    (s) => void s.end(),
    (s) => void s.destroy(),
    (s) => void s.resetAndDestroy(),
  ]
  for (const body of bodies) {
    for (const end of ends) {
      const up = await fickle(t, end)
      const host = await startHost(t)
      const wire = await host.connect()
      wire.write(request("POST", up.port, "/a", "first"))
      await wire.response("POST")
      wire.write(request("POST", up.port, "/b", body))
      const response = await wire.response("POST")
      assert.deepEqual([response.status, response.text], [200, "from 2"])
      assert.equal(up.requests.at(-1)?.body.toString(), body)
      assert.equal(up.connections, 2)
    }
  }
})

test("a chunked body that is still coming is sent again whole", async (t) => {
  const cut = gate()
  let requests = 0
  const bodies: string[] = []
  const server = createServer((socket) => {
    let text = ""
    const nth = ++requests
    socket.on("error", () => {})
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1")
      if (nth === 1 && text.includes("GET /a")) {
        text = ""
        socket.write(answer("ok"))
      } else if (nth === 1 && text.includes("part1")) {
        socket.destroy()
        cut.open()
      } else if (text.endsWith("0\r\n\r\n")) {
        bodies.push(text.slice(text.indexOf("\r\n\r\n") + 4))
        socket.write(answer("again"))
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const host = await startHost(t)
  const wire = await host.connect()
  wire.write(request("GET", port, "/a"))
  await wire.response()
  wire.write(`POST http://127.0.0.1:${port}/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npart1\r\n`)
  await cut.opened
  wire.write("5\r\npart2\r\n0\r\n\r\n")
  assert.equal((await wire.response("POST")).text, "again")
  assert.equal(
    bodies
      .join("")
      .replace(/\r\n|^5|5(?=\r)/g, "")
      .includes("part1"),
    true,
  )
  assert.match(bodies.join(""), /part1[^p]*part2/)
  wire.socket.destroy()
})

test("what does not fit into 64 KiB is not sent again, unless somebody collected it", async (t) => {
  const body = "x".repeat(65_537)
  for (const collects of [false, true]) {
    const up = await fickle(t, (socket) => void socket.destroy())
    const seen = recorder(["response", "error"])
    const host = await startHost(t, {
      addons: [seen.addon, addon("collects", {}, collects ? { reads: "bodies" } : {})],
    })
    const wire = await host.connect()
    wire.write(request("POST", up.port, "/a", "first"))
    await wire.response("POST")
    wire.write(request("POST", up.port, "/b", body))
    const response = await wire.response("POST")
    await host.settled()
    assert.equal(response.status, collects ? 200 : 502)
    assert.deepEqual(seen.events, ["response", collects ? "response" : "error"])
    assert.equal(up.requests.length, collects ? 3 : 2)
  }
})

test("nothing is sent again on a new connection's failure, after a byte of the answer, or after a timeout", async (t) => {
  const fresh = await origin(t, (_, socket) => void socket.destroy())
  const host = await startHost(t)
  const wire = await host.connect()
  wire.write(request("GET", fresh.port, "/"))
  assert.equal((await wire.response()).status, 502)
  assert.equal(fresh.requests.length, 1)

  for (const start of ["H", "HTTP/1.1 200 OK\r\nX: y", "HTTP/1.1 103 Early Hints\r\n\r\n"]) {
    const byte = await fickle(t, (socket) => void socket.end(start))
    const other = await startHost(t)
    const second = await other.connect()
    second.write(request("GET", byte.port, "/"))
    await second.response()
    second.write(request("GET", byte.port, "/"))
    assert.equal((await second.response()).status, 502, start)
    assert.equal(byte.requests.length, 2, start)
  }

  const silent = await fickle(t, () => {})
  const third = await startHost(t, { settings: { stallTimeoutMs: 1_000, upstreamIdleMs: 999_999 } })
  const last = await third.connect()
  last.write(request("GET", silent.port, "/"))
  await last.response()
  last.write(request("GET", silent.port, "/"))
  await silent.received(2)
  third.clock.advance(1_000)
  assert.equal((await last.response()).status, 504)
  assert.equal(silent.requests.length, 2)
})

test("a second failure is told to the client: nothing is sent a third time", async (t) => {
  const up = await origin(t, ({ connection, target }, socket) => {
    if (connection === 1 && target === "/a") socket.write(answer("ok"))
    else socket.destroy()
  })
  const host = await startHost(t)
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/a"))
  await wire.response()
  wire.write(request("GET", up.port, "/b"))
  assert.equal((await wire.response()).status, 502)
  assert.equal(up.requests.length, 3)
})

test("an early response reaches the client while its body is still being sent", async (t) => {
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", () => socket.write(answer("too large", "", "413 Content Too Large")))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const seen = recorder(["response", "error"])
  const host = await startHost(t, { addons: [seen.addon] })
  const wire = await host.connect()
  wire.write(`POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nfirst part`)
  const response = await wire.response("POST")
  assert.deepEqual([response.status, response.text], [413, "too large"])
  assert.equal(await wire.ended, "end")
  await host.settled()
  assert.deepEqual(seen.events, ["response"])
})

test("a request body that breaks off aborts the upstream and fails the flow", async (t) => {
  const closed = gate()
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.on("data", () => {})
    socket.once("close", closed.open)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const seen = recorder(["response", "error"])
  const host = await startHost(t, { addons: [seen.addon] })
  const wire = await host.connect()
  wire.write(`POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n`)
  await until(() => host.server.core.upstream.size === 1)
  wire.write("zz\r\n")
  assert.equal((await wire.response("POST")).status, 400)
  await closed.opened
  await host.settled()
  assert.deepEqual(seen.events, ["error"])
})

test("a stalled upstream stops the reading of the request body", async (t) => {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on("error", () => {})
    socket.pause()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const host = await startHost(t)
  const wire = await host.connect()
  wire.write(`POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n`)
  const piece = Buffer.alloc(65_536)
  for (let quiet = 0; quiet < 200; ) {
    quiet = wire.socket.writableNeedDrain ? quiet + 1 : 0
    if (!wire.socket.writableNeedDrain) wire.socket.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  // A client that is not read cannot be heard leaving: the stall timeout ends this.
  host.clock.advance(900_000)
  await host.settled()
})

test("chat requests and base-URL requests reach the same flow", async (t) => {
  const seen = recorder(["llmRequest", "response"])
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("x"))))
  const host = await startHost(t, {
    addons: [seen.addon],
    settings: { baseUpstream: new URL(`http://127.0.0.1:${up.port}`) },
  })
  const wire = await host.connect()
  wire.write(
    chat(up.port).replace(`http://127.0.0.1:${up.port}`, "").replace(`Host: 127.0.0.1:${up.port}`, "Host: localhost"),
  )
  assert.equal((await wire.response("POST")).status, 200)
  await host.settled()
  assert.equal(seen.flow().baseUrl, true)
  assert.deepEqual(seen.events, ["llmRequest", "response"])
})
