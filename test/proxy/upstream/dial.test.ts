import { createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { DEFAULT_HEAD_LIMITS } from "../../../lib/http1/message.ts"
import { TrustStore } from "../../../lib/proxy/tls/trust-store.ts"
import { type Dialled, type DialOptions, dial } from "../../../lib/proxy/upstream/dial.ts"
import { SelfGuard } from "../../../lib/proxy/upstream/self.ts"
import type { Target } from "../../../lib/proxy/upstream/target.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { missing } from "../../helpers/command-process.ts"
import { faultyChain } from "../../helpers/hosts/faulty-chains.ts"
import { testCertificates } from "../../helpers/test-certificates.ts"
import { always, eventually, ok, sharedCertificates, startOrigin } from "../../helpers/test-proxy.ts"

const YEAR_MS = 31_557_600_000

function target(port: number, changes: Partial<Target> = {}): Target {
  return {
    scheme: "http",
    protocol: "auto",
    host: "127.0.0.1",
    port,
    sni: undefined,
    connectTo: undefined,
    via: undefined,
    ca: undefined,
    verify: true,
    ...changes,
  }
}

async function options(changes: Partial<DialOptions> = {}): Promise<DialOptions & { clock: ManualClock }> {
  const { ca } = await sharedCertificates()
  const base = {
    connectTimeoutMs: 1_000,
    head: DEFAULT_HEAD_LIMITS,
    self: new SelfGuard(),
    trust: new TrustStore([ca]),
    session: undefined,
    onSession: () => {},
    ...changes,
  }
  return { ...base, clock: new ManualClock() }
}

async function failure(dialling: Promise<Dialled>): Promise<FlowError> {
  try {
    const { socket } = await dialling
    socket.destroy()
  } catch (thrown) {
    if (thrown instanceof FlowError) return thrown
    throw thrown
  }
  throw new Error("it was connected")
}

interface RawServer {
  port: number
  sockets: Set<Socket>
  seen(): string
}

async function rawServer(t: Test, serve: (socket: Socket, bytes: string) => void): Promise<RawServer> {
  const sockets = new Set<Socket>()
  let text = ""
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.once("close", () => sockets.delete(socket))
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1")
      serve(socket, text)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === "object" ? (address?.port ?? 0) : 0, sockets, seen: () => text }
}

test("a connection tells where it leads, and what TLS agreed on", async (t) => {
  const plain = await startOrigin(t, always(ok("")))
  const { socket, info } = await dial(target(plain.port), await options())
  t.match(info, { host: "127.0.0.1", port: plain.port, address: "127.0.0.1", tls: undefined })
  t.equal(socket.allowHalfOpen, true)
  socket.destroy()
  const origin = await startOrigin(t, always(ok("")), "a.test")
  const secure = await dial(
    target(443, { scheme: "https", host: "a.test", connectTo: { host: "127.0.0.1", port: origin.port } }),
    await options(),
  )
  t.match(secure.info, { host: "a.test", port: 443, address: "127.0.0.1", tls: { version: "TLSv1.3" } })
  secure.socket.destroy()
})

test("a refused connection, an unknown name and a name server that fails say so", async (t) => {
  const gone = await startOrigin(t, always(ok("")))
  const { port } = gone
  await gone.close()
  t.match(await failure(dial(target(port), await options())), {
    code: "connection-refused",
    status: 502,
    message: `connect 127.0.0.1:${port}: refused; is a server running there? (ECONNREFUSED); the request was not sent`,
  })
  for (const [code, text] of [
    ["ENOTFOUND", "no such host (ENOTFOUND)"],
    ["EAI_AGAIN", "the name could not be resolved (EAI_AGAIN)"],
    ["EODD", "odd (EODD)"],
  ] as const) {
    const lookup: DialOptions["lookup"] = (_name, _options, done) => done(Object.assign(new Error("odd"), { code }), [])
    const error = await failure(dial(target(80, { host: "a.test" }), await options({ lookup })))
    t.equal(error.message, `connect a.test:80: ${text}; the request was not sent`)
  }
})

test("a name is resolved by the system unless the test says otherwise", async (t) => {
  const origin = await startOrigin(t, always(ok("")))
  const { socket, info } = await dial(target(origin.port, { host: "localhost" }), await options())
  t.equal(info.address, "127.0.0.1")
  socket.destroy()
})

test("a name that resolves to the proxy is refused before anything is sent", async (t) => {
  const origin = await startOrigin(t, always(ok("")))
  const self = new SelfGuard()
  self.listen({ address: "127.0.0.1", port: origin.port })
  const lookup: DialOptions["lookup"] = (_name, _options, done) => done(null, [{ address: "127.0.0.9", family: 4 }])
  const error = await failure(dial(target(origin.port, { host: "me.test" }), await options({ self, lookup })))
  t.match(error, { code: "loop", status: 508 })
  const byRule = target(80, { host: "a.test", connectTo: { host: "127.0.0.1", port: origin.port } })
  t.match(await failure(dial(byRule, await options({ self }))), { status: 508 })
  const byVia = target(80, { host: "a.test", via: `http://localhost:${origin.port}` })
  t.match(await failure(dial(byVia, await options({ self }))), { status: 508 })
  t.equal(origin.connections, 0)
})

test("a dial that takes longer than connectTimeoutMs fails with 504, whatever it waits for", async (t) => {
  const silent = await rawServer(t, () => {})
  const never: DialOptions["lookup"] = () => {}
  for (const [to, lookup] of [
    [target(80, { host: "slow.test" }), never],
    [target(silent.port, { scheme: "https" }), undefined],
    [target(80, { via: `http://127.0.0.1:${silent.port}` }), undefined],
  ] as const) {
    const opts = await options({ lookup })
    const failing = failure(dial(to, opts))
    if (lookup === undefined) await eventually(() => silent.seen() !== "")
    opts.clock.advance(1_000)
    t.match(await failing, { code: "connect-timeout", status: 504, message: /no connection within 1000 ms/ })
    t.equal(opts.clock.pending, 0)
    await eventually(() => silent.sockets.size === 0)
  }
})

test("a certificate that is not to be trusted is refused with its reason and what to do", async (t) => {
  const certificates = await sharedCertificates()
  const stranger = await testCertificates()
  const old = await testCertificates(() => Date.now() - 3 * YEAR_MS)
  const cases = [
    [
      stranger.chainFor("a.test"),
      [certificates.ca],
      /(?:self-signed certificate|unable to).*trust its issuer with --upstream-ca/,
    ],
    [
      certificates.chainFor("b.test"),
      [certificates.ca],
      /does not match certificate's altnames.*ERR_TLS_CERT_ALTNAME.*it is another server's/,
    ],
    [
      old.chainFor("a.test"),
      [old.ca],
      /certificate has expired \(CERT_HAS_EXPIRED\); the server's operator has to renew it/,
    ],
  ] as const
  for (const [chain, trusted, expected] of cases) {
    const origin = await rawTls(t, chain)
    const to = target(443, { scheme: "https", host: "a.test", connectTo: { host: "127.0.0.1", port: origin.port } })
    const opts = await options({ trust: new TrustStore(trusted) })
    const error = await failure(dial(to, opts))
    t.match(error, { code: "untrusted", status: 502, message: expected })
    t.match(error.message, `connect a.test:443 at 127.0.0.1:${origin.port}: certificate not accepted`)
    t.match(error.message, /--insecure accepts any certificate/)
    if (!/self-signed|unable to/.test(error.message))
      t.notMatch(error.message, /issuer/, "its issuer is not what is wrong")
    await eventually(() => origin.open === 0)
    const { socket } = await dial({ ...to, verify: false }, opts)
    socket.destroy()
  }
})

const OPENSSL = { skip: missing("openssl") }

test("whatever is wrong with a chain is told as a certificate that was not accepted", OPENSSL, async (t) => {
  for (const kind of ["no-ca", "path-length", "purpose", "critical"] as const) {
    const { cert, key, root } = faultyChain(t.testdir(), kind)
    const origin = await rawTls(t, { cert, key })
    const to = target(443, { scheme: "https", host: "a.test", connectTo: { host: "127.0.0.1", port: origin.port } })
    const error = await failure(dial(to, await options({ trust: new TrustStore([root]) })))
    t.match(error, { code: "untrusted", status: 502, message: /certificate not accepted: .*chain is faulty/ }, kind)
  }
})

async function rawTls(t: Test, tls: { key: string; cert: string }) {
  const { ScriptedOrigin } = await import("../../../lib/testing/origin.ts")
  const origin = await ScriptedOrigin.start(always(ok("")), tls)
  t.teardown(() => origin.close())
  return origin
}

test("an address in a certificate is an address, not a name", async (t) => {
  const origin = await startOrigin(t, always(ok("")), "127.0.0.1")
  const { socket } = await dial(target(origin.port, { scheme: "https" }), await options())
  socket.destroy()
  const named = await startOrigin(t, always(ok("")), "localhost")
  t.match(await failure(dial(target(named.port, { scheme: "https" }), await options())), { code: "untrusted" })
})

test("an addon's own CA counts for its target only, and text that is none is refused", async (t) => {
  const stranger = await testCertificates()
  const origin = await rawTls(t, stranger.chainFor("127.0.0.1"))
  const opts = await options()
  const { socket } = await dial(target(origin.port, { scheme: "https", ca: stranger.ca }), opts)
  socket.destroy()
  t.match(await failure(dial(target(origin.port, { scheme: "https" }), opts)), { code: "untrusted" })
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
  t.match(await failure(dial(target(origin.port, { scheme: "https", ca: broken }), opts)), { code: "bad-ca" })
  await eventually(() => origin.open === 0)
})

test("a server that speaks no TLS, closes or resets in the handshake is told of", async (t) => {
  const plain = await rawServer(t, (socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"))
  const wrong = await failure(dial(target(plain.port, { scheme: "https" }), await options()))
  t.match(wrong, { code: "tls-failed" })
  t.match(wrong.message, /TLS handshake failed: .*does the server speak TLS there\?/)
  t.notMatch(wrong.message, /\.c:|openssl\//, "OpenSSL's file names are left out")
  const closing = await rawServer(t, (socket) => void socket.end())
  t.match(await failure(dial(target(closing.port, { scheme: "https" }), await options())), {
    code: /connection-(reset|closed)/,
  })
  const resetting = await rawServer(t, (socket) => void socket.resetAndDestroy())
  t.match(await failure(dial(target(resetting.port, { scheme: "https" }), await options())), {
    code: "connection-reset",
  })
})

test("an HTTP proxy on the way is asked with its credentials, which no message shows", async (t) => {
  const proxy = await rawServer(t, (socket, text) => {
    if (!text.endsWith("\r\n\r\n")) return
    socket.write("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 Connection established\r\nX: 1\r\n\r\nfirst words")
  })
  const via = `http://us%40er:p%25w@127.0.0.1:${proxy.port}`
  const { socket, info } = await dial(target(443, { host: "2001:db8::1", via }), await options())
  t.equal(
    proxy.seen(),
    `CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n` +
      `Proxy-Authorization: Basic ${Buffer.from("us@er:p%w").toString("base64")}\r\n\r\n`,
  )
  t.equal(info.host, "2001:db8::1")
  const words = await new Promise((resolve) => socket.once("data", resolve).resume())
  t.equal(String(words), "first words", "what the server says at once is not lost")
  socket.destroy()
})

test("an HTTP proxy that refuses, closes or is none ends the dial and its socket", async (t) => {
  const answers: readonly [string, object][] = [
    [
      "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
      {
        code: "proxy-refused",
        message: /through 127\.0\.0\.1:\d+: the proxy answered 407 Proxy Authentication Required/,
      },
    ],
    ["", { code: "proxy-closed", message: /connect a\.test:443 through 127/ }],
    ["SSH-2.0-x\r\n\r\n", { code: "proxy-broken", message: /connect a\.test:443 through 127/ }],
  ]
  for (const [answer, expected] of answers) {
    const proxy = await rawServer(t, (socket) => void (answer === "" ? socket.end() : socket.write(answer)))
    const via = `http://user:secret@127.0.0.1:${proxy.port}`
    const error = await failure(dial(target(443, { scheme: "https", host: "a.test", via }), await options()))
    t.match(error, expected)
    t.notMatch(error.message, "secret")
    await eventually(() => proxy.sockets.size === 0)
  }
})

test("what is no proxy's URL is refused without its credentials", async (t) => {
  for (const via of ["ftp://u:secret@a.test:1", "nonsense secret", "socks9://u:secret@a.test"]) {
    const error = await failure(dial(target(443, { via }), await options()))
    t.equal(error.code, "bad-via")
    t.notMatch(error.message, "secret")
  }
})

test("a percent sign in credentials that escapes nothing stands for itself", async (t) => {
  const proxy = await rawServer(t, (socket) => void socket.write("HTTP/1.1 200 OK\r\n\r\n"))
  const { socket } = await dial(target(80, { via: `http://u:100%@127.0.0.1:${proxy.port}` }), await options())
  t.match(proxy.seen(), `Basic ${Buffer.from("u:100%").toString("base64")}`)
  socket.destroy()
})
