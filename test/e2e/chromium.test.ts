/**
 * Chromium as the strictest client: it opens a page through our leaves once the CA is in its NSS store, put there
 * by the very commands that `llmproxy ca trust` prints, and refuses it before.
 */
import { execFile, spawnSync } from "node:child_process"
import { once } from "node:events"
import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { join } from "node:path"
import { TLSSocket } from "node:tls"
import { type Test, test } from "tap"
import { loadOrCreateCa } from "../../certs/ca.ts"
import { LeafFactory } from "../../certs/leaf.ts"
import { trustCommands } from "../../certs/trust.ts"
import { systemCodeOf } from "../../lib/base/errors.ts"

// Chromium on a busy machine, from nothing to the page.
const BROWSER_TIMEOUT_MS = 1_800_000

const browser = ["chromium", "chromium-browser", "google-chrome"].find(isInstalled)
const skip =
  browser === undefined ? "Chromium is not installed" : !isInstalled("certutil") && "certutil is not installed"

test("Chromium takes our leaves for names and addresses when the CA is trusted, and not before", {
  skip,
}, async (t) => {
  const home = t.testdir()
  const ca = await loadOrCreateCa(join(home, "it's a conf dir"), { clock: Date.now })
  const refusals: (string | undefined)[] = []
  const port = await servePage(t, new LeafFactory(ca, { clock: Date.now }), refusals)
  t.equal(await open(home, `https://localhost:${port}/`), "")
  t.match(refusals[0], /ALERT_(CERTIFICATE_UNKNOWN|UNKNOWN_CA)/)
  refusals.length = 0
  const step = trustCommands("linux", ca.paths.certPem).find(({ title }) => title.startsWith("Chromium"))
  t.equal(step?.commands.length, 2)
  for (const command of step?.commands ?? []) {
    const { status, stderr } = spawnSync("sh", ["-c", command], { env: environment(home), encoding: "utf8" })
    t.equal(status, 0, `${command}: ${stderr}`)
  }
  for (const host of ["localhost", "api.openai.com", "127.0.0.1"]) {
    t.match(await open(home, `https://${host}:${port}/`), /the page itself/, host)
  }
  const alerts = refusals.filter((code) => code?.includes("ALERT"))
  t.same(alerts, [], "a connection that Chromium drops at its end is no refusal")
})

/** Serves one page over TLS as the proxy does: the name is SNI's, or else our address. */
async function servePage(t: Test, factory: LeafFactory, refusals: (string | undefined)[]): Promise<number> {
  const sockets = new Set<Socket>()
  const pages = createHttpServer((_, response) => response.end("<title>x</title>the page itself"))
  const server = createServer((raw) => {
    sockets.add(raw)
    const socket = new TLSSocket(raw, {
      isServer: true,
      secureContext: factory.contextFor("127.0.0.1"),
      SNICallback: (name, done) => done(null, factory.contextFor(name)),
    })
    socket.on("error", (error) => {
      refusals.push(systemCodeOf(error))
      raw.destroy()
    })
    pages.emit("connection", socket)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** The page as Chromium has it; empty where it refused the certificate. */
function open(home: string, url: string): Promise<string> {
  const flags = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * 127.0.0.1",
    `--user-data-dir=${join(home, "profile")}`,
  ]
  return new Promise((resolve) => {
    const options = { env: environment(home), timeout: BROWSER_TIMEOUT_MS, killSignal: "SIGKILL" as const }
    execFile(browser ?? "", [...flags, "--dump-dom", url], options, (_, stdout) => resolve(stdout))
  })
}

function environment(home: string): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: home }
}

function isInstalled(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`]).status === 0
}
