import { randomBytes } from "node:crypto"
import { createServer, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import { type Test, test } from "tap"
import { answerOf, call, openSession } from "../../helpers/clients/h2-client.ts"
import {
  always,
  baseTo,
  eventually,
  everythingTo,
  ok,
  sharedCertificates,
  startOrigin,
  startProxy,
  type TestProxy,
} from "../../helpers/test-proxy.ts"
import { FLAG, FrameWire, headers, request, reset, TYPE } from "../../helpers/wire/h2-frames.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/** An origin that is given its sockets as they are. */
async function rawOrigin(t: Test, serve: (socket: Socket) => void): Promise<{ port: number; sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.push(socket)
    socket.on("error", () => {}) // Resets are part of what is tested.
    serve(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === "object" && address !== null ? address.port : 0, sockets }
}

const inClear = (t: Test, proxy: TestProxy) => openSession(t, `http://127.0.0.1:${proxy.port}`)

/** A session with `name` inside TLS inside a tunnel, as a client with a proxy set has it. */
async function intercepted(t: Test, proxy: TestProxy, name: string, port = 443) {
  const wire = await Wire.tunnel(proxy.port, `${name}:${port}`)
  wire.socket.removeAllListeners("data")
  const { ca } = await sharedCertificates()
  const tls = connectTls({ socket: wire.socket, servername: name, ca, ALPNProtocols: ["h2", "http/1.1"] })
  await new Promise((resolve, reject) => tls.once("secureConnect", resolve).once("error", reject))
  t.equal(tls.alpnProtocol, "h2")
  return openSession(t, `https://${name}`, { createConnection: () => tls })
}

test("a client that offers h2 gets it, in clear, by TLS to us and inside a tunnel, whatever the upstream speaks", async (t) => {
  const origin = await startOrigin(t, always(ok("hello")), "api.test")
  const settings = { ...baseTo(origin, "https"), ...everythingTo(origin), verify: true }
  const proxy = await startProxy(t, { settings: { ...settings, baseUpstream: new URL("https://api.test") } })
  const { ca } = proxy.certificates
  const sessions = [
    await inClear(t, proxy),
    await openSession(t, `https://127.0.0.1:${proxy.port}`, { ca, servername: "localhost" }),
    await intercepted(t, proxy, "api.test"),
  ]
  for (const session of sessions) {
    const answer = await call(session, { ":path": "/v1/models" })
    t.equal(answer.status, 200)
    t.equal(answer.text, "hello")
    t.equal(answer.headers["content-length"], "5")
    t.notOk("date" in answer.headers, "no field is added")
  }
  t.equal(origin.requests.length, 3)
  for (const { head } of origin.requests) t.match(head, /^GET \/v1\/models HTTP\/1\.1\r\nhost: api\.test/)
})

test("at our own address another authority makes a proxy request of it", async (t) => {
  const origin = await startOrigin(t, always(ok("hello")))
  const proxy = await startProxy(t, { settings: everythingTo(origin) })
  const session = await inClear(t, proxy)
  const answer = await call(session, { ":path": "/x?y", ":authority": "other.test:81", ":scheme": "http" })
  t.equal(answer.text, "hello")
  const asked = origin.requests.find(({ method }) => method === "GET") // An upstream in clear is asked for HTTP/2 first.
  t.match(asked?.head, /^GET \/x\?y HTTP\/1\.1\r\nhost: other\.test:81/)
  const looped = await call(session, { ":path": "/", ":authority": `x.localhost:${proxy.port}`, ":scheme": "http" })
  t.equal(looped.status, 508)
})

test("fields arrive as they were sent, cookies in one line, and answers likewise", async (t) => {
  const fields =
    "X-One: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-One: 2\r\n__proto__: p\r\nConnection: x-gone\r\nX-Gone: 1\r\n"
  const origin = await startOrigin(t, always(ok("", fields)))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await inClear(t, proxy)
  const answer = await call(session, {
    ":path": "/a",
    cookie: ["a=1", "b=2"],
    "x-many": ["1", "2"],
    te: "trailers",
    authorization: "Bearer k",
  })
  const { head } = origin.requests[0] ?? { head: "" }
  t.match(head, "\r\ncookie: a=1; b=2\r\nx-many: 1\r\nx-many: 2\r\nauthorization: Bearer k\r\nTE: trailers\r\n")
  t.strictSame(answer.headers["set-cookie"], ["a=1", "b=2"])
  t.equal(answer.headers["x-one"], "1, 2")
  t.ok(Object.hasOwn(answer.headers, "__proto__"))
  t.notOk("x-gone" in answer.headers)
})

test("bodies of 5 MB arrive whole both ways, with a length and without", async (t) => {
  const body = randomBytes(5_000_000)
  const origin = await startOrigin(t, ({ body: got, target }, socket) => {
    if (target === "/length") socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${got.length}\r\n\r\n`)
    else socket.write(`${CHUNKED}${got.length.toString(16)}\r\n`)
    socket.write(got)
    if (target !== "/length") socket.write("\r\n0\r\n\r\n")
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await inClear(t, proxy)
  const length = String(body.length)
  const [one, two] = await Promise.all([
    call(session, { ":path": "/length", ":method": "POST", "content-length": length }, body),
    call(session, { ":path": "/chunks", ":method": "POST" }, body),
  ])
  t.ok(one.body.equals(body))
  t.ok(two.body.equals(body))
  t.equal(one.headers["content-length"], length)
  t.notOk("content-length" in two.headers)
  t.match(origin.requests.find(({ target }) => target === "/length")?.head, `content-length: ${length}`)
  t.match(origin.requests.find(({ target }) => target === "/chunks")?.head, "Transfer-Encoding: chunked")
})

test("trailers pass in both directions", async (t) => {
  const origin = await startOrigin(t, always(`${CHUNKED}2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n`))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await inClear(t, proxy)
  const stream = session.request({ ":path": "/a", ":method": "POST" }, { waitForTrailers: true })
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-mine": "8" }))
  const answer = answerOf(stream)
  stream.end("body")
  const { trailers, code, text } = await answer
  t.equal(trailers?.["x-sum"], "7")
  t.equal(text, "hi")
  t.equal(code, 0)
  t.match(origin.requests[0]?.rawBody.toString("latin1"), "0\r\nx-mine: 8\r\n\r\n")
})

test("answers without a body have none, and keep the length that they speak of", async (t) => {
  const origin = await startOrigin(t, ({ method, target }, socket) => {
    if (method === "HEAD") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
    else if (target === "/204") socket.write("HTTP/1.1 204 No Content\r\n\r\n")
    else if (target === "/304") socket.write("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")
    else socket.write(ok(""))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await inClear(t, proxy)
  const head = await call(session, { ":path": "/", ":method": "HEAD" })
  t.match(head, { status: 200, text: "", code: 0, headers: { "content-length": "12" } })
  t.match(await call(session, { ":path": "/304" }), {
    status: 304,
    text: "",
    code: 0,
    headers: { "content-length": "9" },
  })
  const none = await call(session, { ":path": "/204" })
  t.match(none, { status: 204, text: "", code: 0 })
  t.notOk("content-length" in none.headers)
  t.match(await call(session, { ":path": "/" }), { status: 200, text: "", code: 0, headers: { "content-length": "0" } })
})

test("interim answers pass, and 100-continue is the upstream's to give", async (t) => {
  let body = ""
  const origin = await rawOrigin(t, (socket) => {
    let seen = ""
    socket.on("data", (bytes: Buffer) => {
      const before = seen
      seen += bytes.toString("latin1")
      if (!before.includes("\r\n\r\n") && seen.includes("\r\n\r\n")) {
        body = seen.split("\r\n\r\n")[1] ?? ""
        socket.write("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
      }
      if (seen.endsWith("\r\n\r\nlate")) socket.write(ok("done"))
    })
  })
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${origin.port}`) } })
  const session = await inClear(t, proxy)
  const fields = { ":path": "/", ":method": "POST", expect: "100-continue", "content-length": "4" }
  const answer = await call(session, fields, (stream) => stream.once("continue", () => stream.end("late")))
  t.equal(body, "", "nothing of the body came before the 100")
  t.equal(answer.text, "done")
  t.match(answer.informational, [{ ":status": 103, link: "<a>" }])
})

test("an upstream that breaks off is a reset for the client, after what came before, and never an end", async (t) => {
  const heads: Record<string, string> = {
    "/length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
    "/chunks": `${CHUNKED}4\r\npart\r\n`,
    "/trailers": "HTTP/1.1 200 OK\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
  }
  const origin = await startOrigin(t, ({ target }, socket) => {
    socket.write(heads[target] ?? "")
    setImmediate(() => socket.destroy())
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const wire = await FrameWire.open(proxy.port)
  let id = 1
  for (const path of Object.keys(heads)) {
    wire.write(headers(id, request(path)))
    t.equal(await wire.resetOf(id), 2, path)
    t.notOk(wire.ended(id), path)
    t.equal(wire.body(id), "part", path)
    id += 2
  }
  wire.socket.destroy()
})

test("an upstream that cannot be reached is a whole answer", async (t) => {
  const origin = await rawOrigin(t, (socket) => socket.destroy())
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${origin.port}`) } })
  const session = await inClear(t, proxy)
  const answer = await call(session, { ":path": "/", ":method": "POST" }, "body")
  t.equal(answer.status, 502)
  t.equal(answer.code, 0)
})

test("a client that resets its stream stops the upstream at once, and its other streams go on", async (t) => {
  let answered: Socket | undefined
  const origin = await startOrigin(t, ({ target }, socket) => {
    socket.write(`${CHUNKED}4\r\nsome\r\n`)
    if (target === "/other") answered = socket
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await inClear(t, proxy)
  const other = session.request({ ":path": "/other" })
  const whole = answerOf(other)
  const doomed = session.request({ ":path": "/doomed" })
  doomed.on("error", () => {}) // CANCEL is what this test sends.
  await new Promise((resolve) => doomed.once("data", resolve))
  t.equal(origin.open, 2)
  doomed.close(8)
  await eventually(() => origin.open === 1)
  answered?.write("3\r\nend\r\n0\r\n\r\n")
  t.match(await whole, { text: "someend", code: 0 })
})

test("a client that resets an upload stops the upstream", async (t) => {
  const origin = await rawOrigin(t, () => {})
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${origin.port}`) } })
  const wire = await FrameWire.open(proxy.port)
  wire.write(headers(1, request("/", [], "POST"), FLAG.END_HEADERS))
  await eventually(() => origin.sockets.length === 1)
  wire.write(reset(1))
  await new Promise((resolve) => origin.sockets[0]?.resume().once("close", resolve))
  wire.socket.destroy()
})

test("a client that leaves stops everything it had asked for", async (t) => {
  const origin = await startOrigin(t, always(`${CHUNKED}4\r\nsome\r\n`))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  for (const leave of ["destroy", "end"] as const) {
    const wire = await FrameWire.open(proxy.port)
    wire.write(headers(1, request("/a")), headers(3, request("/b")))
    await wire.until(({ type, id }) => type === TYPE.DATA && id === 3)
    await wire.until(({ type, id }) => type === TYPE.DATA && id === 1)
    wire.socket[leave]()
    await eventually(() => origin.open === 0)
    await wire.closed
  }
  await eventually(() => proxy.server.clients === 0)
})

test("an answer that comes before the request is whole is delivered, and the rest of the request is not wanted", async (t) => {
  const proxy = await startProxy(t, {
    hooks: { requestHeaders: (flow) => flow.respond({ status: 403, text: "no" }) },
  })
  const wire = await FrameWire.open(proxy.port)
  wire.write(headers(1, request("/", [], "POST"), FLAG.END_HEADERS))
  t.equal(await wire.status(1), 403)
  t.equal(await wire.resetOf(1), 0)
  t.ok(wire.ended(1))
  wire.socket.destroy()
})

test("a stopping proxy lets open streams finish and takes no new ones", async (t) => {
  let socket: Socket | undefined
  const origin = await startOrigin(t, (_, one) => {
    one.write(`${CHUNKED}4\r\nsome\r\n`)
    socket = one
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await inClear(t, proxy)
  const stream = session.request({ ":path": "/" })
  const answer = answerOf(stream)
  await new Promise((resolve) => stream.once("data", resolve))
  const goaway = new Promise((resolve) => session.once("goaway", resolve))
  const stopped = proxy.server.stop(10_000)
  t.equal(await goaway, 0)
  socket?.write("0\r\n\r\n")
  t.match(await answer, { text: "some", code: 0 })
  await stopped
})
