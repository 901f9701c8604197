import type { ServerHttp2Stream } from "node:http2"
import { type Test, test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { DEFAULT_SETTINGS, type ProxySettings } from "../../../lib/proxy/settings.ts"
import type { ServerRequestHead, UpstreamStream } from "../../../lib/proxy/streams.ts"
import { Upstream } from "../../../lib/proxy/upstream/pool.ts"
import type { Target } from "../../../lib/proxy/upstream/target.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { type StreamScript, startHttp2Origin } from "../../helpers/hosts/h2-origin.ts"
import { eventually } from "../../helpers/test-proxy.ts"

interface World {
  readonly clock: ManualClock
  readonly upstream: Upstream
  readonly streams: ServerHttp2Stream[]
  open(): Promise<UpstreamStream>
}

/** A pool, and an origin that speaks HTTP/2 without TLS. */
async function world(t: Test, script: StreamScript, settings: Partial<ProxySettings> = {}): Promise<World> {
  const origin = await startHttp2Origin(t, script, { settings: { enableConnectProtocol: true } })
  const clock = new ManualClock()
  const events = { connecting: (target: Target) => target, connected: () => {}, disconnected: () => {} }
  const upstream = new Upstream({ ...DEFAULT_SETTINGS, ...settings }, clock, events)
  t.teardown(() => upstream.close())
  const target: Target = {
    scheme: "http",
    protocol: "h2c",
    host: "127.0.0.1",
    port: origin.port,
    sni: undefined,
    connectTo: undefined,
    via: undefined,
    ca: undefined,
    verify: true,
  }
  return { clock, upstream, streams: origin.streams, open: () => upstream.open(target) }
}

function send(
  stream: UpstreamStream,
  changes: Partial<ServerRequestHead> = {},
  body = { length: 0 as number | undefined, hasBody: false },
): void {
  const head = { method: "GET", path: "/", authority: "a.test", headers: new Headers(), upgrade: undefined }
  stream.send({ ...head, ...changes }, body)
}

async function bodyOf({ body }: UpstreamStream): Promise<string> {
  let text = ""
  for (let piece = await body.read(); piece !== undefined; piece = await body.read()) text += piece
  return text
}

async function failureOf(promise: Promise<unknown>): Promise<FlowError> {
  const thrown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (thrown instanceof FlowError) return thrown
  throw new Error(`no FlowError: ${thrown}`)
}

test("a request leaves in the terms of HTTP/2, and its answer comes whole", async (t) => {
  let seen: readonly string[] = []
  const { open } = await world(t, (stream, raw) => {
    seen = raw
    stream.additionalHeaders({ ":status": 103, link: "</a>" })
    stream.respond({ ":status": 201, "set-cookie": ["a=1", "b=2"], "content-length": "5" }, { waitForTrailers: true })
    stream.on("wantTrailers", () => stream.sendTrailers({ sum: "9" }))
    stream.end("hello")
  })
  const stream = await open()
  t.match([stream.reused, stream.processed, stream.info.tls], [false, "no", undefined])
  const informed: number[] = []
  stream.onInform((head) => informed.push(head.status))
  const headers = new Headers([
    ["Host", "a.test"],
    ["X-One", "1"],
    ["Connection", "x-gone"],
    ["X-Gone", "1"],
    ["X-One", "2"],
    ["Authorization", "Bearer x"],
  ])
  send(stream, { headers, path: "/p?q=1" })
  t.equal(stream.processed, "maybe")
  const head = await stream.head()
  t.same([head.status, head.reason, head.headers.getAll("set-cookie")], [201, "", ["a=1", "b=2"]])
  t.equal(stream.body.length, 5)
  t.equal(stream.processed, "yes")
  t.equal(await bodyOf(stream), "hello")
  t.equal(stream.trailers?.get("sum"), "9")
  t.same(informed, [103])
  t.same(pairs(seen), {
    ":method": ["GET"],
    ":scheme": ["http"],
    ":authority": ["a.test"],
    ":path": ["/p?q=1"],
    "x-one": ["1", "2"],
    authorization: ["Bearer x"],
  })
  const next = await open()
  t.equal(next.reused, true)
  next.abort(new FlowError("client", "client-gone", "left"))
  t.rejects(next.head(), /left/)
  t.throws(() => next.body, /not there before the head/)
})

function pairs(raw: readonly string[]): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? ""
    found[name] = [...(found[name] ?? []), raw[index + 1] ?? ""]
  }
  return found
}

test("a body goes up with backpressure, and trailers behind it", async (t) => {
  let got = 0
  let trailers: unknown
  let paused: ServerHttp2Stream | undefined
  const { open } = await world(t, (stream) => {
    paused = stream
    stream.on("trailers", (fields) => {
      trailers = fields
    })
    stream.on("end", () => {
      stream.respond({ ":status": 200 })
      stream.end(String(got))
    })
  })
  const stream = await open()
  send(stream, { method: "POST" }, { length: undefined, hasBody: true })
  const piece = Buffer.alloc(16_384, 1)
  let sent = 0
  while (sent < 4_000_000 && stream.write(piece)) sent += piece.length
  t.ok(sent < 1_000_000, `held after ${sent} bytes`)
  sent += piece.length
  const ready = stream.ready()
  await eventually(() => paused !== undefined)
  paused?.on("data", (bytes: Buffer) => {
    got += bytes.length
  })
  await ready
  t.equal(stream.write(Buffer.alloc(0)), true)
  stream.end(new Headers({ Sum: "7", "Content-Length": "9" }))
  await stream.head()
  t.equal(await bodyOf(stream), String(sent))
  t.match(trailers, { sum: "7", "content-length": undefined })
  await t.rejects(stream.ready(), { code: "cut" })
})

test("a HEAD answer keeps its length and has no body", async (t) => {
  const { open } = await world(t, (stream) => {
    stream.respond({ ":status": 200, "content-length": "5" }, { endStream: true })
  })
  const stream = await open()
  send(stream, { method: "HEAD" })
  const head = await stream.head()
  t.equal(head.headers.get("content-length"), "5")
  t.equal(stream.body.length, 0)
  t.equal(await bodyOf(stream), "")
})

test("giving up resets the stream at once with CANCEL, and the session lives on", async (t) => {
  const codes: number[] = []
  const { open, upstream } = await world(t, (stream, raw) => {
    stream.on("close", () => codes.push(stream.rstCode))
    stream.respond({ ":status": 200 })
    if (raw.includes("/whole")) stream.end("whole")
    else stream.write("part")
  })
  const stream = await open()
  send(stream)
  await stream.head()
  t.equal(String(await stream.body.read()), "part")
  stream.abort(new FlowError("client", "client-gone", "left"))
  await t.rejects(stream.body.read(), { code: "client-gone" })
  await eventually(() => codes.length > 0)
  t.same(codes, [8])
  const next = await open()
  send(next, { path: "/whole" })
  await next.head()
  t.equal(await bodyOf(next), "whole")
  next.abort(new FlowError("client", "client-gone", "left"))
  t.equal(upstream.size, 1)
})

test("a stalled reader holds its own stream up, and no other", async (t) => {
  const piece = Buffer.alloc(65_536, 1)
  let written = 0
  const { open } = await world(t, (stream, raw) => {
    stream.respond({ ":status": 200 })
    if (raw.includes("/quick")) {
      stream.end("quick")
      return
    }
    const more = () => {
      while (stream.writable && written < 8_000_000) {
        written += piece.length
        if (!stream.write(piece)) return void stream.once("drain", more)
      }
      stream.end()
    }
    more()
  })
  const slow = await open()
  send(slow)
  await slow.head()
  for (let count = 0; count < 20; count++) {
    const quick = await open()
    send(quick, { path: "/quick" })
    await quick.head()
    t.equal(await bodyOf(quick), "quick")
  }
  t.ok(written < 2_000_000, `the origin could write ${written} bytes`)
  let got = 0
  for (let part = await slow.body.read(); part !== undefined; part = await slow.body.read()) got += part.length
  t.equal(got, written)
  t.ok(written >= 8_000_000)
})

test("a stream on which nothing moves fails, and whose fault it is, is told", async (t) => {
  const settings = { stallTimeoutMs: 10_000 }
  const { open, clock } = await world(
    t,
    (stream, raw) => {
      if (raw.includes("/silent")) return
      stream.respond({ ":status": 200 })
      stream.end(Buffer.alloc(1_000_000)) // More than its window: what is whole waits for the client alone.
    },
    settings,
  )
  const silent = await open()
  send(silent, { path: "/silent" })
  const unread = await open()
  send(unread)
  await unread.head()
  await unread.body.read()
  const failed = failureOf(silent.head())
  // The queue of the unread one fills up as soon as what is under way has come.
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  clock.advance(10_000)
  t.match(await failed, { code: "stall-timeout", status: 504, source: "upstream" })
  t.match(await failureOf(bodyOf(unread)), { code: "stall-timeout", status: 408, source: "client" })
})

test("WebSocket goes through an extended CONNECT, and each direction ends by itself", async (t) => {
  let seen: readonly string[] = []
  const { open } = await world(t, (stream, raw) => {
    seen = raw
    stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" })
    stream.write("hello ")
    stream.on("data", (bytes) => stream.write(bytes))
    stream.on("end", () => stream.end(" bye"))
  })
  const stream = await open()
  const headers = new Headers([
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Sec-WebSocket-Version", "13"],
  ])
  send(stream, { headers, upgrade: "websocket", path: "/ws" })
  const head = await stream.head()
  t.equal(head.status, 101)
  t.equal(head.headers.get("upgrade"), "websocket")
  t.equal(head.headers.get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  t.equal(head.headers.get("sec-websocket-protocol"), "chat")
  t.match(pairs(seen), { ":method": ["CONNECT"], ":protocol": ["websocket"], "sec-websocket-version": ["13"] })
  t.notOk(seen.includes("sec-websocket-key"))
  const tunnel = stream.tunnel()
  tunnel.end("echo")
  let text = ""
  for await (const bytes of tunnel) text += bytes
  t.equal(text, "hello echo bye")
})

test("a WebSocket that is refused has an ordinary answer, and a tunnel that is destroyed resets its stream", async (t) => {
  const codes: number[] = []
  const { open } = await world(t, (stream, raw) => {
    stream.on("close", () => codes.push(stream.rstCode))
    stream.respond({ ":status": raw.includes("/no") ? 403 : 200 })
    if (raw.includes("/no")) stream.end("no")
    else stream.write("open")
  })
  const refused = await open()
  send(refused, { upgrade: "websocket", path: "/no" })
  t.equal((await refused.head()).status, 403)
  t.equal(await bodyOf(refused), "no")
  await eventually(() => codes.length === 1)
  const stream = await open()
  send(stream, { upgrade: "WebSocket" })
  t.equal((await stream.head()).status, 101)
  const tunnel = stream.tunnel()
  tunnel.once("data", () => tunnel.destroy(new Error("enough")))
  await eventually(() => codes.length === 2)
  t.same(codes, [0, 8])
})
