/** Folders of roots: what is read of them, and what is passed over. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { test } from "tap"
import { rootsOfFolders } from "../../certs/root-folders.ts"
import { sharedCertificates } from "../helpers/test-proxy.ts"

const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----`

test("a folder with hashed names gives what they lead to, each certificate once", async (t) => {
  const folder = t.testdir({ "a.pem": `words\n${pem("AAAA")}\n`, "b.pem": pem("BBBB"), README: "no certificate" })
  symlinkSync("a.pem", join(folder, "0123abcd.0"))
  symlinkSync("a.pem", join(folder, "89abcdef.1"))
  symlinkSync("nothing", join(folder, "01234567.0"))
  t.strictSame(rootsOfFolders(folder), [pem("AAAA")], "b.pem has no hash: OpenSSL would not find it")
})

test("a folder without hashed names gives all its files; several folders are read, and none that is not there", async (t) => {
  const top = t.testdir({
    one: { "a.crt": pem("AAAA") + pem("CCCC"), sub: {} },
    two: { b: pem("BBBB"), a: pem("AAAA") },
  })
  const list = [join(top, "one"), "", join(top, "none"), join(top, "two")].join(delimiter)
  t.strictSame(rootsOfFolders(list), [pem("AAAA"), pem("CCCC"), pem("BBBB")])
  t.strictSame(rootsOfFolders(undefined), [])
  t.strictSame(rootsOfFolders(""), [])
  mkdirSync(join(top, "large"))
  writeFileSync(join(top, "large", "x.pem"), pem("A".repeat(2_000_000)))
  t.strictSame(rootsOfFolders(join(top, "large")), [], "no root is a megabyte")
})

test("an upstream whose CA stands in SSL_CERT_DIR alone is trusted", async (t) => {
  const { ca } = await sharedCertificates()
  const folder = t.testdir({ "ca.pem": ca })
  const before = process.env.SSL_CERT_DIR
  process.env.SSL_CERT_DIR = folder
  t.teardown(() => {
    if (before === undefined) delete process.env.SSL_CERT_DIR
    else process.env.SSL_CERT_DIR = before
  })
  const seen: (readonly string[])[] = []
  const { TrustStore } = await t.mockImport<typeof import("../../lib/proxy/tls/trust-store.ts")>(
    "../../lib/proxy/tls/trust-store.ts",
    {
      "node:tls": {
        createSecureContext: ({ ca: roots }: { ca: readonly string[] }) => seen.push(roots),
        rootCertificates: [],
      },
    },
  )
  new TrustStore([]).context(undefined)
  t.ok(seen[0]?.some((root) => root.trim() === ca.trim()))
})
