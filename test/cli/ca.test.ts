/** `llmproxy ca` as yargs parses it: what it prints where, and that it runs nothing. */
import { execFile } from "node:child_process"
import { chmodSync, existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { test } from "tap"
import yargs from "yargs"
import { caPaths, loadOrCreateCa } from "../../certs/ca.ts"
import { type CaArguments, caCommand, runCa, trustText } from "../../lib/cli/ca.ts"

/** The command's arguments as yargs hands them over. */
async function parse(...args: string[]): Promise<CaArguments> {
  let parsed: CaArguments | undefined
  const command = {
    ...caCommand,
    handler: (given: CaArguments) => {
      parsed = given
    },
  }
  const fail = (message: string, error: Error | undefined) => {
    throw error ?? new Error(message)
  }
  await yargs(["ca", ...args])
    .command(command)
    .strict()
    .exitProcess(false)
    .fail(fail)
    .parseAsync()
  if (parsed === undefined) throw new Error("the command was not reached")
  return parsed
}

const run = async (...args: string[]) => (await runCa(await parse(...args), Date.now)).out

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
  const script = `
    const { caCommand } = await import(${JSON.stringify(new URL("../../lib/cli/ca.ts", import.meta.url).href)})
    await caCommand.handler({ action: "path", confdir: ${JSON.stringify(confdir)}, permit: [] })`
  const args = [...process.execArgv, "--input-type=module", "--eval", script]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
  t.equal(stdout, `${paths.certPem}\n`)
  t.match(stderr, /^.*llmproxy-ca.pem: other users could use this key \(mode 0644\)[^\n]*\n$/)
})

test("an unknown action is refused", async (t) => {
  await t.rejects(run("burn", "--confdir", t.testdir()), { message: /burn/ })
})
