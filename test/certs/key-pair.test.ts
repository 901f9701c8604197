import { createPrivateKey, X509Certificate } from "node:crypto"
import { test } from "tap"
import { certificateNames, readKeyPair } from "../../certs/key-pair.ts"
import { sharedCertificates } from "../helpers/test-proxy.ts"

test("a file holds certificates and a key in any order, and the key's own certificate comes first", async (t) => {
  const { ca, chainFor } = await sharedCertificates()
  const { cert, key } = chainFor("a.test")
  const own = cert.slice(0, cert.indexOf("-----END CERTIFICATE-----") + 26)
  for (const text of [`${own}${key}${ca}`, `${key}${own}${ca}`, `${ca}\nnotes\n${own}${key}`]) {
    const read = readKeyPair(text)
    if (typeof read === "string") throw new Error(read)
    t.equal(read.leaf.subjectAltName, "DNS:a.test")
    t.equal(new X509Certificate(read.cert).fingerprint256, read.leaf.fingerprint256)
    t.match(read.cert, ca.trim())
  }
})

test("what is wrong with a file is said without showing its key", async (t) => {
  const { chainFor } = await sharedCertificates()
  const { cert, key } = chainFor("a.test")
  const encrypted = createPrivateKey(key).export({
    type: "pkcs8",
    format: "pem",
    cipher: "aes-128-cbc",
    passphrase: "x",
  })
  const { ca } = await sharedCertificates()
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
  const cases = [
    ["", /no PEM certificate/],
    [key, /no PEM certificate/],
    [cert, /no PEM key that can be read without a password/],
    [`${cert}${encrypted}`, /no PEM key that can be read without a password/],
    [`${ca}${key}`, /the key belongs to none of its certificates/],
    [`${broken}${key}`, /it cannot be read: /],
  ] as const
  for (const [text, expected] of cases) {
    const read = readKeyPair(text)
    t.match(read, expected)
    t.notMatch(read, /BEGIN|MII|MIG/)
  }
})

test("the names of a certificate are its SAN's hosts and addresses", async (t) => {
  const { chainFor } = await sharedCertificates()
  for (const name of ["a.test", "127.0.0.1"]) t.same(certificateNames(new X509Certificate(chainFor(name).cert)), [name])
  const fake = (subjectAltName: string | undefined) => certificateNames({ subjectAltName } as X509Certificate)
  t.same(fake("DNS:*.A.test, URI:spiffe://x, IP Address:0:0:0:0:0:0:0:1, DNS:b.test"), [
    "*.a.test",
    "0:0:0:0:0:0:0:1",
    "b.test",
  ])
  t.same(fake(undefined), [])
})
