/**
 * Commands that addons have declared, judged: a mistyped declaration is told at the load, not when somebody runs it. How a
 * line becomes what `run` gets is lib/cli/addon-commands.
 */
import type { CommandContext, CommandSpec } from "../api/command.ts"
import { didYouMean } from "../base/did-you-mean.ts"
import { messageOf, UsageError } from "../base/errors.ts"
import { checkOptionSpecs } from "../options/resolve.ts"
import type { OptionSpecs, OptionValues } from "../options/spec.ts"

export interface DeclaredCommand {
  readonly addon: string
  readonly name: string
  readonly help: string
  readonly options: OptionSpecs
  /** Undefined: nothing may stand behind the name. */
  readonly operands: string | undefined
  /** `given`: the part that comes from the line and the terminal. */
  run(given: GivenLine): unknown
}

export interface GivenLine extends Pick<CommandContext, "operands" | "signal" | "print" | "note"> {
  /** The line's flags, by their declaration. */
  flagsBy<O extends OptionSpecs>(specs: O): OptionValues<O>
}

/** llmproxy's own, which lib/cli/commands.ts has: they come first, so that an addon's of one name would never run. */
export const OWN_COMMANDS = ["start", "run", "env", "demo", "ca", "doctor", "history", "database"] as const

const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/
const FIELDS = ["name", "help", "options", "operands", "run"]
/** Flags of every command. */
const TAKEN = ["help", "version", "config", "confdir", "envFile", "set", "verbose"]

/** Throws an Error that names the command. */
export function checkCommand<O extends OptionSpecs>(
  addon: string,
  spec: CommandSpec<O>,
  own: Omit<CommandContext, "flags" | keyof GivenLine>,
): DeclaredCommand {
  const { name, help, operands } = spec
  const options = spec.options ?? ({} as O) // nobody has named one
  if (typeof name !== "string" || !NAME.test(name))
    throw new Error(`command "${name}": the name must be lower-case words joined by hyphens`)
  const told = (text: string) => new Error(`command "${name}": ${text}`)
  if (OWN_COMMANDS.some((own) => own === name)) throw told("the name is llmproxy's own; give it another")
  const unknown = Object.keys(spec).find((field) => !FIELDS.includes(field))
  if (unknown !== undefined) throw told(`no field named "${unknown}"${didYouMean(unknown, FIELDS)}`)
  if (typeof help !== "string" || help === "") throw told("help must be a sentence")
  if (operands !== undefined && typeof operands !== "string") throw told("operands must be a text for the help")
  if (typeof spec.run !== "function") throw told("run must be a function")
  try {
    checkOptionSpecs(options)
  } catch (thrown) {
    throw told(messageOf(thrown))
  }
  const taken = Object.keys(options).find((option) => TAKEN.includes(option))
  if (taken !== undefined) throw told(`option "${taken}" is a flag of every command; give it another name`)
  return {
    addon,
    name,
    help,
    options,
    operands,
    run: ({ flagsBy, ...given }) => spec.run({ ...own, ...given, flags: flagsBy(options) }),
  }
}

/** Throws a UsageError when two addons have a command of one name. */
export function checkDistinctCommands(commands: readonly DeclaredCommand[]): void {
  const byName = new Map<string, DeclaredCommand>()
  for (const command of commands) {
    const other = byName.get(command.name)
    byName.set(command.name, command)
    if (other !== undefined)
      throw new UsageError(`addons "${other.addon}" and "${command.addon}" both have a command "${command.name}"`)
  }
}
