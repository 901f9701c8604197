/**
 * `llmproxy -m transparent` behind a real packet filter, with the rules that `llmproxy doctor` prints: in network
 * namespaces, as root. The program runs as root and curl as nobody, so that only curl is redirected.
 */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import tap, { type Test } from "tap"
import { redirectRules } from "../../lib/cli/doctor/redirect.ts"
import { CORE_OPTIONS } from "../../lib/options/core.ts"
import { resolveOptions } from "../../lib/options/resolve.ts"
import { exitsWith, missing, RunningCommand } from "../helpers/command-process.ts"
import { builtCommand } from "../helpers/dist.ts"
import { FAR, must, noNamespaces, type TwoMachines, twoMachines } from "../helpers/network-namespaces.ts"
import { sharedCertificates } from "../helpers/test-proxy.ts"

/** What only root on Linux may do is no test that is left out elsewhere: the comment says why it is not there. */
const impossible = missing("curl") || noNamespaces()
const NOBODY = 65_534

const ORIGIN = `
import { readFileSync } from "node:fs"
import { createServer as http } from "node:http"
import { createServer as https } from "node:https"
const answer = (request, response) => response.end(request.socket.encrypted ? "secret" : "plain")
const [key, cert] = ["key.pem", "cert.pem"].map((file) => readFileSync(file))
http(answer).listen(80, "::", () => https({ key, cert }, answer).listen(443, "::", () => console.log("ready")))
`

interface Rig {
  readonly machines: TwoMachines
  readonly proxy: RunningCommand
  /** curl as nobody; resolves with what it printed, or its exit status. */
  curl(url: string, ...flags: string[]): Promise<string>
}

/** `uid`: whose connections the rules leave alone. */
async function start(t: Test, uid: number): Promise<Rig> {
  const machines = twoMachines(t)
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-transparent-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await chmod(folder, 0o755) // curl reads the CA's certificate in it as nobody
  const certificates = await sharedCertificates()
  const { key, cert } = certificates.chainFor("a.test")
  for (const [name, text] of [
    ["key.pem", key],
    ["cert.pem", cert],
    ["ca.pem", certificates.ca],
    ["origin.mjs", ORIGIN],
  ] as const)
    await writeFile(join(folder, name), text, { mode: name === "key.pem" ? 0o600 : 0o644 })
  const origin = new RunningCommand(t, [...machines.far, process.execPath, "origin.mjs"], { folder })
  await origin.printed(/ready/, "stdout")
  const flags = ["-m", "transparent@[::]:8080", "--confdir", "conf", "--upstream-ca", "ca.pem"]
  const proxy = new RunningCommand(t, [...machines.near, process.execPath, builtCommand(), ...flags], { folder })
  await proxy.printed(/listening on/)
  const set = { mode: ["transparent@[::]:8080"] }
  const values = resolveOptions(undefined, CORE_OPTIONS, {
    set: [],
    flags: set,
    env: {},
    envFile: undefined,
    config: undefined,
  })
  must([...machines.near, "nft", "-f", "-"], redirectRules(values, uid))
  const issued = join(folder, "conf", "llmproxy-ca-cert.pem")
  must(["cp", issued, join(folder, "issued.pem")])
  await chmod(join(folder, "issued.pem"), 0o644)
  const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"]
  return {
    machines,
    proxy,
    curl: async (url, ...more) => {
      const args = ["curl", "-sS", "--max-time", "30", "--cacert", join(folder, "issued.pem"), ...more, url]
      const outcome = await new RunningCommand(t, [...machines.near, ...asNobody, ...args], { folder }).outcome
      return outcome.status === 0 ? outcome.stdout : `status ${outcome.status}`
    },
  }
}

async function reachesTheirs(t: Test): Promise<void> {
  const { proxy, curl } = await start(t, 0)
  for (const address of [FAR.v4, `[${FAR.v6}]`]) {
    t.equal(await curl("https://a.test/x", "--resolve", `a.test:443:${address}`), "secret", address)
    t.equal(await curl("http://b.test/y", "--resolve", `b.test:80:${address}`), "plain", address)
    t.equal(await curl(`http://${address}/z`), "plain", address)
  }
  await proxy.printed(/GET a\.test\/x {2}200/, "stdout")
  await proxy.printed(/GET b\.test\/y {2}200/, "stdout")
  await proxy.printed(/GET 10\.77\.0\.2\/z {2}200/, "stdout")
  t.equal(await curl("http://127.0.0.1:8080/"), "status 52", "a connection that nobody redirected is closed")
  await proxy.printed(/refused, because it would go round: nobody redirected|it names no host/)
  proxy.signal("SIGTERM")
  exitsWith(t, 0, await proxy.outcome)
}

async function doesNotGoRound(t: Test): Promise<void> {
  const { proxy, curl } = await start(t, 4_242)
  t.not(await curl("http://b.test/y", "--resolve", `b.test:80:${FAR.v4}`), "plain")
  const [, line = ""] = await proxy.printed(
    /(refused, because it would go round: a connection of the proxy itself.*)\n/,
  )
  t.match(line, /exempt its user, as `llmproxy doctor` prints/)
  t.equal(proxy.stderr.split("would go round").length - 1, 1, "after one round, in one line")
  proxy.signal("SIGTERM")
  exitsWith(t, 0, await proxy.outcome)
}

// A file without a test would count as one that was skipped.
if (impossible !== false) tap.pass(`not tested here: ${impossible}`)
else {
  tap.test("redirected programs reach where they were going, IPv4 and IPv6, and are seen by their names", reachesTheirs)
  tap.test("connections of the proxy's own that are redirected to it are refused, and do not go round", doesNotGoRound)
}
