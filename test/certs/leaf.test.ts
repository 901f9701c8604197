/** Leaves as clients see them: in real handshakes, by openssl's strict checks, and through time. */
import { spawnSync } from "node:child_process"
import { generateKeyPairSync, X509Certificate } from "node:crypto"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { join } from "node:path"
import * as tls from "node:tls"
import { type Test, test } from "tap"
import { type Ca, loadOrCreateCa } from "../../certs/ca.ts"
import { caConstraints, distinguishedName, issue, publicKeyInfo, signerFor } from "../../certs/certificate.ts"
import { decode } from "../../certs/der.ts"
import { LeafFactory } from "../../certs/leaf.ts"

const DAY_MS = 86_400_000
const openssl = (...args: string[]) => spawnSync("openssl", args, { encoding: "utf8" })
const skip = openssl("version").error === undefined ? false : "openssl is not installed"

const newCa = (t: Test, permit: string[] = []) => loadOrCreateCa(t.testdir(), { clock: Date.now, permit })

/** A server that terminates TLS as the proxy does: the context for a name, around a raw socket. */
async function serve(t: Test, factory: LeafFactory, nameFor: () => string): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((raw) => {
    sockets.add(raw)
    const secureContext = factory.contextFor(nameFor())
    const socket = new tls.TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: ["http/1.1"] })
    socket.on("error", () => raw.destroy())
    socket.on("data", (data) => socket.end(data))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** The SAN of the certificate that a context shows. */
function sanSeen(t: Test, secureContext: tls.SecureContext): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((raw) => {
      new tls.TLSSocket(raw, { isServer: true, secureContext }).on("error", () => raw.destroy())
    })
    t.teardown(() => server.close())
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      const socket = tls.connect({ port, host: "127.0.0.1", servername: "a.test", rejectUnauthorized: false })
      socket.once("error", reject)
      socket.once("secureConnect", () => {
        resolve(socket.getPeerX509Certificate()?.subjectAltName)
        socket.destroy()
      })
    })
  })
}

interface Seen {
  reused: boolean
  protocol: string | null
  alpn: string
  session: Buffer | undefined
}

/** Connects, sends a byte, reads to the end; resolves with what the client saw. */
function connect(port: number, options: tls.ConnectionOptions): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const seen: Seen = { reused: false, protocol: null, alpn: "", session: undefined }
    const socket = tls.connect({ port, host: "127.0.0.1", ALPNProtocols: ["http/1.1"], ...options })
    socket.on("session", (session) => {
      seen.session = session
    })
    socket.on("secureConnect", () => {
      // Asked here and not at the end: on a closed socket, isSessionReused() crashes Node 20.
      seen.reused = socket.isSessionReused()
      seen.protocol = socket.getProtocol()
      seen.alpn = String(socket.alpnProtocol)
      socket.write("x")
    })
    socket.on("error", reject)
    socket.on("close", () => resolve(seen))
    socket.resume()
  })
}

test("a client that verifies accepts the leaf for names and addresses, over TLS 1.2 and 1.3", async (t) => {
  const ca = await newCa(t)
  const factory = new LeafFactory(ca, { clock: Date.now })
  let name = ""
  const port = await serve(t, factory, () => name)
  const hosts: [asked: string, checkedAs: string][] = [
    ["localhost", "localhost"],
    ["API.OpenAI.com.", "api.openai.com"],
    ["my_host.test", "my_host.test"],
    ["bücher.example", "xn--bcher-kva.example"],
    [`${"long-label.".repeat(20)}test`, `${"long-label.".repeat(20)}test`],
    ["127.0.0.1", "127.0.0.1"],
    ["[::1]", "::1"],
    ["2001:DB8:0:0::7", "2001:db8::7"],
  ]
  for (const [asked, checkedAs] of hosts) {
    name = asked
    const checkServerIdentity = (_: string, cert: tls.PeerCertificate) => tls.checkServerIdentity(checkedAs, cert)
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const seen = await connect(port, { ca: ca.certPem, checkServerIdentity, maxVersion })
      t.same([seen.protocol, seen.alpn], [maxVersion, "http/1.1"], asked)
    }
  }
})

test("the leaf of another name or another CA is refused", async (t) => {
  const ca = await newCa(t)
  const port = await serve(t, new LeafFactory(ca, { clock: Date.now }), () => "a.test")
  await t.rejects(connect(port, { ca: ca.certPem, servername: "b.test" }), { code: "ERR_TLS_CERT_ALTNAME_INVALID" })
  const other = await loadOrCreateCa(join(t.testdirName, "other"), { clock: Date.now })
  await t.rejects(connect(port, { ca: other.certPem, servername: "a.test" }), {
    code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  })
})

test("nothing older than TLS 1.2 is spoken", async (t) => {
  const ca = await newCa(t)
  const port = await serve(t, new LeafFactory(ca, { clock: Date.now }), () => "a.test")
  const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" } as const
  await t.rejects(connect(port, { ca: ca.certPem, servername: "a.test", ...old }), {
    code: /PROTOCOL_VERSION|ECONNRESET/,
  })
})

test("a session is resumed on another connection, and with another context of the name", async (t) => {
  const ca = await newCa(t)
  // Room for one name: between the connections the context is evicted and made anew.
  const factory = new LeafFactory(ca, { clock: Date.now, max: 1 })
  const port = await serve(t, factory, () => "a.test")
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const options = { ca: ca.certPem, servername: "a.test", maxVersion }
    const first = await connect(port, options)
    const before = factory.contextFor("a.test")
    factory.contextFor("b.test")
    t.not(factory.contextFor("a.test"), before)
    t.ok(first.session, "a ticket came")
    const second = await connect(port, { ...options, ...(first.session && { session: first.session }) })
    t.same([first.reused, second.reused], [false, true], maxVersion)
  }
})

test("openssl's strict checks accept every kind of leaf", { skip }, async (t) => {
  const ca = await newCa(t)
  const factory = new LeafFactory(ca, { clock: Date.now })
  const leaf = join(t.testdirName, "leaf.pem")
  for (const name of ["api.openai.com", "10.0.0.1", "::1", "a_b.test", `${"a".repeat(60)}.${"b".repeat(60)}.test`]) {
    writeFileSync(leaf, factory.chainFor(name).cert)
    const check = name.includes(":") || /^[\d.]+$/.test(name) ? "-verify_ip" : "-verify_hostname"
    const purpose = ["-purpose", "sslserver", check, name]
    const { stdout, stderr } = openssl("verify", "-x509_strict", ...purpose, "-CAfile", ca.paths.certPem, leaf)
    t.match(stdout, /: OK/, `${name}: ${stderr}`)
  }
})

test("a leaf has the extensions of a server and the CA's key identifier", { skip }, async (t) => {
  const ca = await newCa(t)
  const factory = new LeafFactory(ca, { clock: Date.now })
  const text = (pem: string) =>
    spawnSync("openssl", ["x509", "-noout", "-text"], { input: pem, encoding: "utf8" }).stdout
  const leaf = text(factory.chainFor("api.openai.com").cert)
  t.match(leaf, /Subject: O = llmproxy, CN = api.openai.com\n/)
  t.match(leaf, /Key Usage: critical\s+Digital Signature\n/)
  t.match(leaf, /Extended Key Usage: \s+TLS Web Server Authentication\n/)
  t.match(leaf, /Subject Alternative Name: \s+DNS:api.openai.com\n/)
  t.notMatch(leaf, /Subject Key Identifier/)
  const keyId = /Subject Key Identifier: \s+(\S+)/.exec(text(ca.certPem))?.[1]
  t.equal(/Authority Key Identifier: \s+(\S+)/.exec(leaf)?.[1], keyId)
  for (const name of [`${"a".repeat(59)}.test`, "127.0.0.1"]) {
    t.match(text(factory.chainFor(name).cert), /Subject: O = llmproxy\n/, "no common name that is long or an address")
  }
  const short = `${"a".repeat(58)}.test`
  t.ok(text(factory.chainFor(short).cert).includes(`Subject: O = llmproxy, CN = ${short}\n`))
})

test("leaves share one key that is not the CA's, and differ in their serials", async (t) => {
  const ca = await newCa(t)
  const factory = new LeafFactory(ca, { clock: Date.now })
  const [one, other] = [factory.chainFor("a.test"), factory.chainFor("b.test")]
  t.equal(one.key, other.key)
  const [oneCert, otherCert] = [new X509Certificate(one.cert), new X509Certificate(other.cert)]
  t.not(oneCert.serialNumber, otherCert.serialNumber)
  t.equal(oneCert.checkPrivateKey(ca.key), false)
  t.not(new LeafFactory(ca, { clock: Date.now }).chainFor("a.test").key, one.key, "another process has another key")
})

test("500 leaves: each is whole DER with a positive serial of at most 20 bytes, no two alike", async (t) => {
  const ca = await newCa(t)
  const factory = new LeafFactory(ca, { clock: Date.now })
  const serials = new Set<string>()
  for (let index = 0; index < 500; index++) {
    const { raw, serialNumber, ...cert } = read(factory.chainFor(`host-${index}.test`).cert)
    t.doesNotThrow(() => decode(raw))
    serials.add(serialNumber)
    // The serial follows the version: INTEGER, 16 bytes, the top bit off and minimal because the next one is on.
    const at = raw.indexOf(Buffer.from("a00302010202", "hex")) + 6
    if (raw[at] !== 16 || ((raw[at + 1] ?? 0) & 0xc0) !== 0x40) t.fail(`serial ${serialNumber} of leaf ${index}`)
    if (!cert.issued || !cert.verified) t.fail(`leaf ${index} does not verify`)
  }
  t.equal(serials.size, 500)

  function read(pem: string) {
    const cert = new X509Certificate(pem)
    const { raw, serialNumber } = cert
    return { raw, serialNumber, issued: cert.checkIssued(ca.cert), verified: cert.verify(ca.cert.publicKey) }
  }
})

test("a leaf is valid for 197 days, two of them past, and is kept until its last day", async (t) => {
  const start = Date.UTC(2026, 10, 20)
  let now = start
  const ca = await loadOrCreateCa(t.testdir(), { clock: () => now - 30 * DAY_MS })
  const factory = new LeafFactory(ca, { clock: () => now })
  const first = factory.chainFor("a.test")
  const cert = new X509Certificate(first.cert)
  t.equal(Date.parse(cert.validFrom), start - 2 * DAY_MS)
  t.equal(Date.parse(cert.validTo), start + 195 * DAY_MS)
  now = start + 194 * DAY_MS - 1
  t.equal(factory.chainFor("a.test"), first)
  now = start + 194 * DAY_MS
  const second = factory.chainFor("A.test.")
  t.not(second, first)
  t.equal(Date.parse(new X509Certificate(second.cert).validFrom), now - 2 * DAY_MS)
  now = start
  t.not(factory.chainFor("a.test"), second, "a clock that was set back gets a leaf for its time")
})

test("a leaf never outlives its CA nor is older, and an expired CA makes none", async (t) => {
  const start = Date.UTC(2026, 10, 20)
  let now = start
  const ca = await loadOrCreateCa(t.testdir(), { clock: () => start })
  const end = Date.parse(ca.cert.validTo)
  const factory = new LeafFactory(ca, { clock: () => now })
  now = start - DAY_MS
  t.equal(new X509Certificate(factory.chainFor("early.test").cert).validFrom, ca.cert.validFrom)
  now = end - 10 * DAY_MS
  const last = factory.chainFor("a.test")
  t.equal(new X509Certificate(last.cert).validTo, ca.cert.validTo)
  now = end - 1
  t.equal(factory.chainFor("a.test"), last, "there is nothing better to renew it with")
  now = end + 1
  t.throws(() => factory.contextFor("a.test"), { source: "llmproxy", code: "ca-expired", status: 502 })
})

test("one context per name, however it is spelt, until it is the least recently used", async (t) => {
  const ca = await newCa(t)
  const factory = new LeafFactory(ca, { clock: Date.now, max: 2 })
  const first = factory.contextFor("a.test")
  for (const spelling of ["A.TEST", "a.test."]) t.equal(factory.contextFor(spelling), first, spelling)
  t.equal(factory.contextFor("[::0001]"), factory.contextFor("::1"))
  t.equal(factory.contextFor("a.test"), first)
  factory.contextFor("c.test")
  t.equal(factory.contextFor("a.test"), first, "used more recently than ::1")
  factory.contextFor("d.test")
  factory.contextFor("e.test")
  t.not(factory.contextFor("a.test"), first)
})

test("a leaf may be for further names, as far as they can stand in it", async (t) => {
  const factory = new LeafFactory(await newCa(t, ["a.test", "b.test"]), { clock: Date.now })
  const further = ["*.a.test", "B.test", "a.test", "c.test", "*.c.test", "*", "x.*.a.test", "", "*.127.0.0.1", "b.test"]
  t.not(factory.contextFor("a.test", further), factory.contextFor("a.test"))
  t.equal(factory.contextFor("a.test", further), factory.contextFor("A.test", further))
  t.equal(factory.permits("x.b.test"), true)
  t.equal(factory.permits("c.test"), false)
  t.equal(await sanSeen(t, factory.contextFor("a.test", further)), "DNS:a.test, DNS:*.a.test, DNS:b.test")
  const many = Array.from({ length: 150 }, (_, index) => `n${index}.a.test`)
  t.equal((await sanSeen(t, factory.contextFor("a.test", many)))?.split(", ").length, 101)
})

test("other versions of TLS are spoken where they are asked for, TLS 1.0 too", async (t) => {
  const ca = await newCa(t)
  for (const version of ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const) {
    const factory = new LeafFactory(ca, { clock: Date.now, versions: { min: version, max: version } })
    const port = await serve(t, factory, () => "a.test")
    const range = { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" } as const
    const seen = await connect(port, { servername: "a.test", ca: ca.certPem, ...range })
    t.equal(seen.protocol, version)
    const other = version === "TLSv1.3" ? "TLSv1.2" : "TLSv1.3"
    await t.rejects(connect(port, { servername: "a.test", ca: ca.certPem, minVersion: other, maxVersion: other }))
  }
})

test("a bad name is a FlowError, and the next name is served", async (t) => {
  const factory = new LeafFactory(await newCa(t), { clock: Date.now })
  for (const name of ["", "*.test", "a\0b", "x".repeat(300), `${"l".repeat(64)}.test`]) {
    t.throws(() => factory.contextFor(name), { name: "FlowError", code: "bad-host-name", source: "client" })
  }
  t.ok(factory.contextFor("a.test"))
})

test("a name that the CA's constraints do not permit gets no leaf", async (t) => {
  const factory = new LeafFactory(await newCa(t, ["a.test"]), { clock: Date.now })
  t.ok(factory.contextFor("x.a.test"))
  t.throws(() => factory.contextFor("b.test"), { name: "FlowError", code: "name-not-permitted", message: /"b.test"/ })
})

test("what OpenSSL refuses is a FlowError with its reason", async (t) => {
  const ca = await newCa(t)
  const sign = () => {
    throw new Error("digest too big for rsa key")
  }
  const unable = new LeafFactory({ ...ca, signer: { ...ca.signer, sign } }, { clock: Date.now })
  t.throws(() => unable.chainFor("a.test"), {
    name: "FlowError",
    code: "leaf-failed",
    message: /"a.test": digest too big/,
  })
  const weak = new LeafFactory({ ...ca, chain: [weakCertificate()] }, { clock: Date.now })
  t.throws(() => weak.contextFor("a.test"), { name: "FlowError", code: "leaf-failed", source: "llmproxy" })
})

test("below an intermediate CA the chain is sent, and a client that trusts the root accepts it", {
  skip,
}, async (t) => {
  const ca = await intermediateCa(t)
  const factory = new LeafFactory(ca, { clock: Date.now })
  t.equal(factory.chainFor("a.test").cert.match(/BEGIN CERTIFICATE/g)?.length, 2)
  const port = await serve(t, factory, () => "a.test")
  const seen = await connect(port, { ca: ca.certPem, servername: "a.test" })
  t.equal(seen.protocol, "TLSv1.3")
})

test("a CA without a key identifier signs leaves without one", { skip }, async (t) => {
  const folder = t.testdir()
  const pem = join(folder, "llmproxy-ca.pem")
  const extension = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "subjectKeyIdentifier=none"]
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
  const { stdout, stderr } = openssl(
    "req",
    "-x509",
    ...ec,
    "-keyout",
    "-",
    "-subj",
    "/CN=bare",
    "-config",
    emptyConfig(folder),
    ...extension,
  )
  t.match(stdout, /BEGIN CERTIFICATE/, stderr)
  writeFileSync(pem, stdout, { mode: 0o600 })
  const ca = await loadOrCreateCa(folder, { clock: Date.now })
  t.equal(ca.facts.subjectKeyId, undefined)
  const port = await serve(t, new LeafFactory(ca, { clock: Date.now }), () => "a.test")
  await t.resolves(connect(port, { ca: ca.certPem, servername: "a.test" }))
})

async function intermediateCa(t: Test): Promise<Ca> {
  const folder = t.testdir()
  const file = (name: string) => join(folder, name)
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
  const root = ["-keyout", file("root.key"), "-out", file("root.pem"), "-subj", "/CN=root"]
  openssl("req", "-x509", ...ec, ...root)
  openssl("req", ...ec, "-keyout", file("ca.key"), "-out", file("ca.csr"), "-subj", "/CN=issuing")
  writeFileSync(file("ext"), "basicConstraints=critical,CA:TRUE,pathlen:0\nsubjectKeyIdentifier=hash\n")
  const sign = ["-CA", file("root.pem"), "-CAkey", file("root.key"), "-CAcreateserial", "-extfile", file("ext")]
  openssl("x509", "-req", "-in", file("ca.csr"), ...sign, "-out", file("ca.pem"))
  const parts = ["ca.key", "ca.pem", "root.pem"].map((name) => spawnSync("cat", [file(name)]).stdout)
  writeFileSync(file("llmproxy-ca.pem"), Buffer.concat(parts), { mode: 0o600 })
  return loadOrCreateCa(folder, { clock: Date.now })
}

function emptyConfig(folder: string): string {
  const path = join(folder, "openssl.cnf")
  writeFileSync(path, "[req]\ndistinguished_name = name\n[name]\n")
  return path
}

/** A certificate with a key that OpenSSL no longer lets a server send. */
function weakCertificate(): X509Certificate {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 512 })
  const signer = signerFor(privateKey)
  if (signer === undefined) throw new Error("no signer for RSA")
  const name = distinguishedName({ commonName: "weak" })
  const content = { issuer: name, subject: name, notBefore: 0, notAfter: 1e12, publicKey: publicKeyInfo(publicKey) }
  return new X509Certificate(issue({ ...content, extensions: [caConstraints()] }, signer))
}
