/** The certificate-only PKCS#12 file, read back by OpenSSL, which also checks its MAC. */
import { spawnSync } from "node:child_process"
import { generateKeyPairSync, X509Certificate } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { caConstraints, distinguishedName, issue, publicKeyInfo, signerFor } from "../../certs/certificate.ts"
import { certificateOnlyPkcs12 } from "../../certs/pkcs12.ts"

const openssl = (...args: string[]) => spawnSync("openssl", args, { encoding: "utf8" })
const skip = openssl("version").error === undefined ? false : "openssl is not installed"

function someCertificate(): X509Certificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const signer = signerFor(privateKey)
  if (signer === undefined) throw new Error("no signer")
  const name = distinguishedName({ commonName: "some CA", organization: "some" })
  const content = { issuer: name, subject: name, notBefore: 0, notAfter: 1e12, publicKey: publicKeyInfo(publicKey) }
  return new X509Certificate(issue({ ...content, extensions: [caConstraints()] }, signer))
}

test("openssl reads the certificate with an empty password, and refuses another", { skip }, async (t) => {
  const cert = someCertificate()
  const file = join(t.testdir(), "ca.p12")
  writeFileSync(file, certificateOnlyPkcs12(cert, "llmproxy"))
  const { stdout, status } = openssl("pkcs12", "-in", file, "-passin", "pass:", "-nokeys")
  t.equal(status, 0)
  t.match(stdout, /friendlyName: llmproxy/)
  t.ok(stdout.includes(cert.toString()))
  t.not(openssl("pkcs12", "-in", file, "-passin", "pass:x", "-nokeys").status, 0)
  t.not(openssl("pkcs12", "-in", file, "-passin", "pass:", "-nocerts").stdout, /PRIVATE KEY/)
})

test("the same certificate gives the same bytes, so that the file is written once", async (t) => {
  const cert = someCertificate()
  t.same(certificateOnlyPkcs12(cert, "llmproxy"), certificateOnlyPkcs12(cert, "llmproxy"))
})
