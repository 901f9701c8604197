/** `llmproxy ca` as yargs parses it: what it prints where, and that it runs nothing. */
import { chmodSync, existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { caPaths, loadOrCreateCa } from "../../certs/ca.ts"
import { trustText } from "../../lib/cli/ca.ts"
import { main } from "../../lib/cli/main.ts"
import { FakeWorld } from "../helpers/world.ts"

/** What the command prints on stdout. Throws what it says on stderr when it fails. */
async function run(...args: string[]): Promise<string> {
  const world = new FakeWorld()
  const status = await main(["ca", ...args], world)
  if (status !== 0) throw new Error(`${status} ${world.err.text}`)
  return world.out.text
}

test("ca and ca path make the CA and print where its certificate is", async (t) => {
  const confdir = join(t.testdir(), "conf")
  const { certPem } = caPaths(confdir)
  t.equal(await run("--confdir", confdir), `${certPem}\n`)
  t.ok(existsSync(certPem))
  t.equal(await run("path", "--confdir", confdir), `${certPem}\n`)
})

test("ca print prints the certificate and no key", async (t) => {
  const confdir = t.testdir()
  const out = await run("print", "--confdir", confdir)
  t.equal(out, readFileSync(caPaths(confdir).certPem, "utf8"))
  t.match(out, /^-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n$/)
})

test("ca trust prints the commands with the fingerprint, and the bundle they name is there", async (t) => {
  const confdir = t.testdir()
  const out = await run("trust", "--confdir", confdir)
  const ca = await loadOrCreateCa(confdir, { clock: Date.now })
  t.ok(out.includes(`# SHA-256 of the certificate: ${ca.fingerprint256}\n`))
  t.ok(out.includes(`export NODE_EXTRA_CA_CERTS=${ca.paths.certPem}\n`))
  t.ok(readdirSync(confdir).includes("llmproxy-ca-bundle.pem"))
})

test("the commands stand below their titles, ready to paste", async (t) => {
  const ca = await loadOrCreateCa(t.testdir(), { clock: Date.now })
  const text = trustText(ca, "linux", "arch")
  t.ok(
    text.includes(
      `\n# Arch: the system's roots (curl, git, Python's ssl, Go, .NET)\nsudo trust anchor --store ${ca.paths.certPem}\n\n#`,
    ),
  )
})

test("--permit limits the new CA, is repeatable, and does not swallow the action", async (t) => {
  const confdir = t.testdir()
  const out = await run("--confdir", confdir, "--permit", "openai.com", "--permit", "10.0.0.1", "print")
  t.match(out, /^-----BEGIN CERTIFICATE-----/)
  const ca = await loadOrCreateCa(confdir, { clock: Date.now })
  t.same(["api.openai.com", "10.0.0.1", "print", "anthropic.com"].map(ca.permits), [true, true, false, false])
})

test("the text goes to stdout and warnings to stderr", async (t) => {
  const confdir = t.testdir()
  const { paths } = await loadOrCreateCa(confdir, { clock: Date.now })
  chmodSync(paths.pem, 0o644)
  const world = new FakeWorld()
  t.equal(await main(["ca", "path", "--confdir", confdir], world), 0)
  t.equal(world.out.text, `${paths.certPem}\n`)
  t.match(world.err.text, /^.*llmproxy-ca.pem: other users could use this key \(mode 0644\)[^\n]*\n$/)
})

test("the confdir is the flag's, else LLMPROXY_CONFDIR, else .llmproxy in the home folder", async (t) => {
  const home = t.testdir()
  const fromEnv = new FakeWorld({ home, cwd: home, env: { LLMPROXY_CONFDIR: "here" } })
  t.equal(await main(["ca"], fromEnv), 0)
  t.equal(fromEnv.out.text, `${join(home, "here", "llmproxy-ca-cert.pem")}\n`)
  const byDefault = new FakeWorld({ home })
  t.equal(await main(["ca"], byDefault), 0)
  t.equal(byDefault.out.text, `${join(home, ".llmproxy", "llmproxy-ca-cert.pem")}\n`)
})

test("an unknown action is refused with the ones there are, and a near one is suggested", async (t) => {
  const world = new FakeWorld()
  t.equal(await main(["ca", "burn"], world), 2)
  t.equal(world.err.text, "llmproxy: ca burn: write one of path, print, trust\n")
  const near = new FakeWorld()
  t.equal(await main(["ca", "trst"], near), 2)
  t.match(near.err.text, /did you mean "trust"\?/)
})
