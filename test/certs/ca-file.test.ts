/**
 * A CA file that cannot serve is refused in one line that says why and what to do; any that can, serves.
 * The certificates here are built field by field, so that each is wrong in one thing only.
 */
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto"
import { test } from "tap"
import { readCa } from "../../certs/ca-file.ts"
import {
  caConstraints,
  caKeyUsage,
  distinguishedName,
  issue,
  keyIdentifier,
  leafKeyUsage,
  publicKeyInfo,
  signerFor,
  subjectKeyId,
} from "../../certs/certificate.ts"
import type { Asn1 } from "../../certs/der.ts"
import { StartError } from "../../lib/base/errors.ts"

const NOW = Date.UTC(2026, 10, 20)
const YEAR_MS = 365 * 86_400_000

interface Made {
  key: KeyObject
  keyPem: string
  certPem: string
  name: Asn1
}

interface Recipe {
  name?: string
  issuer?: Made
  keys?: { privateKey: KeyObject; publicKey: KeyObject }
  from?: number
  to?: number
  extensions?: Asn1[]
}

function ec() {
  return generateKeyPairSync("ec", { namedCurve: "P-256" })
}

function makeCa({
  name = "test CA",
  issuer,
  keys = ec(),
  from = NOW - YEAR_MS,
  to = NOW + YEAR_MS,
  extensions,
}: Recipe = {}): Made {
  const publicKey = publicKeyInfo(keys.publicKey)
  const subject = distinguishedName({ commonName: name })
  const signer = signerFor(issuer?.key ?? keys.privateKey)
  if (signer === undefined) throw new Error("no signer")
  const der = issue(
    {
      issuer: issuer?.name ?? subject,
      subject,
      notBefore: from,
      notAfter: to,
      publicKey,
      extensions: extensions ?? [caConstraints(), caKeyUsage(), subjectKeyId(keyIdentifier(publicKey))],
    },
    signer,
  )
  const keyPem = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  return { key: keys.privateKey, keyPem, certPem: new X509Certificate(der).toString(), name: subject }
}

test("a file that cannot serve is one line: what, where, why, what to do", async (t) => {
  const good = makeCa()
  const encrypted = (type: "pkcs8" | "sec1") =>
    good.key.export({ type, format: "pem", cipher: "aes-256-cbc", passphrase: "x" }).toString()
  const dsa = generateKeyPairSync("dsa", { modulusLength: 1024, divisorLength: 160 })
  const dsaKey = dsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  const bad: [what: string, text: string, why: RegExp][] = [
    ["empty", "", /holds no private key; remove the file to make a new CA/],
    ["garbage", "\0\xff\n-----BEGIN", /holds no private key/],
    ["cut in its key", good.keyPem.slice(0, -30), /holds no private key/],
    ["certificate only", good.certPem, /holds no private key/],
    ["key only", good.keyPem, /holds no certificate/],
    ["cut in its certificate", good.keyPem + good.certPem.slice(0, -30), /holds no certificate/],
    ["damaged key", good.keyPem.replace(/\n..../, "\nAAAA") + good.certPem, /is damaged \(/],
    ["damaged certificate", good.keyPem + good.certPem.replace(/\n..../, "\nAAAA"), /is damaged \(/],
    ["another's key", makeCa().keyPem + good.certPem, /key does not belong to its certificate/],
    ["passphrase", encrypted("pkcs8") + good.certPem, /key has a passphrase; remove that with openssl pkey/],
    ["passphrase, old form", encrypted("sec1") + good.certPem, /key has a passphrase/],
    ["key type", dsaKey + good.certPem, /key does not belong/],
    ["expired", joined(makeCa({ to: NOW - 1000 })), /expired on 2026-11-19T23:59:59.000Z; remove the file/],
    [
      "early",
      joined(makeCa({ from: NOW + 1000 })),
      /not valid before 2026-11-20T00:00:01.000Z; check this machine's clock/,
    ],
    ["no CA", joined(makeCa({ extensions: [leafKeyUsage()] })), /certificate is not a CA's; it needs CA:TRUE/],
    ["may not sign", joined(makeCa({ extensions: [caConstraints(), leafKeyUsage()] })), /certificate is not a CA's/],
  ]
  for (const [what, text, why] of bad) {
    t.throws(() => readCa(text, "/conf/llmproxy-ca.pem", NOW), StartError, what)
    t.throws(() => readCa(text, "/conf/llmproxy-ca.pem", NOW), { message: why }, what)
    t.throws(
      () => readCa(text, "/conf/llmproxy-ca.pem", NOW),
      { message: /^use the CA \/conf\/llmproxy-ca.pem: [^\n]+; [^\n]+$/ },
      what,
    )
  }
})

test("a CA serves to the last second of its time", async (t) => {
  const text = joined(makeCa({ from: NOW, to: NOW + 1000 }))
  t.doesNotThrow(() => readCa(text, "ca.pem", NOW))
  t.doesNotThrow(() => readCa(text, "ca.pem", NOW + 1000))
  t.throws(() => readCa(text, "ca.pem", NOW + 1001), StartError)
})

test("a root is its own anchor and sends no chain, whatever the order of the file", async (t) => {
  const { keyPem, certPem } = makeCa()
  for (const text of [keyPem + certPem, certPem + keyPem, `Bag Attributes\n${certPem}  noise\n${keyPem}`]) {
    const ca = readCa(text, "ca.pem", NOW)
    t.equal(ca.anchor.toString(), certPem)
    t.same(ca.chain, [])
  }
})

test("an intermediate sends itself and those above it, and clients trust the root", async (t) => {
  const root = makeCa({ name: "root" })
  const middle = makeCa({ name: "middle", issuer: root })
  const issuing = makeCa({ name: "issuing", issuer: middle })
  const stranger = makeCa({ name: "stranger" })
  const text = issuing.keyPem + root.certPem + stranger.certPem + middle.certPem + issuing.certPem
  const ca = readCa(text, "ca.pem", NOW)
  t.equal(ca.cert.toString(), issuing.certPem)
  t.equal(ca.chain.join(""), issuing.certPem + middle.certPem)
  t.equal(ca.anchor.toString(), root.certPem)
})

test("an intermediate whose root is not in the file is itself what clients trust", async (t) => {
  const issuing = makeCa({ name: "issuing", issuer: makeCa({ name: "root" }) })
  const ca = readCa(joined(issuing), "ca.pem", NOW)
  t.equal(ca.chain.join(""), issuing.certPem)
  t.equal(ca.anchor.toString(), issuing.certPem)
})

test("an expired certificate above the CA is refused too", async (t) => {
  const root = makeCa({ name: "root", to: NOW - 1000 })
  const text = joined(makeCa({ name: "issuing", issuer: root })) + root.certPem
  t.throws(() => readCa(text, "ca.pem", NOW), { message: /expired on/ })
})

test("every key type that signs certificates makes a CA", async (t) => {
  const types: [name: string, keys: { privateKey: KeyObject; publicKey: KeyObject }][] = [
    ["P-384", generateKeyPairSync("ec", { namedCurve: "P-384" })],
    ["P-521", generateKeyPairSync("ec", { namedCurve: "P-521" })],
    ["RSA", generateKeyPairSync("rsa", { modulusLength: 2048 })],
    ["RSA-PSS", generateKeyPairSync("rsa-pss", { modulusLength: 2048 })],
    ["Ed25519", generateKeyPairSync("ed25519")],
    ["Ed448", generateKeyPairSync("ed448")],
  ]
  for (const [name, keys] of types) {
    const { cert } = readCa(joined(makeCa({ keys })), "ca.pem", NOW)
    t.equal(cert.verify(cert.publicKey), true, name)
  }
})

test("a key that signs nothing is refused by its type", async (t) => {
  const keys = generateKeyPairSync("x25519")
  const text = joined(makeCa({ issuer: makeCa(), keys }))
  t.throws(() => readCa(text, "ca.pem", NOW), {
    message: /a key of type x25519 cannot sign leaves; use EC, RSA or Ed25519/,
  })
  t.equal(signerFor(keys.privateKey), undefined)
})

function joined({ keyPem, certPem }: Made): string {
  return keyPem + certPem
}
