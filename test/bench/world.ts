/**
 * What a benchmark run has: certificates, the origin, and the peers that this machine carries, each with the CA that
 * clients have to trust for it. Peers run on one core, load and origin on the other, where the system can say so.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { loadOrCreateCa } from "../../certs/ca.ts"
import { LeafFactory } from "../../certs/leaf.ts"
import type { LoadTarget } from "./load.ts"
import { nginxArguments } from "./nginx.ts"
import { type Peer, startPeer } from "./process.ts"

const HOST = "localhost"

export interface Bench {
  readonly dir: string
  /** The other checkout. */
  readonly beside: string | undefined
  readonly origin: Peer
  readonly caFile: string
  /** Starts a peer by name; undefined when the machine has it not, or when it does not speak what is asked. */
  start(name: PeerName, addons?: readonly string[], spoken?: Spoken, confdir?: string): Promise<Started | undefined>
  /** Starts a program that is told its port. */
  startOther(
    name: string,
    command: (port: number) => { readonly command: readonly string[]; readonly env: NodeJS.ProcessEnv },
  ): Promise<Started>
  close(): Promise<void>
}

export type PeerName = "relay" | "nginx" | "llmproxy" | "llmproxy beside" | "http-mitm-proxy" | "mockttp" | "mitmdump"

/** Protocols to the client and to the upstream. */
export interface Spoken {
  readonly client: "http/1.1" | "h2"
  readonly upstream: "http/1.1" | "h2"
}

const HTTP1: Spoken = { client: "http/1.1", upstream: "http/1.1" }

export interface Started {
  readonly peer: Peer
  readonly target: LoadTarget
}

/** Where `npm run bench` puts the bundled peers. */
const BUILT = "dist/bench"

/** `beside`: another checkout in which `npm run bench` has built llmproxy, which is then the peer "llmproxy beside". */
export async function makeBench(beside?: string): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), "llmproxy-bench-"))
  const ca = await loadOrCreateCa(join(dir, "ca"), { clock: Date.now })
  const leaf = new LeafFactory(ca, { clock: Date.now }).chainFor(HOST)
  const files = { cert: join(dir, "cert.pem"), key: join(dir, "key.pem"), ca: ca.paths.certPem }
  writeFileSync(files.cert, leaf.cert)
  writeFileSync(files.key, leaf.key, { mode: 0o600 })
  const node = (core: number, script: string, args: readonly string[], cwd = ".") =>
    startPeer(script, ...pinned(core, [process.execPath, join(BUILT, `${script}.mjs`), ...args]), { cwd })
  const origin = await node(1, "origin", [files.cert, files.key])
  const http2Origin = await node(1, "origin-http2", [files.cert, files.key])
  type Start = (
    addons: readonly string[],
    spoken: Spoken,
    originPort: number,
    confdir: string,
  ) => Promise<(Omit<Started, "target"> & { target: Omit<LoadTarget, "originPort"> }) | undefined>
  const targetOf = (peer: Peer, connect: boolean, trust: string) => ({
    peer,
    target: { port: peer.port, connect, ca: trust, host: HOST },
  })
  const starters: Record<PeerName, Start> = {
    relay: async (_, spoken, port) => {
      const alpn = spoken.client === spoken.upstream ? spoken.client : undefined
      if (alpn === undefined) return undefined
      return targetOf(await node(0, "relay", [files.cert, files.key, files.ca, String(port), alpn]), true, ca.certPem)
    },
    llmproxy: async (addons, _spoken, _port, confdir) =>
      targetOf(await node(0, "peer-llmproxy", [confdir, files.ca, ...addons]), true, ca.certPem),
    "llmproxy beside": async (addons) => {
      if (beside === undefined) return undefined
      const args = [join(dir, "ca"), files.ca, ...addons.map((file) => resolve(file))]
      return targetOf(await node(0, "peer-llmproxy", args, resolve(beside)), true, ca.certPem)
    },
    "http-mitm-proxy": async (_, { client, upstream }) => {
      if (client === "h2" || upstream === "h2") return undefined
      const confdir = join(dir, "http-mitm-proxy")
      const peer = await node(0, "peer-http-mitm-proxy", [confdir, files.ca])
      return targetOf(peer, true, readFileSync(join(confdir, "certs/ca.pem"), "utf8"))
    },
    mockttp: async (_, { client }) => {
      const ownCa = join(dir, "mockttp-ca.pem")
      const peer = await node(0, "peer-mockttp", [ownCa, files.ca, client === "h2" ? "http2" : ""])
      return targetOf(peer, true, readFileSync(ownCa, "utf8"))
    },
    nginx: async (_, { client, upstream }, originPort) => {
      const binary = findProgram("nginx", "/usr/sbin/nginx")
      if (binary === undefined || upstream === "h2") return undefined
      const port = await freePort()
      const args = nginxArguments(join(dir, "nginx"), files, port, originPort, client === "h2")
      const peer = await startPeer("nginx", ...pinned(0, [binary, ...args]), { port })
      await listening(port)
      return targetOf(peer, false, ca.certPem)
    },
    mitmdump: async () => {
      const binary = findProgram("mitmdump")
      if (binary === undefined) return undefined
      const port = await freePort()
      const confdir = join(dir, "mitmproxy")
      mkdirSync(confdir, { recursive: true })
      const options = [
        `confdir=${confdir}`,
        `ssl_verify_upstream_trusted_ca=${files.ca}`,
        "stream_large_bodies=1",
        "flow_detail=0",
      ]
      const args = ["-q", "--listen-host", "127.0.0.1", "-p", String(port), ...options.flatMap((one) => ["--set", one])]
      const peer = await startPeer("mitmdump", ...pinned(0, [binary, ...args]), { port })
      await listening(port)
      return targetOf(peer, true, readFileSync(join(confdir, "mitmproxy-ca-cert.pem"), "utf8"))
    },
  }
  return {
    dir,
    beside,
    origin,
    caFile: files.ca,
    start: async (name, addons = [], spoken = HTTP1, confdir = join(dir, "ca")) => {
      const originPort = spoken.upstream === "h2" ? http2Origin.port : origin.port
      const started = await starters[name](addons, spoken, originPort, confdir)
      return started === undefined ? undefined : { ...started, target: { ...started.target, originPort } }
    },
    startOther: async (name, command) => {
      const port = await freePort()
      const given = command(port)
      const peer = await startPeer(name, ...pinned(0, given.command), { port, env: given.env })
      await listening(port)
      return { peer, target: { port, connect: false, ca: ca.certPem, host: HOST, originPort: origin.port } }
    },
    close: async () => {
      await origin.stop()
      await http2Origin.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** The command on one core, where there are two and a tool to say so. */
function pinned(core: number, command: readonly string[]): [string, string[]] {
  const taskset = availableParallelism() > 1 ? findProgram("taskset") : undefined
  const [program = "", ...args] = taskset === undefined ? command : [taskset, "-c", String(core), ...command]
  return [program, args]
}

function findProgram(name: string, path?: string): string | undefined {
  if (path !== undefined && existsSync(path)) return path
  const folders = (process.env.PATH ?? "").split(":")
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file))
}

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net")
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}

/** Resolves when the port takes connections; gives up after 30 s. */
async function listening(port: number): Promise<void> {
  const { connect } = await import("node:net")
  for (let attempt = 0; attempt < 300; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1")
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
      socket.once("connect", () => socket.destroy())
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`nothing listens on ${port}`)
}

/** Node's version and the machine's, for the head of the table. */
export function describeMachine(): string {
  const nginx = findProgram("nginx", "/usr/sbin/nginx")
  const version =
    nginx === undefined ? "" : execFileSync(nginx, ["-v"], { stdio: ["ignore", "pipe", "pipe"] }).toString()
  return `Node ${process.versions.node}, ${availableParallelism()} cores ${version}`.trim()
}
