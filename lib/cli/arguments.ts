/**
 * Reads a command line by a command's table of flags. Node's own parser cuts the words (--name value, --name=value,
 * -n value, -nvalue, joined letters, --no-switch); what it found is judged here, as its own messages know nothing of our
 * flags. yargs only lays out the help: loading it costs as long as Node itself takes to start.
 */
import { type ParseArgsConfig, parseArgs } from "node:util"
import { didYouMean } from "../base/did-you-mean.ts"
import { UsageError } from "../base/errors.ts"
import { CommandLine, type Flag, type Flags } from "./command.ts"
import { foreignFlag } from "./foreign-flags.ts"

type Values = Record<string, string | boolean | string[]>

/** A flag as the parser found it. */
interface Given {
  readonly name: string
  /** As typed, with its dashes. */
  readonly rawName: string
  readonly value?: string | undefined
  /** Whether the value was joined to the flag. */
  readonly inlineValue?: boolean | undefined
}

/** Throws a UsageError for a flag that is not in the table, or lacks its value. */
export function readArguments(argv: readonly string[], flags: Flags): CommandLine {
  const end = argv.indexOf("--")
  const own = end < 0 ? argv : argv.slice(0, end)
  const { tokens } = parseArgs({
    args: [...own],
    options: optionsOf(flags),
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const values: Values = {}
  const words: string[] = []
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value)
    else if (token.kind === "option") take(values, token, flags)
  }
  return new CommandLine(values, words, end < 0 ? undefined : argv.slice(end + 1))
}

/** Where the first word stands that is neither a flag nor its value; undefined where there is none before "--". */
export function firstWord(argv: readonly string[], flags: Flags): number | undefined {
  const args = [...argv]
  const { tokens } = parseArgs({ args, options: optionsOf(flags), allowPositionals: true, strict: false, tokens: true })
  const found = tokens.find(({ kind }) => kind !== "option")
  return found?.kind === "positional" ? found.index : undefined
}

function optionsOf(flags: Flags): NonNullable<ParseArgsConfig["options"]> {
  return Object.fromEntries(
    Object.entries(flags).map(([name, { type, alias }]) => {
      const kind = type === "switch" ? ("boolean" as const) : ("string" as const)
      return [name, { type: kind, ...(alias === undefined ? {} : { short: alias }) }]
    }),
  )
}

/** Records one: of a flag that was repeated the last value counts, unless it takes several. */
function take(values: Values, given: Given, flags: Flags): void {
  const { name, rawName, value, inlineValue } = given
  const flag = flagNamed(flags, name)
  if (flag === undefined) {
    const negated = name.startsWith("no-") && value === undefined ? name.slice(3) : ""
    if (flagNamed(flags, negated)?.type !== "switch") throw unknownFlag(rawName, flags)
    values[negated] = false
  } else if (flag.type === "switch") {
    values[name] = switched(name, value)
  } else {
    // A value that looks like a flag is a forgotten value: "--host -p 8080".
    if (value === undefined || (inlineValue !== true && isFlagLike(value))) throw missingValue(name, flag)
    const isShort = !rawName.startsWith("--")
    const text = isShort && inlineValue === true && value.startsWith("=") ? value.slice(1) : value
    const before = values[name]
    values[name] = flag.type !== "list" ? text : Array.isArray(before) ? [...before, text] : [text]
  }
}

function flagNamed(flags: Flags, name: string): Flag | undefined {
  return Object.hasOwn(flags, name) ? flags[name] : undefined
}

function switched(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "true") return true
  if (value === "false") return false
  throw new UsageError(`--${name}=${value}: a switch takes no value; write --${name}, or --no-${name}`)
}

function isFlagLike(text: string): boolean {
  return /^-(-|[A-Za-z])/.test(text)
}

function missingValue(name: string, { value = "VALUE" }: Flag): UsageError {
  return new UsageError(`--${name}: the value is missing, write --${name} ${value}`)
}

/** `given` with its dashes. */
function unknownFlag(given: string, flags: Flags): UsageError {
  const foreign = foreignFlag(given)
  if (foreign !== undefined) return new UsageError(`${given}: no flag of llmproxy's: ${foreign}`)
  const hint = given.startsWith("--")
    ? didYouMean(
        given,
        Object.keys(flags).map((name) => `--${name}`),
      )
    : ""
  return new UsageError(`${given}: no such flag${hint || "; llmproxy --help lists them"}`)
}
