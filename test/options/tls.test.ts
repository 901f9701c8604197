import { join } from "node:path"
import { test } from "tap"
import { loadOrCreateCa } from "../../certs/ca.ts"
import { UsageError } from "../../lib/base/errors.ts"
import { resolveOptions } from "../../lib/options/resolve.ts"
import { leafSettings, makeLeaves, TLS_OPTIONS, type TlsValues, tlsSettings } from "../../lib/options/tls.ts"
import { sharedCertificates } from "../helpers/test-proxy.ts"

const SOURCES = { set: [], flags: {}, env: {}, envFile: undefined, config: undefined }

function values(some: Partial<TlsValues>, env: Record<string, string> = {}): TlsValues {
  return { ...resolveOptions(undefined, TLS_OPTIONS, { ...SOURCES, env }), ...some }
}

function refused(some: Partial<TlsValues>): string {
  try {
    leafSettings(values(some), Date.now())
    tlsSettings(values(some))
  } catch (thrown) {
    if (thrown instanceof UsageError) return thrown.message
    throw thrown
  }
  return "accepted"
}

test("SSLKEYLOGFILE names the key log, as for other programs", async (t) => {
  t.equal(values({}, { SSLKEYLOGFILE: "keys.log" }).keyLogFile, "keys.log")
  t.equal(values({}).keyLogFile, "")
})

test("the oldest version cannot be newer than the newest", async (t) => {
  t.same(tlsSettings(values({})).upstreamTls, { min: "TLSv1.2", max: "TLSv1.3" })
  t.same(leafSettings(values({ tlsVersionClientMin: "TLSv1.3" }), 0).versions, { min: "TLSv1.3", max: "TLSv1.3" })
  t.equal(
    refused({ tlsVersionClientMin: "TLSv1.3", tlsVersionClientMax: "TLSv1.2" }),
    "tlsVersionClientMin TLSv1.3: it is newer than tlsVersionClientMax, which is TLSv1.2",
  )
  t.match(
    refused({ tlsVersionUpstreamMin: "TLSv1.3", tlsVersionUpstreamMax: "TLSv1" }),
    /^tlsVersionUpstreamMin TLSv1\.3/,
  )
})

test("--certs names a host, or takes the certificate's own names", async (t) => {
  const { chainFor, ca } = await sharedCertificates()
  const { cert, key } = chainFor("a.test")
  const folder = t.testdir({ "own.pem": `${cert}${key}`, "lone.pem": cert, "ca.pem": ca })
  const file = join(folder, "own.pem")
  const { own, warnings } = leafSettings(
    values({ certs: [file, `B.test=${file}`, `*.c.test=${file}`, `*=${file}`] }),
    0,
  )
  t.same(
    own.map(({ names }) => names),
    [["a.test"], ["b.test"], ["*.c.test"], ["*"]],
  )
  t.same(warnings, [])
  const late = leafSettings(values({ certs: [file] }), Date.now() + 365 * 86_400_000)
  t.match(late.warnings, [/own\.pem: this certificate expired on /])
  t.match(refused({ certs: [join(folder, "none.pem")] }), /^--certs .*none\.pem: there is no such file/)
  t.match(refused({ certs: [join(folder, "lone.pem")] }), /no PEM key that can be read without a password/)
  t.match(refused({ certs: [`a b=${file}`] }), /a b is no host name/)
})

test("a CA's certificate is shown with a warning, and one without names needs one", async (t) => {
  const confdir = t.testdir({})
  const { paths } = await loadOrCreateCa(confdir, { clock: Date.now })
  t.match(refused({ certs: [paths.pem] }), /the certificate names no host; write --certs HOST=FILE/)
  t.same(leafSettings(values({ certs: [`a.test=${paths.pem}`] }), Date.now()).warnings, [], "it signs itself")
})

test("the user's own certificate is shown for its hosts, and a leaf of ours for others", async (t) => {
  const { chainFor } = await sharedCertificates()
  const { cert, key } = chainFor("a.test")
  const folder = t.testdir({ "own.pem": `${cert}${key}`, confdir: {} })
  const file = join(folder, "own.pem")
  const ca = await loadOrCreateCa(join(folder, "confdir"), { clock: Date.now, permit: ["b.test"] })
  const own = await makeLeaves(ca, leafSettings(values({ certs: [file] }), Date.now()), Date.now)
  t.equal(own.leaf("a.test"), own.leaf("A.test"))
  t.ok(own.leaf("b.test"))
  const ours = await makeLeaves(ca, leafSettings(values({}), Date.now()), Date.now)
  t.ok(ours.leaf("b.test", ["x.b.test"]))
  t.same(
    ["a.test", "b.test", "c.test"].map((name) => [own.permits(name), ours.permits(name)]),
    [
      [true, false],
      [true, true],
      [false, false],
    ],
  )
})
