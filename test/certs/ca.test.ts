/** The CA of a confdir: made once, shared by all, never readable by others, and limited where asked. */
import { execFile, spawnSync } from "node:child_process"
import { X509Certificate } from "node:crypto"
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { caPaths, loadCa, loadOrCreateCa } from "../../certs/ca.ts"
import { LeafFactory } from "../../certs/leaf.ts"

const NOW = Date.UTC(2026, 10, 20, 12)
const DAY_MS = 86_400_000
const clock = () => NOW
const openssl = (...args: string[]) => spawnSync("openssl", args, { encoding: "utf8" })
const skip = openssl("version").error === undefined ? false : "openssl is not installed"
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test("a new CA is EC P-256, for 10 years, may issue leaves only, and names itself uniquely", async (t) => {
  const ca = await loadOrCreateCa(join(t.testdir(), "conf"), { clock })
  t.equal(ca.created, true)
  t.same(ca.warnings, [])
  t.equal(ca.cert.ca, true)
  t.same(ca.key.asymmetricKeyDetails, { namedCurve: "prime256v1" })
  t.equal(ca.cert.publicKey.asymmetricKeyType, "ec")
  t.equal(Date.parse(ca.cert.validFrom), NOW - 2 * DAY_MS)
  t.equal(Date.parse(ca.cert.validTo), NOW + 3650 * DAY_MS)
  t.match(ca.cert.subject, /^O=llmproxy\nCN=llmproxy [0-9a-f]{8}$/)
  t.equal(ca.anchor, ca.cert)
  t.same(ca.chain, [])
  t.equal(ca.fingerprint256, ca.cert.fingerprint256)
  const other = await loadOrCreateCa(join(t.testdir(), "other"), { clock })
  t.not(other.cert.subject, ca.cert.subject)
  t.not(other.cert.serialNumber, ca.cert.serialNumber)
})

test("openssl finds the extensions and the strict checks pass", { skip }, async (t) => {
  const { paths } = await loadOrCreateCa(t.testdir(), { clock: Date.now })
  const { stdout } = openssl("x509", "-in", paths.certPem, "-noout", "-text")
  t.match(stdout, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
  t.match(stdout, /Key Usage: critical\s+Certificate Sign, CRL Sign\n/)
  t.match(stdout, /Subject Key Identifier: \s+([0-9A-F]{2}:){19}[0-9A-F]{2}\n/)
  t.match(openssl("verify", "-x509_strict", "-check_ss_sig", "-CAfile", paths.certPem, paths.certPem).stdout, /: OK/)
})

test("the files hold the same certificate, and only one holds the key", async (t) => {
  const { paths, cert } = await loadOrCreateCa(t.testdir(), { clock })
  t.equal(readFileSync(paths.certPem, "utf8"), cert.toString())
  t.same(readFileSync(paths.cer), cert.raw)
  t.ok(readFileSync(paths.p12).includes(cert.raw))
  t.match(readFileSync(paths.pem, "utf8"), /^-----BEGIN PRIVATE KEY-----.*-----END CERTIFICATE-----\n$/s)
  for (const path of [paths.certPem, paths.cer, paths.p12]) t.notMatch(readFileSync(path, "latin1"), /PRIVATE KEY/)
})

test("the folder is 0700 and the key 0600 under every umask", async (t) => {
  const before = process.umask()
  t.teardown(() => process.umask(before))
  for (const umask of [0o000, 0o022, 0o077]) {
    const confdir = join(t.testdir(), "deep", "conf")
    process.umask(umask)
    const { paths } = await loadOrCreateCa(confdir, { clock })
    process.umask(before)
    t.equal(modeOf(confdir), "700")
    t.equal(modeOf(paths.pem), "600")
    for (const path of [paths.certPem, paths.cer, paths.p12]) t.equal(modeOf(path), "644")
  }
})

test("the second start reads what the first made, and writes nothing", async (t) => {
  const confdir = t.testdir()
  const first = await loadOrCreateCa(confdir, { clock })
  const inodes = () => readdirSync(confdir).map((name) => [name, statSync(join(confdir, name)).ino])
  const before = inodes()
  const second = await loadOrCreateCa(confdir, { clock })
  t.equal(second.created, false)
  t.equal(second.fingerprint256, first.fingerprint256)
  t.same(inodes(), before)
})

test("files that are missing or of an older CA are made again", async (t) => {
  const confdir = t.testdir()
  const { paths } = await loadOrCreateCa(confdir, { clock })
  for (const missing of [[paths.pem], [paths.p12], [paths.pem, paths.p12]]) {
    for (const path of missing) rmSync(path)
    const { cert } = await loadOrCreateCa(confdir, { clock })
    t.equal(readFileSync(paths.certPem, "utf8"), cert.toString())
    t.same(readFileSync(paths.cer), cert.raw)
    t.ok(readFileSync(paths.p12).includes(cert.raw))
  }
})

test("8 first starts at once in one process share one CA", async (t) => {
  const confdir = join(t.testdir(), "conf")
  const all = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateCa(confdir, { clock })))
  t.equal(new Set(all.map((ca) => ca.fingerprint256)).size, 1)
  t.equal(all.filter((ca) => ca.created).length, 1)
  const { pem, certPem, cer, p12 } = caPaths(confdir)
  t.same(
    readdirSync(confdir)
      .map((name) => join(confdir, name))
      .sort(),
    [pem, certPem, cer, p12].sort(),
  )
})

test("3 first starts at once in processes of their own share one CA", async (t) => {
  const confdir = join(t.testdir(), "conf")
  const script = `
    const { loadOrCreateCa } = await import(${JSON.stringify(new URL("../../certs/ca.ts", import.meta.url).href)})
    const ca = await loadOrCreateCa(${JSON.stringify(confdir)}, { clock: Date.now })
    process.stdout.write(ca.fingerprint256)`
  const start = () =>
    new Promise<string>((resolve, reject) => {
      const args = [...process.execArgv, "--input-type=module", "--eval", script]
      execFile(process.execPath, args, (error, stdout) => (error ? reject(error) : resolve(stdout)))
    })
  const prints = await Promise.all([start(), start(), start()])
  t.equal(new Set(prints).size, 1)
  t.match(prints[0], /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)
  t.equal((await loadOrCreateCa(confdir, { clock: Date.now })).fingerprint256, prints[0])
})

test("a key that others can read is made private, with a warning", async (t) => {
  const confdir = t.testdir()
  const { paths } = await loadOrCreateCa(confdir, { clock })
  chmodSync(paths.pem, 0o644)
  const { warnings } = await loadOrCreateCa(confdir, { clock })
  t.match(warnings, [/other users could use this key \(mode 0644\); it is 0600 now/])
  t.equal(modeOf(paths.pem), "600")
})

test("a confdir that cannot serve is one line that names the path", async (t) => {
  const folder = t.testdir({ file: "", "llmproxy-ca.pem": {} })
  const one = (why: RegExp) => ({ name: "StartError", message: why })
  await t.rejects(
    loadOrCreateCa(join(folder, "file"), { clock }),
    one(/^make the folder .*file: EEXIST[^\n]*--confdir$/),
  )
  await t.rejects(
    loadOrCreateCa(join(folder, "file", "x"), { clock }),
    one(/^make the folder .*x: ENOTDIR[^\n]*--confdir$/),
  )
  await t.rejects(loadOrCreateCa(folder, { clock }), one(/^read the CA .*llmproxy-ca.pem: EISDIR[^\n]*--confdir$/))
  writeFileSync(join(t.testdir(), "llmproxy-ca.pem"), "")
  await t.rejects(
    loadOrCreateCa(t.testdirName, { clock }),
    one(/^use the CA .*llmproxy-ca.pem: it holds no private key; /),
  )
})

test("an expired CA and one from the future are one line each", async (t) => {
  const confdir = t.testdir()
  await loadOrCreateCa(confdir, { clock })
  const later = loadOrCreateCa(confdir, { clock: () => NOW + 3651 * DAY_MS })
  await t.rejects(later, { name: "StartError", message: /it expired on 2036-11-17T12:00:00.000Z; remove the file/ })
  const earlier = loadOrCreateCa(confdir, { clock: () => NOW - 3 * DAY_MS })
  await t.rejects(earlier, {
    name: "StartError",
    message: /it is not valid before 2026-11-18.*check this machine's clock/,
  })
})

test("a CA in its last 30 days says so at each start", async (t) => {
  const confdir = t.testdir()
  const ca = await loadOrCreateCa(confdir, { clock })
  const end = Date.parse(ca.cert.validTo)
  t.same((await loadOrCreateCa(confdir, { clock: () => end - 30 * DAY_MS })).warnings, [])
  const { warnings } = await loadOrCreateCa(confdir, { clock: () => end - 30 * DAY_MS + 1 })
  t.match(warnings, [/llmproxy-ca.pem: this CA expires on 2036-11-17T12:00:00.000Z; make a new one/])
})

test("loading without making changes nothing", async (t) => {
  const confdir = join(t.testdir(), "conf")
  t.equal(await loadCa(confdir, { clock }), undefined)
  t.equal(existsSync(confdir), false)
  const made = await loadOrCreateCa(confdir, { clock, permit: ["a.test"] })
  rmSync(made.paths.cer)
  const loaded = await loadCa(confdir, { clock })
  t.equal(loaded?.fingerprint256, made.fingerprint256)
  t.equal(loaded?.permits("b.test"), false)
  t.equal(existsSync(made.paths.cer), false)
  await t.rejects(loadCa(confdir, { clock: () => NOW + 3651 * DAY_MS }), { name: "StartError", message: /expired/ })
})

test("a user's RSA CA that openssl made signs leaves that openssl accepts", { skip }, async (t) => {
  const confdir = t.testdir()
  const { pem, certPem } = caPaths(confdir)
  const subject = ["-subj", "/C=DE/O=Sch\\xC3\\xB6n/CN=my own", "-utf8", "-addext", "keyUsage=critical,keyCertSign"]
  const made = openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", certPem, ...subject)
  t.equal(made.status, 0, made.stderr)
  writeFileSync(pem, readFileSync(pem, "utf8") + readFileSync(certPem, "utf8"), { mode: 0o600 })
  rmSync(certPem)
  const ca = await loadOrCreateCa(confdir, { clock: Date.now })
  t.equal(ca.created, false)
  t.ok(existsSync(ca.paths.cer))
  const leaf = join(confdir, "leaf.pem")
  writeFileSync(leaf, new LeafFactory(ca, { clock: Date.now }).chainFor("api.openai.com").cert)
  t.match(openssl("verify", "-x509_strict", "-CAfile", certPem, leaf).stdout, /: OK/)
})

test("a limited CA says whom it permits, and openssl holds leaves to it", { skip }, async (t) => {
  const confdir = t.testdir()
  const ca = await loadOrCreateCa(confdir, { clock: Date.now, permit: ["openai.com", "10.0.0.1"] })
  const free = { ...ca, permits: () => true }
  const factory = new LeafFactory(free, { clock: Date.now })
  const verdicts: [host: string, ok: boolean][] = [
    ["openai.com", true],
    ["api.openai.com", true],
    ["10.0.0.1", true],
    ["anthropic.com", false],
    ["notopenai.com", false],
    ["10.0.0.2", false],
    ["::1", false],
  ]
  for (const [host, ok] of verdicts) {
    const leaf = join(confdir, "leaf.pem")
    writeFileSync(leaf, factory.chainFor(host).cert)
    const { status, stderr } = openssl("verify", "-x509_strict", "-CAfile", ca.paths.certPem, leaf)
    t.equal(status === 0, ok, host)
    if (!ok) t.match(stderr, /subtree violation/, host)
    t.equal(ca.permits(host), ok, host)
  }
  t.equal(ca.permits("no host"), false)
})

test("a CA limited to names takes no address, one limited to addresses no name", { skip }, async (t) => {
  const cases: [permit: string, refused: string[]][] = [
    ["openai.com", ["10.0.0.1", "::1"]],
    ["::1", ["10.0.0.1", "localhost"]],
  ]
  for (const [permit, refused] of cases) {
    const confdir = join(t.testdir(), permit.replaceAll(":", "_"))
    const ca = await loadOrCreateCa(confdir, { clock: Date.now, permit: [permit] })
    const factory = new LeafFactory({ ...ca, permits: () => true }, { clock: Date.now })
    for (const host of [permit, ...refused]) {
      const leaf = join(confdir, "leaf.pem")
      writeFileSync(leaf, factory.chainFor(host).cert)
      const { status } = openssl("verify", "-x509_strict", "-CAfile", ca.paths.certPem, leaf)
      t.equal(status === 0, host === permit, `${permit} permitted, leaf for ${host}`)
    }
  }
})

test("limits are set when the CA is made and at no other time", async (t) => {
  const confdir = t.testdir()
  await loadOrCreateCa(confdir, { clock, permit: ["a.test", "b.test"] })
  await t.resolves(loadOrCreateCa(confdir, { clock, permit: ["b.test", "A.test."] }), "the same limits are no change")
  await t.resolves(loadOrCreateCa(confdir, { clock }), "no wish is no change")
  await t.resolves(loadOrCreateCa(confdir, { clock, permit: [] }))
  const other = loadOrCreateCa(confdir, { clock, permit: ["c.test"] })
  await t.rejects(other, {
    name: "StartError",
    message: /^--permit: .*llmproxy-ca.pem was made with other limits[^\n]*$/,
  })
})

test("a permitted name that is none is a usage error, and no CA is made", async (t) => {
  const confdir = join(t.testdir(), "conf")
  const wrong = loadOrCreateCa(confdir, { clock, permit: ["a.test", "a b"] })
  await t.rejects(wrong, { name: "UsageError", message: /^--permit a.test --permit a b: .*no host name has$/ })
  t.equal(existsSync(confdir), false)
})

test("a certificate made in 2045 ends in 2055", async (t) => {
  const ca = await loadOrCreateCa(t.testdir(), { clock: () => Date.UTC(2045, 5, 1) })
  t.equal(new X509Certificate(ca.certPem).validTo, "May 30 00:00:00 2055 GMT")
})
