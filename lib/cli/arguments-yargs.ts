/**
 * The rarer forms of a command line, and the help, by yargs. Loaded only when one of them is asked for.
 */
import yargs, { type Argv } from "yargs"
import { UsageError } from "../errors.ts"
import { missingValue, take, unknownFlag } from "./arguments.ts"
import type { Flags, FlagValues } from "./command.ts"

/** A parser that knows the flags, changes nothing behind their backs, and ends no process. */
export function parserFor(flags: Flags): Argv {
  const parser = yargs([]).scriptName("llmproxy").help(false).version(false).exitProcess(false).parserConfiguration({
    "camel-case-expansion": false,
    "dot-notation": false,
    "duplicate-arguments-array": true,
    "flatten-duplicate-arrays": true,
    "greedy-arrays": false,
    "parse-numbers": false,
    "parse-positional-numbers": false,
    "strip-aliased": true,
  })
  for (const [name, flag] of Object.entries(flags)) {
    const kind = flag.type === "switch" ? ({ boolean: true } as const) : ({ string: true, requiresArg: true } as const)
    parser.option(name, { ...kind, ...(flag.alias === undefined ? {} : { alias: flag.alias }) })
  }
  return parser
}

/** Throws a UsageError for a flag that is not in the table, or lacks its value. */
export async function readWithYargs(
  argv: readonly string[],
  flags: Flags,
): Promise<{ values: FlagValues; words: string[] }> {
  const given = await parserFor(flags)
    .fail((message, error) => {
      throw complaint(message ?? error.message, flags)
    })
    .parseAsync(argv)
  const values: Record<string, string | boolean | string[]> = {}
  for (const [name, value] of Object.entries(given)) {
    if (name === "_" || name === "$0" || value === undefined) continue
    const flag = flags[name]
    if (flag === undefined) throw unknownFlag(name.length === 1 ? `-${name}` : `--${name}`, flags)
    if (flag.type === "switch") values[name] = Array.isArray(value) ? value.at(-1) === true : value === true
    else for (const text of [value].flat()) take(values, name, flag, String(text))
  }
  return { values, words: given._.map(String) }
}

/** "Not enough arguments following: p", with the flag's name or its letter. */
function complaint(message: string, flags: Flags): Error {
  const given = /: (\S+)$/.exec(message)?.[1]
  const entry = Object.entries(flags).find(([name, { alias }]) => name === given || alias === given)
  return entry === undefined ? new UsageError(message) : missingValue(...entry)
}
