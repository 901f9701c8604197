/**
 * Clients that are slow, silent, broken or gone, at any moment: what they get, that nothing of them stays, and that
 * the process lives.
 */
import { test } from "tap"
import { always, baseTo, eventually, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const HOST = "Host: localhost\r\n"

test("1,000 half-open clients are kept until the header timeout, then closed, every one", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), headerTimeoutMs: 30_000 } })
  const beginnings = [
    "",
    "G",
    "GET / HTTP/1.1\r\nHost: lo",
    "\x16",
    "\x16\x03\x01\x02\x00\x01",
    "CONNECT a.test:4",
    "\r\n",
  ]
  const clients = await Promise.all(
    Array.from({ length: 1_000 }, async (_, index) => {
      const client = await Wire.connect(proxy.port)
      client.write(beginnings[index % beginnings.length] ?? "")
      return client
    }),
  )
  await eventually(() => proxy.server.clients === 1_000)
  const live = await Wire.connect(proxy.port)
  live.write(`GET / HTTP/1.1\r\n${HOST}\r\n`)
  t.equal((await live.response()).text, "hi", "others are served meanwhile")
  live.end()
  proxy.clock.advance(29_999)
  await live.closed
  await eventually(() => proxy.server.clients === 1_000)
  await eventually(() => {
    proxy.clock.advance(30_000) // A head that began gets the time anew; a 408 lingers for a moment.
    return proxy.server.clients === 0
  })
  await Promise.all(clients.map((client) => client.closed))
  t.equal(origin.requests.length, 1)
})

test("a head that stays unfinished gets 408, between two requests as well", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), headerTimeoutMs: 5_000 } })
  const client = await Wire.connect(proxy.port)
  client.write(`GET / HTTP/1.1\r\n${HOST}\r\n`)
  await client.response()
  client.write(`GET /2 HTTP/1.1\r\n${HOST}`)
  await eventually(() => {
    proxy.clock.advance(100)
    return client.count > 60
  })
  t.equal((await client.response()).status, 408)
  t.equal(await client.ended, "end")
  t.equal(origin.requests.length, 1)
})

test("a pipelined head that is not whole has its time from when its turn comes", async (t) => {
  let release = () => {}
  const origin = await startOrigin(t, (_, socket) => {
    release = () => socket.write(ok("hi"))
  })
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), headerTimeoutMs: 5_000 } })
  const client = await Wire.connect(proxy.port)
  client.write(`GET / HTTP/1.1\r\n${HOST}\r\nGET /2 HTTP/1.1\r\n`)
  await origin.received(1)
  proxy.clock.advance(60_000)
  release()
  t.equal((await client.response()).text, "hi", "while an answer is awaited no head is late")
  await new Promise((resolve) => setImmediate(resolve))
  proxy.clock.advance(5_000)
  t.equal((await client.response()).status, 408)
})

test("an idle connection is closed after idleTimeoutMs, one with an open answer is not", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    if (request.target === "/quick") socket.write(ok("hi"))
  })
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), idleTimeoutMs: 1_000, upstreamIdleMs: 500_000 } })
  const idle = await Wire.connect(proxy.port)
  idle.write(`GET /quick HTTP/1.1\r\n${HOST}\r\n`)
  await idle.response()
  const waiting = await Wire.connect(proxy.port)
  waiting.write(`GET /slow HTTP/1.1\r\n${HOST}\r\n`)
  await origin.received(2)
  proxy.clock.advance(999)
  t.equal(proxy.server.clients, 2)
  proxy.clock.advance(1)
  t.equal(await idle.ended, "end")
  for (let count = 0; count < 10; count++) proxy.clock.advance(1_000)
  await eventually(() => proxy.server.clients === 1)
  t.notOk(waiting.socket.destroyed)
  waiting.socket.destroy()
})

test("a body that stops arriving ends its request with 408", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), idleTimeoutMs: 1_000 } })
  const client = await Wire.connect(proxy.port)
  client.write(`POST / HTTP/1.1\r\n${HOST}Content-Length: 10\r\n\r\nhalf`)
  await eventually(() => origin.open === 1)
  await eventually(() => {
    proxy.clock.advance(100)
    return client.count > 0
  })
  t.equal((await client.response()).status, 408)
  t.equal(await client.ended, "end")
  await eventually(() => origin.open === 0)
  t.equal(origin.requests.length, 0)
})

test("a FIN while an answer is outstanding means gone: the upstream is aborted, once", async (t) => {
  const errors: string[] = []
  const origin = await startOrigin(t, (request, socket) => {
    if (request.target === "/stream") socket.write("HTTP/1.1 200 OK\r\n\r\nsome")
  })
  const hooks = { error: (_: unknown, error: { code: string }) => void errors.push(error.code) }
  const proxy = await startProxy(t, { settings: baseTo(origin), hooks })
  const leavings: ((client: Wire) => void)[] = [(client) => client.end(), (client) => client.reset()]
  for (const target of ["/silent", "/stream"]) {
    for (const leave of leavings) {
      for (const pipelined of ["", `GET /next HTTP/1.1\r\n${HOST}\r\n`]) {
        const client = await Wire.connect(proxy.port)
        const before = origin.requests.length
        client.write(`GET ${target} HTTP/1.1\r\n${HOST}\r\n${pipelined}`)
        await origin.received(before + 1)
        if (target === "/stream") await client.until("some")
        leave(client)
        await eventually(() => origin.open === 0 && proxy.server.clients === 0)
      }
    }
  }
  t.same(
    errors,
    Array.from({ length: 8 }, () => "client-gone"),
  )
  t.equal(origin.requests.length, 8, "what was pipelined is not sent")
})

test("a client that leaves inside its body aborts the upstream", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  for (const framing of ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]) {
    const client = await Wire.connect(proxy.port)
    client.write(`POST / HTTP/1.1\r\n${HOST}${framing}`)
    await eventually(() => origin.open === 1)
    client.end()
    await eventually(() => origin.open === 0 && proxy.server.clients === 0)
  }
  t.equal(origin.requests.length, 0)
})

test("a broken body fails the request and cuts what has been sent upstream", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n`)
  t.equal((await client.response()).status, 400)
  t.equal(await client.ended, "end")
  await eventually(() => origin.open === 0)
  t.equal(origin.requests.length, 0)
})

test("an answer that comes before the request is whole is delivered, and ends the connection", async (t) => {
  const { createServer } = await import("node:net")
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", () => socket.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much"))
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" ? (address?.port ?? 0) : 0
  const proxy = await startProxy(t)
  const client = await Wire.connect(proxy.port)
  client.write(`POST http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n`)
  for (let count = 0; count < 20; count++) client.write(Buffer.alloc(65_536))
  const response = await client.response()
  t.equal(response.status, 413)
  t.equal(response.text, "too much")
  client.socket.destroy()
})

test("a last answer reaches a client that reads slowly, though the connection closes behind it", async (t) => {
  const size = 12 * 1_048_576
  const origin = await startOrigin(t, (_, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
    socket.write(Buffer.alloc(size, "x"))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`GET / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`)
  await client.until("xx")
  client.socket.pause()
  for (let turn = 0; turn < 300; turn++) await new Promise((resolve) => setImmediate(resolve))
  proxy.clock.advance(10_000)
  client.socket.resume()
  t.equal((await client.response()).body.length, size)
  t.equal(await client.ended, "end")
})

test("garbage gets 400 or a close, and never an origin", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), headerTimeoutMs: 1_000 } })
  const garbage = [
    "\x00\x01\x02\x03\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "\x16\x03\x01\x00\x05hello",
    "\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    "GET / HTTP/1.1\nHost: localhost\n\n",
    `GET / HTTP/1.1\r\n${HOST}X: \x1b[31m\r\n\r\n`,
    `${"x".repeat(70_000)}\r\n\r\n`,
    `GET / HTTP/1.1\r\n${HOST}${"A: b\r\n".repeat(300)}\r\n`,
  ]
  for (const bytes of garbage) {
    const client = await Wire.connect(proxy.port)
    client.write(bytes)
    await eventually(() => {
      proxy.clock.advance(1_000)
      return client.socket.destroyed || client.socket.readableEnded
    })
    if (client.count > 0) t.match(client.all, /^HTTP\/1\.1 4\d\d |^HTTP\/1\.1 505 /, JSON.stringify(bytes.slice(0, 40)))
    client.socket.destroy()
  }
  await eventually(() => proxy.server.clients === 0)
  t.equal(origin.requests.length, 0)
  for (const line of proxy.lines) t.match(line, /^[\x20-\x7e]*$/, "no raw control byte reaches the log")
})

test("a peer that resets at any moment leaves nothing behind", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    const steps = ["HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n\r\n", "4\r\nso", "me\r\n", "0\r\n\r\n"]
    const cut = Number(request.target.slice(1))
    socket.write(steps.slice(0, cut).join(""), () => socket.resetAndDestroy())
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  for (let cut = 0; cut <= 5; cut++) {
    const client = await Wire.connect(proxy.port)
    client.write(`GET /${cut} HTTP/1.1\r\n${HOST}\r\n`)
    const response = await client.response().catch(() => undefined)
    if (cut < 2) t.equal(response?.status, 502, "no head, no answer")
    client.socket.destroy()
  }
  const request = `POST /5 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`
  const connect = `CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`
  for (const text of [request, connect, `${connect}${request}`]) {
    for (let cut = 0; cut <= text.length; cut += 3) {
      const client = await Wire.connect(proxy.port)
      client.socket.write(text.slice(0, cut), () => client.reset())
      await client.closed
    }
  }
  await eventually(() => proxy.server.clients === 0)
  await eventually(() => origin.open === 0)
  const last = await Wire.connect(proxy.port)
  last.write(`GET http://127.0.0.1:${origin.port}/5 HTTP/1.1\r\nHost: x\r\n\r\n`)
  t.ok((await last.response().catch(() => ({ status: 200 }))).status, "the process lives")
  last.end()
})
