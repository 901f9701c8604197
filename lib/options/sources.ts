/**
 * Where the values of options come from, in order of precedence: flag, environment, .env file, config file.
 * Finds the text that counts and says where it stood; options.ts turns it into a value. Secrets never reach a message.
 */
import { readFileSync } from "node:fs"
import { parseEnv } from "node:util"
import { messageOf, systemCodeOf, UsageError } from "../base/errors.ts"
import { printable } from "../base/log.ts"
import type { OptionSpec } from "./spec.ts"
import { isRecord, type RawValue, splitList } from "./value.ts"

/** Characters of a bad value that a message repeats. */
const SHOWN_CHARS_MAX = 80

export interface OptionSources {
  /** `--set` as typed, in order: "budget.limit=5000". */
  readonly set: readonly string[]
  /** What other flags gave, by the program's own option names: a text, several, or what the flag parser made of it. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly envFile: EnvFile | undefined
  readonly config: ConfigValues | undefined
}

export interface EnvFile {
  readonly path: string
  readonly values: Readonly<Record<string, string | undefined>>
}

export interface ConfigValues {
  readonly path: string
  /** The program's own options by name, an addon's in an object of its own. */
  readonly values: Readonly<Record<string, unknown>>
  /** The line on which the value of a key, or of a key within a key, stands; counted from 1. */
  readonly lineOf?: (...keys: (string | number)[]) => number | undefined
}

/** `config.yaml:3`, for messages. Of a key that is missing, where what it is missing in begins. */
export function placeInConfig({ path, lineOf }: ConfigValues, ...keys: (string | number)[]): string {
  for (let depth = keys.length; depth > 0; depth--) {
    const line = lineOf?.(...keys.slice(0, depth))
    if (line !== undefined) return `${path}:${line}`
  }
  return path
}

export const NO_SOURCES: OptionSources = { set: [], flags: {}, env: {}, envFile: undefined, config: undefined }

export interface FoundValue {
  readonly raw: RawValue
  /** How it was given, for a message: `--set budget.limit=x`. */
  readonly given: string
  /** Where, when `given` does not say it: ` (environment)`. */
  readonly where: string
  /** Where a key within it stands, as in `config.yaml:7`, if it is in a file with lines. */
  readonly placeOf?: (path: readonly (string | number)[]) => string
}

/** The value that counts for one option, or undefined for its default. */
export function findValue(
  prefix: string | undefined,
  name: string,
  spec: OptionSpec,
  sources: OptionSources,
): FoundValue | undefined {
  const shown = (raw: RawValue) => (spec.secret === true ? "***" : shorten(raw))
  return (
    findSet(prefix === undefined ? name : `${prefix}.${name}`, spec, sources.set, shown) ??
    (prefix === undefined ? findFlag(name, sources.flags, shown) : undefined) ??
    findEnvironment(environmentNames(prefix, name, spec), sources.env, "environment", shown) ??
    findEnvironment(environmentNames(prefix, name, spec), sources.envFile?.values, sources.envFile?.path, shown) ??
    findConfig(prefix, name, sources.config, shown)
  )
}

/** `budget.limit` is LLMPROXY_BUDGET_LIMIT, `conductor.maxTokenCount` LLMPROXY_CONDUCTOR_MAX_TOKEN_COUNT; then its own. */
export function environmentNames(prefix: string | undefined, name: string, spec: OptionSpec): string[] {
  const words = prefix === undefined ? name : `${prefix}-${name}`
  const own = words
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .replaceAll("-", "_")
    .toUpperCase()
  return [`LLMPROXY_${own}`, ...[spec.env ?? []].flat()]
}

/** `name=value`, or a bare `name` for a boolean. */
export function parseSet(text: string): { name: string; value: string | undefined } {
  const equals = text.indexOf("=")
  if (equals < 0) return { name: text.trim(), value: undefined }
  return { name: text.slice(0, equals).trim(), value: text.slice(equals + 1) }
}

function findSet(
  option: string,
  spec: OptionSpec,
  texts: readonly string[],
  shown: (raw: RawValue) => string,
): FoundValue | undefined {
  const values: string[] = []
  for (const text of texts) {
    const { name, value } = parseSet(text)
    if (name !== option) continue
    if (value === undefined && spec.type !== "boolean")
      throw new UsageError(`--set ${option}: the value is missing, write --set ${option}=VALUE`)
    values.push(value ?? "true")
  }
  if (values.length === 0) return undefined
  // Of one that was repeated without need the last counts.
  const raw = spec.type === "list" ? values.flatMap(splitList) : values.at(-1)
  return { raw, given: `--set ${option}=${shown(values.at(-1))}`, where: "" }
}

function findFlag(
  name: string,
  flags: OptionSources["flags"],
  shown: (raw: RawValue) => string,
): FoundValue | undefined {
  const raw = flags[name]
  if (raw === undefined) return undefined
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return { raw, given: `--${flag} ${shown(raw)}`, where: "" }
}

function findEnvironment(
  names: readonly string[],
  values: OptionSources["env"] | undefined,
  where: string | undefined,
  shown: (raw: RawValue) => string,
): FoundValue | undefined {
  for (const name of names) {
    const raw = values?.[name]
    // An empty variable is how shells and container files say "not set".
    if (raw !== undefined && raw !== "") return { raw, given: `${name}=${shown(raw)}`, where: ` (${where})` }
  }
  return undefined
}

function findConfig(
  prefix: string | undefined,
  name: string,
  config: ConfigValues | undefined,
  shown: (raw: RawValue) => string,
): FoundValue | undefined {
  if (config === undefined) return undefined
  const group = prefix === undefined ? config.values : config.values[prefix]
  if (group === undefined || group === null) return undefined
  if (!isRecord(group))
    throw new UsageError(
      `${placeInConfig(config, prefix ?? name)}: ${prefix} must hold the addon's options, as in ${prefix}: {${name}: ...}`,
    )
  const raw = group[name]
  if (raw === undefined || raw === null) return undefined
  const option = prefix === undefined ? name : `${prefix}.${name}`
  const keys = prefix === undefined ? [name] : [prefix, name]
  return {
    raw,
    given: `${option}: ${shown(raw)}`,
    where: ` (${placeInConfig(config, ...keys)})`,
    placeOf: (path) => placeInConfig(config, ...keys, ...path),
  }
}

/** Reads a .env file. One that is missing is no error unless the person named it. */
export function readEnvFile(path: string, named: boolean): EnvFile | undefined {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    if (!named && systemCodeOf(error) === "ENOENT") return undefined
    throw new UsageError(`--dotenv ${path}: cannot be read (${systemCodeOf(error) ?? messageOf(error)})`)
  }
  return { path, values: parseEnv(text) }
}

function shorten(raw: RawValue): string {
  const text = printable(typeof raw === "string" ? raw : (JSON.stringify(raw) ?? String(raw)))
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}...` : text
}
