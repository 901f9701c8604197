/** How clients are answered over TLS, with clients of their own kinds: openssl, curl, Node. */
import { execFile } from "node:child_process"
import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import type { TLSSocket } from "node:tls"
import { test } from "tap"
import { KeyLog } from "../../../lib/proxy/tls/keylog.ts"
import { ScriptedOrigin } from "../../../lib/testing/origin.ts"
import {
  always,
  eventually,
  everythingTo,
  ok,
  sharedCertificates,
  startOrigin,
  startProxy,
  type TestProxy,
} from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const REQUEST = "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n"

async function inside(proxy: TestProxy, options: object = {}, authority = "api.test:443"): Promise<Wire> {
  const tunnel = await Wire.tunnel(proxy.port, authority)
  return tunnel.secure({ servername: "api.test", ca: proxy.certificates.ca, ...options })
}

function namesSeen(client: Wire): string | undefined {
  return (client.socket as TLSSocket).getPeerX509Certificate()?.subjectAltName
}

function warnings(proxy: TestProxy): string[] {
  return proxy.lines.filter((line) => line.startsWith("warn"))
}

/** Runs a client to its end. */
function run(command: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { timeout: 1_800_000 }, (_, stdout, stderr) => resolve(stdout + stderr))
    child.stdin?.end()
  })
}

test("each kind of client that does not trust the CA gets one line in the log", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  for (const tls of ["--tlsv1.3", "--tls-max=1.2"]) {
    const proxy = await startProxy(t, { settings: everythingTo(origin) })
    const args = tls.split("=")
    for (let count = 0; count < 2; count++)
      await run("curl", ["-sS", "--noproxy", "", ...args, "-x", `http://127.0.0.1:${proxy.port}`, "https://api.test/"])
    t.match(await proxy.logged("does not accept our certificate"), /alert unknown ca.*--ignore-hosts '\^api\\\.test:'/)
    await eventually(() => proxy.server.clients === 0)
    t.equal(warnings(proxy).length, 1, tls)
  }
  t.equal(origin.connections, 0)
})

test("openssl that verifies is told of, and reaches the server itself once that is asked for", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const seen: string[] = []
  const proxy = await startProxy(t, {
    settings: { ...everythingTo(origin), passthroughPinned: true },
    hooks: { request: (flow) => void seen.push(flow.request.host) },
  })
  const args = ["s_client", "-proxy", `127.0.0.1:${proxy.port}`, "-connect", "api.test:443", "-verify_return_error"]
  await run("openssl", [...args, "-no-CAfile", "-no-CApath"])
  await proxy.logged("for 10 minutes it is relayed unseen")
  // The next connection, which trusts the server's own certificate (of the same CA here).
  const client = await inside(proxy)
  client.write(REQUEST)
  t.equal((await client.response()).text, "hi")
  t.same(seen, [], "no addon sees it")
  client.end()
  await eventually(() => proxy.server.clients === 0)
  proxy.clock.advance(600_000)
  const later = await inside(proxy)
  later.write(REQUEST)
  t.equal((await later.response()).text, "hi")
  t.same(seen, ["api.test"])
  later.end()
})

test("a CA with name constraints leaves other hosts alone, and says so once", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const seen: string[] = []
  const proxy = await startProxy(t, {
    settings: everythingTo(origin),
    permits: (name) => name !== "api.test",
    hooks: { request: (flow) => void seen.push(flow.request.host) },
  })
  for (let count = 0; count < 2; count++) {
    const client = await inside(proxy)
    client.write(REQUEST)
    t.equal((await client.response()).text, "hi")
    client.end()
  }
  t.same(warnings(proxy), ["warn api.test: relayed unseen, because the CA was made with --permit for other hosts"])
  t.same(seen, [])
})

test("a client that leaves after the handshake without a word is told of the second time", async (t) => {
  const proxy = await startProxy(t)
  for (let count = 0; count < 2; count++) {
    t.same(warnings(proxy), [])
    const client = await inside(proxy)
    client.end()
    await client.closed
    await eventually(() => proxy.server.clients === 0)
  }
  t.match(warnings(proxy), [/does not accept our certificate for api\.test:443 \(it leaves after each handshake/])
})

test("hosts are ignored by the SNI, also where the tunnel names an address", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const seen: string[] = []
  const proxy = await startProxy(t, {
    settings: { ...everythingTo(origin), ignoreHosts: [/^api\.test:/] },
    hooks: { request: (flow) => void seen.push(flow.request.host) },
  })
  const client = await inside(proxy, {}, "192.0.2.1:443")
  client.write(REQUEST)
  t.equal((await client.response()).text, "hi")
  t.same(seen, [])
  client.end()
})

test("a leaf names what the upstream's certificate names, if that is asked for", async (t) => {
  const { chainFor, ca } = await sharedCertificates()
  const origin = await ScriptedOrigin.start(always(ok("hi")), chainFor("api.test", ["*.api.test", "other.test"]))
  t.teardown(() => origin.close())
  for (const mirrorSans of [false, true]) {
    const proxy = await startProxy(t, { settings: { ...everythingTo(origin), mirrorSans } })
    const known = await inside(proxy)
    t.equal(namesSeen(known), mirrorSans ? "DNS:api.test, DNS:*.api.test, DNS:other.test" : "DNS:api.test")
    known.end()
    // The origin's certificate is not for this name, so it is not trusted and nothing of it is taken over.
    const client = await inside(proxy, { servername: "foreign.test", checkServerIdentity: () => undefined, ca })
    t.equal(namesSeen(client), "DNS:foreign.test")
    client.end()
  }
})

test("the secrets of both legs are appended to the key log, which nobody else can read", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const file = join(t.testdir({}), "keys.log")
  const keyLog = new KeyLog(file, (message) => t.fail(message))
  const proxy = await startProxy(t, { settings: { ...everythingTo(origin), keyLog } })
  const own: string[] = []
  const client = await inside(proxy)
  client.write(REQUEST)
  t.equal((await client.response()).text, "hi")
  client.end()
  const lines = readFileSync(file, "latin1").trim().split("\n")
  own.push(...lines.filter((line) => line.startsWith("CLIENT_TRAFFIC_SECRET_0 ")))
  t.equal(own.length, 2)
  t.equal(new Set(own.map((line) => line.split(" ")[1])).size, 2, "two connections")
  t.equal(statSync(file).mode & 0o777, 0o600)
  await proxy.server.stop(0)
})

test("a key log that cannot be written is told of once, and traffic goes on", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const told: string[] = []
  const keyLog = new KeyLog(t.testdir({}), (message) => void told.push(message))
  const proxy = await startProxy(t, { settings: { ...everythingTo(origin), keyLog } })
  for (let count = 0; count < 2; count++) {
    const client = await inside(proxy)
    client.write(REQUEST)
    t.equal((await client.response()).text, "hi")
    client.end()
  }
  t.equal(told.length, 1)
  t.match(told[0], /^write TLS secrets to .* \(SSLKEYLOGFILE\): EISDIR/)
})

test("a client resumes its session on another connection", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")), "api.test")
  const proxy = await startProxy(t, { settings: everythingTo(origin) })
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"]) {
    let session: Buffer | undefined
    for (const reused of [false, true]) {
      const client = await inside(proxy, { maxVersion, session })
      const tls = client.socket as TLSSocket
      t.equal(tls.isSessionReused(), reused, maxVersion)
      client.write(REQUEST)
      t.equal((await client.response()).text, "hi")
      session = tls.getSession() // The tickets of TLS 1.3 came before the answer.
      client.end()
    }
  }
})
