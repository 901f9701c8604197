/**
 * The program without its command line: options, addons, certificates, listeners; start() and stop(). The commands of
 * lib/cli and the tests drive this one class.
 */
import { join } from "node:path"
import type { Ca } from "../certs/ca.ts"
import type { AddonDefinition, TokenService } from "./api/addon.ts"
import type { Answer } from "./api/flow.ts"
import type { StoreService } from "./api/store.ts"
import { type Clock, systemClock } from "./base/clock.ts"
import { FlowError, messageOf, StartError, UsageError } from "./base/errors.ts"
import type { Logger } from "./base/log.ts"
import { Redactor } from "./base/secrets/redactor.ts"
import { reportFailure } from "./loader/chain.ts"
import type { SearchPlaces } from "./loader/find.ts"
import { AddonManager } from "./loader/manager.ts"
import type { SendService } from "./loader/send-gate.ts"
import { FileWatcher } from "./loader/watch.ts"
import { checkOpenListeners } from "./open-listeners.ts"
import { CORE_OPTIONS, type CoreValues, databaseUrl, settingsFrom } from "./options/core.ts"
import { needRestart, takeLive } from "./options/live.ts"
import type { OptionSources } from "./options/sources.ts"
import { OptionStore } from "./options/store.ts"
import { type LeafSettings, leafSettings, makeLeaves } from "./options/tls.ts"
import { PROVIDED } from "./provided.ts"
import type { Serving } from "./proxy/session/front-door.ts"
import { Listener } from "./proxy/session/listener.ts"
import { type Mode, type ModeAddress, modeAddresses, parseMode } from "./proxy/session/mode.ts"
import type { ProxyServer } from "./proxy/session/server.ts"
import type { ProxySettings } from "./proxy/settings.ts"
import { KeyLog } from "./proxy/tls/keylog.ts"
import { LocalBus } from "./services/event-bus.ts"
import { keptSecret } from "./services/kept-secret.ts"
import { LazyTokens } from "./services/lazy-tokens.ts"
import { MetricRegistry } from "./services/metric-registry.ts"
import { LazyStore } from "./store/lazy-store.ts"
import { storePlaces } from "./store/places.ts"

/** Where options may change while the program runs. */
interface LiveSources {
  /** The config file, absolute. */
  readonly file: string
  /** Reads it again, beside all other sources. Rejects with a UsageError. */
  read(): Promise<OptionSources>
}

export interface AppOptions {
  readonly sources: OptionSources
  /** Default: options stay as they are. */
  readonly live?: LiveSources
  /** What `-s` names, in order: loaded behind the option `scripts`. */
  readonly scripts: readonly string[]
  readonly places: SearchPlaces
  /** The folder of the CA and the config file. */
  readonly confdir: string
  /** Where addons that were built are kept. Default: `cache` in the confdir. */
  readonly cacheDir?: string
  readonly log: Logger
  /** Addons of the program's own, before the user's: the terminal output. A text is the absolute path of one. */
  readonly builtin?: readonly (AddonDefinition | string)[]
  /** Whether changed addon files are noticed. Default: true. */
  readonly watch?: boolean
  readonly clock?: Clock
  /** What counts tokens for addons, and outlives the program. Default: a counter of its own. */
  readonly tokens?: TokenService
  /** What keeps flows and addons' records; ended with the program. Default: history.db and state.db in the confdir. */
  readonly store?: StoreService
  /** Loads what serves the clients of ports that are open already. Default: lib/proxy/session/server.ts. */
  readonly serving?: () => Promise<Pick<typeof import("./proxy/session/server.ts"), "ProxyServer">>
  /** Is told the program's secrets, wherever its options have them from. Default: one of its own. */
  readonly redactor?: Redactor
}

export interface Listening {
  readonly host: string
  readonly port: number
}

export interface ModeListening extends Listening {
  readonly mode: Mode
  /** The mode and its data for people. */
  readonly text: string
}

/** A listener with the mode that its clients are served in. */
interface OpenListener extends ModeListening {
  readonly listener: Listener
}

/** In the confdir: what shows that one runs the proxy. */
const ADMIN_TOKEN_FILE = "admin-token"
/** In the confdir: what clients' credentials are hashed with, so that a client is the same one after a restart. */
const CLIENT_KEY_FILE = "client-key"

/** Milliseconds; nothing happens then. */
const ALIVE_MS = 60_000

export class App {
  readonly store: OptionStore
  readonly values: CoreValues
  readonly addons: AddonManager
  /** What addons count and measure. */
  readonly metrics = new MetricRegistry()
  /** Rejects with a StartError when clients cannot be served after all; the ports are closed then. Never resolves. */
  readonly broken: Promise<never>
  readonly #options: AppOptions
  readonly #clock: Clock
  readonly #redactor: Redactor
  readonly #tokens: LazyTokens | undefined
  readonly #kept: StoreService
  readonly #addresses: readonly ModeAddress[]
  #open: OpenListener[] = []
  #server: ProxyServer | undefined
  /** Resolves when `#server` is there. */
  #serving: Promise<void> | undefined
  #ca: Ca | undefined
  /** The one that was made, where the options give none. */
  #madeToken: string | undefined
  #identityKey = ""
  #settings: ProxySettings | undefined
  #watcher: FileWatcher | undefined
  #changing: Promise<void> = Promise.resolve()
  #break: (why: StartError) => void = () => {}

  /** Throws a UsageError for an option that does not fit. */
  constructor(options: AppOptions) {
    this.#options = options
    this.broken = new Promise((_, reject) => {
      this.#break = reject
    })
    this.broken.catch(() => {}) // Whoever runs the program waits for it; an embedder may not.
    this.#clock = options.clock ?? systemClock
    this.store = new OptionStore(options.sources)
    this.values = this.store.define(undefined, CORE_OPTIONS)
    this.#redactor = options.redactor ?? new Redactor()
    this.#redactor.know(this.#secrets())
    const { host, port, mode } = this.values
    this.#addresses = modeAddresses(mode.map(parseMode), { host, port })
    const tokens = options.tokens ?? new LazyTokens(options.log, this.#clock)
    if (tokens instanceof LazyTokens) this.#tokens = tokens
    const { confdir, log } = options
    const places = storePlaces(confdir, databaseUrl(this.values.database))
    const secrets = () => this.#secrets()
    this.#kept = options.store ?? new LazyStore({ ...places, log, clock: this.#clock, secrets })
    this.metrics.own(() => this.#server?.numbers)
    const know = () => this.#redactor.know(this.#secrets())
    this.addons = new AddonManager({
      log: options.log,
      clock: this.#clock,
      options: this.store,
      budgetMs: this.values.hookBudgetMs,
      tokens,
      store: this.#kept,
      metrics: this.metrics,
      send: (...sent) => this.#send(...sent),
      bus: new LocalBus(),
      variable: (name) => this.store.variable(name, know),
      redactor: this.#redactor,
      modules: PROVIDED,
      places: options.places,
      watch: options.watch ?? true,
      cacheDir: options.cacheDir ?? join(options.confdir, "cache"),
    })
    this.store.onChange(know)
    this.addons.onReload(know)
    for (const definition of options.builtin ?? []) this.addons.add(definition)
  }

  /** The CA, once started. */
  get ca(): Ca {
    if (this.#ca === undefined) throw new Error("the CA is there once the program has started")
    return this.#ca
  }

  /** Where each mode listens, in their order; empty before `start`. */
  get listeners(): readonly ModeListening[] {
    return this.#open.map(({ host, port, mode, text }) => ({ host, port, mode, text }))
  }

  /**
   * Loads addons, makes or reads the CA, listens. Resolves with the listener that HTTP clients are pointed at, if there
   * is one, else the first. Rejects with a UsageError (status 2) or a StartError (status 1).
   */
  start(): Promise<Listening> {
    return awake(() => this.#start())
  }

  async #start(): Promise<Listening> {
    const settings = { ...settingsFrom(this.values), keyLog: this.#keyLog() }
    this.#settings = settings
    const leaves = leafSettings(this.values, this.#clock.now())
    for (const warning of leaves.warnings) this.#options.log.warn(warning)
    if (settings.proxyUsers.length > 0 && this.#addresses.some(({ mode }) => mode.kind === "transparent"))
      throw new UsageError(
        "--mode transparent: its clients know of no proxy and cannot authenticate; use --allow-clients, not --proxy-auth",
      )
    // An addon is built while the CA is read. Both are waited for, so that a failed start leaves no half-written CA.
    const [ca, loaded] = await Promise.allSettled([this.#readCa(), this.addons.load(this.#scripts())])
    this.#redactor.know(this.#secrets())
    if (loaded.status === "rejected") throw loaded.reason
    if (ca.status === "rejected") throw ca.reason
    checkOpenListeners(this.#addresses, settings, this.addons.chain)
    for (const unused of this.store.unused()) this.#options.log.info(unused)
    await this.#kept.ready()
    await this.#listen()
    this.#serving = this.#serve(settings, leaves, ca.value).catch((thrown) => {
      for (const { listener } of this.#open) listener.close() // A refused client knows more than one that waits.
      this.#break(new StartError(`clients cannot be served: ${messageOf(thrown)}`))
    })
    if (this.values.insecure) this.#options.log.warn("--insecure: upstream certificates are not verified")
    await this.addons.running()
    this.#watchOptions()
    return this.#forHttp()
  }

  /** For a command of an addon that is prepared: what it keeps is there. Rejects with a StartError or a UsageError. */
  ready(addon: string): Promise<void> {
    return awake(async () => {
      await this.addons.ready(addon)
      await this.#kept.ready()
    })
  }

  /** Addons that the options name, then those of the line. */
  #scripts(): readonly string[] {
    return [...this.values.scripts, ...this.#options.scripts]
  }

  #watchOptions(): void {
    const { live, log, watch = true } = this.#options
    if (live === undefined || !watch) return
    const onChange = () => void this.reconfigure()
    this.#watcher = new FileWatcher({ clock: this.#clock, log, onChange, cares: () => false })
    this.#watcher.set([live.file])
  }

  /** Takes what the config file says now: all of it, or, with a line in the log, nothing. Never rejects. */
  reconfigure(): Promise<void> {
    this.#changing = this.#changing.then(() => this.#reconfigure()) // What was read first must not count last.
    return this.#changing
  }

  async #reconfigure(): Promise<void> {
    const { live, log } = this.#options
    if (live === undefined || this.#settings === undefined) return
    const scripts = this.#scripts().join("\n")
    let next = this.#settings
    try {
      const changed = await this.addons.reconfigure(await live.read(), {
        judge: () => {
          next = settingsFrom(this.values)
          this.#redactor.know(this.#secrets())
        },
        scripts: () => (this.#scripts().join("\n") === scripts ? undefined : this.#scripts()),
      })
      takeLive(this.#settings, next)
      if (changed.size > 0) log.info(`${live.file}: taken: ${[...changed].join(", ")}`)
      const later = needRestart(changed)
      if (later.length > 0) log.warn(`${live.file}: ${later.join(", ")} will count when the program starts again`)
    } catch (thrown) {
      log.error(`${live.file}: not taken, all options stay as they were: ${messageOf(thrown)}`)
    }
  }

  /** Takes no more clients, lets open flows end within `graceMs`, then ends the addons. */
  stop(graceMs = 0): Promise<void> {
    this.#watcher?.close()
    return awake(async () => {
      if (this.#server === undefined) await this.#serving // which a program that ends at once is still loading
      await this.#server?.stop(graceMs)
      await this.addons.close()
      await Promise.all([this.#kept.close(), this.#tokens?.close()])
    })
  }

  /** Sends what an addon asks by itself. Clients may come before what serves them is loaded, and so may this. */
  async #send(...sent: Parameters<SendService>): Promise<Answer> {
    await this.#serving
    if (this.#server === undefined) throw new FlowError("llmproxy", "stopped", "send: the proxy does not run")
    return this.#server.sends.send(...sent)
  }

  /** Opens all ports, or none. */
  async #listen(): Promise<void> {
    try {
      for (const { host, port, mode, text } of this.#addresses) {
        const listener = new Listener(this.#options.log)
        const address = await listener.listen(host, port)
        this.#open.push({ listener, mode, text, ...address })
      }
    } catch (thrown) {
      for (const { listener } of this.#open.splice(0)) listener.close()
      throw thrown
    }
  }

  /** Client connections that are open. */
  get clients(): number {
    return this.#server?.clients ?? 0
  }

  /** What nobody may see, of the options and of what was made. */
  #secrets(): string[] {
    return [...this.store.secrets(), ...(this.#madeToken === undefined ? [] : [this.#madeToken])]
  }

  /** Reads or makes what is kept beside the CA, in its folder. */
  async #readSecrets(): Promise<void> {
    const { confdir, log } = this.#options
    const [key, token] = await Promise.all([
      keptSecret(join(confdir, CLIENT_KEY_FILE), log),
      this.values.adminToken !== "" ? undefined : keptSecret(join(confdir, ADMIN_TOKEN_FILE), log),
    ])
    this.#identityKey = key
    this.#madeToken = token
  }

  /** The page is loaded when somebody asks: most programs that run are never asked. */
  async #served(settings: ProxySettings, { certPem }: Ca): Promise<Serving> {
    const { WebServing } = await import("./serve/serving.ts")
    return new WebServing({
      routes: () => this.addons.routes,
      page: async (request) => {
        const { onboardingAnswer } = await import("./onboarding/page.ts")
        const { host, port } = this.#forHttp()
        return onboardingAnswer(request, { certPem, host, port })
      },
      settings,
      adminToken: this.values.adminToken || (this.#madeToken ?? ""),
      hold: () => {
        const { chain } = this.addons
        chain.acquire()
        return () => chain.release()
      },
      failed: (name, what, error) => reportFailure(this.#options.log, { name }, what, error),
    })
  }

  /** The listener that HTTP clients are pointed at, if there is one, else the first. */
  #forHttp(): ModeListening {
    const all = this.listeners
    const first = all.find(({ mode: { kind } }) => kind === "regular" || kind === "upstream") ?? all[0]
    if (first === undefined) throw new Error("nothing listens")
    return first
  }

  #keyLog(): KeyLog | undefined {
    const { keyLogFile } = this.values
    if (keyLogFile === "") return undefined
    const { log } = this.#options
    log.warn(`TLS secrets are written to ${keyLogFile} (SSLKEYLOGFILE): whoever reads it can read the traffic`)
    return new KeyLog(keyLogFile, (message) => log.warn(message), this.#clock)
  }

  /** Reads the CA now, so that a broken one stops the start. */
  async #readCa(): Promise<Ca> {
    const { loadOrCreateCa } = await import("../certs/ca.ts")
    const ca = await loadOrCreateCa(this.#options.confdir, { clock: () => this.#clock.now() })
    for (const warning of ca.warnings) this.#options.log.warn(warning)
    if (!ca.cert.ca) throw new StartError(`${ca.paths.pem}: the certificate is no CA's`)
    await this.#readSecrets()
    this.#ca = ca
    return ca
  }

  /** Loads what serves clients, which is most of the program, now that they can come: the first ones wait for it. */
  async #serve(settings: ProxySettings, leafOptions: LeafSettings, ca: Ca): Promise<void> {
    const load = this.#options.serving ?? (() => import("./proxy/session/server.ts"))
    const [{ ProxyServer }, leaves, serving] = await Promise.all([
      load(),
      makeLeaves(ca, leafOptions, () => this.#clock.now()),
      this.#served(settings, ca),
    ])
    const server = new ProxyServer({
      settings,
      clock: this.#clock,
      log: this.#options.log,
      redactor: this.#redactor,
      chain: () => this.addons.chain,
      identityKey: this.#identityKey,
      ...leaves,
      serving,
    })
    this.#server = server
    await Promise.all(this.#open.map(({ listener, mode }) => server.serve(listener, mode)))
  }
}

/**
 * No timer of the clock keeps the process alive: it would end in the middle of this, where nothing else is open yet, or any
 * more (a state.db that another program holds is waited for by a timer alone).
 */
async function awake<T>(work: () => Promise<T>): Promise<T> {
  const alive = setInterval(() => {}, ALIVE_MS)
  try {
    return await work()
  } finally {
    clearInterval(alive)
  }
}
