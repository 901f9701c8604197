/**
 * From the words of a command line to a command, and from whatever it throws to an exit status: 0, 1 when the world
 * was not as it should be, 2 when the line was not. Each command's file is loaded when it is the one.
 */
import { didYouMean } from "../base/did-you-mean.ts"
import { StartError, UsageError } from "../base/errors.ts"
import { printableLines } from "../base/log.ts"
import { Redactor } from "../base/secrets/redactor.ts"
import { firstWord, readArguments } from "./arguments.ts"
import type { Command, CommandLine, Flags } from "./command.ts"
import { COMMANDS } from "./commands.ts"
import { version } from "./package.ts"
import type { World } from "./world.ts"

const COMMON_FLAGS: Flags = {
  version: { type: "switch", help: "Print the version." },
  help: { type: "switch", alias: "h", help: "Print this help." },
}

/** Runs the line and resolves to the exit status. Never rejects. */
export async function main(argv: readonly string[], world: World): Promise<number> {
  try {
    return await dispatch(argv, world)
  } catch (thrown) {
    if (thrown instanceof UsageError) return failed(world, thrown.message, 2)
    if (thrown instanceof StartError) return failed(world, thrown.message, 1)
    const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    world.err.write(`${shown(stack)}\n`)
    return 1
  }
}

/** What went wrong may repeat what a stranger wrote, in a file or on a page. */
function shown(text: string): string {
  return printableLines(new Redactor().text(text))
}

function failed(world: World, message: string, status: number): number {
  world.err.write(`llmproxy: ${shown(message)}\n`)
  return status
}

async function dispatch(argv: readonly string[], world: World): Promise<number> {
  const [first = ""] = argv
  const named = Object.hasOwn(COMMANDS, first)
  const load = COMMANDS[named ? first : "start"]
  if (load === undefined) throw new Error(`no loader for ${first}`)
  const command = await load()
  const at = named ? argv.length : (firstWord(argv, { ...command.flags, ...COMMON_FLAGS }) ?? argv.length)
  const word = argv[at]
  const asks = argv.slice(0, at).some((flag) => ["--help", "-h", "--version"].includes(flag))
  if (word === undefined || asks || Object.hasOwn(COMMANDS, word)) return await run(command, argv, named, world)
  const { findAddonCommand } = await import("./addon-commands/find.ts")
  const found = await findAddonCommand(argv, at, command.flags, world)
  try {
    return await run(found.command, [word, ...found.argv], true, world)
  } finally {
    await found.close()
  }
}

/** `argv`: with the name first where it is `named`. */
async function run(command: Command, argv: readonly string[], named: boolean, world: World): Promise<number> {
  const flags = { ...command.flags, ...COMMON_FLAGS }
  const line = readArguments(named ? argv.slice(1) : argv, flags)
  const status = await answer({ ...command, flags }, line, world)
  const lost = await world.out.settled()
  if (status === 0 && lost !== undefined && command.toleratesLoss !== true)
    throw new StartError(`what is printed could not be written whole: ${lost}`)
  return status
}

async function answer(command: Command, line: CommandLine, world: World): Promise<number> {
  if (line.has("version")) {
    world.out.write(`${version()}\n`)
    return 0
  }
  if (line.has("help")) {
    const { helpText } = await import("./help.ts")
    world.out.write(await helpText(command, line, world))
    return 0
  }
  checkWords(command, line.words)
  if (line.rest !== undefined && command.takesRest !== true)
    throw new UsageError(`${command.name}: takes nothing behind "--"; to start a program write llmproxy run -- CMD`)
  return await command.run(line, world)
}

function checkWords(command: Command, words: readonly string[]): void {
  const { words: allowed = [], operands = 0, takesWords = false } = command
  if (takesWords) return
  const [word] = allowed.includes(words[0] ?? "") ? words.slice(1 + operands) : words
  if (word === undefined) return
  if (Object.hasOwn(COMMANDS, word)) throw new UsageError(`${word}: a command comes first, as in llmproxy ${word} ...`)
  if (allowed.length > 0)
    throw new UsageError(`${command.name} ${word}: write one of ${allowed.join(", ")}${didYouMean(word, allowed)}`)
  if (command.takesRest === true)
    throw new UsageError(`${command.name} ${word}: what to run stands behind --, as in llmproxy run -- ${word} ...`)
  throw new UsageError(`${command.name}: takes no "${word}"`)
}
