/**
 * Options in words: those of the addons that -s names, for `--help`, and all of them, for `--options`.
 */
import { App } from "../app.ts"
import { makeLogger } from "../base/log.ts"
import type { OptionRow } from "../options/resolve.ts"
import type { CommandLine } from "./command.ts"
import { addonPlaces } from "./package.ts"
import { sourcesOf } from "./proxy-flags.ts"
import { wrap } from "./terminal/wrap.ts"
import type { World } from "./world.ts"

const PIPE_COLUMNS = 100

/** The options of the addons that the line loads; empty when it loads none. */
export async function addonHelp(line: CommandLine, world: World): Promise<string> {
  if (line.list("script").length === 0)
    return "\nWith -s ADDON this lists the addon's options too; --options lists all.\n"
  const rows = (await describedOptions(line, world)).filter(({ name }) => name.includes("."))
  if (rows.length === 0) return "\nThe addons have no options.\n"
  return `\nOptions of the addons (--set NAME=VALUE):\n${rowsText(rows, world)}`
}

/** Every option with its default and its environment variables. */
export async function allOptions(line: CommandLine, world: World): Promise<string> {
  return rowsText(await describedOptions(line, world), world)
}

async function describedOptions(line: CommandLine, world: World): Promise<OptionRow[]> {
  const { sources, confdir } = await sourcesOf(line, world)
  const log = makeLogger((text) => world.err.write(`${text}\n`), "warn")
  const app = new App({ sources, scripts: [], places: addonPlaces(world.cwd), confdir, log, watch: false })
  try {
    await app.addons.load(line.list("script"))
    return app.store.describe()
  } finally {
    await app.stop()
  }
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
