/**
 * Options in words: those of the addons that -s names, for `--help`, and all of them, for `--options`.
 */
import { NO_STORE } from "../api/store.ts"
import { App } from "../app.ts"
import { makeLogger } from "../base/log.ts"
import type { DeclaredCommand } from "../loader/commands.ts"
import type { OptionRow } from "../options/resolve.ts"
import type { CommandLine } from "./command.ts"
import { addonPlaces } from "./package.ts"
import { sourcesOf } from "./proxy-flags.ts"
import { wrap } from "./terminal/wrap.ts"
import type { World } from "./world.ts"

const PIPE_COLUMNS = 100

/** The options of the addons that the line loads; empty when it loads none. */
export async function addonHelp(line: CommandLine, world: World): Promise<string> {
  const { options, commands, isBare } = await described(line, world)
  if (isBare) return "\nWith -s ADDON this lists the addon's options too; --options lists all.\n"
  const rows = options.filter(({ name }) => name.includes("."))
  const shown = rows.length === 0 ? "\nThe addons have no options.\n" : optionsText(rows, world)
  return `${shown}${commandsText(commands)}`
}

/** Every option with its default and its environment variables. */
export async function allOptions(line: CommandLine, world: World): Promise<string> {
  return rowsText((await described(line, world)).options, world)
}

interface Described {
  readonly options: OptionRow[]
  readonly commands: readonly DeclaredCommand[]
  /** No addon is loaded. */
  readonly isBare: boolean
}

/** No hook of the addons runs for it, and nothing is opened. */
async function described(line: CommandLine, world: World): Promise<Described> {
  const { sources, confdir, configFile } = await sourcesOf(line, world)
  const log = makeLogger((text) => world.err.write(`${text}\n`), "warn")
  const places = addonPlaces(world.cwd, configFile)
  const app = new App({ sources, scripts: [], places, confdir, log, watch: false, store: NO_STORE })
  try {
    const scripts = [...app.values.scripts, ...line.list("script")]
    await app.addons.prepare(scripts)
    return { options: app.store.describe(), commands: app.addons.commands, isBare: scripts.length === 0 }
  } finally {
    await app.stop()
  }
}

function optionsText(rows: readonly OptionRow[], world: World): string {
  return `\nOptions of the addons (--set NAME=VALUE):\n${rowsText(rows, world)}`
}

function commandsText(commands: readonly DeclaredCommand[]): string {
  if (commands.length === 0) return ""
  const width = Math.max(...commands.map(({ name }) => name.length))
  const lines = commands.map(({ name, help }) => `  ${name.padEnd(width)}  ${help}\n`)
  return `\nCommands of the addons (llmproxy -s ADDON NAME, with --help for more):\n${lines.join("")}`
}

function rowsText(rows: readonly OptionRow[], world: World): string {
  const columns = Math.min(world.out.columns ?? PIPE_COLUMNS, PIPE_COLUMNS)
  return rows.map((row) => rowText(row, columns)).join("")
}

function rowText({ name, help, allowed, default: value, environment }: OptionRow, columns: number): string {
  const shown = value === undefined ? "" : ` = ${value === "" ? '""' : value}`
  const told = `${help} ${capital(allowed)}. ${environment.join(", ")}`
  return `  ${name}${shown}\n${wrap(told, columns - 6)
    .map((line) => `      ${line}\n`)
    .join("")}`
}

function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}
