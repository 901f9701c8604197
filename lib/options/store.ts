/**
 * The present values of every option. Groups (an addon's options, the program's own) hand out live objects, so that an
 * addon keeps one object and always reads the present value. A change is all or nothing: a bad value changes no other.
 */
import { didYouMean } from "../base/did-you-mean.ts"
import { UsageError } from "../base/errors.ts"
import { printable } from "../base/log.ts"
import { percentDecoded } from "../base/percent.ts"
import { isSecretMember } from "../base/secrets/members.ts"
import { describeOptions, fullName, type OptionRow, resolveOptions } from "./resolve.ts"
import { type ConfigValues, type OptionSources, parseSet, placeInConfig } from "./sources.ts"
import type { OptionSpecs, OptionValues } from "./spec.ts"
import { isRecord } from "./value.ts"

/** One prefix, its declaration, and its values: live once the group is adopted. */
export interface OptionGroup<O extends OptionSpecs = OptionSpecs> {
  readonly prefix: string | undefined
  readonly specs: O
  readonly values: OptionValues<O>
  /** The full names of its options. */
  readonly names: ReadonlySet<string>
}

/** New values that are in place, and of which nobody has been told. */
export interface OptionChange {
  /** The full names of what changed. */
  readonly names: ReadonlySet<string>
  /** Puts the old values back. */
  readonly undo: () => void
  readonly tell: () => void
}

interface Held {
  readonly group: OptionGroup
  readonly replace: (values: Readonly<Record<string, unknown>>) => void
}

/** How the variables of our options begin; one is no option, as it says where the config file is. */
const OWN_VARIABLE = "LLMPROXY_"
const CONFDIR_VARIABLE = "LLMPROXY_CONFDIR"
/** `user:password` in a URL. */
const URL_USER = /:\/\/([^/@]*)@/
const DATABASE = /^postgres(?:ql)?:\/\//i
/** In `--mode`: a URL without credentials, and a port to listen on behind any, which make a host look like a user. */
const REVERSE = /^reverse:/i
const LISTEN_PORT = /^(upstream:.*)@\d+$/is

/** The password of `user:password`, decoded as in a URL; a text without a colon is one itself. */
function passwordIn(user = ""): string {
  return percentDecoded(user.slice(user.indexOf(":") + 1))
}

function userIn(text: string): string | undefined {
  const user = REVERSE.test(text) ? undefined : URL_USER.exec(text.replace(LISTEN_PORT, "$1"))?.[1]
  // Of a proxy a user alone may be a token; of a database it is a name.
  return DATABASE.test(text) && user?.includes(":") !== true ? undefined : user
}

/** A value that names a variable in place of a key, which is no secret. */
const REFERENCE = /^env \w+$/

/** Within structured options: what is named like a secret, and passwords in URLs. */
function secretsWithin(value: unknown, isSecret: boolean): string[] {
  if (typeof value === "string") {
    const password = passwordIn(userIn(value))
    return isSecret && !REFERENCE.test(value) ? [value, password] : [password]
  }
  if (Array.isArray(value)) return value.flatMap((item) => secretsWithin(item, isSecret))
  if (!isRecord(value)) return []
  return Object.entries(value).flatMap(([name, inner]) =>
    secretsWithin(inner, isSecret || name === "key" || isSecretMember(name)),
  )
}

export class OptionStore {
  #sources: OptionSources
  readonly #held = new Map<string | undefined, Held>()
  readonly #prepared = new WeakMap<OptionGroup, Held>()
  readonly #listeners = new Set<(changed: ReadonlySet<string>) => void>()
  /** Values of variables that were read for a key. */
  readonly #variables = new Map<string, string>()

  constructor(sources: OptionSources) {
    this.#sources = sources
  }

  /** Declares options and gives their live values. A prefix that is declared again replaces what it was. */
  define<const O extends OptionSpecs>(prefix: string | undefined, specs: O): OptionValues<O> {
    const group = this.prepare(prefix, specs)
    this.adopt(group)
    return group.values
  }

  /** The first half of `define`, for a version of an addon that may yet fail to load: it is not listed, nor updated. */
  prepare<const O extends OptionSpecs>(prefix: string | undefined, specs: O): OptionGroup<O> {
    let present: Readonly<Record<string, unknown>> = resolveOptions(prefix, specs, this.#sources)
    const values = {}
    const names = Object.keys(specs)
    for (const name of names) Object.defineProperty(values, name, { enumerable: true, get: () => present[name] })
    const group: OptionGroup<O> = {
      prefix,
      specs,
      values: Object.freeze(values) as OptionValues<O>, // has exactly the getters that `specs` names
      names: new Set(names.map((name) => fullName(prefix, name))),
    }
    const replace = (next: Readonly<Record<string, unknown>>) => {
      present = next
    }
    this.#prepared.set(group, { group, replace })
    return group
  }

  /** The second half of `define`. */
  adopt(group: OptionGroup): void {
    const held = this.#prepared.get(group)
    if (held === undefined) throw new Error(`options of ${group.prefix}: prepared by another store`)
    this.#held.set(group.prefix, held)
  }

  /** Forgets a group: its addon is gone. */
  drop(prefix: string | undefined): void {
    this.#held.delete(prefix)
  }

  /** Reads everything again. Returns the full names of what changed, and tells the listeners. On an error nothing changes. */
  update(sources: OptionSources): ReadonlySet<string> {
    const { names, tell } = this.change(sources)
    tell()
    return names
  }

  /** The same in two steps: the new values are there, and may be taken back before anybody is told. */
  change(sources: OptionSources): OptionChange {
    const before = this.#sources
    const resolved = [...this.#held.values()].map((held) => {
      const { prefix, specs, values } = held.group
      return { held, old: { ...values }, values: resolveOptions(prefix, specs, sources) }
    })
    const names = new Set<string>()
    for (const { held, old, values } of resolved) {
      for (const [name, value] of Object.entries(values))
        if (JSON.stringify(value) !== JSON.stringify(old[name])) names.add(fullName(held.group.prefix, name))
      held.replace(values)
    }
    this.#sources = sources
    return {
      names,
      undo: () => {
        for (const { held, old } of resolved) held.replace(old)
        this.#sources = before
      },
      tell: () => {
        if (names.size > 0) for (const listener of this.#listeners) listener(names)
      },
    }
  }

  /** Calls `listener` after each update that changed something. Returns how to stop that. */
  onChange(listener: (changed: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Throws a UsageError for a name that somebody set and nobody declares. To be called once all groups are there. */
  checkNames(): void {
    for (const text of this.#sources.set) this.#checkSet(parseSet(text).name)
    const { config } = this.#sources
    if (config === undefined) return
    for (const [key, value] of Object.entries(config.values)) this.#checkConfig(config, key, value)
  }

  /** What the config file says of addons that are not loaded, and variables that are no option's: a line each. */
  unused(): string[] {
    return [...this.#unusedSettings(), ...this.#unusedVariables()]
  }

  #unusedVariables(): string[] {
    const { env, envFile } = this.#sources
    const names = new Set(this.describe().flatMap(({ environment }) => environment))
    const places: readonly (readonly [where: string, values: typeof env | undefined])[] = [
      ["environment", env],
      [envFile?.path ?? "", envFile?.values],
    ]
    return places.flatMap(([where, values = {}]) =>
      Object.keys(values)
        .filter((name) => name.startsWith(OWN_VARIABLE) && name !== CONFDIR_VARIABLE && !names.has(name))
        .map((name) => {
          const hint = didYouMean(name, names)
          return `${printable(name)} (${where}): no option of what is loaded has this name, so that it counts for nothing${hint}`
        }),
    )
  }

  #unusedSettings(): string[] {
    const { config } = this.#sources
    const own = this.#held.get(undefined)?.group.names ?? new Set<string>()
    return Object.entries(config?.values ?? {}).flatMap(([name, value]) => {
      if (config === undefined || own.has(name) || this.#held.has(name) || !isRecord(value)) return []
      const hint = didYouMean(name, this.#prefixes()) || `; -s ${name} loads one that llmproxy brings`
      return [
        `${placeInConfig(config, name)}: no addon named "${name}" is loaded, so that its settings count for nothing${hint}`,
      ]
    })
  }

  /**
   * What a variable says, in the environment or else the .env file; an empty one is not set. It is read for a key, so that its
   * value is a secret from then on: `onSecret` is called when there is one.
   */
  variable(name: string, onSecret?: () => void): string | undefined {
    const { env, envFile } = this.#sources
    const value = env[name] || envFile?.values[name] || undefined
    if (value === undefined) return undefined
    this.#variables.set(name, value)
    onSecret?.()
    return value
  }

  /** The values of secret options, and passwords in the URLs of others: what must be shown nowhere. */
  secrets(): string[] {
    const ofOptions = [...this.#held.values()].flatMap(({ group: { specs, values } }) => {
      return Object.entries(specs).flatMap(([name, spec]) => {
        const value: unknown = values[name]
        if (spec.type === "json" || spec.type === "items") return secretsWithin(value, spec.secret === true)
        const texts = (Array.isArray(value) ? value : [value]).filter((text) => typeof text === "string")
        return texts.flatMap((text) => (spec.secret === true ? [text, passwordIn(text)] : passwordIn(userIn(text))))
      })
    })
    return [...ofOptions, ...this.#variables.values()]
  }

  /** Help for all options, the program's own first. */
  describe(): OptionRow[] {
    const groups = [...this.#held.values()].map(({ group }) => group)
    groups.sort((a, b) => Number(a.prefix !== undefined) - Number(b.prefix !== undefined))
    return groups.flatMap((group) => describeOptions(group.specs, group.prefix))
  }

  #checkSet(name: string): void {
    const dot = name.indexOf(".")
    const prefix = dot < 0 ? undefined : name.slice(0, dot)
    const known = this.#held.get(prefix)?.group.names
    if (known?.has(name)) return
    const all = [...this.#held.values()].flatMap(({ group }) => [...group.names])
    if (prefix === undefined) throw new UsageError(`--set ${name}: no such option${didYouMean(name, all)}`)
    if (known !== undefined)
      throw new UsageError(`--set ${name}: addon "${prefix}" has no such option${didYouMean(name, known)}`)
    const hint = didYouMean(prefix, this.#prefixes()) || "; load it with -s"
    throw new UsageError(`--set ${name}: no addon named "${prefix}" is loaded${hint}`)
  }

  #checkConfig(config: ConfigValues, key: string, value: unknown): void {
    const own = this.#held.get(undefined)?.group.names ?? new Set<string>()
    if (own.has(key)) return
    const group = this.#held.get(key)?.group
    if (group === undefined) {
      // An object is for an addon that is not loaded this time (`unused` tells): one config file serves every start.
      if (isRecord(value)) return
      throw new UsageError(
        `${placeInConfig(config, key)}: no option named "${key}"${didYouMean(key, [...own, ...this.#prefixes()])}`,
      )
    }
    for (const name of Object.keys(isRecord(value) ? value : {})) {
      if (group.names.has(`${key}.${name}`)) continue
      const hint = didYouMean(name, Object.keys(group.specs))
      throw new UsageError(
        `${placeInConfig(config, key, name)}: ${key}: addon "${key}" has no option named "${name}"${hint}`,
      )
    }
  }

  #prefixes(): string[] {
    return [...this.#held.keys()].filter((prefix) => prefix !== undefined)
  }
}
