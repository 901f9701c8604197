import { execFile } from "node:child_process"
import { createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import { addressRange, proxyUser } from "../../../lib/proxy/access/rules.ts"
import type { Listener } from "../../../lib/proxy/session/listener.ts"
import { baseTo, everythingTo, ok, startOrigin, startProxy, type TestProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const CREDENTIALS = Buffer.from("ann:secret").toString("base64")
const PROOF = `Proxy-Authorization: Basic ${CREDENTIALS}\r\n`
const proxyUsers = [proxyUser("ann:secret")]

/** An origin that keeps the heads of what it got. */
async function recordingOrigin(t: Test, name?: string) {
  const heads: string[] = []
  const origin = await startOrigin(
    t,
    (request, socket) => {
      heads.push(request.head)
      socket.write(ok("hi"))
    },
    name,
  )
  return { origin, heads }
}

function curl(...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile("curl", ["-sS", "--max-time", "60", "--noproxy", "", ...args], (_, stdout, stderr) =>
      resolve(stdout + stderr),
    )
  })
}

/** Serves clients that seem to come from `address`; resolves with the port. */
async function listenFrom(t: Test, proxy: TestProxy, address: string): Promise<number> {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const bound = server.address()
  const port = typeof bound === "object" && bound !== null ? bound.port : 0
  const listener = {
    address: { host: "127.0.0.1", port },
    close: () => server.close(),
    serve(take: (socket: Socket) => void) {
      server.on("connection", (socket) => {
        Object.defineProperty(socket, "remoteAddress", { value: address })
        take(socket)
      })
    },
  }
  proxy.server.serve(listener as unknown as Listener)
  t.teardown(() => server.close())
  return port
}

test("a client of another machine is turned away at once, with one line in the log", async (t) => {
  const { origin } = await recordingOrigin(t)
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const port = await listenFrom(t, proxy, "::ffff:192.0.2.7")
  for (let count = 0; count < 3; count++) {
    const client = await Wire.connect(port)
    await client.closed
    t.equal(client.count, 0)
  }
  t.equal(proxy.lines.filter((line) => line.startsWith("warn 192.0.2.7: turned away")).length, 1)
  t.equal(proxy.server.clients, 0)
  t.equal(origin.connections, 0)
})

test("--allow-clients lets a client of another machine in", async (t) => {
  const { origin } = await recordingOrigin(t)
  const allowClients = [addressRange("192.0.2.0/24")]
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), allowClients } })
  const client = await Wire.connect(await listenFrom(t, proxy, "192.0.2.7"))
  client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.equal((await client.response()).text, "hi")
  client.end()
})

test("a request without the right password gets 407 in each form, this machine's too, and never leaves", async (t) => {
  const { origin } = await recordingOrigin(t)
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), ...everythingTo(origin), proxyUsers } })
  const wrong = `Proxy-Authorization: Basic ${Buffer.from("ann:guess").toString("base64")}\r\n`
  for (const field of ["", wrong, "Proxy-Authorization: Bearer x\r\n", `Authorization: Basic ${CREDENTIALS}\r\n`]) {
    for (const line of ["GET /", "GET http://a.test/", "HEAD /", "CONNECT a.test:443"]) {
      const client = await Wire.connect(proxy.port)
      client.write(`${line} HTTP/1.1\r\nHost: localhost\r\n${field}\r\n`)
      const response = await client.response(line.split(" ")[0] ?? "")
      t.equal(response.status, 407, `${line} ${field}`)
      t.equal(response.headers.get("proxy-authenticate"), 'Basic realm="llmproxy", charset="UTF-8"')
      client.end()
      await client.closed
    }
  }
  t.equal(origin.connections, 0)
  t.notMatch(proxy.lines.join("\n"), /guess|secret|Basic/)
})

test("after a 407 the same connection may try again, and the password goes no further", async (t) => {
  const { origin, heads } = await recordingOrigin(t)
  const seen: (string | undefined)[] = []
  const proxy = await startProxy(t, {
    settings: { ...baseTo(origin), proxyUsers },
    hooks: {
      request: (flow) => {
        seen.push(flow.client.id, flow.request.headers.get("proxy-authorization"))
      },
    },
  })
  const client = await Wire.connect(proxy.port)
  client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.equal((await client.response()).status, 407)
  client.write(`GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n${PROOF}\r\n`)
  t.equal((await client.response()).text, "hi")
  client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.equal((await client.response()).status, 407, "each request at our own address is asked")
  t.same(seen, ["ann", undefined])
  t.match(heads.join(), "Bearer key")
  t.notMatch(heads.join(), /proxy-authorization|Basic/i)
  client.end()
})

test("a body that comes with a refused request is not taken for the next request", async (t) => {
  const { origin } = await recordingOrigin(t)
  const proxy = await startProxy(t, { settings: { ...baseTo(origin), proxyUsers } })
  const client = await Wire.connect(proxy.port)
  client.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n")
  t.equal((await client.response()).status, 407)
  client.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${PROOF}\r\n`)
  client.end()
  await client.closed
  t.equal(client.text, "")
  t.equal(origin.connections, 0)
})

test("whoever opened a tunnel is not asked inside of it, and is the flow's client", async (t) => {
  const { origin, heads } = await recordingOrigin(t, "a.test")
  const ids: string[] = []
  const proxy = await startProxy(t, {
    settings: { ...everythingTo(origin), proxyUsers },
    hooks: { request: (flow) => void ids.push(flow.client.id) },
  })
  const client = await Wire.connect(proxy.port)
  client.write(`CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n${PROOF}\r\n`)
  t.equal((await client.response("CONNECT")).status, 200)
  const inner = await client.secure({ servername: "a.test", ca: proxy.certificates.ca })
  inner.write(`GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer key\r\n${PROOF}\r\n`)
  t.equal((await inner.response()).text, "hi")
  t.same(ids, ["ann"])
  t.notMatch(heads.join(), /proxy-authorization|Basic/i)
  inner.end()
})

test("without users a Proxy-Authorization still goes no further", async (t) => {
  const { origin, heads } = await recordingOrigin(t)
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${PROOF}\r\n`)
  t.equal((await client.response()).text, "hi")
  t.notMatch(heads.join(), /proxy-authorization|Basic/i)
  client.end()
})

test("curl authenticates with its own flags, through a tunnel and without", async (t) => {
  const plain = await recordingOrigin(t)
  const tls = await recordingOrigin(t, "a.test")
  const connectTo = [
    { host: "a.test", port: 443, toHost: "127.0.0.1", toPort: tls.origin.port },
    { host: "a.test", port: 80, toHost: "127.0.0.1", toPort: plain.origin.port },
  ]
  const proxy = await startProxy(t, { settings: { connectTo, proxyUsers } })
  const via = ["-w", " %{http_code}", "-x", `http://127.0.0.1:${proxy.port}`]
  for (const url of ["http://a.test/", "https://a.test/"]) {
    t.equal(await curl("-k", ...via, "--proxy-user", "ann:secret", url), "hi 200")
    t.equal(await curl("-k", ...via, "--proxy-anyauth", "--proxy-user", "ann:secret", url), "hi 200")
    t.match(await curl("-k", ...via, "--proxy-user", "ann:guess", url), /407/)
    t.match(await curl("-k", ...via, url), /407/)
  }
  t.notMatch(plain.heads.join() + tls.heads.join(), /proxy-authorization|Basic/i)
})
