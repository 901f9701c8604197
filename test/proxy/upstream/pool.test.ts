import { type Test, test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { DEFAULT_SETTINGS, type ProxySettings } from "../../../lib/proxy/settings.ts"
import type { ServerInfo, UpstreamStream } from "../../../lib/proxy/streams.ts"
import { Upstream } from "../../../lib/proxy/upstream/pool.ts"
import type { Target } from "../../../lib/proxy/upstream/target.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import type { ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { always, eventually, ok, sharedCertificates, startOrigin } from "../../helpers/test-proxy.ts"

interface Pool {
  upstream: Upstream
  clock: ManualClock
  connected: ServerInfo[]
  disconnected: ServerInfo[]
}

function makePool(t: Test, settings: Partial<ProxySettings> = {}, connected?: () => Promise<void>): Pool {
  const clock = new ManualClock()
  const pool = { clock, connected: [] as ServerInfo[], disconnected: [] as ServerInfo[] }
  const upstream = new Upstream({ ...DEFAULT_SETTINGS, ...settings }, clock, {
    connecting: (target) => target,
    connected: (info) => {
      pool.connected.push(info)
      return connected?.()
    },
    disconnected: (info) => pool.disconnected.push(info),
  })
  t.teardown(() => upstream.close())
  return { ...pool, upstream }
}

function targetOf(origin: ScriptedOrigin, changes: Partial<Target> = {}): Target {
  return {
    scheme: "http",
    protocol: "auto",
    host: "127.0.0.1",
    port: origin.port,
    sni: undefined,
    connectTo: undefined,
    via: undefined,
    ca: undefined,
    verify: true,
    ...changes,
  }
}

function send(stream: UpstreamStream): void {
  stream.send(
    { method: "GET", path: "/", authority: "a.test", headers: new Headers(), upgrade: undefined },
    { length: 0, hasBody: false },
  )
}

/** A whole exchange; returns the body. */
async function exchange(stream: UpstreamStream): Promise<string> {
  send(stream)
  await stream.head()
  let text = ""
  for (let piece = await stream.body.read(); piece !== undefined; piece = await stream.body.read()) text += piece
  return text
}

test("a connection that has become idle carries the next request", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream, connected } = makePool(t)
  const reused: boolean[] = []
  for (let count = 0; count < 3; count++) {
    const stream = await upstream.open(targetOf(origin))
    reused.push(stream.reused)
    t.equal(await exchange(stream), "hi")
  }
  t.same(reused, [false, true, true])
  t.equal(connected.length, 1)
  t.equal(upstream.size, 1)
})

test("targets that differ in anything share no connection", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream } = makePool(t)
  const { ca } = await sharedCertificates()
  const others: Partial<Target>[] = [
    {},
    { host: "127.0.0.2", connectTo: { host: "127.0.0.1", port: origin.port } },
    { sni: "a.test" },
    { verify: false },
    { ca },
  ]
  for (const changes of others) await exchange(await upstream.open(targetOf(origin, changes)))
  t.equal(origin.connections, others.length)
})

test("at the limit requests wait in line, and are served in the order in which they came", async (t) => {
  const release: (() => void)[] = []
  const origin = await startOrigin(t, (_, socket) => void release.push(() => socket.write(ok("hi"))))
  const { upstream } = makePool(t, { upstreamConnections: 1 })
  const served: number[] = []
  const run = async (name: number) => {
    const stream = await upstream.open(targetOf(origin))
    served.push(name)
    await exchange(stream)
  }
  const runs = [run(0), run(1), run(2)]
  for (let count = 1; count <= 3; count++) {
    await origin.received(count)
    if (count === 2) runs.push(run(3)) // Comes when another is handed the connection: it has to wait.
    release.shift()?.()
  }
  await origin.received(4)
  release.shift()?.()
  await Promise.all(runs)
  t.same(served, [0, 1, 2, 3])
  t.equal(origin.connections, 1)
})

test("the place of a connection that breaks passes on to whoever waits", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    if (request.connection === 1) socket.destroy()
    else socket.write(ok("hi"))
  })
  const { upstream, disconnected } = makePool(t, { upstreamConnections: 1 })
  const first = await upstream.open(targetOf(origin))
  const second = upstream.open(targetOf(origin))
  await t.rejects(exchange(first), { code: "cut" })
  t.equal(await exchange(await second), "hi")
  t.equal(disconnected.length, 1)
})

test("a dial that fails passes its place on as well", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const port = origin.port
  await origin.close()
  const { upstream } = makePool(t, { upstreamConnections: 1 })
  const opened = [1, 2, 3].map(() => upstream.open(targetOf({ port } as ScriptedOrigin)))
  for (const one of await Promise.allSettled(opened)) t.equal(one.status, "rejected")
  t.equal(upstream.size, 0)
})

test("a client that leaves the line is forgotten, and one that has left before never joins it", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream } = makePool(t, { upstreamConnections: 1 })
  const first = await upstream.open(targetOf(origin))
  const leaving = new AbortController()
  const waiting = upstream.open(targetOf(origin), { signal: () => leaving.signal })
  const last = upstream.open(targetOf(origin), { signal: () => new AbortController().signal })
  leaving.abort()
  await t.rejects(waiting, { code: "client-gone" })
  await t.rejects(upstream.open(targetOf(origin), { signal: () => AbortSignal.abort() }), { code: "client-gone" })
  await exchange(first)
  t.equal(await exchange(await last), "hi")
  t.equal(origin.connections, 1)
})

test("a fresh connection is fresh, at the limit too", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream } = makePool(t, { upstreamConnections: 1 })
  await exchange(await upstream.open(targetOf(origin)))
  const fresh = await upstream.open(targetOf(origin), { fresh: true })
  t.equal(fresh.reused, false)
  const waiting = upstream.open(targetOf(origin), { fresh: true })
  await exchange(fresh)
  const next = await waiting
  t.equal(next.reused, false)
  await exchange(next)
  t.equal(origin.connections, 3)
  t.equal(upstream.size, 1)
})

test("reuse hands out what is idle and open, and never dials", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream, connected } = makePool(t)
  t.equal(upstream.reuse(targetOf(origin)), undefined, "nothing is known of the target")
  const first = await upstream.open(targetOf(origin))
  t.equal(upstream.reuse(targetOf(origin)), undefined, "its connection is busy")
  await exchange(first)
  t.equal(upstream.reuse(targetOf(origin, { verify: false })), undefined, "another target")
  const second = upstream.reuse(targetOf(origin))
  t.equal(second?.info.id, first.info.id)
  t.equal(second?.reused, true)
  if (second !== undefined) t.equal(await exchange(second), "hi")
  t.equal(connected.length, 1)
})

test("an idle connection is closed after upstreamIdleMs", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream, clock, disconnected } = makePool(t, { upstreamIdleMs: 1_000 })
  const [a, b] = [await upstream.open(targetOf(origin)), await upstream.open(targetOf(origin))]
  await exchange(a)
  clock.advance(600)
  await exchange(b)
  clock.advance(400)
  t.equal(upstream.size, 1, "only the older one")
  clock.advance(500)
  t.equal(upstream.size, 1, "not yet")
  clock.advance(500)
  t.equal(upstream.size, 0)
  t.equal(disconnected.length, 2)
  await eventually(() => origin.open === 0)
  t.equal(clock.pending, 0)
})

test("bytes that arrive on an idle connection kill it", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    socket.write(ok("hi"))
    if (request.connection === 1) setImmediate(() => socket.write(ok("poison")))
  })
  const { upstream } = makePool(t)
  await exchange(await upstream.open(targetOf(origin)))
  await eventually(() => upstream.size === 0)
  const next = await upstream.open(targetOf(origin))
  t.equal(next.reused, false)
  t.equal(await exchange(next), "hi")
})

test("bytes behind a whole answer kill the connection, and are nobody's answer", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    socket.write(request.connection === 1 ? ok("hi") + ok("poison") : ok("clean"))
  })
  const { upstream } = makePool(t)
  t.equal(await exchange(await upstream.open(targetOf(origin))), "hi")
  t.equal(await exchange(await upstream.open(targetOf(origin))), "clean")
})

test("a connection that the origin closes while it is idle is not handed out", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    socket.write(ok("hi"))
    if (request.connection === 1) socket.end()
    if (request.connection === 2) setImmediate(() => socket.resetAndDestroy())
  })
  const { upstream } = makePool(t)
  for (let count = 1; count <= 3; count++) {
    const stream = await upstream.open(targetOf(origin))
    t.equal(stream.reused, false)
    await exchange(stream)
    if (count < 3) await eventually(() => upstream.size === 0)
  }
})

test("an answer with Connection: close, or without framing, ends its connection", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    if (request.connection === 1) socket.write(ok("hi", "Connection: close\r\n"))
    else socket.end("HTTP/1.1 200 OK\r\n\r\nhi")
  })
  const { upstream } = makePool(t)
  for (let count = 0; count < 2; count++) {
    const stream = await upstream.open(targetOf(origin))
    t.equal(await exchange(stream), "hi")
    await eventually(() => upstream.size === 0)
  }
})

test("an upstream that sends nothing for stallTimeoutMs fails with 504", async (t) => {
  const origin = await startOrigin(
    t,
    (_, socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome"),
  )
  const { upstream, clock } = makePool(t, { stallTimeoutMs: 10_000 })
  const stream = await upstream.open(targetOf(origin))
  send(stream)
  await stream.head()
  t.equal(String(await stream.body.read()), "some")
  clock.advance(10_000)
  const failure = await stream.body.read().catch((thrown: unknown) => thrown)
  t.ok(failure instanceof FlowError)
  t.match(failure, { code: "stall-timeout", status: 504, message: /sent nothing for 10 s/ })
})

test("a hook that fails after the connection was made closes it, and gives its place back", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  let failures = 0
  const { upstream } = makePool(t, { upstreamConnections: 1 }, async () => {
    if (++failures === 1) throw new FlowError("addon", "hook-failed", "no")
  })
  await t.rejects(upstream.open(targetOf(origin)), { code: "hook-failed" })
  t.equal(upstream.size, 0)
  t.equal(await exchange(await upstream.open(targetOf(origin))), "hi")
})

test("a connection that breaks while the hook runs is not handed out", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream, disconnected } = makePool(t, {}, async () => {
    await eventually(() => origin.open === 1)
    await origin.close()
    await eventually(() => disconnected.length === 1)
  })
  await t.rejects(upstream.open(targetOf(origin)), { code: "cut" })
  t.equal(upstream.size, 0)
})

test("after close() a dial that is under way leaves no connection", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const { upstream } = makePool(t)
  const opening = upstream.open(targetOf(origin))
  upstream.close()
  await t.rejects(opening)
  t.equal(upstream.size, 0)
})

test("TLS sessions are resumed", async (t) => {
  const origin = await startOrigin(t, (_, socket) => void socket.write(ok("hi", "Connection: close\r\n")), "a.test")
  const { ca } = await sharedCertificates()
  const { upstream } = makePool(t, { upstreamCa: [ca] })
  const target = targetOf(origin, { scheme: "https", sni: "a.test" })
  const resumed: boolean[] = []
  for (let count = 0; count < 2; count++) {
    const { socket, info } = await upstream.dial(target)
    t.match(info.tls?.version, /^TLSv1\.[23]$/)
    resumed.push("isSessionReused" in socket && (socket as { isSessionReused(): boolean }).isSessionReused())
    if (count === 0) await new Promise((resolve) => socket.once("session", resolve))
    socket.destroy()
  }
  t.same(resumed, [false, true])
})
