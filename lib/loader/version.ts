/**
 * Makes one version of an addon: a file is built and evaluated, or a declaration taken as it is; it is judged, its options
 * are resolved, and its `setup` is called. Nothing of it is seen by anybody until manager.ts puts it into the chain.
 */
import type { AddonDefinition } from "../api/addon.ts"
import { abortOfMany } from "../base/aborts.ts"
import { fullMessageOf, UsageError } from "../base/errors.ts"
import type { Logger } from "../base/log.ts"
import { shownPath } from "../base/shown-path.ts"
import type { OptionGroup, OptionStore } from "../options/store.ts"
import { checkDistinctRoutes, type Route } from "../serve/routes.ts"
import { checkFile } from "./built-from.ts"
import type { ProvidedModules } from "./bundle.ts"
import { BundleCache } from "./cache.ts"
import { type HookScope, type LoadedAddon, plainScope } from "./chain.ts"
import { type AddonSource, type CheckedAddon, checkDefinition, checkExports, checkSetup } from "./check.ts"
import type { DeclaredCommand } from "./commands.ts"
import { contextFor, type GivenContext, type Services } from "./context.ts"
import { compiledOf, findNested, type SearchPlaces } from "./find.ts"
import { type RanAddon, runAddon } from "./run.ts"
import type { SendGate } from "./send-gate.ts"
import { thrownAt } from "./thrown-at.ts"

export interface VersionMakerOptions extends Services {
  readonly options: OptionStore
  /** What `import ... from "llmproxy"`, "llmproxy/templates", "llmproxy/targets" and "llmproxy/testing" mean: the running instance's namespaces. */
  readonly modules: ProvidedModules
  /** The folder of built addons, so that a start need not build them; it is made when there is something to keep. Default: none. */
  readonly cacheDir?: string
  /** Where the program's own addons are compiled. Default: nowhere. */
  readonly places?: SearchPlaces
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
  readonly commands: readonly DeclaredCommand[]
  /** Undefined: it has no `setup`, which is given `send`. */
  readonly sends: SendGate | undefined
  /** What it serves. */
  readonly routes: readonly Route[]
  /** Resolves when what `setup` has asked for is there. Rejects with a UsageError or a StartError. */
  prepared(): Promise<void>
}

export class VersionMaker {
  readonly #options: VersionMakerOptions
  readonly #cache: BundleCache | undefined
  /** What addons keep over reloads, by name. */
  readonly #states = new Map<string, Map<string, unknown>>()
  /** The script of each addon that may still run, see RanAddon. */
  readonly #scripts = new WeakMap<LoadedAddon, object>()

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
    const { modules, log, places } = this.#options
    let ran: RanAddon
    try {
      const compiled = places === undefined ? undefined : compiledOf(file, places)
      ran = await runAddon({ entry: file, modules, files, log, cache: this.#cache, compiled })
    } catch (error) {
      throw error instanceof UsageError ? error : new UsageError(`${shownPath(file)}: ${addonFailure(error)}`)
    }
    const source: AddonSource = { file, files: files.keys() }
    const version = this.#version(checkExports(ran.exported, source), source, files)
    if (ran.script !== undefined) this.#scripts.set(version.addon, ran.script)
    return version
  }

  /** A version of an addon that the program brings. */
  fromDefinition(definition: AddonDefinition): Version {
    const source: AddonSource = { file: undefined, files: [] }
    return this.#version(checkDefinition(definition, source), source, new Map())
  }

  #version(checked: CheckedAddon, source: AddonSource, files: ReadonlyMap<string, string>): Version {
    const { name, onError, reads, asks, hold } = checked
    const { file } = source
    const options = this.#options.options.prepare(name, checked.options)
    const nested = file === undefined ? [] : checked.addons(options.values).map((path) => findNested(path, file))
    const ending = abortOfMany()
    try {
      const made = this.#setUp(checked, source, options, ending.signal)
      const givesKeys = checked.givesKeys(options.values)
      const addon = { name, onError, reads, asks, givesKeys, hold, hooks: made.hooks, file }
      const { commands, routes, sends, prepared } = made
      return { addon, files, nested, options, ending, commands, sends, routes, prepared }
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
  ): Pick<LoadedAddon, "hooks"> & Pick<Version, "commands" | "routes" | "sends" | "prepared"> {
    const { name, setup } = checked
    if (setup === undefined)
      return { hooks: checked.hooks, commands: [], routes: [], sends: undefined, prepared: () => Promise.resolve() }
    const given = contextFor(name, this.#options, { options: values, state: this.#stateOf(name), signal })
    let returned: unknown
    try {
      returned = setup(given.context)
    } catch (error) {
      throw new UsageError(`${whereOf(source)}addon "${name}": setup failed: ${addonFailure(error)}`)
    }
    given.isDone()
    const hooks = checkSetup(returned, checked, source)
    const { commands, routes, sends } = given
    return { hooks, commands, routes, sends, prepared: () => preparedFor(given, source) }
  }

  #stateOf(name: string): Map<string, unknown> {
    const state = this.#states.get(name) ?? new Map<string, unknown>()
    this.#states.set(name, state)
    return state
  }
}

/** The hooks of a version's life, which belong to no flow: while one awaits what it has sent, its time stands still. */
export function lifeScope(versions: readonly Version[], log: Logger, failed: HookScope["failed"]): HookScope {
  const viewFor = (addon: LoadedAddon) => versions.find((version) => version.addon === addon)?.sends?.life
  return { ...plainScope(log), viewFor, failed }
}

/** Whether the files still hold what was read. One that is gone for a moment, while an editor saves, counts as changed. */
export function isAsRead(files: ReadonlyMap<string, string>): boolean {
  try {
    for (const [file, hash] of files) checkFile(file, hash)
    return true
  } catch {
    return false
  }
}

/** Throws a UsageError when two addons have one name (their options and states would be one) or serve one path. */
export function checkDistinct(versions: readonly Version[]): void {
  const byName = new Map<string, LoadedAddon>()
  for (const { addon } of versions) {
    const other = byName.get(addon.name)
    byName.set(addon.name, addon)
    if (other === undefined) continue
    const places = [other, addon].map(({ file }) => (file === undefined ? "the program itself" : shownPath(file)))
    throw new UsageError(`two addons are named "${addon.name}": ${places.join(" and ")}; give one another name`)
  }
  checkDistinctRoutes(versions.flatMap(({ routes }) => routes))
}

/** With the file in front, as other complaints of its loading. */
async function preparedFor({ prepared }: GivenContext, source: AddonSource): Promise<void> {
  try {
    await prepared()
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(whereOf(source) + error.message) : error
  }
}

function whereOf({ file }: AddonSource): string {
  return file === undefined ? "" : `${shownPath(file)}: `
}

/** What was thrown, and the line of the user's that threw it. */
export function addonFailure(error: unknown): string {
  const place = thrownAt(error)
  // What one of our own calls has against its arguments is said in words alone.
  const kind = error instanceof Error && !(error instanceof UsageError) ? `${error.name}: ` : ""
  return `${kind}${fullMessageOf(error)}${place === undefined ? "" : ` (${place})`}`
}
