import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2"
import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import {
  FRAME,
  frame,
  setting,
  startFrameOrigin,
  startHttp2Origin,
  WHOLE,
  words,
} from "../../helpers/hosts/h2-origin.ts"
import { always, eventually, ok, startOrigin } from "../../helpers/test-proxy.ts"
import { bodyOf, failureOf, get, plainTarget, secureTarget, sendHead, startPool } from "../../helpers/wire/h2-pool.ts"

const LEFT = new FlowError("client", "client-gone", "left")
const hello = (stream: ServerHttp2Stream) => {
  stream.respond({ ":status": 200 })
  stream.end("hello")
}

test("one session carries the requests of all, those too that came before it was there", async (t) => {
  const origin = await startHttp2Origin(t, hello, { name: "127.0.0.1" })
  const { upstream, connected, clock, disconnected } = await startPool(t, { upstreamIdleMs: 10_000 })
  const target = secureTarget(origin.port)
  const answers = await Promise.all(Array.from({ length: 50 }, async () => get(await upstream.open(target))))
  t.same(new Set(answers), new Set(["hello"]))
  t.equal(origin.sessions.length, 1)
  t.match(connected, [{ tls: { alpn: "h2" } }])
  await eventually(() => origin.streams.every((stream) => stream.closed))
  t.equal(upstream.size, 1)
  t.equal((await upstream.open(target)).reused, true)
  clock.advance(60_000)
  t.equal(upstream.size, 1, "a stream that was opened keeps it from being idle")
  t.equal(disconnected.length, 0)
})

test("an idle session is closed after a while", async (t) => {
  const origin = await startHttp2Origin(t, hello, { name: "127.0.0.1" })
  const { upstream, clock, disconnected } = await startPool(t, { upstreamIdleMs: 10_000 })
  const stream = await upstream.open(secureTarget(origin.port))
  await get(stream)
  stream.abort(LEFT) // Harmless: the exchange is whole.
  await eventually(() => clock.pending > 0)
  await eventually(() => {
    clock.advance(10_000)
    return disconnected.length === 1
  })
  t.equal(upstream.size, 0)
  t.equal(await get(await upstream.open(secureTarget(origin.port))), "hello")
  t.equal(origin.sessions.length, 2)
})

test("TLS sessions are resumed over HTTP/2, too", async (t) => {
  const origin = await startHttp2Origin(t, hello, { name: "127.0.0.1" })
  const { upstream } = await startPool(t)
  const target = secureTarget(origin.port)
  await get(await upstream.open(target))
  origin.sessions[0]?.close()
  await eventually(() => upstream.size === 0)
  await get(await upstream.open(target))
  t.same(origin.resumed, [false, true])
})

test("a server that speaks HTTP/1.1 only gets a connection each, and is remembered", async (t) => {
  let answer = () => {}
  const answered = new Promise<void>((resolve) => {
    answer = resolve
  })
  const origin = await startOrigin(t, (_, socket) => void answered.then(() => socket.write(ok("hi"))), "127.0.0.1")
  const { upstream, connected } = await startPool(t)
  const target = secureTarget(origin.port)
  const answers = Array.from({ length: 4 }, async () => get(await upstream.open(target)))
  await origin.received(4)
  answer()
  t.same(await Promise.all(answers), ["hi", "hi", "hi", "hi"])
  t.equal(origin.connections, 4)
  t.match(connected[0], { tls: { alpn: undefined } })
})

test("with HTTP/2 off, or for one target, HTTP/1.1 alone is offered", async (t) => {
  const origin = await startHttp2Origin(t, hello, { name: "127.0.0.1" })
  for (const [settings, protocol] of [
    [{ upstreamHttp2: false }, "auto"],
    [{}, "http/1.1"],
  ] as const) {
    const { upstream } = await startPool(t, settings)
    // That server refuses the handshake: it speaks HTTP/2 alone.
    t.match(await failureOf(upstream.open(secureTarget(origin.port, { protocol }))), { code: "tls-failed" })
  }
})

test("a dial that fails fails all that waited for it", async (t) => {
  const origin = await startHttp2Origin(t, hello, { name: "127.0.0.1" })
  await origin.close()
  const { upstream } = await startPool(t)
  const failures = Array.from({ length: 3 }, () => failureOf(upstream.open(secureTarget(origin.port))))
  t.match(await Promise.all(failures), Array(3).fill({ code: "connection-refused" }))
  t.equal(upstream.size, 0)
})

test("the server's limit is kept: further requests wait in line, or get a second session", async (t) => {
  const open: ServerHttp2Stream[] = []
  const script = (stream: ServerHttp2Stream) => void open.push(stream)
  const origin = await startHttp2Origin(t, script, { settings: { maxConcurrentStreams: 1 } })
  const { upstream } = await startPool(t, { upstreamConnections: 2 })
  const target = plainTarget(origin.port)
  const done: number[] = []
  const runs = [0, 1, 2, 3].map(async (index) => {
    const text = await get(await upstream.open(target))
    done.push(index)
    return text
  })
  const controller = new AbortController()
  const gone = failureOf(upstream.open(target, { signal: () => controller.signal }))
  await eventually(() => open.length === 2)
  controller.abort()
  t.match(await gone, { code: "client-gone" })
  t.equal(origin.sessions.length, 2)
  for (let count = 1; count <= 4; count++) {
    await eventually(() => open.length > 0)
    const stream = open.shift()
    if (stream !== undefined) hello(stream)
    await eventually(() => done.length === count)
  }
  t.same(await Promise.all(runs), ["hello", "hello", "hello", "hello"])
  t.equal(origin.sessions.length, 2)
})

test("where a second session cannot be had, requests wait for the first", async (t) => {
  const waiting: (() => void)[] = []
  const settings = frame(FRAME.settings, 0, 0, setting(3, 1))
  let refuse = false
  const origin = await startFrameOrigin(
    t,
    (socket, id) => {
      refuse = true
      waiting.push(() => socket.write(frame(FRAME.headers, WHOLE | 1, id, Buffer.from([0x88]))))
    },
    settings,
  )
  let dials = 0
  const { upstream } = await startPool(t, {}, () => {
    dials++
    return refuse ? Promise.reject(new FlowError("addon", "no", "no further connection")) : Promise.resolve()
  })
  const target = plainTarget(origin.port)
  const first = get(await upstream.open(target))
  await eventually(() => waiting.length === 1)
  const second = upstream.open(target).then((stream) => get(stream))
  await eventually(() => dials === 2)
  waiting.shift()?.()
  t.equal(await first, "")
  await eventually(() => waiting.length === 1)
  waiting.shift()?.()
  t.equal(await second, "")
  t.equal(dials, 2)
})

test("a server without TLS that answers in HTTP/1.1 gets HTTP/1.1, and is remembered", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream } = await startPool(t)
  const target = plainTarget(origin.port)
  t.equal(await get(await upstream.open(target)), "hi")
  const { connections } = origin
  t.equal(await get(await upstream.open(target)), "hi")
  t.equal(origin.connections, connections, "the second request had a connection to use")
})

test("a server without TLS that says nothing to HTTP/2 is asked in HTTP/1.1", async (t) => {
  const origin = await startFrameOrigin(t, () => {}, Buffer.alloc(0))
  const { upstream, clock } = await startPool(t)
  const opening = upstream.open(plainTarget(origin.port))
  await eventually(() => (origin.connections[0]?.frames.length ?? 0) > 0)
  clock.advance(3_000)
  const stream = await opening
  t.equal(origin.connections.length, 2)
  t.equal(stream.constructor.name, "Http1UpstreamStream")
  stream.abort(LEFT)
})

test("WebSockets are offered where every session takes them", async (t) => {
  const { upstream } = await startPool(t)
  for (const enableConnectProtocol of [true, false]) {
    const origin = await startHttp2Origin(t, hello, { settings: { enableConnectProtocol } })
    const target = plainTarget(origin.port)
    t.equal(upstream.takesWebSockets(target), false, "nothing is known yet")
    await get(await upstream.open(target))
    t.equal(upstream.takesWebSockets(target), enableConnectProtocol)
  }
})

test("a hook that refuses a connection fails the request, and the place is free again", async (t) => {
  let refuse = true
  const origin = await startHttp2Origin(t, hello)
  const refused = () => Promise.reject(new FlowError("addon", "no", "not there"))
  const { upstream } = await startPool(t, { upstreamConnections: 1 }, () => (refuse ? refused() : Promise.resolve()))
  const target = plainTarget(origin.port)
  t.match(await failureOf(upstream.open(target)), { code: "no" })
  refuse = false
  t.equal(await get(await upstream.open(target)), "hello")
})

test("a session that ends while the hook runs is not used", async (t) => {
  const origin = await startHttp2Origin(t, hello)
  const { upstream } = await startPool(t, {}, async () => {
    for (const session of origin.sessions) session.destroy()
    await eventually(() => upstream.size === 0)
  })
  t.match(await failureOf(upstream.open(plainTarget(origin.port))), { code: "cut", message: /at once/ })
})

test("a request that was refused goes to another session, and to the same one where there is no other", async (t) => {
  const origin = await startHttp2Origin(t, hello)
  for (const [upstreamConnections, sessions] of [
    [1, 1],
    [2, 3],
  ] as const) {
    const { upstream } = await startPool(t, { upstreamConnections })
    const target = plainTarget(origin.port)
    const first = await upstream.open(target)
    await get(first)
    await eventually(() => origin.streams.every((stream) => stream.closed))
    const again = await upstream.open(target, { fresh: true, avoid: first.info.id })
    t.equal(again.info.id === first.info.id, upstreamConnections === 1)
    t.equal(await get(again), "hello")
    t.equal(origin.sessions.length, sessions)
  }
})

test("a stream that is given up before it is sent frees its place", async (t) => {
  const origin = await startHttp2Origin(t, hello, { settings: { maxConcurrentStreams: 1 } })
  const { upstream } = await startPool(t, { upstreamConnections: 1 })
  const target = plainTarget(origin.port)
  const first = await upstream.open(target)
  const second = upstream.open(target)
  first.abort(LEFT)
  sendHead(first) // Too late: nothing is sent.
  t.equal(await get(await second), "hello")
  t.equal(origin.streams.length, 1)
})

test("a stream that was opened on a session that ends before it is sent was not processed", async (t) => {
  const origin = await startFrameOrigin(t, () => {})
  const { upstream } = await startPool(t)
  const target = plainTarget(origin.port)
  const [one, two] = [await upstream.open(target), await upstream.open(target)]
  origin.connections[0]?.socket.write(frame(FRAME.goaway, 0, 0, words(0, 0)))
  // The session takes no more as soon as the GOAWAY is there: a third stream is on another one.
  let other = await upstream.open(target)
  while (other.info.id === one.info.id) {
    other.abort(LEFT)
    await new Promise((resolve) => setImmediate(resolve))
    other = await upstream.open(target)
  }
  const sent = async () => {
    sendHead(one)
    await one.head() // Where the session has closed by now, this is what tells.
  }
  t.match(await failureOf(sent()), { code: "refused" })
  t.equal(one.processed, "no")
  origin.connections[0]?.socket.end()
  t.match(await failureOf(two.head()), { code: "refused" })
})

test("a server that names origins without end is given up", async (t) => {
  const origin = await startHttp2Origin(
    t,
    ({ session }) => {
      for (let round = 0; round < 30; round++)
        (session as ServerHttp2Session).origin(
          ...Array.from({ length: 10 }, (_, index) => `https://${round}-${index}.test`),
        )
    },
    { name: "127.0.0.1" },
  )
  const { upstream } = await startPool(t)
  const stream = await upstream.open(secureTarget(origin.port))
  sendHead(stream)
  t.match(await failureOf(stream.head().then(() => bodyOf(stream))), { status: 502, message: /more than 256 origins/ })
})

test("closing the pool ends every session and its streams", async (t) => {
  const origin = await startHttp2Origin(t, () => {})
  const { upstream } = await startPool(t)
  const stream = await upstream.open(plainTarget(origin.port))
  sendHead(stream)
  upstream.close()
  t.match(await failureOf(stream.head()), { code: "cut" })
  await eventually(() => upstream.size === 0)
})
