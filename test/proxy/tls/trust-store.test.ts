import * as fs from "node:fs"
import { createSecureContext } from "node:tls"
import { test } from "tap"
import { explainPem } from "../../../lib/proxy/tls/pem.ts"
import { sharedCertificates } from "../../helpers/test-proxy.ts"

const BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

test("certificates that cannot be read are told of by their number", async (t) => {
  const { ca } = await sharedCertificates()
  t.equal(explainPem(ca), undefined)
  t.equal(explainPem(`Subject: someone\n${ca}\n${ca}`), undefined)
  t.equal(explainPem(""), "it holds no PEM certificate")
  t.equal(explainPem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), "it holds no PEM certificate")
  t.match(explainPem(`${ca}${BROKEN}`), /^certificate 2 of 2 cannot be read: /)
})

test("a context is made once for each set of certificates, and the sets are bounded", async (t) => {
  const { ca, chainFor } = await sharedCertificates()
  // Without the some hundred roots of the system, which take their time.
  const { TrustStore } = await t.mockImport<typeof import("../../../lib/proxy/tls/trust-store.ts")>(
    "../../../lib/proxy/tls/trust-store.ts",
    { "node:tls": { createSecureContext, rootCertificates: [] }, "node:fs": { ...fs, readFileSync: () => "" } },
  )
  const store = new TrustStore([ca])
  const first = store.context(undefined)
  t.equal(store.context(undefined), first)
  const own = store.context(ca)
  t.not(own, first)
  t.equal(store.context(ca), own)
  t.throws(() => store.context(BROKEN), { code: "bad-ca", source: "addon" })
  for (let count = 0; count < 64; count++) store.context(`${ca}${"\n".repeat(count + 1)}`)
  t.not(store.context(undefined), first, "the oldest one was let go")
  const last = store.context(undefined)
  t.equal(new TrustStore([ca]).context(undefined), last, "proxies of one process share it")
  t.not(new TrustStore([]).context(undefined), last)
  const versions = { min: "TLSv1.3", max: "TLSv1.3" } as const
  t.not(new TrustStore([ca], { upstreamTls: versions }).context(undefined), last)
  const pair = (host: string) => ({ everywhere: undefined, hosts: new Map([[host, chainFor("client.test")]]) })
  const shown = new TrustStore([ca], { clientCertificates: pair("a.test") })
  t.equal(shown.context(undefined, "b.test"), last)
  t.not(shown.context(undefined, "a.test"), last)
})

test("SSL_CERT_FILE stands for the system's roots, and a file that is not there for none", async (t) => {
  const before = process.env.SSL_CERT_FILE
  t.teardown(() => {
    if (before === undefined) delete process.env.SSL_CERT_FILE
    else process.env.SSL_CERT_FILE = before
  })
  for (const file of ["/nowhere/at/all.pem", undefined]) {
    if (file === undefined) delete process.env.SSL_CERT_FILE
    else process.env.SSL_CERT_FILE = file
    const module = await t.mockImport<typeof import("../../../lib/proxy/tls/trust-store.ts")>(
      "../../../lib/proxy/tls/trust-store.ts",
      {},
    )
    t.ok(new module.TrustStore([]).context(undefined))
  }
})

test("a system without a bundle of roots has Node's own", async (t) => {
  const before = process.env.SSL_CERT_FILE
  delete process.env.SSL_CERT_FILE
  t.teardown(() => {
    if (before !== undefined) process.env.SSL_CERT_FILE = before
  })
  const module = await t.mockImport<typeof import("../../../lib/proxy/tls/trust-store.ts")>(
    "../../../lib/proxy/tls/trust-store.ts",
    {
      "node:fs": {
        ...fs,
        readFileSync: () => {
          throw new Error("no such file")
        },
      },
    },
  )
  t.ok(new module.TrustStore([]).context(undefined))
})
