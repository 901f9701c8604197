/**
 * Judges what an addon's file exports before anything of it runs: a mistyped hook that is silently never called is the
 * bug that addon authors lose hours to. Every message has the file, the line where it can be found, and a suggestion.
 */
import { readFileSync } from "node:fs"
import { basename, dirname, extname } from "node:path"
import { types } from "node:util"
import type { AddonDefinition, Asks, FailurePolicy, Reads } from "../api/addon.ts"
import { HOOK_NAMES, type HookName, type Hooks } from "../api/hooks.ts"
import { didYouMean } from "../base/did-you-mean.ts"
import { messageOf, UsageError } from "../base/errors.ts"
import { shownPath } from "../base/shown-path.ts"
import { checkOptionSpecs } from "../options/resolve.ts"
import type { OptionSpecs } from "../options/spec.ts"
import { isRecord } from "../options/value.ts"

export interface CheckedAddon {
  readonly name: string
  readonly onError: FailurePolicy
  readonly options: OptionSpecs
  readonly reads: Reads | undefined
  readonly asks: Asks | undefined
  readonly hold: boolean
  /** Whether it puts keys into requests. Throws a UsageError where that depends on options and is neither. */
  givesKeys(options: Readonly<Record<string, unknown>>): boolean
  /** Paths from the file, as written. Throws a UsageError where they depend on options and are none. */
  addons(options: Readonly<Record<string, unknown>>): readonly string[]
  readonly setup: AddonDefinition["setup"]
  readonly hooks: Partial<Hooks>
}

/** Where an addon's texts are, for messages. */
export interface AddonSource {
  /** The entry; undefined for an addon that the program brings. */
  readonly file: string | undefined
  /** All own files, the entry included. */
  readonly files: Iterable<string>
}

const HOOKS: ReadonlySet<string> = new Set(HOOK_NAMES)
const PROPERTIES = ["name", "onError", "options", "reads", "asks", "givesKeys", "hold", "addons", "setup"]
const KNOWN = [...HOOK_NAMES, ...PROPERTIES]
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/
const HOW = "write export default defineAddon({ ... }), or export functions named like hooks"

/** The declaration that a module holds: its default export, or its exports together. Throws a UsageError. */
export function checkExports(exported: unknown, source: AddonSource): CheckedAddon {
  if (!isRecord(exported)) throw complaint(source, undefined, `exports no addon; ${HOW}`)
  const isModule = types.isModuleNamespaceObject(exported) || Object.hasOwn(exported, "__esModule")
  if (!isModule) return checkDefinition(exported, source)
  if (!Object.hasOwn(exported, "default")) return checkDefinition(namedExports(exported, source), source)
  const beside = Object.keys(exported).find((name) => HOOKS.has(name))
  if (beside !== undefined)
    throw complaint(
      source,
      beside,
      `hook "${beside}" stands beside the default export and would not be called; move it in`,
    )
  return checkDefinition(exported.default, source)
}

/** Judges one declaration, from a file or from the program. Throws a UsageError. */
export function checkDefinition(definition: unknown, source: AddonSource): CheckedAddon {
  if (!isPlain(definition)) throw complaint(source, "default", `the addon is no plain object; ${HOW}`)
  const name = nameOf(definition, source)
  const told = (at: string, text: string) => complaint(source, at, `addon "${name}": ${text}`)
  const {
    onError = "continue",
    options = {},
    reads,
    asks,
    givesKeys = false,
    hold = false,
    addons = [],
    setup,
  } = definition
  for (const key of Object.keys(definition)) {
    if (KNOWN.includes(key)) continue
    const kind = typeof definition[key] === "function" ? "hook" : "property"
    throw told(key, `no ${kind} named "${key}"${adviceFor(key)}`)
  }
  if (onError !== "continue" && onError !== "block") throw told("onError", 'onError must be "continue" or "block"')
  if (reads !== undefined && reads !== "llm" && reads !== "bodies")
    throw told("reads", 'reads must be "llm" or "bodies"')
  if (asks !== undefined && asks !== "requests" && asks !== "everywhere")
    throw told("asks", 'asks must be "requests" or "everywhere"')
  const gives = checkedGiving(givesKeys, definition, told)
  if (typeof hold !== "boolean") throw told("hold", "hold must be true or false")
  const nested = checkedAddons(addons, definition, told)
  if (setup !== undefined && typeof setup !== "function") throw told("setup", "setup must be a function")
  const hooks = hooksOf(definition, told)
  if (setup === undefined && Object.keys(hooks).length === 0 && isPaths(addons) && addons.length === 0)
    throw complaint(source, undefined, `addon "${name}": has no hooks; ${HOW}`)
  const checked = checkedOptions(options, told)
  const run: AddonDefinition["setup"] = setup === undefined ? undefined : (context) => setup.call(definition, context)
  return { name, onError, options: checked, reads, asks, givesKeys: gives, hold, addons: nested, setup: run, hooks }
}

/** What `setup` returned, together with the hooks that stand beside it. */
export function checkSetup(returned: unknown, addon: CheckedAddon, source: AddonSource): Partial<Hooks> {
  const told = (at: string, text: string) => complaint(source, at, `addon "${addon.name}": ${text}`)
  if (returned === undefined) return addon.hooks
  if (types.isPromise(returned)) {
    returned.catch(() => {}) // it is refused whatever becomes of it
    throw told("setup", "setup must not be async; wait for things in the load hook")
  }
  if (!isPlain(returned)) throw told("setup", "setup must return an object of hooks, or nothing")
  for (const key of Object.keys(returned)) {
    if (!HOOKS.has(key)) throw told(key, `no hook named "${key}"${didYouMean(key, HOOK_NAMES)}`)
    if (Object.hasOwn(addon.hooks, key)) throw told(key, `hook "${key}" stands beside setup and is returned by it`)
  }
  return { ...addon.hooks, ...hooksOf(returned, told) }
}

/** What to write in the place of a name that is none. */
function adviceFor(name: string): string {
  return name === "collect" ? '; write reads: "bodies"' : didYouMean(name, KNOWN)
}

type Told = (at: string, text: string) => UsageError

function hooksOf(holder: Readonly<Record<string, unknown>>, told: Told): Partial<Hooks> {
  const hooks: Partial<Record<HookName, unknown>> = {}
  for (const name of HOOK_NAMES) {
    const hook = holder[name]
    if (hook === undefined) continue
    if (typeof hook !== "function") throw told(name, `hook "${name}" must be a function`)
    hooks[name] = hook.bind(holder)
  }
  return hooks as Partial<Hooks> // functions all; what they take is the author's compiler's to check
}

function checkedAddons(addons: unknown, definition: object, told: Told): CheckedAddon["addons"] {
  const wrong = () =>
    told("addons", 'addons must be a list of paths, as in ["./keys.ts"], or a function that gives one')
  if (typeof addons !== "function") {
    if (!isPaths(addons)) throw wrong()
    return () => addons
  }
  return (options) => {
    const given: unknown = addons.call(definition, options)
    if (!isPaths(given)) throw wrong()
    return given
  }
}

function checkedGiving(givesKeys: unknown, definition: object, told: Told): CheckedAddon["givesKeys"] {
  const wrong = () => told("givesKeys", "givesKeys must be true, false, or a function of the options that gives one")
  if (typeof givesKeys === "boolean") return () => givesKeys
  if (typeof givesKeys !== "function") throw wrong()
  return (options) => {
    const given: unknown = givesKeys.call(definition, options)
    if (typeof given !== "boolean") throw wrong()
    return given
  }
}

function checkedOptions(options: unknown, told: Told): OptionSpecs {
  try {
    checkOptionSpecs(options)
    return options
  } catch (error) {
    throw told(/"(\w+)"/.exec(messageOf(error))?.[1] ?? "options", messageOf(error))
  }
}

/** A module may export constants and texts of its own, but no function that looks like a hook and is none. */
function namedExports(exported: Readonly<Record<string, unknown>>, source: AddonSource): Record<string, unknown> {
  const definition: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(exported)) {
    const near = adviceFor(name)
    if (KNOWN.includes(name)) definition[name] = value
    else if (typeof value === "function") throw complaint(source, name, `no hook named "${name}"${near}`)
    else if (near !== "") throw complaint(source, name, `no property named "${name}"${near}`)
  }
  if (Object.keys(definition).length === 0) throw complaint(source, undefined, `exports no addon; ${HOW}`)
  return definition
}

function nameOf(definition: Readonly<Record<string, unknown>>, source: AddonSource): string {
  const name = definition.name ?? (source.file === undefined ? "" : nameOfFile(source.file))
  if (typeof name === "string" && NAME.test(name)) return name
  const shown = typeof name === "string" ? `"${name}"` : String(name)
  const advice = definition.name === undefined && source.file !== undefined ? '; give it one with name: "my-addon"' : ""
  throw complaint(
    source,
    "name",
    `the addon's name ${shown} must be lower-case words joined by hyphens, as in "my-addon"${advice}`,
  )
}

/** `tokenBudget.ts` is "token-budget", `1-redact.ts` is "redact", `budget/index.ts` is "budget". */
function nameOfFile(file: string): string {
  const base = basename(file, extname(file))
  return (base === "index" ? basename(dirname(file)) : base)
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[-0-9]+|-$/g, "")
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (!isRecord(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function isPaths(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string")
}

/** `file:line: text`; the line is where `word` is first written as a name. */
function complaint(source: AddonSource, word: string | undefined, text: string): UsageError {
  const place = word === undefined ? undefined : lineHolding(word, source)
  const file = place ?? (source.file === undefined ? undefined : shownPath(source.file))
  return new UsageError(file === undefined ? text : `${file}: ${text}`)
}

function lineHolding(word: string, source: AddonSource): string | undefined {
  if (source.file === undefined) return undefined
  // A property, a method, a declaration or an export: `word(`, `word:`, `word =`, `"word":`, `{ word }`.
  const written = new RegExp(`(^|[^\\w$.])["']?${word}["']?\\s*([(:=,}]|$)`)
  const files = new Set([source.file, ...source.files])
  for (const file of files) {
    const index = linesOf(file).findIndex((line) => !/^\s*(\/\/|\*|\/\*)/.test(line) && written.test(line))
    if (index >= 0) return `${shownPath(file)}:${index + 1}`
  }
  return undefined
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n")
  } catch {
    return [] // gone since it was read: the message does without a line
  }
}
