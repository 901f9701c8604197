/**
 * Options from one declaration: typed values, flag (`--set addon.name=value`), environment, config file, help.
 * This file holds the check of a declaration and the resolution of one group of options; its types are in spec.ts.
 * Where texts come from is sources.ts, how one becomes a value value.ts, live values store.ts.
 */
import { didYouMean } from "../base/did-you-mean.ts"
import { UsageError } from "../base/errors.ts"
import { printable } from "../base/log.ts"
import { environmentNames, type FoundValue, findValue, type OptionSources } from "./sources.ts"
import type { OptionSpec, OptionSpecs, OptionValues } from "./spec.ts"
import { allowedBy, isRecord, readValue } from "./value.ts"

/**
 * The values of one group: an addon's (its name is the prefix) or the program's own (no prefix). Precedence: flag,
 * environment, .env, config file, default. A value that does not fit is a UsageError naming its source.
 */
export function resolveOptions<const O extends OptionSpecs>(
  prefix: string | undefined,
  specs: O,
  sources: OptionSources,
): OptionValues<O> {
  const values: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(specs)) {
    const found = findValue(prefix, name, spec, sources)
    values[name] = found === undefined ? spec.default : given(fullName(prefix, name), spec, found, values)
  }
  // Each value was read by its own spec, which is what the type says.
  return values as OptionValues<O>
}

/** The name that people write: `budget.limit`, or `port` for the program's own. */
export function fullName(prefix: string | undefined, name: string): string {
  return prefix === undefined ? name : `${prefix}.${name}`
}

function given(
  option: string,
  spec: OptionSpec,
  found: FoundValue,
  before: Readonly<Record<string, unknown>>,
): unknown {
  const read = readValue(spec, found.raw)
  if (read.ok) return checked(option, spec, { found, before }, read.value)
  const suggestion = spec.type === "string" ? didYouMean(String(found.raw), spec.choices ?? []) : ""
  throw new UsageError(`${found.given}${found.where}: ${option} must be ${allowedBy(spec)}${suggestion}`)
}

function checked(
  option: string,
  spec: OptionSpec,
  { found, before }: { readonly found: FoundValue; readonly before: Readonly<Record<string, unknown>> },
  value: unknown,
): unknown {
  if (!("check" in spec) || spec.check === undefined) return value
  const [problem, ...others] = spec.check(value, before)
  if (problem === undefined) return value
  const { path, message } = problem
  const within = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("")
  const more =
    others.length === 0 ? "" : ` (and ${others.length} more such ${others.length === 1 ? "fault" : "faults"})`
  // What stands in a file has a line; of a long text in a flag or a variable its beginning says which one it is.
  const place = found.placeOf?.(path) ?? `${found.given}${found.where}`
  throw new UsageError(`${place}: ${option}${printable(within)} ${message}${more}`)
}

/** One line of help. */
export interface OptionRow {
  readonly name: string
  readonly help: string
  /** What may be given, in words. */
  readonly allowed: string
  /** As text; undefined when there is none, or when it is a secret. */
  readonly default: string | undefined
  /** The environment variables that set it, first that wins. */
  readonly environment: readonly string[]
}

export function describeOptions(specs: OptionSpecs, prefix?: string): OptionRow[] {
  return Object.entries(specs).map(([name, spec]) => ({
    name: fullName(prefix, name),
    help: spec.help,
    allowed: allowedBy(spec),
    default: spec.secret === true || spec.default === undefined ? undefined : defaultText(spec.default),
    environment: environmentNames(prefix, name, spec),
  }))
}

function defaultText(value: unknown): string {
  if (Array.isArray(value))
    return value.every((item) => typeof item === "string") ? value.join(",") : JSON.stringify(value)
  return typeof value === "object" ? JSON.stringify(value) : String(value)
}

const OPTION_NAME = /^[a-z][a-zA-Z0-9]*$/
const TYPES = ["string", "integer", "number", "boolean", "list", "json", "items"]
const FIELDS = ["help", "secret", "env", "type", "default", "choices", "min", "max", "check"]

/** Checks a declaration that may come from JavaScript, where no compiler has. Throws a UsageError that names the option. */
export function checkOptionSpecs(specs: unknown): asserts specs is OptionSpecs {
  if (!isRecord(specs)) throw new UsageError(`options must be an object of option declarations`)
  for (const [name, spec] of Object.entries(specs)) {
    const problem = fieldProblem(name, spec) ?? defaultProblem(spec as OptionSpec) // its fields are right by then
    if (problem !== undefined) throw new UsageError(`option "${name}": ${problem}`)
  }
}

function fieldProblem(name: string, spec: unknown): string | undefined {
  if (!OPTION_NAME.test(name)) return "the name must be one camelCase word of letters and digits"
  if (!isRecord(spec)) return 'the declaration must be an object, as in { type: "integer", default: 0, help: "..." }'
  const { type, choices, min, max } = spec
  if (typeof type !== "string" || !TYPES.includes(type)) return `type must be one of ${TYPES.join(", ")}`
  if (typeof spec.help !== "string") return "help must be a sentence"
  const unknown = Object.keys(spec).find((field) => !FIELDS.includes(field))
  if (unknown !== undefined) return `no field named "${unknown}"${didYouMean(unknown, FIELDS)}`
  if (choices !== undefined && !(type === "string" && isTexts(choices))) return "choices must be texts, of a string"
  const bounds = [min, max].filter((bound) => bound !== undefined)
  if (bounds.length > 0 && type !== "integer" && type !== "number") return "min and max are for integer and number"
  if (bounds.some((bound) => typeof bound !== "number")) return "min and max must be numbers"
  const { env, check } = spec
  if (check !== undefined && !(typeof check === "function" && (type === "json" || type === "items")))
    return "check must be a function, of json or items"
  if (env !== undefined && typeof env !== "string" && !isTexts(env)) return "env must be a name or a list of names"
  return undefined
}

function defaultProblem(spec: OptionSpec): string | undefined {
  if (spec.default === undefined) return undefined
  const kind = {
    string: "string",
    integer: "number",
    number: "number",
    boolean: "boolean",
    list: "object",
    json: "object",
    items: "object",
  }
  // A text would be read as if a person had given it, and hooks would get another type than the declaration says.
  const rightKind = typeof spec.default === kind[spec.type]
  if (rightKind && readValue(spec, spec.default).ok) return undefined
  return `the default must be ${allowedBy(spec)}`
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string")
}
