/**
 * What is relayed unseen: bytes that are not ours to read, ignored hosts, servers that speak first, upgrades. Each
 * direction ends by itself, a break ends both.
 */
import { createServer, type Server, type Socket } from "node:net"
import { type Test, test } from "tap"
import { baseTo, eventually, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

/** A server of raw bytes with half-open sockets. */
async function rawServer(t: Test, serve: (socket: Socket) => void): Promise<{ port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.once("close", () => sockets.delete(socket))
    serve(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === "object" ? (address?.port ?? 0) : 0, sockets }
}

test("bytes that are no HTTP and no TLS are relayed unseen, and each direction ends by itself", async (t) => {
  const server = await rawServer(t, (socket) => {
    const seen: Buffer[] = []
    socket.on("data", (bytes) => seen.push(bytes))
    socket.once("end", () => {
      socket.write("all of it came: ")
      socket.end(Buffer.concat(seen))
    })
  })
  const proxy = await startProxy(t)
  for (const bytes of ["\x00\x01\x02binary", "SSH-2.0-OpenSSH_9\r\n", "EHLO mail.example\r\n", "\x16\x01garbage"]) {
    const client = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`, { allowHalfOpen: true })
    client.write(bytes)
    client.end()
    t.equal(await client.ended, "end")
    t.equal(client.text, `all of it came: ${bytes}`)
    client.socket.destroy()
  }
})

test("a server that ends first still gets the client's bytes", async (t) => {
  const got: Buffer[] = []
  let ended = false
  const server = await rawServer(t, (socket) => {
    socket.once("data", (first) => {
      got.push(first)
      socket.end("no more from here")
      socket.on("data", (bytes) => got.push(bytes))
      socket.once("end", () => {
        ended = true
      })
    })
  })
  const proxy = await startProxy(t)
  const client = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`, { allowHalfOpen: true })
  client.write("\x00first")
  t.equal(await client.ended, "end")
  client.write(" second")
  client.write(" third")
  client.end()
  await eventually(() => ended)
  t.equal(Buffer.concat(got).toString("latin1"), "\x00first second third")
  await client.closed
})

test("a server that speaks first is heard once the client has been silent for 300 ms", async (t) => {
  const server = await rawServer(t, (socket) => {
    socket.write("220 mail.example ready\r\n")
    socket.on("data", (bytes) => socket.write(`250 ${bytes}`))
  })
  const proxy = await startProxy(t)
  const client = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`)
  await eventually(() => proxy.clock.pending > 0)
  t.equal(server.sockets.size, 0, "nobody was dialled yet")
  proxy.clock.advance(299)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(server.sockets.size, 0)
  proxy.clock.advance(1)
  await client.until("220 mail.example ready\r\n")
  client.write("GET / HTTP/1.1\r\n")
  await client.until("250 GET / HTTP/1.1\r\n")
  client.end()
})

test("a client that was only slow is peeked at after all", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
  })
  const proxy = await startProxy(t, { hooks: { request: (flow) => flow.request.headers.set("X-Seen", "1") } })
  const client = await Wire.tunnel(proxy.port, `127.0.0.1:${origin.port}`)
  await eventually(() => proxy.clock.pending > 0)
  proxy.clock.advance(300)
  await eventually(() => origin.open === 1)
  client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
  t.equal((await client.response()).text, "hi")
  t.match(origin.requests[0]?.head, /X-Seen: 1/)
  client.end()
})

test("a tunnel in which nobody ever speaks is closed like one in which nothing moves", async (t) => {
  const server = await rawServer(t, (socket) => socket.on("end", () => socket.end()).resume())
  const proxy = await startProxy(t, { settings: { idleTimeoutMs: 10_000 } })
  const silent = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`)
  await eventually(() => proxy.clock.pending > 0)
  proxy.clock.advance(300)
  await eventually(() => server.sockets.size === 1)
  const opaque = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`)
  opaque.write("\x00")
  await eventually(() => server.sockets.size === 2)
  // What is seen here may come a turn before the proxy has set its timers.
  await eventually(() => {
    proxy.clock.advance(10_000)
    return silent.socket.destroyed && opaque.socket.destroyed
  })
  await eventually(() => server.sockets.size === 0)
  t.equal(proxy.clock.pending, 0, "no timer is left behind")
})

test("a tunnel whose server breaks off is reset, not ended", async (t) => {
  const server = await rawServer(t, (socket) => {
    socket.once("data", () => socket.write("some"))
    socket.on("data", () => {})
  })
  const proxy = await startProxy(t)
  const client = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`)
  client.write("\x00")
  await client.until("some")
  for (const socket of server.sockets) socket.resetAndDestroy()
  t.equal(await client.ended, "reset")
})

test("a tunnel whose client breaks off ends the server's side", async (t) => {
  let broken = false
  const server = await rawServer(t, (socket) => {
    socket.on("data", () => socket.write("some"))
    socket.once("error", () => {
      broken = true
    })
  })
  const proxy = await startProxy(t)
  const client = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`)
  client.write("\x00")
  await client.until("some")
  client.reset()
  await eventually(() => server.sockets.size === 0)
  t.ok(broken, "by a reset as well")
})

test("a tunnel to ignored or not allowed hosts is relayed unseen, and refused when it cannot be made", async (t) => {
  const server = await rawServer(t, (socket) => socket.on("data", (bytes) => socket.write(`raw ${bytes}`)))
  for (const settings of [{ ignoreHosts: [/^127\.0\.0\.1:/] }, { allowHosts: [/openai/] }]) {
    const proxy = await startProxy(t, { settings })
    const client = await Wire.tunnel(proxy.port, `127.0.0.1:${server.port}`)
    client.write("GET / HTTP/1.1\r\n\r\n")
    await client.until("raw GET / HTTP/1.1\r\n\r\n")
    client.end()
    const refused = await Wire.connect(proxy.port)
    refused.write("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
    const response = await refused.response()
    t.equal(response.status, 502)
    t.match(response.text, /connect 127\.0\.0\.1:1: refused/)
    t.equal(await refused.ended, "end")
  }
})

test("CONNECT that cannot be understood is refused and the connection closed", async (t) => {
  const proxy = await startProxy(t)
  for (const target of ["example.com", "example.com:0", "example.com:99999", "a b:1", "[::1:80", "ex ample.com:443"]) {
    const client = await Wire.connect(proxy.port)
    client.write(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
    t.equal((await client.response()).status, 400, target)
    t.equal(await client.ended, "end")
  }
  const nested = await Wire.tunnel(proxy.port, "127.0.0.1:9")
  nested.write("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n")
  t.equal((await nested.response()).status, 400, "no tunnel inside a tunnel")
})

test("an upgraded connection is relayed both ways, with the bytes behind both heads, and half-closes", async (t) => {
  const server = await rawServer(t, (socket) => {
    let head = ""
    socket.on("data", (bytes) => {
      if (head.includes("\r\n\r\n")) socket.write(`echo ${bytes}`)
      else {
        head += bytes.toString("latin1")
        const end = head.indexOf("\r\n\r\n")
        if (end < 0) return
        t.match(head, /\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n/)
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\nX: 1\r\n\r\nhello`)
        if (head.length > end + 4) socket.write(`echo ${head.slice(end + 4)}`)
      }
    })
    socket.once("end", () => socket.end("bye"))
  })
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${server.port}`) } })
  const client = await Wire.connect(proxy.port, { allowHalfOpen: true })
  client.write("GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
  await client.until("\r\n\r\nhello")
  await client.until("echo early")
  t.match(client.text, /^HTTP\/1\.1 101 Switching Protocols\r\nX: 1\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n/)
  client.write("GET / HTTP/1.1\r\n\r\n")
  await client.until("echo GET / HTTP/1.1\r\n\r\n")
  client.end()
  t.equal(await client.ended, "end")
  t.match(client.text, /bye$/)
  await eventually(() => proxy.server.clients === 0)
})

test("an upgrade that the origin does not take is an ordinary answer", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  for (let count = 0; count < 2; count++) {
    client.write("GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    t.equal((await client.response()).status, 426)
  }
  t.equal(origin.connections, 1)
  client.end()
})

test("a 101 that nobody asked for is a broken answer", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nsmuggled")
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.equal((await client.response()).status, 502)
  t.notMatch(client.all, "smuggled")
  await eventually(() => origin.open === 0)
  client.end()
})
