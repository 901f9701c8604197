/**
 * git clone and npm install through every mode: bodies of no LLM, many requests, large answers, hashes that the clients
 * check themselves. What comes out is what the servers had.
 */
import { createHash, randomBytes } from "node:crypto"
import { mkdir, readFile, realpath, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Test, test } from "tap"
import { parseMode } from "../../lib/proxy/session/mode.ts"
import type { ConnectToRule } from "../../lib/proxy/settings.ts"
import { fixture } from "../helpers/clients/chat-clients.ts"
import { exitsWith, missing, plainEnvironment, RunningCommand } from "../helpers/command-process.ts"
import { GIT_NAME, git, startGitHost } from "../helpers/hosts/git-host.ts"
import { npmSettings, REGISTRY_NAME, startNpmRegistry } from "../helpers/hosts/npm-registry.ts"
import { sharedCertificates, startProxy } from "../helpers/test-proxy.ts"

const LARGE_BYTES = 2_000_000
const PACKAGES = [fixture("npm/greeting"), fixture("npm/words")]

interface Host {
  readonly name: string
  readonly port: number
}

/** What a client has to be told. */
interface Way {
  /** Of the server, as the client writes it. */
  readonly url: string
  /** The proxy that it is set to use. */
  readonly proxy?: string
  /** A name that the client must find at 127.0.0.1, as `host:port`. */
  readonly resolve?: string
  /** The URLs that the proxy saw. */
  readonly seen: readonly string[]
}

type Mode = (t: Test, host: Host) => Promise<Way>

function rule({ name, port }: Host): ConnectToRule {
  return { host: name, port: 443, toHost: "127.0.0.1", toPort: port }
}

async function start(t: Test, mode: string, host: Host, original?: { host: string; port: number }) {
  const seen: string[] = []
  const { port } = await startProxy(t, {
    mode: parseMode(mode).mode,
    // Where another proxy stands behind, the name is its to find.
    settings: mode.startsWith("upstream") ? {} : { connectTo: [rule(host)] },
    hooks: { request: (flow) => void seen.push(flow.request.url) },
    ...(original === undefined ? {} : { destinationOf: () => original }),
  })
  return { port, seen }
}

const MODES: Record<string, Mode> = {
  regular: async (t, host) => {
    const { port, seen } = await start(t, "regular", host)
    return { url: `https://${host.name}`, proxy: `http://127.0.0.1:${port}`, seen }
  },
  socks5: async (t, host) => {
    const { port, seen } = await start(t, "socks5", host)
    return { url: `https://${host.name}`, proxy: `socks5h://127.0.0.1:${port}`, seen }
  },
  reverse: async (t, host) => {
    const { port, seen } = await start(t, `reverse:https://${host.name}`, host)
    return { url: `https://127.0.0.1:${port}`, seen }
  },
  "upstream:http": async (t, host) => {
    const behind = await start(t, "regular", host)
    const { port, seen } = await start(t, `upstream:http://127.0.0.1:${behind.port}`, host)
    return { url: `https://${host.name}`, proxy: `http://127.0.0.1:${port}`, seen }
  },
  "upstream:socks5": async (t, host) => {
    const behind = await start(t, "socks5", host)
    const { port, seen } = await start(t, `upstream:socks5://127.0.0.1:${behind.port}`, host)
    return { url: `https://${host.name}`, proxy: `http://127.0.0.1:${port}`, seen }
  },
  transparent: async (t, host) => {
    const { port, seen } = await start(t, "transparent", host, { host: "127.0.0.1", port: host.port })
    return { url: `https://${host.name}:${port}`, resolve: `${host.name}:${port}`, seen }
  },
}

async function folderWithCa(t: Test): Promise<string> {
  const folder = await realpath(t.testdir())
  await writeFile(join(folder, "ca.pem"), (await sharedCertificates()).ca)
  return folder
}

for (const [name, mode] of Object.entries(MODES)) {
  test(`git clone in mode ${name} brings every object as it was`, { skip: missing("git") }, async (t) => {
    const folder = await folderWithCa(t)
    const [work, root] = [join(folder, "work"), join(folder, "served")]
    await mkdir(work)
    await mkdir(root)
    await git(work, "init", "-q", "-b", "main")
    const large = randomBytes(LARGE_BYTES)
    await writeFile(join(work, "large.bin"), large)
    await git(work, "add", ".")
    await git(work, "commit", "-q", "-m", "all")
    await git(root, "clone", "-q", "--bare", work, "project.git")
    const { port } = await startGitHost(t, root)

    const { url, proxy, resolve, seen } = await mode(t, { name: GIT_NAME, port })
    const settings = {
      "http.sslCAInfo": join(folder, "ca.pem"),
      ...(proxy === undefined ? {} : { "http.proxy": proxy }),
      ...(resolve === undefined ? {} : { "http.curloptResolve": `${resolve}:127.0.0.1` }),
    }
    const flags = Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])
    const clone = ["git", ...flags, "clone", "-q", `${url}/project.git`, "copy"]
    exitsWith(t, 0, await new RunningCommand(t, clone, { folder }).outcome)
    const copy = join(folder, "copy")
    t.equal(await git(copy, "rev-parse", "HEAD"), await git(work, "rev-parse", "HEAD"))
    t.equal(hash(await readFile(join(copy, "large.bin"))), hash(large))
    t.equal(await git(copy, "fsck", "--full"), "")
    t.ok(
      seen.some((one) => one.endsWith("/project.git/git-upload-pack")),
      "it came through the proxy, which read it",
    )
  })

  test(`npm install in mode ${name} brings every file with its hash`, { skip: missing("npm") }, async (t) => {
    const folder = await folderWithCa(t)
    const registry = await startNpmRegistry(t, folder, PACKAGES)
    await writeFile(join(folder, "package.json"), JSON.stringify({ name: "app", version: "1.0.0", private: true }))
    const { url, proxy, resolve, seen } = await mode(t, { name: REGISTRY_NAME, port: registry.port })
    const env = plainEnvironment(folder, {
      ...npmSettings(folder),
      npm_config_registry: `${url}/`,
      npm_config_cafile: join(folder, "ca.pem"),
      npm_config_replace_registry_host: "always",
      ...(proxy === undefined ? {} : { npm_config_https_proxy: proxy }),
      ...(resolve === undefined ? {} : { NODE_OPTIONS: `--require ${await resolver(folder, resolve)}` }),
    })
    const install = ["npm", "install", "--save-exact", "greeting"]
    exitsWith(t, 0, await new RunningCommand(t, install, { folder, env }).outcome)
    const lock = JSON.parse(await readFile(join(folder, "package-lock.json"), "utf8"))
    for (const [name, integrity] of registry.integrity)
      t.equal(lock.packages[`node_modules/${name}`].integrity, integrity, name)
    t.ok(
      seen.some((one) => one.endsWith("/greeting-1.2.3.tgz")),
      "it came through the proxy, which read it",
    )
  })
}

/** A module that finds the name at 127.0.0.1, as this machine's resolver would for a redirected program. */
async function resolver(folder: string, authority: string): Promise<string> {
  const file = join(folder, "resolver.cjs")
  const name = JSON.stringify(authority.slice(0, authority.lastIndexOf(":")))
  await writeFile(
    file,
    `const dns = require("dns"); const { lookup } = dns
dns.lookup = (host, ...rest) => lookup(host === ${name} ? "127.0.0.1" : host, ...rest)\n`,
  )
  return file
}

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex")
}
