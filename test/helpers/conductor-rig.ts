/**
 * The whole program for tests of shipped addons: App with real sockets, a scripted local host, a scripted cloud that is
 * api.openai.com as far as the proxy can tell, and clients that come by the base URL or through interception.
 */
import { readFileSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import type { Test } from "tap"
import type { AddonDefinition, TokenService } from "../../lib/api/addon.ts"
import type { Flow } from "../../lib/api/flow.ts"
import { HISTORY_FILE, STATE_FILE } from "../../lib/api/store.ts"
import { App } from "../../lib/app.ts"
import type { Clock } from "../../lib/base/clock.ts"
import { makeLogger } from "../../lib/base/log.ts"
import { Redactor } from "../../lib/base/secrets/redactor.ts"
import { boundRequest, TokenCounter } from "../../lib/llm/tokens/counter.ts"
import { CountingThread } from "../../lib/llm/tokens/worker-client.ts"
import { fingerprint } from "../../lib/loader/built-from.ts"
import { NO_SOURCES } from "../../lib/options/sources.ts"
import { openVocabulary } from "../../lib/services/vocabulary.ts"
import { LazyStore } from "../../lib/store/lazy-store.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import type { OriginRequest, ReplyScript, ScriptedOrigin } from "../../lib/testing/origin.ts"
import { bundledOnce } from "./bundled.ts"
import { origin } from "./hosts/proxy-host.ts"
import { sharedCertificates } from "./test-proxy.ts"
import { Wire, type WireResponse } from "./wire/wire.ts"

export const CLOUD = "api.openai.com"

export interface RigOptions {
  /** What the local host answers; without, nothing listens there. */
  local?: ReplyScript
  /** What api.openai.com answers. */
  cloud?: ReplyScript
  /** The conductor's options by name; "" leaves one out. */
  set?: Record<string, string | number | boolean>
  env?: Record<string, string>
  envFile?: Record<string, string>
  /** The program's own options. */
  flags?: Record<string, unknown>
  /** Default: one that stands still, so that nothing comes too late, and no patience ends, on a busy machine. */
  clock?: Clock
  scripts?: readonly string[]
  /** What counts tokens: "own" is the program's. Default: one that the tests of a file share. */
  tokens?: TokenService | "own"
  /** What the program and its log take secrets out with. Default: one of its own. */
  redactor?: Redactor
  /** Addons before the scripts. */
  builtin?: readonly AddonDefinition[]
}

export interface Rig {
  readonly app: App
  readonly port: number
  readonly local: ScriptedOrigin | undefined
  readonly cloud: ScriptedOrigin
  readonly lines: string[]
  /** The folder of the CA and the history. */
  readonly confdir: string
  /** A connection to the proxy's own address. */
  door(): Promise<Wire>
  /** A connection that the client believes to be to `host`. */
  through(host?: string): Promise<Wire>
  /** Sends a request to the proxy's own address and reads the answer. */
  ask(method: string, path: string, body?: unknown, fields?: string): Promise<WireResponse>
  /** Sends a chat request to the proxy's own address and reads the answer. */
  chat(body?: object, fields?: string): Promise<WireResponse>
}

/** One for all programs of a test file: to load a tokenizer takes longer than the rest of a test. */
// Its clock stands still: however slow the machine is, counts are waited for.
const tokens = new TokenCounter({ backend: new CountingThread({ clock: new ManualClock() }) })
const TOKENS: TokenService = {
  countRequest: (request) => tokens.countRequest(request),
  countText: (text, model) => tokens.countText(text, model),
  warm: (model) => tokens.warm(model),
  vocabulary: (file) => openVocabulary(file),
  boundRequest,
}

/**
 * Addons as they were built for an earlier rig, of any test: to build them took longer than the rest of a test. Of other
 * code that builds there is no other's.
 */
const BUILDERS = ["lib/loader/bundle.ts", "lib/loader/built-from.ts"].map((file) => readFileSync(file))
const BUILT_ADDONS = resolve(".tap", "addons", fingerprint(Buffer.concat(BUILDERS)).replaceAll("/", "_"))

/** The store's thread as a plain script, so that it starts at once. */
let storeScript: Promise<URL> | undefined

/** The same, with vocabularies in a thread of the given script (bundled.ts), which starts at once. */
export function tokensWith(script: URL): TokenService {
  return { ...TOKENS, vocabulary: (file) => openVocabulary(file, { script }) }
}

export async function startRig(t: Test, options: RigOptions = {}): Promise<Rig> {
  const certificates = await sharedCertificates()
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-conductor-"))
  const caFile = join(folder, "upstream-ca.pem")
  await writeFile(caFile, certificates.ca)
  const local = options.local === undefined ? undefined : await origin(t, options.local)
  const cloud = await origin(t, options.cloud ?? notExpected, CLOUD)
  const lines: string[] = []
  const localUrl = `http://127.0.0.1:${local?.port ?? 1}/v1`
  // The conductor alone, unless a test says otherwise: what it brings has tests of its own.
  const named = Object.entries({ localUrl, requery: "false", ...options.set }).filter(([, value]) => value !== "")
  const set = named.map(([name, value]) => `conductor.${name}=${value}`)
  const scripts = options.scripts ?? ["addons/conductor.ts"]
  const redactor = options.redactor ?? new Redactor()
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`), "info", redactor)
  const confdir = join(folder, "conf")
  storeScript ??= bundledOnce("lib/store/thread-link.ts")
  const secrets = () => app.store.secrets()
  const files = { historyFile: join(confdir, HISTORY_FILE), stateFile: join(confdir, STATE_FILE) }
  const store = new LazyStore({ ...files, log, script: await storeScript, secrets })
  const app: App = new App({
    sources: {
      ...NO_SOURCES,
      set: scripts.includes("addons/conductor.ts") ? set : [],
      flags: {
        port: 0,
        connectTo: [`${CLOUD}:443:127.0.0.1:${cloud.port}`],
        upstreamCa: [caFile],
        ...options.flags,
      },
      env: options.env ?? {},
      envFile: options.envFile === undefined ? undefined : { path: ".env", values: options.envFile },
    },
    scripts,
    places: { folders: [process.cwd()], shipped: undefined },
    confdir,
    cacheDir: BUILT_ADDONS,
    log,
    store,
    redactor,
    watch: false,
    ...(options.tokens === "own" ? {} : { tokens: options.tokens ?? TOKENS }),
    clock: options.clock ?? new ManualClock(Date.now()),
    ...(options.builtin === undefined ? {} : { builtin: options.builtin }),
  })
  const { port } = await app.start()
  t.teardown(async () => {
    await app.stop()
    await rm(folder, { recursive: true, force: true })
  })
  const door = async () => {
    const wire = await Wire.connect(port)
    t.teardown(() => wire.socket.destroy())
    return wire
  }
  const ask: Rig["ask"] = async (method, path, body, fields = "") => {
    const wire = await door()
    wire.write(message(method, path, `127.0.0.1:${port}`, body, fields))
    const response = await wire.response(method)
    wire.socket.destroy()
    return response
  }
  return {
    app,
    port,
    local,
    cloud,
    lines,
    confdir,
    door,
    async through(host = CLOUD) {
      const wire = await Wire.tunnel(port, `${host}:443`)
      const secure = await wire.secure({ servername: host, ca: app.ca.cert.toString() })
      t.teardown(() => secure.socket.destroy())
      return secure
    },
    ask,
    chat: (body = {}, fields = "") => ask("POST", CHAT_PATH, chatBody(body), fields),
  }
}

/** A script for a host that must not be asked: the answer fails whatever test gets it. */
export const notExpected: ReplyScript = (_, socket) => {
  socket.end("HTTP/1.1 500 Not Expected\r\nContent-Length: 18\r\n\r\nnobody should ask.")
}

export const CHAT_PATH = "/v1/chat/completions"

/** A small request; `more` replaces its fields. */
export function chatBody(more: object = {}): object {
  return { model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }], ...more }
}

/** A request's bytes as a plain client sends them. */
export function message(method: string, path: string, host: string, body?: unknown, fields = ""): Buffer {
  const bytes =
    body === undefined ? Buffer.alloc(0) : Buffer.from(typeof body === "string" ? body : JSON.stringify(body))
  const type = body === undefined ? "" : `Content-Type: application/json\r\nContent-Length: ${bytes.length}\r\n`
  return Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}${type}\r\n`, "latin1"),
    bytes,
  ])
}

/** A value of a request's head, as an origin saw it. */
export function fieldOf({ head }: OriginRequest, name: string): string | undefined {
  const line = head.split("\r\n").find((one) => one.toLowerCase().startsWith(`${name.toLowerCase()}:`))
  return line?.slice(name.length + 1).trim()
}

/** The JSON that a host was sent to a path; undefined if it was not asked there. */
export function sentTo(host: ScriptedOrigin | undefined, path: string): Record<string, unknown> | undefined {
  const request = host?.requests.findLast(({ target }) => target === path)
  return request === undefined ? undefined : JSON.parse(request.body.toString("utf8"))
}

/** Routes by path: models and the version page as given, all else by `reply`. */
export function localHost(reply: ReplyScript, pages: Record<string, string> = {}): ReplyScript {
  const all: Record<string, string> = { "/v1/models": MODELS, ...pages }
  return (request, socket) => {
    const page = request.method === "GET" ? all[request.target] : undefined
    if (page !== undefined) {
      const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(page)}\r\n\r\n`
      socket.write(head + page)
    } else if (request.method === "GET") socket.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    else void reply(request, socket)
  }
}

export const MODELS = JSON.stringify({
  object: "list",
  data: [
    { id: "text-embedding-nomic-embed-text-v1.5", object: "model", owned_by: "organization_owner" },
    { id: "deepseek-coder-6.7b", object: "model", owned_by: "organization_owner" },
    { id: "other", object: "model", owned_by: "organization_owner" },
  ],
})

/** Whatever flows ended, in order, the child flows of addons too. */
export function flowWatcher(): { readonly flows: Flow[]; readonly addon: AddonDefinition } {
  const flows: Flow[] = []
  const keep = (flow: Flow) => void flows.push(flow)
  return { flows, addon: { name: "watcher", response: keep, error: keep } }
}
