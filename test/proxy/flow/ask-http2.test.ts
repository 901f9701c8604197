import { createSecureServer, type ServerHttp2Stream } from "node:http2"
import { type Test, test } from "tap"
import type { ProxySettings } from "../../../lib/proxy/settings.ts"
import {
  type Http2Origin,
  type Http2OriginOptions,
  type StreamScript,
  startHttp2Origin,
} from "../../helpers/hosts/h2-origin.ts"
import { eventually, sharedCertificates, startProxy, type TestProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

interface World {
  readonly origin: Http2Origin
  readonly proxy: TestProxy
  /** A client of the base-URL door, in HTTP/1.1. */
  readonly wire: Wire
}

async function world(
  t: Test,
  script: StreamScript,
  settings: Partial<ProxySettings> = {},
  options: Http2OriginOptions = {},
): Promise<World> {
  const origin = await startHttp2Origin(t, script, { name: "127.0.0.1", ...options })
  const baseUpstream = new URL(`https://127.0.0.1:${origin.port}`)
  const proxy = await startProxy(t, { settings: { baseUpstream, ...settings } })
  return { origin, proxy, wire: await connect(t, proxy.port) }
}

async function connect(t: Test, port: number): Promise<Wire> {
  const wire = await Wire.connect(port)
  t.teardown(() => wire.socket.destroy())
  return wire
}

const get = (path: string, fields = "") => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n`
const post = (path: string, body: string, fields = "") =>
  `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`

/** Answers with what it was sent. */
function echo(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200 })
  stream.pipe(stream)
}

test("clients of HTTP/1.1 share one session with an upstream that speaks HTTP/2", async (t) => {
  const { origin, proxy, wire } = await world(t, echo)
  const others = await Promise.all([connect(t, proxy.port), connect(t, proxy.port)])
  for (const [index, one] of [wire, ...others].entries()) {
    one.write(post("/echo", `body ${index}`))
    t.equal((await one.response("POST")).text, `body ${index}`)
  }
  t.equal(origin.sessions.length, 1)
})

test("interim answers and trailers come through, and a body waits for 100-continue", async (t) => {
  const { wire } = await world(t, (stream) => {
    stream.additionalHeaders({ ":status": 103, link: "</style.css>" })
    stream.additionalHeaders({ ":status": 100 })
    stream.on("data", () => {})
    stream.on("end", () => {
      stream.respond({ ":status": 200 }, { waitForTrailers: true })
      stream.on("wantTrailers", () => stream.sendTrailers({ sum: "9" }))
      stream.end("done")
    })
  })
  const head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\nTE: trailers\r\n\r\n"
  wire.write(head)
  await wire.until("HTTP/1.1 100")
  wire.write("body")
  const response = await wire.response("POST")
  t.same(
    response.informational.map(({ status }) => status),
    [103, 100],
  )
  t.equal(response.text, "done")
  t.equal(response.trailers?.get("sum"), "9")
})

test("heads of 40 kB go both ways", async (t) => {
  const long = "x".repeat(40_000)
  let seen: string | undefined
  const { wire } = await world(t, (stream, raw) => {
    seen = raw[raw.indexOf("x-long") + 1]
    stream.respond({ ":status": 200, "x-long": long })
    stream.end()
  })
  wire.write(get("/", `X-Long: ${long}\r\n`))
  const response = await wire.response()
  t.equal(response.headers.get("x-long"), long)
  t.equal(seen, long)
})

test("a request that was refused is sent once more, with its body, on another session", async (t) => {
  let refusals = 0
  const refuse: StreamScript = (stream, raw) => {
    if (raw.includes("/never") || refusals++ === 0) stream.close(7)
    else echo(stream)
  }
  const { wire, origin } = await world(t, refuse)
  wire.write(post("/", "the body"))
  const response = await wire.response("POST")
  t.same([response.status, response.text], [200, "the body"])
  t.equal(origin.sessions.length, 2)
  const before = origin.streams.length
  wire.write(post("/never", "the body"))
  const refused = await wire.response("POST")
  t.equal(refused.status, 502)
  t.match(refused.text, /REFUSED_STREAM/)
  t.equal(origin.streams.length, before + 2)
})

test("a body that is no longer held is not sent again", async (t) => {
  const { wire, origin } = await world(t, (stream) => {
    let got = 0
    stream.on("data", (bytes: Buffer) => {
      got += bytes.length
      if (got >= 100_000) stream.close(7)
    })
  })
  wire.write(`POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(200_000)}`)
  t.equal((await wire.response("POST")).status, 502)
  t.equal(origin.streams.length, 1)
})

test("a connection that breaks is no refusal: the request is not sent again", async (t) => {
  const { wire, origin } = await world(t, (stream, raw) => {
    if (raw.includes("/break")) stream.session?.destroy()
    else echo(stream)
  })
  wire.write(get("/"))
  t.equal((await wire.response()).status, 200)
  wire.write(get("/break"))
  t.equal((await wire.response()).status, 502)
  t.equal(origin.streams.length, 2)
})

test("a client that leaves resets its stream with CANCEL, and no other", async (t) => {
  const { wire, origin, proxy } = await world(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "text/event-stream" })
    stream.write("data: 1\n\n")
  })
  const other = await connect(t, proxy.port)
  wire.write(get("/"))
  other.write(get("/"))
  await Promise.all([wire.until("data: 1"), other.until("data: 1")])
  const [first, second] = origin.streams
  wire.reset()
  await eventually(() => origin.streams.some((stream) => stream.closed))
  t.same(
    [first, second].map((stream) => [stream?.closed, stream?.rstCode]),
    first?.closed === true
      ? [
          [true, 8],
          [false, 0],
        ]
      : [
          [false, 0],
          [true, 8],
        ],
  )
})

test("a field of which there may be one, sent twice and not the same, is refused and not sent", async (t) => {
  const { wire, proxy, origin } = await world(t, (stream) => {
    stream.respond({ ":status": 200 })
    stream.end()
  })
  wire.write(get("/", "If-Range: a\r\nIf-Range: b\r\n"))
  const response = await wire.response()
  t.equal(response.status, 400)
  t.match(response.text, /more than one if-range/)
  t.equal(origin.streams.length, 0)
  const next = await connect(t, proxy.port)
  next.write(get("/"))
  t.equal((await next.response()).status, 200)
})

const UPGRADE =
  "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

test("a WebSocket of HTTP/1.1 becomes a stream, once a session is known to take it", async (t) => {
  const { wire, origin } = await world(t, echo, {}, { settings: { enableConnectProtocol: true } })
  wire.write(get("/"))
  await wire.response()
  wire.write(UPGRADE)
  const head = await wire.until("\r\n\r\n")
  t.match(head, /^HTTP\/1\.1 101 /)
  t.match(head, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i)
  wire.write("\x81\x85\0\0\0\0hello")
  await wire.until("hello")
  t.equal(origin.sessions.length, 1)
  wire.end()
  await wire.closed
})

test("a WebSocket goes over HTTP/1.1 where no session is known to take it", async (t) => {
  const server = createSecureServer({ ...(await sharedCertificates()).chainFor("127.0.0.1"), allowHTTP1: true })
  server.on("stream", echo)
  server.on("upgrade", (request, socket) => {
    socket.on("error", () => {})
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`)
    socket.end(`Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhttp/${request.httpVersion}`)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`https://127.0.0.1:${port}`) } })
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const wire = await connect(t, proxy.port)
  t.teardown(() => proxy.server.stop(0))
  wire.write(get("/"))
  t.equal((await wire.response()).status, 200)
  wire.write(UPGRADE)
  t.match(await wire.until("http/1.1"), /^HTTP\/1\.1 101 /)
})
