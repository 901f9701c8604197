/**
 * Owns the addons: loads them, keeps the present chain of hooks, and replaces an addon when a file of it changes.
 * A new version is made beside the old one, and only when all of it worked does it take the old one's place, so that
 * a slip while editing never takes the proxy down. Flows that run finish on the version that they began with.
 * How a file becomes a version is version.ts.
 */
import { extname } from "node:path"
import type { AddonDefinition } from "../api/addon.ts"
import { messageOf, UsageError } from "../base/errors.ts"
import { shownPath } from "../base/shown-path.ts"
import type { OptionSources } from "../options/sources.ts"
import { type RouteTable, routeTable } from "../serve/docs.ts"
import { describeFailure, HookChain, type LoadedAddon, plainScope, reportFailure } from "./chain.ts"
import { checkDistinctCommands, type DeclaredCommand } from "./commands.ts"
import { findAddon } from "./find.ts"
import type { AddonManagerOptions, Failure, Reconfiguration, ReloadResult } from "./manager-types.ts"
import { checkDistinct, isAsRead, lifeScope, type Version, VersionMaker } from "./version.ts"
import { FileWatcher } from "./watch.ts"

const CODE = new Set([".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx", ".json"])

export class AddonManager {
  readonly #options: AddonManagerOptions
  /** What was asked for, in order: a file, or an addon of the program's. */
  readonly #roots: (string | Version)[] = []
  readonly #maker: VersionMaker
  /** The last try to replace an addon, by its file, where it failed. */
  readonly #failures = new Map<string, Failure>()
  /** Chains without new flows that still have running ones. */
  readonly #retired = new Set<HookChain>()
  /** Replaced versions whose `done` waits for those. */
  readonly #replaced = new Set<Version>()
  readonly #listeners = new Set<(results: readonly ReloadResult[]) => void>()
  readonly #watcher: FileWatcher | undefined
  readonly #forgetOptions: () => void
  #versions: readonly Version[] = []
  /** Those of which no hook runs. */
  #prepared: readonly Version[] = []
  #chain: HookChain
  #routes = routeTable([])
  #isRunning = false
  #isClosed = false
  /** Listeners are being told of values of which the addons know. */
  #isTelling = false
  /** Loads and reloads, one at a time. */
  #queue: Promise<unknown> = Promise.resolve()
  #dones: Promise<void>[] = []

  constructor(options: AddonManagerOptions) {
    this.#options = options
    this.#maker = new VersionMaker(options)
    this.#chain = this.#chainOf([])
    this.#forgetOptions = options.options.onChange((changed) => {
      if (!this.#isTelling) void this.#runQuietly("configure", changed)
    })
    if (!options.watch) return
    this.#watcher = new FileWatcher({
      clock: options.clock,
      log: options.log,
      onChange: () => void this.reload(),
      // A failed build may have missed a file that it could not name; then new code beside it is a reason to try again.
      cares: (file) => this.#failures.size > 0 && CODE.has(extname(file)),
    })
  }

  /** The hooks as they are now. A flow takes it once, at its begin, and holds it with `acquire` and `release`. */
  get chain(): HookChain {
    return this.#chain
  }

  /** What addons serve as it is now: of the same versions as the chain. */
  get routes(): RouteTable {
    return this.#routes
  }

  /** Adds an addon of the program's own, or the absolute path of one, behind those that are there. To be called before `load`. */
  add(addon: AddonDefinition | string): void {
    this.#roots.push(typeof addon === "string" ? addon : this.#maker.fromDefinition(addon))
  }

  /** Loads what `-s` names, in order, runs `load` and `configure`. Throws a UsageError; then nothing is loaded. */
  load(scripts: readonly string[]): Promise<void> {
    return this.#enqueue(async () => await this.#setRoots([...this.#roots, ...this.#found(scripts)]))
  }

  #found(scripts: readonly string[]): string[] {
    return scripts.map((script) => findAddon(script, this.#options.places))
  }

  /** Loads those that are not loaded, and lets go of those that are not named any more. */
  async #setRoots(roots: readonly (string | Version)[]): Promise<void> {
    const before = [...this.#roots]
    const present = new Set(this.#versions.map(({ addon }) => addon.name))
    this.#roots.splice(0, before.length, ...new Set(roots))
    let made: readonly Version[] = []
    try {
      await this.#replace(new Map(), new Map(), (versions) => {
        made = versions
        this.#adopt(versions)
      })
    } catch (error) {
      this.#roots.splice(0, this.#roots.length, ...before)
      for (const { addon } of made) if (!present.has(addon.name)) this.#options.options.drop(addon.name)
      throw error
    }
  }

  /** Their options are the program's from now on. Throws a UsageError where names are wrong. */
  #adopt(versions: readonly Version[]): void {
    checkDistinctCommands(versions.flatMap(({ commands }) => commands))
    for (const { options } of versions) this.#options.options.adopt(options)
    this.#options.options.checkNames()
  }

  /**
   * Sets up what `-s` names and runs no hook of it, for who only asks what is there, or runs a command. Instead of `load`,
   * and throws as it does.
   */
  prepare(scripts: readonly string[]): Promise<void> {
    return this.#enqueue(async () => {
      this.#roots.push(...new Set(this.#found(scripts)))
      const made = new Map<string, Version>()
      try {
        const versions = await this.#assemble(made, new Map())
        checkDistinct(versions)
        this.#adopt(versions)
        this.#prepared = versions
      } catch (error) {
        for (const { ending } of made.values()) ending.abort()
        throw error
      }
    })
  }

  /** Those of the addons that are prepared. */
  get commands(): readonly DeclaredCommand[] {
    return this.#prepared.flatMap(({ commands }) => commands)
  }

  /** Resolves when what a prepared addon has asked for is there. Rejects as its load would. */
  async ready(name: string): Promise<void> {
    await this.#prepared.find(({ addon }) => addon.name === name)?.prepared()
  }

  /**
   * Takes new values, and with `scripts` other addons. `judge` and each addon's `configure` may refuse them by throwing: then
   * all is as it was, and those that had heard of the new values hear of the old ones. Resolves to the full names of what
   * changed. Rejects with a UsageError; flows may have seen the new values for as long as `configure` took.
   */
  reconfigure(sources: OptionSources, { judge, scripts }: Reconfiguration): Promise<ReadonlySet<string>> {
    return this.#enqueue(async () => {
      const { options } = this.#options
      const change = options.change(sources)
      try {
        judge()
        const wanted = scripts()
        if (wanted === undefined) options.checkNames()
        if (change.names.size > 0) await this.#configure(change.names)
        const own = this.#roots.filter((root) => typeof root !== "string")
        if (wanted !== undefined) await this.#setRoots([...own, ...this.#found(wanted)])
      } catch (error) {
        change.undo()
        if (change.names.size > 0) await this.#runQuietly("configure", change.names)
        throw error
      }
      this.#isTelling = true
      change.tell()
      this.#isTelling = false
      return change.names
    })
  }

  /** Tells all addons of new values. Throws a UsageError for the first that will not have them. */
  async #configure(names: ReadonlySet<string>): Promise<void> {
    const scope = lifeScope(this.#versions, this.#options.log, (addon, hook, error) => {
      throw new UsageError(describeFailure(addon, hook, error))
    })
    await this.#chain.run("configure", scope, names)
  }

  /** The proxy listens: runs `running`. Addons that come later get it at once. */
  async running(): Promise<void> {
    this.#isRunning = true
    for (const { addon, sends } of this.#versions) sends?.begin(addon)
    await this.#runQuietly("running")
  }

  /** Replaces each addon of which a file's content has changed. Never rejects; a failure is logged and told. */
  reload(): Promise<readonly ReloadResult[]> {
    return this.#enqueue(async () => {
      const results: ReloadResult[] = []
      for (const { addon } of this.#versions) {
        const result = addon.file === undefined ? undefined : await this.#reloadFile(addon.file)
        if (result !== undefined) results.push(result)
      }
      if (results.length > 0) for (const listener of this.#listeners) listener(results)
      return results
    })
  }

  /** Calls `listener` after each reload that did something. Returns how to stop that. */
  onReload(listener: (results: readonly ReloadResult[]) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Ends all addons: their signals, then `done`, waited for. To be called when the last flow has ended. */
  close(): Promise<void> {
    this.#watcher?.close()
    this.#forgetOptions()
    return this.#enqueue(async () => {
      if (this.#isClosed) return
      this.#isClosed = true
      const versions = [...this.#replaced, ...this.#versions]
      for (const { ending } of [...versions, ...this.#prepared]) ending.abort()
      this.#retired.clear()
      this.#replaced.clear()
      this.#versions = []
      this.#chain = this.#chainOf([])
      for (const version of versions) await this.#done(version)
      await Promise.all([...this.#dones, this.#maker.settled()])
    })
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => {})
    return result
  }

  async #reloadFile(file: string): Promise<ReloadResult | undefined> {
    const version = this.#versions.find(({ addon }) => addon.file === file)
    if (version === undefined || this.#isClosed) return undefined // dropped by a reload of the addon that named it
    const { name } = version.addon
    if (isAsRead(version.files)) {
      // The person took the slip back: the running version is what the files say.
      if (this.#failures.delete(file)) this.#watch()
      return undefined
    }
    const start = this.#options.clock.monotonic()
    const read = new Map<string, string>()
    try {
      const fresh = await this.#make(file, read)
      await this.#replace(new Map([[file, fresh]]), read, () => {})
    } catch (error) {
      return this.#failed(name, file, { files: read, message: messageOf(error) })
    }
    this.#failures.delete(file)
    this.#watch()
    const took = Math.round(this.#options.clock.monotonic() - start)
    this.#options.log.info(`addon "${name}": reloaded from ${shownPath(file)} in ${took} ms`)
    return { name, file, outcome: "reloaded", message: undefined }
  }

  #failed(name: string, file: string, failure: Failure): ReloadResult | undefined {
    const before = this.#failures.get(file)
    this.#failures.set(file, failure)
    this.#watch()
    // Tried again because something beside it changed, with the same end: said once.
    if (before?.message === failure.message) return undefined
    const text = `addon "${name}" was not reloaded and runs on as it was: ${failure.message}`
    for (const line of text.split("\n")) this.#options.log.error(line) // the place, then the line that stands there
    return { name, file, outcome: "failed", message: failure.message }
  }

  /**
   * Brings in new versions: makes those that are missing, runs their first hooks, then swaps the chain in one step.
   * Whatever throws before that step leaves everything as it was.
   */
  async #replace(
    fresh: Map<string, Version>,
    read: Map<string, string>,
    check: (versions: readonly Version[]) => void,
  ): Promise<void> {
    const started: Version[] = []
    try {
      const versions = await this.#assemble(fresh, read)
      checkDistinct(versions)
      check(versions)
      const news = versions.filter((version) => !this.#versions.includes(version))
      for (const version of news) {
        await this.#start(version)
        started.push(version)
      }
      this.#swap(versions)
    } catch (error) {
      const made = new Set([...fresh.values(), ...started])
      for (const { ending } of made) ending.abort()
      for (const version of started) await this.#done(version)
      throw error
    }
  }

  /** Makes a version; `read` learns of its files even if that fails, because then they are what to watch. */
  async #make(file: string, read: Map<string, string>): Promise<Version> {
    const files = new Map<string, string>()
    try {
      return await this.#maker.fromFile(file, files)
    } finally {
      for (const [path, hash] of files) read.set(path, hash)
    }
  }

  /** All addons in order, each before those that it names. New ones are put into `fresh`. */
  async #assemble(fresh: Map<string, Version>, read: Map<string, string>): Promise<Version[]> {
    const present = new Map(this.#versions.map((version) => [version.addon.file, version]))
    const versions: Version[] = []
    const seen = new Set<string>()
    const visit = async (file: string) => {
      if (seen.has(file)) return // twice named, or a circle
      seen.add(file)
      const version = fresh.get(file) ?? present.get(file) ?? (await this.#make(file, read))
      if (version !== present.get(file)) fresh.set(file, version)
      versions.push(version)
      for (const nested of version.nested) await visit(nested)
    }
    for (const root of this.#roots) {
      if (typeof root === "string") await visit(root)
      else versions.push(root)
    }
    return versions
  }

  /** The first hooks of a new version. Their failure is the version's, whatever `onError` says. */
  async #start(version: Version): Promise<void> {
    const { addon, options, sends } = version
    await version.prepared()
    const chain = this.#chainOf([addon])
    const where = addon.file === undefined ? "" : `${shownPath(addon.file)}: `
    const scope = lifeScope([version], this.#options.log, (_addon, hook, error) => {
      throw new UsageError(where + describeFailure(addon, hook, error))
    })
    await chain.run("load", scope)
    await chain.run("configure", scope, options.names)
    if (!this.#isRunning) return
    sends?.begin(addon)
    await chain.run("running", scope)
  }

  #swap(versions: readonly Version[]): void {
    const gone = this.#versions.filter((version) => !versions.includes(version))
    const names = new Set(versions.map(({ addon }) => addon.name))
    for (const { addon } of gone) if (!names.has(addon.name)) this.#options.options.drop(addon.name)
    for (const { options } of versions) this.#options.options.adopt(options)
    const old = this.#chain
    this.#versions = versions
    this.#chain = this.#chainOf(versions.map(({ addon }) => addon))
    this.#routes = routeTable(versions.flatMap(({ routes }) => routes))
    for (const version of gone) {
      version.ending.abort()
      this.#replaced.add(version)
    }
    this.#retired.add(old)
    old.onIdle(() => {
      if (this.#retired.delete(old)) this.#endReplaced()
    })
    this.#watch()
  }

  /** Runs `done` of the replaced versions that no running flow knows any more. */
  #endReplaced(): void {
    for (const version of this.#replaced) {
      if ([...this.#retired].some((chain) => chain.addons.includes(version.addon))) continue
      this.#replaced.delete(version)
      const done = this.#done(version).then(() => {
        this.#dones = this.#dones.filter((other) => other !== done)
      })
      this.#dones.push(done)
    }
  }

  async #done({ addon }: Version): Promise<void> {
    try {
      await this.#chainOf([addon]).run("done", plainScope(this.#options.log))
    } catch {
      // plainScope has logged it, and there is nothing left to stop.
    }
  }

  /** Runs a hook of all addons that stops nothing. */
  async #runQuietly(hook: "running"): Promise<void>
  async #runQuietly(hook: "configure", changed: ReadonlySet<string>): Promise<void>
  async #runQuietly(hook: "running" | "configure", changed: ReadonlySet<string> = new Set()): Promise<void> {
    const chain = this.#chain
    const { log } = this.#options
    const scope = lifeScope(this.#versions, log, (...what) => reportFailure(log, ...what))
    await (hook === "running" ? chain.run(hook, scope) : chain.run(hook, scope, changed))
  }

  #watch(): void {
    const maps = [...this.#versions, ...this.#failures.values()].map(({ files }) => files)
    this.#watcher?.set(maps.flatMap((files) => [...files.keys()]))
  }

  #chainOf(addons: readonly LoadedAddon[]): HookChain {
    const { clock, budgetMs, log } = this.#options
    return new HookChain(addons, { clock, budgetMs, log })
  }
}
