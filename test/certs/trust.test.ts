/** The commands each platform is told, safe for any path, and the bundle of roots. None is run. */
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { rootCertificates } from "node:tls"
import { type Test, test } from "tap"
import { loadOrCreateCa } from "../../certs/ca.ts"
import {
  ADDING_VARIABLES,
  BUNDLE_NAME,
  BUNDLE_VARIABLES,
  type Distro,
  findSystemBundle,
  isTrusted,
  readDistro,
  shellQuote,
  trustCommands,
  writeCaBundle,
} from "../../certs/trust.ts"

const CERT = "/home/me/.llmproxy/llmproxy-ca-cert.pem"
// Each a folder that a careless command would run, cut or expand.
const NASTY = [
  "/a b",
  "/it's",
  '/say "hi"',
  "/$(touch pwned)",
  "/`id`",
  "/back\\slash",
  "/new\nline",
  "/semi;colon",
  "/ü*?[x]",
]

const all = (platform: NodeJS.Platform, cert = CERT, distro?: Distro) =>
  trustCommands(platform, cert, distro).flatMap((step) => step.commands)

function someCa(t: Test) {
  return loadOrCreateCa(join(t.testdir(), "conf"), { clock: Date.now })
}

test("macOS gets both keychains, Java and the variables", async (t) => {
  const options = "-r trustRoot -p ssl -p basic"
  t.same(all("darwin").slice(0, 3), [
    `security add-trusted-cert ${options} -k "$HOME/Library/Keychains/login.keychain-db" ${CERT}`,
    `sudo security add-trusted-cert -d ${options} -k /Library/Keychains/System.keychain ${CERT}`,
    `keytool -importcert -noprompt -cacerts -storepass changeit -alias llmproxy -file ${CERT}`,
  ])
})

test("each Linux family gets its own commands, an unknown one gets all", async (t) => {
  const families: [distro: Distro, commands: string[]][] = [
    ["debian", [`sudo cp ${CERT} /usr/local/share/ca-certificates/llmproxy-ca.crt`, "sudo update-ca-certificates"]],
    ["fedora", [`sudo cp ${CERT} /etc/pki/ca-trust/source/anchors/llmproxy-ca.pem`, "sudo update-ca-trust"]],
    ["arch", [`sudo trust anchor --store ${CERT}`]],
    ["suse", [`sudo cp ${CERT} /etc/pki/trust/anchors/llmproxy-ca.pem`, "sudo update-ca-certificates"]],
  ]
  const unknown = all("linux")
  for (const [distro, commands] of families) {
    t.same(trustCommands("linux", CERT, distro)[0]?.commands, commands)
    for (const command of commands) t.ok(unknown.includes(command), command)
  }
  t.ok(unknown.includes(`certutil -d sql:"$HOME/.pki/nssdb" -A -t C,, -n llmproxy -i ${CERT}`))
})

test("Windows gets PowerShell, with its own quoting", async (t) => {
  const commands = all("win32", "C:\\Users\\O'Neil\u2019s\\ca.pem")
  const quoted = "'C:\\Users\\O''Neil\u2019\u2019s\\ca.pem'"
  t.same(commands.slice(0, 3), [
    `Import-Certificate -FilePath ${quoted} -CertStoreLocation Cert:\\CurrentUser\\Root`,
    `certutil -addstore -f Root ${quoted}`,
    `keytool -importcert -noprompt -cacerts -storepass changeit -alias llmproxy -file ${quoted}`,
  ])
  t.ok(commands.includes(`$env:NODE_EXTRA_CA_CERTS = ${quoted}`))
  t.ok(commands.includes(`$env:SSL_CERT_FILE = 'C:\\Users\\O''Neil\u2019\u2019s\\${BUNDLE_NAME}'`))
})

test("variables that add get the certificate, those that replace get the bundle", async (t) => {
  for (const platform of ["linux", "darwin", "freebsd"] as const) {
    const commands = all(platform)
    for (const name of ADDING_VARIABLES) t.ok(commands.includes(`export ${name}=${CERT}`), name)
    for (const name of BUNDLE_VARIABLES)
      t.ok(commands.includes(`export ${name}=/home/me/.llmproxy/${BUNDLE_NAME}`), name)
  }
})

test("a shell reads every path back as one word, and every command parses", async (t) => {
  for (const folder of NASTY) {
    const path = `${folder}/ca.pem`
    const { stdout } = spawnSync("sh", ["-c", `printf %s ${shellQuote(path)}`], { encoding: "utf8" })
    t.equal(stdout, path)
    for (const command of [...all("linux", path), ...all("darwin", path)]) {
      t.equal(spawnSync("sh", ["-n", "-c", command]).status, 0, command)
      t.ok(!command.includes(".pem") || command.includes(shellQuote(path)) || command.includes(BUNDLE_NAME), command)
    }
  }
})

test("the distribution's family is read from os-release", async (t) => {
  const cases: [text: string, distro: Distro | undefined][] = [
    ["ID=debian\n", "debian"],
    ['NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', "debian"],
    ["ID='alpine'\n", "debian"],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', "fedora"],
    ["VERSION_ID=39\nID=fedora\n", "fedora"],
    ["ID=manjaro\nID_LIKE=arch\n", "arch"],
    ['ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "suse"],
    ["ID=nixos\n", undefined],
    ["", undefined],
  ]
  const file = join(t.testdir(), "os-release")
  for (const [text, distro] of cases) {
    writeFileSync(file, text)
    t.equal(await readDistro(file), distro, text)
  }
  t.equal(await readDistro(join(t.testdirName, "missing")), undefined)
})

test("SSL_CERT_FILE names the system's bundle, unless it cannot be read", async (t) => {
  const file = join(t.testdir({ "roots.pem": "" }), "roots.pem")
  t.equal(await findSystemBundle({ SSL_CERT_FILE: file }), file)
  const usual = await findSystemBundle({})
  t.equal(await findSystemBundle({ SSL_CERT_FILE: `${file}.missing` }), usual)
  t.equal(await findSystemBundle({ SSL_CERT_FILE: "" }), usual)
  t.equal(await findSystemBundle({ SSL_CERT_FILE: t.testdirName }), usual, "a folder is no bundle")
})

test("the bundle is the system's roots plus our CA, 0644, and written again only when it changed", async (t) => {
  const ca = await someCa(t)
  const [first = "", second = ""] = rootCertificates
  const system = join(t.testdirName, "system.pem")
  writeFileSync(system, `# roots\n${first}\n\n${second}\n`)
  const confdir = join(t.testdirName, "conf")
  const path = await writeCaBundle(confdir, ca, { env: {}, system })
  t.equal(path, join(confdir, BUNDLE_NAME))
  t.same(certificates(path), [first, second, ca.certPem.trim()])
  t.equal(statSync(path).mode & 0o777, 0o644)
  const before = statSync(path).ino
  await writeCaBundle(confdir, ca, { env: {}, system })
  t.equal(statSync(path).ino, before)
})

test("without a system bundle the roots are Node's", async (t) => {
  const path = await writeCaBundle(join(t.testdir(), "conf"), await someCa(t), { env: {}, system: undefined })
  t.ok(certificates(path).length > rootCertificates.length)
})

test("roots that the variables already name are kept, each once", async (t) => {
  const ca = await someCa(t)
  const [first = "", second = "", third = "", fourth = ""] = rootCertificates
  const file = (name: string, text: string) => {
    const path = join(t.testdirName, name)
    writeFileSync(path, text)
    return path
  }
  const env = {
    SSL_CERT_FILE: file("system.pem", first),
    NODE_EXTRA_CA_CERTS: file("company.pem", second.replaceAll("\n", "\r\n")),
    REQUESTS_CA_BUNDLE: file("requests.pem", `${first}\n${third}\n${second}\n${ca.certPem}`),
    CURL_CA_BUNDLE: join(t.testdirName, "missing.pem"),
    AWS_CA_BUNDLE: "",
  }
  mkdirSync(join(t.testdirName, "folder"))
  mkdirSync(join(t.testdirName, "hashed"))
  file("hashed/0a1b2c3d.0", fourth)
  const path = await writeCaBundle(join(t.testdirName, "conf"), ca, {
    env: { ...env, GIT_SSL_CAINFO: join(t.testdirName, "folder"), SSL_CERT_DIR: join(t.testdirName, "hashed") },
  })
  const bodies = certificates(path).map((pem) => pem.replaceAll("\r", ""))
  t.same(bodies.sort(), [first, second, third, fourth, ca.certPem.trim()].sort())
})

test("inside llmproxy's own environment the bundle is made from the system again", async (t) => {
  const ca = await someCa(t)
  const confdir = join(t.testdirName, "conf")
  const path = await writeCaBundle(confdir, ca, { env: {} })
  const before = readFileSync(path, "utf8")
  writeFileSync(path, ca.certPem)
  await writeCaBundle(confdir, ca, { env: { SSL_CERT_FILE: path, REQUESTS_CA_BUNDLE: path } })
  t.equal(readFileSync(path, "utf8"), before)
})

test("a program that replaces its roots with the bundle still has the system's", {
  skip: await noSystemBundle(),
}, async (t) => {
  const path = await writeCaBundle(join(t.testdir(), "conf"), await someCa(t), { env: {} })
  const system = certificates((await findSystemBundle({})) ?? "")
  t.ok(system.length > 10)
  t.same(certificates(path).length, new Set(system).size + 1)
})

test("trust is told from the system's bundle on Linux, and unknown elsewhere", async (t) => {
  const ca = await someCa(t)
  const other = await loadOrCreateCa(join(t.testdirName, "other"), { clock: Date.now })
  const bundle = join(t.testdirName, "bundle.pem")
  writeFileSync(bundle, `${other.certPem}${ca.certPem.replaceAll("\n", "\r\n")}`)
  t.equal(await isTrusted(ca, "linux", bundle), "yes")
  writeFileSync(bundle, other.certPem)
  t.equal(await isTrusted(ca, "linux", bundle), "no")
  t.equal(await isTrusted(ca, "linux", join(t.testdirName, "missing")), "unknown")
  t.equal(await isTrusted(ca, "darwin", bundle), "unknown")
  t.not(await isTrusted(ca), "yes", "a CA that was just made is trusted nowhere")
})

function certificates(path: string): string[] {
  return readFileSync(path, "latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

async function noSystemBundle(): Promise<string | false> {
  return (await findSystemBundle({})) === undefined ? "this system has no bundle of roots" : false
}
