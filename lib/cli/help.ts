/**
 * `--help`: usage, commands and flags, laid out by yargs from the same table that the line is read by.
 */
import yargs from "yargs"
import { shippedCommands } from "./addon-commands/shipped.ts"
import type { Command, CommandLine } from "./command.ts"
import { COMMANDS } from "./commands.ts"
import type { World } from "./world.ts"

/** Columns of a help that goes to a file or a pipe, and the most that one is wide. */
const COLUMNS_MAX = 100

export async function helpText(command: Command, line: CommandLine, world: World): Promise<string> {
  const parser = yargs([])
    .scriptName("llmproxy")
    .help(false)
    .version(false)
    .wrap(Math.min(world.out.columns ?? COLUMNS_MAX, COLUMNS_MAX))
    .usage(`${command.usage}\n\n${command.help.slice(0, 1).toUpperCase()}${command.help.slice(1)}.`)
  if (command.name === "start") {
    for (const load of Object.values(COMMANDS)) {
      const { usage, help } = await load()
      parser.command(usage.replace(/^llmproxy /, ""), help)
    }
    for (const { name, help } of await shippedCommands()) parser.command(`${name} [options]`, help)
  }
  for (const [name, { alias, help, default: usual }] of Object.entries(command.flags)) {
    parser.option(name, {
      describe: help,
      ...(alias === undefined ? {} : { alias }),
      ...(usual === undefined ? {} : { defaultDescription: usual, default: usual }),
    })
  }
  const more = (await command.more?.(line, world)) ?? ""
  return `${await parser.getHelp()}\n${more}`
}
