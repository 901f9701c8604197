import { join } from "node:path"
import { test } from "tap"
import { UsageError } from "../../lib/base/errors.ts"
import { baseUrlOf, CORE_OPTIONS, type CoreValues, settingsFrom } from "../../lib/options/core.ts"
import { DEFAULT_SETTINGS } from "../../lib/proxy/settings.ts"
import { sharedCertificates } from "../helpers/test-proxy.ts"

const DEFAULTS = Object.fromEntries(
  Object.entries(CORE_OPTIONS).map(([name, spec]) => [name, spec.default]),
) as unknown as CoreValues

function refused(values: Partial<CoreValues>): string {
  try {
    settingsFrom({ ...DEFAULTS, ...values })
  } catch (thrown) {
    if (thrown instanceof UsageError) return thrown.message
    throw thrown
  }
  return "accepted"
}

test("without options the settings are the defaults", (t) => {
  t.same(settingsFrom(DEFAULTS), DEFAULT_SETTINGS)
  t.end()
})

test("every number becomes its setting", (t) => {
  const values = {
    bodyLimit: 1,
    memoryLimit: 2,
    drainLimit: 10,
    drainLimitMs: 11,
    headerTimeoutMs: 3,
    idleTimeoutMs: 4,
    connectTimeoutMs: 5,
    stallTimeoutMs: 6,
    keepAliveMs: 7,
    upstreamConnections: 8,
    upstreamIdleMs: 9,
  }
  const settings = settingsFrom({ ...DEFAULTS, ...values, headLimit: 2_000, headFields: 10, insecure: true })
  t.match(settings, { ...values, head: { headBytes: 2_000, headFields: 10 }, verify: false })
  t.end()
})

test("a base upstream needs a scheme, and has to be a URL", (t) => {
  t.equal(
    refused({ baseUpstream: "api.test" }),
    "--base-upstream api.test: the upstream needs a scheme, for example https://api.test",
  )
  t.equal(refused({ baseUpstream: "http://:x" }), "--base-upstream http://:x: this is no URL")
  t.equal(settingsFrom({ ...DEFAULTS, baseUpstream: "HTTP://a.test/v1" }).baseUpstream.href, "http://a.test/v1")
  t.end()
})

test("--connect-to is curl's, each part of which may be empty", (t) => {
  const { connectTo } = settingsFrom({
    ...DEFAULTS,
    connectTo: ["A.test:443:127.0.0.1:8443", ":::1", "[2001:DB8::1]:80:[::1]:", "a_b:1:x:2"],
  })
  t.same(connectTo, [
    { host: "a.test", port: 443, toHost: "127.0.0.1", toPort: 8443 },
    { host: "", port: undefined, toHost: "", toPort: 1 },
    { host: "2001:db8::1", port: 80, toHost: "::1", toPort: undefined },
    { host: "a_b", port: 1, toHost: "x", toPort: 2 },
  ])
  t.match(refused({ connectTo: ["a:1"] }), "--connect-to a:1: write HOST:PORT:ADDR:PORT, for example")
  t.equal(refused({ connectTo: ["a:1:b:70000"] }), "--connect-to a:1:b:70000: 70000 is no port")
  t.equal(refused({ connectTo: ["a:0:b:1"] }), "--connect-to a:0:b:1: 0 is no port")
  t.equal(refused({ connectTo: ["a b:1:c:1"] }), "--connect-to a b:1:c:1: a b is no host")
  t.end()
})

test("names and patterns are compared without case", (t) => {
  const settings = settingsFrom({
    ...DEFAULTS,
    baseHost: ["Proxy.Test."],
    ignoreHosts: ["^A\\."],
    allowHosts: ["b"],
    upstreamHttp2: false,
  })
  t.equal(settings.upstreamHttp2, false)
  t.same(settings.baseHosts, ["proxy.test"])
  t.equal(settings.ignoreHosts[0]?.test("a.test:443"), true)
  t.match(refused({ ignoreHosts: ["("] }), /^--ignore-hosts \(: /)
  t.match(refused({ allowHosts: ["["] }), /^--allow-hosts \[: /)
  t.equal(refused({ baseHost: ["a b"] }), "--base-host a b: this is no host name")
  t.end()
})

test("a file of --upstream-ca has to be there and hold certificates", async (t) => {
  const { ca } = await sharedCertificates()
  const folder = t.testdir({ "ca.txt": ca, "empty.txt": "", "broken.txt": ca.replace(/\n[^\n]{20}/, "\n") })
  t.same(settingsFrom({ ...DEFAULTS, upstreamCa: [join(folder, "ca.txt")] }).upstreamCa, [ca])
  t.match(refused({ upstreamCa: [join(folder, "none.txt")] }), /^--upstream-ca .*none\.txt: there is no such file/)
  t.match(refused({ upstreamCa: [join(folder, "empty.txt")] }), /empty\.txt: it holds no PEM certificate/)
  t.match(refused({ upstreamCa: [join(folder, "broken.txt")] }), /broken\.txt: certificate 1 of 1 cannot be read/)
})

test("users come from --proxy-auth and a file, in which the flag's own user is replaced", (t) => {
  const hash = `$2y$05$${"a".repeat(53)}`
  const folder = t.testdir({ users: `ann:${hash}\nbob:${hash}\n` })
  const proxyAuthFile = join(folder, "users")
  const { proxyUsers } = settingsFrom({ ...DEFAULTS, proxyAuth: "ann:pass", proxyAuthFile })
  t.same(proxyUsers, [
    { name: "bob", secret: { kind: "hash", text: hash } },
    { name: "ann", secret: { kind: "password", text: "pass" } },
  ])
  t.match(refused({ proxyAuthFile: join(folder, "none") }), /^--proxy-auth-file .*none: there is no such file/)
  t.equal(refused({ proxyAuth: "pass" }), "--proxy-auth: write USER:PASS")
  t.match(settingsFrom({ ...DEFAULTS, allowClients: ["10.0.0.0/8"] }).allowClients, [{ prefix: 8 }])
  t.match(refused({ allowClients: ["10"] }), /^--allow-clients 10: write an address or a range/)
  t.end()
})

test("the base URL names an address that can be reached", (t) => {
  t.equal(baseUrlOf("127.0.0.1", 8080), "http://127.0.0.1:8080")
  t.equal(baseUrlOf("0.0.0.0", 1), "http://127.0.0.1:1")
  t.equal(baseUrlOf("::", 1), "http://[::1]:1")
  t.equal(baseUrlOf("proxy.test", 1), "http://proxy.test:1")
  t.end()
})
