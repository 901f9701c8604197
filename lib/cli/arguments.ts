/**
 * Reads a command line by a command's table of flags. The plain forms (--name value, --name=value, -n value, -nvalue,
 * switches) are read here, because loading yargs costs as long as Node itself takes to start; yargs reads what is left
 * (joined letters, negated switches). A test holds the two against each other.
 */
import { didYouMean } from "../did-you-mean.ts"
import { UsageError } from "../errors.ts"
import { CommandLine, type Flag, type Flags, type FlagValues } from "./command.ts"

type Values = Record<string, string | boolean | string[]>

/** Throws a UsageError for a flag that is not in the table, or lacks its value. */
export async function readArguments(argv: readonly string[], flags: Flags): Promise<CommandLine> {
  const end = argv.indexOf("--")
  const own = end < 0 ? argv : argv.slice(0, end)
  const rest = end < 0 ? undefined : argv.slice(end + 1)
  const plain = readPlain(own, flags)
  if (plain !== undefined) return new CommandLine(plain.values, plain.words, rest)
  const { readWithYargs } = await import("./arguments-yargs.ts")
  const read = await readWithYargs(own, flags)
  return new CommandLine(read.values, read.words, rest)
}

/** The line, or undefined where it has a form that is left to yargs. Throws a UsageError as above. */
export function readPlain(argv: readonly string[], flags: Flags): { values: FlagValues; words: string[] } | undefined {
  const values: Values = {}
  const words: string[] = []
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ""
    if (!word.startsWith("-") || word === "-") {
      words.push(word)
      continue
    }
    const found = word.startsWith("--") ? longFlag(word, flags) : shortFlag(word, flags)
    if (found === undefined) return undefined
    const { name, flag } = found
    if (flag.type === "switch") {
      if (found.value !== undefined) return undefined
      values[name] = true
      continue
    }
    const value = found.value ?? argv[++i]
    // A value that looks like a flag is a forgotten value: "--host -p 8080".
    if (value === undefined || (found.value === undefined && isFlagLike(value))) throw missingValue(name, flag)
    take(values, name, flag, value)
  }
  return { values, words }
}

interface Found {
  readonly name: string
  readonly flag: Flag
  /** What was joined to the flag. */
  readonly value: string | undefined
}

function longFlag(word: string, flags: Flags): Found | undefined {
  const equals = word.indexOf("=")
  const name = word.slice(2, equals < 0 ? undefined : equals)
  const flag = flags[name]
  if (flag !== undefined) return { name, flag, value: equals < 0 ? undefined : word.slice(equals + 1) }
  if (name.startsWith("no-") && flags[name.slice(3)]?.type === "switch") return undefined
  throw unknownFlag(`--${name}`, flags)
}

function shortFlag(word: string, flags: Flags): Found | undefined {
  const letter = word.slice(1, 2)
  const entry = Object.entries(flags).find(([, { alias }]) => alias === letter)
  if (entry === undefined) throw unknownFlag(word, flags)
  const [name, flag] = entry
  if (word.length === 2) return { name, flag, value: undefined }
  if (flag.type === "switch") return undefined
  return { name, flag, value: word.slice(word[2] === "=" ? 3 : 2) }
}

/** Records a value: the last one counts, unless the flag takes several. */
export function take(values: Values, name: string, flag: Flag, value: string): void {
  const before = values[name]
  if (flag.type !== "list") values[name] = value
  else if (Array.isArray(before)) before.push(value)
  else values[name] = [value]
}

function isFlagLike(text: string): boolean {
  return /^-(-|[A-Za-z])/.test(text)
}

export function missingValue(name: string, { value = "VALUE" }: Flag): UsageError {
  return new UsageError(`--${name}: the value is missing, write --${name} ${value}`)
}

/** `given` with its dashes. */
export function unknownFlag(given: string, flags: Flags): UsageError {
  const hint = given.startsWith("--")
    ? didYouMean(
        given,
        Object.keys(flags).map((name) => `--${name}`),
      )
    : ""
  return new UsageError(`${given}: no such flag${hint || "; llmproxy --help lists them"}`)
}
