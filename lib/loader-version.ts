/**
 * Makes one version of an addon: a file is built and evaluated, or a declaration taken as it is; it is judged, its options
 * are resolved, and its `setup` is called. Nothing of it is seen by anybody until loader.ts puts it into the chain.
 */
import { readFile } from "node:fs/promises"
import type { AddonDefinition, TokenService } from "./addon.ts"
import { NO_STORE, type StoreService } from "./addon-store.ts"
import { type LoadedAddon, thrownAt } from "./chain.ts"
import type { Clock } from "./clock.ts"
import { messageOf, UsageError } from "./errors.ts"
import { fingerprint, type ProvidedModules, shownPath } from "./loader-bundle.ts"
import { BundleCache } from "./loader-cache.ts"
import { type AddonSource, type CheckedAddon, checkDefinition, checkExports, checkSetup } from "./loader-check.ts"
import { findNested } from "./loader-find.ts"
import { runAddon } from "./loader-run.ts"
import type { Logger } from "./log.ts"
import type { OptionGroup, OptionStore } from "./option-store.ts"
import { Redactor } from "./secrets.ts"

export interface VersionMakerOptions {
  readonly log: Logger
  readonly clock: Clock
  readonly options: OptionStore
  readonly tokens: TokenService
  /** Default: one that keeps nothing. */
  readonly store?: StoreService
  /** Default: one that knows none of the program's secrets. */
  readonly redactor?: Redactor
  /** What `import ... from "llmproxy"` and "llmproxy/testing" mean: the running instance's namespaces. */
  readonly modules: ProvidedModules
  /** The folder of built addons, so that a start need not build them; it is made when there is something to keep. Default: none. */
  readonly cacheDir?: string
}

export interface Version {
  readonly addon: LoadedAddon
  /** Its own files with the hash of what was read; empty for an addon that the program brings. */
  readonly files: ReadonlyMap<string, string>
  /** The entries of the addons that it names, absolute. */
  readonly nested: readonly string[]
  readonly options: OptionGroup
  /** Ends this version: its context's `signal`. */
  readonly ending: AbortController
}

export class VersionMaker {
  readonly #options: VersionMakerOptions
  readonly #cache: BundleCache | undefined
  /** What addons keep over reloads, by name. */
  readonly #states = new Map<string, Map<string, unknown>>()

  constructor(options: VersionMakerOptions) {
    this.#options = options
    if (options.cacheDir !== undefined) this.#cache = new BundleCache(options.cacheDir, options.log)
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#cache?.written()
  }

  /** `files` is filled with what was read, also when that fails. Throws a UsageError that begins with the file. */
  async fromFile(file: string, files: Map<string, string>): Promise<Version> {
    const { modules, log } = this.#options
    let exported: unknown
    try {
      exported = await runAddon({ entry: file, modules, files, log, cache: this.#cache })
    } catch (error) {
      throw error instanceof UsageError ? error : new UsageError(`${shownPath(file)}: ${failureText(error)}`)
    }
    const source: AddonSource = { file, files: files.keys() }
    return this.#version(checkExports(exported, source), source, files)
  }

  /** A version of an addon that the program brings. */
  fromDefinition(definition: AddonDefinition): Version {
    const source: AddonSource = { file: undefined, files: [] }
    return this.#version(checkDefinition(definition, source), source, new Map())
  }

  #version(checked: CheckedAddon, source: AddonSource, files: ReadonlyMap<string, string>): Version {
    const { name, onError, collect, hold } = checked
    const { file } = source
    const options = this.#options.options.prepare(name, checked.options)
    const nested = file === undefined ? [] : checked.addons(options.values).map((path) => findNested(path, file))
    const ending = new AbortController()
    try {
      const hooks = this.#setUp(checked, source, options, ending.signal)
      return { addon: { name, onError, collect, hold, hooks, file }, files, nested, options, ending }
    } catch (error) {
      ending.abort()
      throw error
    }
  }

  #setUp(
    checked: CheckedAddon,
    source: AddonSource,
    { values }: OptionGroup,
    signal: AbortSignal,
  ): LoadedAddon["hooks"] {
    const { name, setup } = checked
    if (setup === undefined) return checked.hooks
    const { clock, tokens, store: kept = NO_STORE, redactor = new Redactor() } = this.#options
    const log = prefixed(this.#options.log, name)
    let returned: unknown
    try {
      const store = (records: string) => kept.records(name, records)
      const given = { options: values, state: this.#stateOf(name), signal, log, clock, tokens, redactor }
      returned = setup({ ...given, history: kept.history, store })
    } catch (error) {
      const where = source.file === undefined ? "" : `${shownPath(source.file)}: `
      throw new UsageError(`${where}addon "${name}": setup failed: ${failureText(error)}`)
    }
    return checkSetup(returned, checked, source)
  }

  #stateOf(name: string): Map<string, unknown> {
    const state = this.#states.get(name) ?? new Map<string, unknown>()
    this.#states.set(name, state)
    return state
  }
}

/** Whether the files still hold what was read. One that is gone for a moment, while an editor saves, counts as changed. */
export async function isAsRead(files: ReadonlyMap<string, string>): Promise<boolean> {
  const checks = [...files].map(async ([file, hash]) => {
    try {
      return fingerprint(await readFile(file)) === hash
    } catch {
      return false
    }
  })
  return (await Promise.all(checks)).every((same) => same)
}

/** Throws a UsageError when two addons have one name: their options and states would be one. */
export function checkDistinct(versions: readonly Version[]): void {
  const byName = new Map<string, LoadedAddon>()
  for (const { addon } of versions) {
    const other = byName.get(addon.name)
    byName.set(addon.name, addon)
    if (other === undefined) continue
    const places = [other, addon].map(({ file }) => (file === undefined ? "the program itself" : shownPath(file)))
    throw new UsageError(`two addons are named "${addon.name}": ${places.join(" and ")}; give one another name`)
  }
}

/** What was thrown, and the line of the user's that threw it. */
function failureText(error: unknown): string {
  const place = thrownAt(error)
  const kind = error instanceof Error ? `${error.name}: ` : ""
  return `${kind}${messageOf(error)}${place === undefined ? "" : ` (${place})`}`
}

function prefixed(log: Logger, name: string): Logger {
  return {
    debug: (message) => log.debug(`${name}: ${message}`),
    info: (message) => log.info(`${name}: ${message}`),
    warn: (message) => log.warn(`${name}: ${message}`),
    error: (message) => log.error(`${name}: ${message}`),
  }
}
