/**
 * An addon in the real program, for its tests: options, hooks, records, routes and log are llmproxy's own, on a real socket
 * and with a SQLite file in a temporary folder. What the test has in its hands are the two ends (a client, and an upstream
 * that says what it is told to), the clock, and what there is to look at.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import type { AddonContext, AddonDefinition } from "../api/addon.ts"
import type { Flow } from "../api/flow.ts"
import type { HookName, Hooks } from "../api/hooks.ts"
import type { MetricSnapshot } from "../api/metrics.ts"
import { HISTORY_FILE, type OpenTables, type Records, STATE_FILE } from "../api/store.ts"
import { App } from "../app.ts"
import { UsageError } from "../base/errors.ts"
import type { HeadersInit } from "../base/headers.ts"
import type { JsonObject } from "../base/json.ts"
import { Redactor } from "../base/secrets/redactor.ts"
import type { Delta } from "../llm/model.ts"
import { checkExports } from "../loader/check.ts"
import { runAddon } from "../loader/run.ts"
import { NO_SOURCES, type OptionSources } from "../options/sources.ts"
import { PROVIDED } from "../provided.ts"
import { LazyStore } from "../store/lazy-store.ts"
import { ManualClock } from "./manual-clock.ts"
import { TestClient, type TestRequest, type TestResponse } from "./test-client.ts"
import { KeptLog, type TestLog } from "./test-log.ts"
import { type AskedRequest, authority, TestUpstream, type TestUpstreamAnswer } from "./test-upstream.ts"
import type { TestWebSocket } from "./test-websocket.ts"

/** What the addon keeps, as itself sees it: `records` and `tables` of its context, for its name. */
export interface TestState {
  records(name: string): Records
  /** With the addon's own migrations, in the same order. */
  readonly tables: OpenTables
}

export interface LoadAddonOptions {
  /** The addon's options by name, as in config.yaml. Default: as declared. */
  readonly options?: JsonObject
  /** The environment that its options may be read from. Default: empty, whatever the machine's is. */
  readonly env?: Readonly<Record<string, string>>
  /** llmproxy's own options by name, as in config.yaml: `{ bodyLimit: 1_000 }`. */
  readonly program?: JsonObject
  /** What it and llmproxy tell the time by. Default: one of its own, which stands until the test turns it. */
  readonly clock?: ManualClock
  /** Other addons, behind it: definitions with a name. What a file names in `addons` is loaded with it; a definition's is not. */
  readonly others?: readonly AnyDefinition[]
  /** What it keeps before it is set up. */
  prepare?(state: TestState): Promise<void>
  /** The folder of what is kept, so that a second program finds what the first one has. Default: a temporary one. */
  readonly confdir?: string
}

export interface TestAddon extends TestState {
  readonly name: string
  readonly clock: ManualClock
  readonly log: TestLog
  /** Requests that reached an upstream, in order: whatever their host, they all come here. */
  readonly asked: readonly AskedRequest[]
  /** Flows that have ended, in order, those that addons have sent as well (`flow.parent`). */
  readonly flows: readonly Flow[]
  /** Other addons' side of its events. */
  readonly events: AddonContext["events"]
  /** What addons have counted and measured, in the order of the names. */
  metrics(): readonly MetricSnapshot[]
  /**
   * What the upstream says from now on, whoever asks: one answer after another, the last one from then on. A text is what a
   * model says, in the dialect that it is asked in. Default: "Hello."
   */
  answer(...answers: readonly [TestUpstreamAnswer, ...TestUpstreamAnswer[]]): void
  /** The same for one answer in pieces: a stream where one is asked for. */
  deltas(pieces: readonly (string | Delta)[]): void
  /** What the upstream does with a WebSocket. Default: nothing. */
  serveWebSocket(serve: (socket: TestWebSocket, asked: AskedRequest) => void | Promise<void>): void
  /**
   * Sends a request through the proxy as a client of its own, on a connection of its own. Resolves to what the client got,
   * whatever that is, once the last hook of its flow has run.
   */
  request(request: TestRequest): Promise<TestResponse>
  /** A chat with OpenAI: `prompt` is the user's message, `more` further fields of the body (`{ stream: true }`). */
  chat(prompt: string, more?: JsonObject): Promise<TestResponse>
  /** A WebSocket through the proxy, or at its own address (a path). Rejects with an Error where it is refused. */
  websocket(url: string, headers?: HeadersInit): Promise<TestWebSocket>
  /** New values of options, as a changed config.yaml gives them: `configure` is called. Rejects with a UsageError, and changes nothing, where they are refused. */
  set(options: JsonObject): Promise<void>
  /**
   * Calls a hook directly, with what the test gives it (`testFlow`, `llmFlow`): nothing else happens. Rejects with what it
   * throws, and with an Error where the addon has no such hook.
   */
  fire<H extends HookName>(hook: H, ...args: Parameters<Hooks[H]>): Promise<void>
  /**
   * Ends the program: `done` is called. Rejects with what an answer function of the test has thrown. A second call does
   * nothing. `await using addon = await loadAddon(...)` calls it as well.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** The addon of the test's own, which sees what there is to see. */
const COMPANION = "llmproxy-testing"
/** Of a definition without one. */
const UNNAMED = "addon"

/** A definition, whatever its options are. */
type AnyDefinition = Omit<AddonDefinition, "addons" | "givesKeys">

/**
 * Loads an addon: its definition, or the path of its file (from the current folder, or a file URL: `new URL("./my-addon.ts",
 * import.meta.url)`). `load`, `configure` and `running` have been called when it resolves. Rejects as a start does: with a
 * UsageError for what is wrong with the addon or an option.
 *
 *     const addon = await loadAddon(definition, { options: { limit: 2 } })
 *     addon.answer("Hello, Ann.")
 *     const { status, completion } = await addon.chat("Say hello to Ann.")
 *     await addon.close()
 */
export async function loadAddon(
  addon: AnyDefinition | string | URL,
  options: LoadAddonOptions = {},
): Promise<TestAddon> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-testing-"))
  const { clock = new ManualClock() } = options
  const upstream = await TestUpstream.start(clock)
  try {
    const parts = await partsFor(addon, options, { folder, clock, upstream })
    return await RunningAddon.start(parts, options.prepare)
  } catch (thrown) {
    await upstream.close()
    await rm(folder, { recursive: true, force: true })
    throw thrown
  }
}

/** What is there before the program. */
interface Ground {
  /** Of this program alone. */
  readonly folder: string
  readonly clock: ManualClock
  readonly upstream: TestUpstream
}

/** What a program that runs consists of. */
interface Parts extends Ground {
  readonly name: string
  readonly app: App
  readonly log: KeptLog
  readonly store: LazyStore
  readonly companion: Companion
  readonly options: JsonObject
  /** Everything that options are read from, with these of the addon. */
  sourcesOf(options: JsonObject): OptionSources
}

async function partsFor(
  addon: AnyDefinition | string | URL,
  { options = {}, others = [], program = {}, env = {}, ...given }: LoadAddonOptions,
  ground: Ground,
): Promise<Parts> {
  const { folder, clock, upstream } = ground
  const { confdir = join(folder, "conf") } = given
  const redactor = new Redactor()
  const log = new KeptLog(redactor)
  const file = typeof addon === "string" ? resolve(addon) : addon instanceof URL ? fileURLToPath(addon) : undefined
  const definition = typeof addon === "string" || addon instanceof URL ? undefined : { name: UNNAMED, ...addon }
  const name = definition?.name ?? (await nameOf(file ?? "", log))
  const caFile = join(folder, "upstream-ca.pem")
  await writeFile(caFile, (await authority()).certPem)
  const sourcesOf = (own: JsonObject): OptionSources => ({
    ...NO_SOURCES,
    env,
    flags: { port: 0, upstreamCa: [caFile], connectTo: [`::127.0.0.1:${upstream.port}`] },
    config: { path: "the test", values: { ...program, [name]: own } },
  })
  const files = { historyFile: join(confdir, HISTORY_FILE), stateFile: join(confdir, STATE_FILE) }
  const store = new LazyStore({ ...files, log: log.logger, clock, secrets: () => app.store.secrets() })
  const companion = new Companion()
  const app: App = new App({
    sources: sourcesOf(options),
    scripts: [],
    places: { folders: [process.cwd()], shipped: undefined },
    confdir,
    log: log.logger,
    builtin: [
      ...(file === undefined ? [] : [file]),
      ...(definition === undefined ? [] : [definition]),
      ...others,
      companion.addon,
    ],
    watch: false,
    clock,
    store,
    redactor,
  })
  return { ...ground, name, app, log, store, companion, options, sourcesOf }
}

class RunningAddon implements TestAddon {
  readonly name: string
  readonly clock: ManualClock
  readonly log: TestLog
  readonly #parts: Parts
  readonly #client: TestClient
  #options: JsonObject
  #closing: Promise<void> | undefined

  private constructor(parts: Parts, port: number) {
    this.name = parts.name
    this.clock = parts.clock
    this.log = parts.log
    this.#parts = parts
    this.#options = parts.options
    this.#client = new TestClient({ port, gone: (from) => parts.companion.gone(from) })
  }

  static async start(parts: Parts, prepare: LoadAddonOptions["prepare"]): Promise<RunningAddon> {
    const { app, store, name } = parts
    try {
      await prepare?.({
        records: (of) => store.records(name, of),
        tables: (migrations) => store.tables(name, migrations),
      })
      const { port } = await app.start()
      return new RunningAddon(parts, port)
    } catch (thrown) {
      await app.stop()
      throw thrown
    }
  }

  get asked(): readonly AskedRequest[] {
    return this.#parts.upstream.asked
  }

  get flows(): readonly Flow[] {
    return this.#parts.companion.flows
  }

  get events(): AddonContext["events"] {
    return this.#parts.companion.context.events
  }

  readonly tables: OpenTables = (migrations) => this.#parts.store.tables(this.name, migrations)

  records(name: string): Records {
    return this.#parts.store.records(this.name, name)
  }

  metrics(): readonly MetricSnapshot[] {
    return this.#parts.app.metrics.snapshot()
  }

  answer(...answers: readonly [TestUpstreamAnswer, ...TestUpstreamAnswer[]]): void {
    this.#parts.upstream.answers = answers
  }

  deltas(pieces: readonly (string | Delta)[]): void {
    this.answer({ deltas: pieces })
  }

  serveWebSocket(serve: (socket: TestWebSocket, asked: AskedRequest) => void | Promise<void>): void {
    this.#parts.upstream.websocket = serve
  }

  request(request: TestRequest): Promise<TestResponse> {
    return this.#client.request(request)
  }

  chat(prompt: string, more: JsonObject = {}): Promise<TestResponse> {
    return this.request({ json: { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }], ...more } })
  }

  websocket(url: string, headers: HeadersInit = {}): Promise<TestWebSocket> {
    return this.#client.websocket(url, headers)
  }

  async set(options: JsonObject): Promise<void> {
    const next = { ...this.#options, ...options }
    await this.#parts.app.addons.reconfigure(this.#parts.sourcesOf(next), { judge: () => {}, scripts: () => undefined })
    this.#options = next
  }

  async fire<H extends HookName>(hook: H, ...args: Parameters<Hooks[H]>): Promise<void> {
    const own = this.#parts.app.addons.chain.addons.find(({ name }) => name === this.name)
    const call = own?.hooks[hook]
    if (call === undefined) throw new Error(`fire: the addon "${this.name}" has no hook "${hook}"`)
    await Reflect.apply(call, undefined, args)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const { app, upstream, folder } = this.#parts
    this.#client.close()
    await app.stop()
    await upstream.close()
    await rm(folder, { recursive: true, force: true })
    const [failure] = upstream.failures
    if (failure !== undefined) throw failure
  }
}

/** Sees ends: of flows, and of the client's connections. It listens to nothing that costs, so that it changes nothing. */
class Companion {
  readonly flows: Flow[] = []
  readonly #gone = new Map<number, () => void>()
  #context: AddonContext | undefined

  readonly addon: AddonDefinition = {
    name: COMPANION,
    setup: (context) => {
      this.#context = context
      const keep = (flow: Flow) => void this.flows.push(flow)
      return {
        response: keep,
        error: keep,
        clientDisconnected: ({ port }) => {
          this.#gone.get(port)?.()
          this.#gone.delete(port)
        },
      }
    },
  }

  get context(): AddonContext {
    if (this.#context === undefined) throw new Error("the program has not started")
    return this.#context
  }

  /** To be called before that connection can have closed. */
  gone(port: number): Promise<void> {
    return new Promise((resolve) => this.#gone.set(port, resolve))
  }
}

/** The name that a file's addon has: its options stand below it. The file is read, and none of its hooks is called. */
async function nameOf(file: string, { logger: log }: KeptLog): Promise<string> {
  const files = new Map<string, string>()
  const { exported } = await runAddon({ entry: file, modules: PROVIDED, files, log, cache: undefined })
  const { name } = checkExports(exported, { file, files: files.keys() })
  if (name === COMPANION)
    throw new UsageError(`${file}: "${COMPANION}" is the name of the test's own addon; give it another`)
  return name
}
