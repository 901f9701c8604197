/**
 * `llmproxy database`: what is kept where, brought up to date, and moved from files to a server and back. Each action opens the
 * database as the proxy does.
 */
import { resolve } from "node:path"
import { messageOf, StartError, UsageError } from "../base/errors.ts"
import { databaseOf } from "../options/core.ts"
import { isPostgresUrl, placesIn, shownPlace } from "../store/places.ts"
import type { Command, CommandLine } from "./command.ts"
import { PLACE_FLAGS, sourcesOf } from "./proxy-flags.ts"
import type { World } from "./world.ts"

const ACTIONS = ["status", "migrate", "copy"] as const

export const databaseCommand: Command = {
  name: "database",
  usage: "llmproxy database [status|migrate|copy FROM TO] [options]",
  help: "what is kept where (status), brought up to date (migrate), moved between confdirs and postgres:// URLs (copy)",
  flags: {
    database: { type: "text", value: "URL", help: "The server.", default: "two files in the confdir" },
    replace: { type: "switch", help: "Of copy: delete what stands in TO before." },
    ...PLACE_FLAGS,
  },
  words: ACTIONS,
  operands: 2,
  async run(line, world) {
    const [action = "status", ...operands] = line.words
    if (action !== "copy" && operands.length > 0) throw new UsageError(`database ${action}: takes no "${operands[0]}"`)
    if (action !== "copy" && line.has("replace")) throw new UsageError(`database ${action}: takes no --replace`)
    try {
      if (action === "copy") await copy(operands, line, world)
      else await look(await placeOf(line, world), action === "migrate", world)
    } catch (thrown) {
      if (thrown instanceof UsageError || thrown instanceof StartError) throw thrown
      const { troubleMessage } = await import("../store/database.ts")
      throw new StartError(`database ${action}: ${troubleMessage(thrown) || messageOf(thrown)}`)
    }
    return 0
  },
}

/** A confdir, or the server's URL. */
async function placeOf(line: CommandLine, world: World): Promise<string> {
  const { sources, confdir } = await sourcesOf(line, world)
  const named = line.text("database")
  const flags = named === undefined ? sources.flags : { ...sources.flags, database: named }
  return databaseOf({ ...sources, flags }) ?? confdir
}

async function look(place: string, migrates: boolean, world: World): Promise<void> {
  const { lookAt } = await import("../store/admin/status.ts")
  const found = await lookAt(placesIn(place), migrates)
  world.out.write(`${isPostgresUrl(place) ? `PostgreSQL, ${shownPlace(place)}` : `SQLite, ${place}`}\n`)
  for (const { name, state, tables } of found) {
    world.out.write(`  ${name}: ${state}\n`)
    for (const { table, rows } of tables) world.out.write(`    ${table.padEnd(32)} ${rows}\n`)
  }
}

async function copy(operands: readonly string[], line: CommandLine, world: World): Promise<void> {
  const [from, to] = operands.map((place) => (isPostgresUrl(place) ? place : resolve(world.cwd, place)))
  if (from === undefined || to === undefined)
    throw new UsageError(
      "database copy: say from where to where, as in llmproxy database copy ~/.llmproxy postgres://user@host/name",
    )
  const { copyAll } = await import("../store/admin/copy.ts")
  await copyAll({
    from,
    to,
    replaces: line.has("replace"),
    copied: ({ table, rows }) =>
      world.out.write(`${table.padEnd(32)} ${rows} ${rows === 1 ? "row" : "rows"} copied, counted there\n`),
  })
}
