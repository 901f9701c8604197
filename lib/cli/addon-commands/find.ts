/**
 * Finds the command that an addon has: of the addons that -s (before the command's name) or `scripts` names, or of the shipped one that
 * is called as the command. The addons are set up for it and none of their hooks runs. What is found is a command as
 * llmproxy's own are, so that the line is read, helped with and complained about in one way.
 */
import { App } from "../../app.ts"
import { didYouMean } from "../../base/did-you-mean.ts"
import { UsageError } from "../../base/errors.ts"
import type { Logger } from "../../base/log.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import type { DeclaredCommand } from "../../loader/commands.ts"
import { CORE_OPTIONS } from "../../options/core.ts"
import { resolveOptions } from "../../options/resolve.ts"
import { readArguments } from "../arguments.ts"
import { type Command, CommandLine, type Flags, type FlagValues } from "../command.ts"
import { COMMANDS } from "../commands.ts"
import { addonPlaces, shippedAddon } from "../package.ts"
import { PLACE_FLAGS, sourcesOf } from "../proxy-flags.ts"
import { outputLogger } from "../terminal/log-output.ts"
import { paintFor } from "../terminal/paint.ts"
import type { World } from "../world.ts"
import { flagsFor } from "./flags.ts"
import { runDeclared } from "./run.ts"
import { shippedCommands } from "./shipped.ts"

/** Flags of llmproxy's that may stand behind the name of an addon's command, too. */
const EVERYWHERE = {
  ...PLACE_FLAGS,
  set: { type: "list", value: "NAME=VALUE", help: "Set an option, as in --set conductor.localModel=qwen." },
  verbose: { type: "switch", alias: "v", help: "Log more." },
} as const satisfies Flags

export interface FoundCommand {
  readonly command: Command
  /** What stands behind its name. */
  readonly argv: readonly string[]
  /** Ends its addons. */
  close(): Promise<void>
}

/** The command whose name stands at `at`, behind flags of llmproxy's own. Throws a UsageError when there is none, and what loading an addon throws. */
export async function findAddonCommand(
  argv: readonly string[],
  at: number,
  flags: Flags,
  world: World,
): Promise<FoundCommand> {
  const name = argv[at] ?? ""
  const behind = argv.slice(at + 1)
  const before = readArguments(argv.slice(0, at), flags)
  const line = joined(before, known(behind, EVERYWHERE))
  const { sources, confdir, configFile } = await sourcesOf(line, world)
  const places = addonPlaces(world.cwd, configFile)
  const named = line.list("script")
  const shipped = shippedAddon(name, places)
  const { scripts: configured } = resolveOptions(undefined, CORE_OPTIONS, sources)
  const scripts = [...configured, ...named, ...(shipped === undefined ? [] : [name])]
  if (scripts.length === 0) throw await noSuch(name, [], false)
  const redactor = new Redactor()
  const log = await logFor(line, world, redactor)
  const app = new App({ sources, scripts: [], places, confdir, log, watch: false, clock: world.clock, redactor })
  try {
    await app.addons.prepare(scripts)
    redactor.know(app.store.secrets())
    const declared = app.addons.commands
    const found = declared.find((command) => command.name === name)
    if (found === undefined) throw await noSuch(name, declared, shipped !== undefined)
    const run = (read: CommandLine) =>
      runDeclared(found, { line: read, world, app, isVerbose: line.has("verbose"), redactor })
    const command = commandOf(found, named.length > 0, run)
    return { command, argv: behind, close: () => app.stop() }
  } catch (thrown) {
    await app.stop()
    throw thrown
  }
}

function commandOf(found: DeclaredCommand, isNamed: boolean, run: (line: CommandLine) => Promise<number>): Command {
  const { name, help, options, operands } = found
  const script = isNamed ? " -s ADDON" : ""
  return {
    name,
    usage: `llmproxy${script} ${name} [options]${operands === undefined ? "" : ` ${operands}`}`,
    help,
    flags: { ...flagsFor(options), ...EVERYWHERE },
    takesWords: operands !== undefined,
    run,
  }
}

async function noSuch(name: string, declared: readonly DeclaredCommand[], isShipped: boolean): Promise<UsageError> {
  const names = [...Object.keys(COMMANDS), ...declared.map((one) => one.name)]
  const hint = didYouMean(name, [...names, ...(await shippedCommands()).map((one) => one.name)])
  if (hint !== "") return new UsageError(`no command named "${name}"${hint}`)
  if (isShipped) return new UsageError(`no command named "${name}"; the addon of that name is loaded with -s ${name}`)
  const those = declared.map((one) => one.name).join(", ")
  const have = declared.length === 0 ? "an addon is loaded with -s" : `those of the addons are ${those}`
  return new UsageError(`no command named "${name}"; ${have}`)
}

/** Of a line whose other flags nobody knows yet, those that are known. */
function known(argv: readonly string[], flags: Flags): CommandLine {
  const picked: string[] = []
  for (let i = 0; i < argv.length && argv[i] !== "--"; i++) {
    const word = argv[i] ?? ""
    const [, long, joinedTo] = /^--([^=]+)(=)?/s.exec(word) ?? []
    const flag = long !== undefined && Object.hasOwn(flags, long) ? flags[long] : undefined
    if (flag === undefined) {
      if (word === "-v") picked.push(word)
      continue
    }
    picked.push(word)
    const value = argv[i + 1]
    if (flag.type !== "switch" && joinedTo === undefined && value !== undefined) {
      picked.push(value)
      i++
    }
  }
  return readArguments(picked, flags)
}

function joined(before: CommandLine, behind: CommandLine): CommandLine {
  const values: Record<string, FlagValues[string]> = { ...before.values, ...behind.values }
  for (const [name, value] of Object.entries(behind.values))
    if (Array.isArray(value)) values[name] = [...before.list(name), ...value]
  return new CommandLine(values)
}

async function logFor(line: CommandLine, world: World, redactor: Redactor): Promise<Logger> {
  const paint = await paintFor(world.env, world.err.isTerminal)
  return outputLogger(world.err, paint, line.has("verbose") ? "debug" : "warn", redactor)
}
