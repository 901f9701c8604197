/**
 * Other proxies on the way (--mode upstream, and `via` of a route): tunnels, plain requests in absolute-form, TLS to
 * the proxy, SOCKS5; and what the client is told when the proxy says no.
 */
import { connect, createServer, type Server, type Socket } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import { type Test, test } from "tap"
import type { Mode } from "../../../lib/proxy/session/mode.ts"
import { always, eventually, ok, sharedCertificates, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const through = (via: string): Mode => ({ kind: "upstream", via })
const BASIC = `Proxy-Authorization: Basic ${Buffer.from("me:p@ss").toString("base64")}`

interface Parent {
  readonly port: number
  readonly heads: string[]
}

/** An HTTP proxy that makes tunnels and forwards requests, or answers `refusal`; with `name`, behind TLS. */
async function parentProxy(
  t: Test,
  { refusal, name, fields = "" }: { refusal?: string; name?: string; fields?: string } = {},
): Promise<Parent> {
  const heads: string[] = []
  const serve = (socket: Socket) => {
    socket.once("data", (bytes: Buffer) => {
      const head = bytes.toString("latin1")
      heads.push(head)
      if (refusal !== undefined) {
        socket.write(refusal)
        return
      }
      const port = Number(/^CONNECT [^ ]+:(\d+) |^\S+ http:\/\/[^/]+:(\d+)/.exec(head)?.slice(1).join(""))
      if (Number.isNaN(port)) {
        socket.destroy()
        return
      }
      const to = connect({ host: "127.0.0.1", port }, () => {
        if (head.startsWith("CONNECT")) socket.write(`HTTP/1.1 200 OK\r\n${fields}\r\n`)
        else to.write(head.replace(/http:\/\/[^/]+/, ""))
        socket.pipe(to).pipe(socket)
      })
      to.on("error", () => socket.destroy())
    })
  }
  const tls = name === undefined ? undefined : (await sharedCertificates()).chainFor(name)
  return {
    port: await listen(t, tls === undefined ? createServer : (onSocket) => createTlsServer(tls, onSocket), serve),
    heads,
  }
}

/** A SOCKS5 proxy that answers with `replies`, one for each message, then leads to a port of ours. */
async function parentSocks(t: Test, replies: readonly string[], to?: number): Promise<Parent> {
  const heads: string[] = []
  const port = await listen(t, createServer, (socket) => {
    const left = [...replies]
    const onData = (bytes: Buffer) => {
      heads.push(bytes.toString("hex"))
      const reply = left.shift()
      if (reply === undefined) socket.end()
      else socket.write(Buffer.from(reply, "hex"))
      if (left.length > 0 || to === undefined) return
      socket.off("data", onData)
      const upstream = connect({ host: "127.0.0.1", port: to })
      upstream.on("error", () => socket.destroy())
      socket.pipe(upstream).pipe(socket)
    }
    socket.on("data", onData)
  })
  return { port, heads }
}

function listen(
  t: Test,
  create: (onSocket: (socket: Socket) => void) => Server,
  serve: (socket: Socket) => void,
): Promise<number> {
  const sockets = new Set<Socket>()
  const server = create((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    serve(socket)
  })
  server.on("tlsClientError", () => {})
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" ? (address?.port ?? 0) : 0)
    })
  })
}

const SOCKS_OK = "05000001" + "00000000" + "0000"

test("a plain request goes to an HTTP proxy in absolute-form, with our credentials and not the client's", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  for (const name of [undefined, "127.0.0.1"]) {
    const parent = await parentProxy(t, name === undefined ? {} : { name })
    const via = `${name === undefined ? "http" : "https"}://me:p%40ss@127.0.0.1:${parent.port}`
    const proxy = await startProxy(t, { mode: through(via) })
    const client = await Wire.connect(proxy.port)
    const url = `http://127.0.0.1:${origin.port}/a?b`
    client.write(`GET ${url} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: x\r\n\r\n`)
    t.equal((await client.response()).text, "hi")
    const lines = [`GET ${url} HTTP/1.1`, `Host: 127.0.0.1:${origin.port}`, BASIC, "", ""]
    t.equal(parent.heads[0], lines.join("\r\n"))
    client.write(`OPTIONS http://127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await client.response()
    t.match(origin.requests.at(-1)?.head, `OPTIONS http://127.0.0.1:${origin.port} HTTP/1.1`, "no path: the server's")
    client.end()
  }
})

test("tunnels, intercepted or relayed unseen, and upgrades go through CONNECT", async (t) => {
  const origin = await startOrigin(t, always(ok("secret")), "a.test")
  const parent = await parentProxy(t)
  const proxy = await startProxy(t, {
    mode: through(`http://me:p%40ss@127.0.0.1:${parent.port}`),
    settings: { ignoreHosts: [/^ignored\.test:/] },
  })
  for (const [host, count] of [
    ["a.test", 1],
    ["ignored.test", 2],
  ] as const) {
    const tunnel = await Wire.tunnel(proxy.port, `${host}:${origin.port}`)
    const client = await tunnel.secure({ servername: "a.test", ca: proxy.certificates.ca })
    client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    t.equal((await client.response()).text, "secret")
    t.equal(parent.heads.length, count)
    t.match(parent.heads.at(-1), `CONNECT ${host}:${origin.port} HTTP/1.1\r\nHost: ${host}:${origin.port}\r\n${BASIC}`)
    client.end()
  }
  const plain = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nready")
  })
  const client = await Wire.connect(proxy.port)
  client.write(`GET http://127.0.0.1:${plain.port}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`)
  await client.until("ready")
  t.match(parent.heads.at(-1), `CONNECT 127.0.0.1:${plain.port} HTTP/1.1`)
  client.reset()
})

test("a proxy that refuses is a 502 with its status, and says what is missing or wrong", async (t) => {
  const challenge = "HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
  const rules = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
  for (const [refusal, credentials, text] of [
    [challenge, "", "the proxy answered 407 Authenticate: it wants credentials; write them as http://user:password@"],
    [challenge, "me:secret@", "the proxy answered 407 Authenticate: its user or password is wrong"],
    [rules, "", "the proxy answered 403 Forbidden; the request was not sent"],
    ["nonsense\r\n\r\n", "", "the proxy's answer is not understood"],
  ] as const) {
    const parent = await parentProxy(t, { refusal })
    const proxy = await startProxy(t, {
      mode: through(`http://${credentials}127.0.0.1:${parent.port}`),
      settings: { ignoreHosts: [/./] },
    })
    const refused = await Wire.connect(proxy.port)
    refused.write("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    const response = await refused.response()
    t.equal(response.status, 502)
    t.ok(response.text.includes(`connect a.test:443 through 127.0.0.1:${parent.port}: ${text}`), response.text)
    t.equal(response.headers.has("proxy-authenticate"), false, "the challenge is for us")
    const lines = proxy.lines.filter((line) => line.startsWith("warn"))
    t.equal(lines.length, 1)
    t.match(lines[0], /CONNECT refused: connect a\.test:443 through/)
    t.notMatch(`${lines}${response.text}`, "secret")
  }
})

test("a plain request that the proxy wants credentials for is a 502, not its challenge; other answers pass", async (t) => {
  const refusal = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
  const parent = await parentProxy(t, { refusal })
  const proxy = await startProxy(t, { mode: through(`http://127.0.0.1:${parent.port}`) })
  const client = await Wire.connect(proxy.port)
  client.write("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
  const response = await client.response()
  t.equal(response.status, 502)
  t.match(
    response.text,
    /request a\.test:80 through 127\.0\.0\.1:\d+: the proxy answered 407 Who: it wants credentials/,
  )
  client.end()
  const denied = await parentProxy(t, { refusal: "HTTP/1.1 403 Denied\r\nContent-Length: 2\r\n\r\nno" })
  const other = await startProxy(t, { mode: through(`http://127.0.0.1:${denied.port}`) })
  const second = await Wire.connect(other.port)
  second.write("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
  t.equal((await second.response()).status, 403)
  second.end()
})

test("a proxy behind TLS has to be the one that was named, unless any will do", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const parent = await parentProxy(t, { name: "other.test" })
  for (const verify of [true, false]) {
    const proxy = await startProxy(t, { mode: through(`https://127.0.0.1:${parent.port}`), settings: { verify } })
    const client = await Wire.connect(proxy.port)
    client.write(`GET http://127.0.0.1:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    const response = await client.response()
    t.equal(response.status, verify ? 502 : 200)
    if (verify) t.match(response.text, /^llmproxy: connect to the proxy 127\.0\.0\.1:\d+: TLS failed: .*ALTNAME/)
    client.end()
  }
  const plain = await parentProxy(t)
  const proxy = await startProxy(t, { mode: through(`https://127.0.0.1:${plain.port}`) })
  const client = await Wire.connect(proxy.port)
  client.write("GET http://a.test/ HTTP/1.1\r\nHost: x\r\n\r\n")
  t.equal((await client.response()).status, 502)
  client.end()
})

test("everything goes through a SOCKS5 proxy, names unresolved, with credentials where it asks for them", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const secure = await startOrigin(t, always(ok("secret")), "a.test")
  const open = await parentSocks(t, ["0500", SOCKS_OK], origin.port)
  const first = await startProxy(t, { mode: through(`socks5://127.0.0.1:${open.port}`) })
  const client = await Wire.connect(first.port)
  for (const [url, address] of [
    ["http://plain.test:81/", `030a${Buffer.from("plain.test").toString("hex")}0051`],
    ["http://10.1.2.3/", "010a0102030050"],
    ["http://[2001:db8::1]/", "0420010db80000000000000000000000010050"],
    ["http://[1:2:3:4:5:6:7:8]/", "04000100020003000400050006000700080050"],
  ] as const) {
    client.write(`GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`)
    t.equal((await client.response()).text, "hi")
    t.strictSame(open.heads.splice(0), ["050100", `050100${address}`], url)
  }
  client.end()
  const users = await parentSocks(t, ["0502", "0100", SOCKS_OK], secure.port)
  const second = await startProxy(t, { mode: through(`socks5h://me:p%40ss@127.0.0.1:${users.port}`) })
  const tunnel = await Wire.tunnel(second.port, "a.test:443")
  const inner = await tunnel.secure({ servername: "a.test", ca: second.certificates.ca })
  inner.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
  t.equal((await inner.response()).text, "secret")
  t.strictSame(users.heads.slice(0, 2), [
    "05020002",
    `0102${Buffer.from("me").toString("hex")}04${Buffer.from("p@ss").toString("hex")}`,
  ])
  inner.end()
})

test("what a server says first behind SOCKS5 is not lost", async (t) => {
  const ready = Buffer.from("220 ready\r\n").toString("hex")
  const parent = await parentSocks(t, ["0500", SOCKS_OK + ready])
  const proxy = await startProxy(t, {
    mode: through(`socks5://127.0.0.1:${parent.port}`),
    settings: { ignoreHosts: [/./] },
  })
  const client = await Wire.tunnel(proxy.port, "mail.test:25")
  await client.until("220 ready\r\n")
  client.reset()
})

test("a SOCKS5 proxy that refuses, breaks off or speaks something else is a 502 that says so", async (t) => {
  const long = "x".repeat(300)
  for (const [replies, credentials, text] of [
    [["05ff"], "", "the proxy wants credentials; write them as socks5://user:password@host:port"],
    [["05ff"], "me:secret@", "the proxy wants to know who we are by other means than user and password"],
    [["0502"], "", "the proxy wants credentials; write them as socks5://user:password@host:port"],
    [["0502", "0101"], "me:secret@", "the proxy does not accept the user and password"],
    [["0502"], `me:${long}@`, "SOCKS takes users and passwords of at most 255 bytes"],
    [["0500", "0501"], "", "the proxy failed (general failure)"],
    [["0500", "0502"], "", "the proxy's rules do not allow it"],
    [["0500", "0504000100000000" + "0000"], "", "the proxy found no such host, or no way to it"],
    [["0500", "0505"], "", "the proxy was refused there; is a server running?"],
    [["0500", "0563"], "", "the proxy refused it (99)"],
    [["0500", "0400"], "", "the proxy's answer is no SOCKS5"],
    [["485454502f"], "", "the proxy's answer is no SOCKS5"],
    [["0502", "0500"], "me:secret@", "the proxy's answer is no SOCKS5"],
    [[], "", "the proxy closed the connection"],
    [["0500"], "", "the proxy closed the connection"],
  ] as const) {
    const parent = await parentSocks(t, replies)
    const proxy = await startProxy(t, { mode: through(`socks5://${credentials}127.0.0.1:${parent.port}`) })
    const client = await Wire.connect(proxy.port)
    client.write("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
    const response = await client.response()
    t.equal(response.status, 502)
    t.equal(
      response.text,
      `llmproxy: connect a.test:80 through 127.0.0.1:${parent.port}: ${text}; the request was not sent\n`,
    )
    client.end()
  }
})

test("a proxy that says nothing is given up in time, and its connection closed", async (t) => {
  let open = 0
  const port = await listen(t, createServer, (socket) => {
    open++
    socket.resume().once("close", () => open--)
  })
  for (const scheme of ["http", "https", "socks5"]) {
    const proxy = await startProxy(t, {
      mode: through(`${scheme}://127.0.0.1:${port}`),
      settings: { connectTimeoutMs: 1_000 },
    })
    const client = await Wire.tunnel(proxy.port, "a.test:443")
    client.write("\x00")
    await eventually(() => open === 1)
    proxy.clock.advance(1_000)
    t.match(
      await proxy.logged("no connection within 1000 ms"),
      /connect a\.test:443 through 127\.0\.0\.1:\d+: no connection/,
    )
    await eventually(() => open === 0)
    await client.closed
  }
})

test("a local host that an addon has named is asked directly, and by no proxy that an addon chooses", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const parent = await parentProxy(t)
  let via: string | undefined
  const proxy = await startProxy(t, {
    mode: through(`http://127.0.0.1:${parent.port}`),
    settings: { connectTo: [{ host: "gpu.test", port: 11434, toHost: "127.0.0.1", toPort: origin.port }] },
    hooks: {
      request: (flow) => {
        flow.keepLocal("a test", ["http://gpu.test:11434"])
        if (via !== undefined) flow.route({ via })
      },
    },
  })
  const client = await Wire.connect(proxy.port)
  client.write("GET http://gpu.test:11434/ HTTP/1.1\r\nHost: x\r\n\r\n")
  t.equal((await client.response()).text, "hi")
  via = `http://127.0.0.1:${parent.port}`
  client.write("GET http://gpu.test:11434/ HTTP/1.1\r\nHost: x\r\n\r\n")
  const refused = await client.response()
  t.equal(refused.status, 403)
  t.match(refused.text, /is to stay local \(a test\), and gpu\.test:11434 is asked through a proxy/)
  t.strictSame(parent.heads, [])
  client.end()
})

test("a route's via counts more than the listener's, and what is no proxy is refused", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const parent = await parentProxy(t)
  let via = `http://127.0.0.1:${parent.port}`
  const proxy = await startProxy(t, {
    mode: through("http://127.0.0.1:1"),
    hooks: { request: (flow) => flow.route({ via }) },
  })
  const client = await Wire.connect(proxy.port)
  client.write(`GET http://127.0.0.1:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  t.equal((await client.response()).text, "hi")
  via = "ftp://me:secret@h"
  client.write(`GET http://127.0.0.1:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  const response = await client.response()
  t.equal(response.status, 502)
  t.equal(
    response.text,
    "llmproxy: via the upstream proxy: no such proxy can be used; write http://, https:// or socks5://[user:password@]host:port\n",
  )
  client.end()
})

test("what an addon sends to this machine goes there directly, and everything else through the proxy", async (t) => {
  const origin = await startOrigin(t, always(ok("local")))
  const parent = await parentProxy(t)
  let send = false
  const proxy = await startProxy(t, {
    mode: through(`http://127.0.0.1:${parent.port}`),
    hooks: {
      request: async (flow) => {
        if (flow.parent !== undefined) return
        const url = `http://localhost:${origin.port}/`
        if (send) flow.respond(await flow.send({ method: "GET" }, { url, until: "head" }))
        else flow.route({ url })
      },
    },
  })
  const client = await Wire.connect(proxy.port)
  for (send of [false, true]) {
    client.write("GET http://cloud.test/ HTTP/1.1\r\nHost: cloud.test\r\n\r\n")
    t.equal((await client.response()).text, "local")
  }
  t.strictSame(parent.heads, [])
  client.end()
})

test("a tunnel whose 200 carries framing fields is a tunnel: they count for nothing there", async (t) => {
  const { ca } = await sharedCertificates()
  const origin = await startOrigin(t, always(ok("hi")), "localhost")
  for (const fields of [
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Transfer-Encoding: gzip\r\n",
  ]) {
    const parent = await parentProxy(t, { fields })
    const proxy = await startProxy(t, { mode: through(`http://127.0.0.1:${parent.port}`) })
    const tunnel = await Wire.tunnel(proxy.port, `localhost:${origin.port}`)
    const client = await tunnel.secure({ servername: "localhost", ca, ALPNProtocols: ["http/1.1"] })
    client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    t.equal((await client.response()).text, "hi", fields)
    t.match(parent.heads[0], /^CONNECT localhost:/)
  }
})
