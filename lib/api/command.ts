/**
 * Commands of addons: `llmproxy -s votes.ts tally --limit 5`, and `llmproxy NAME` for a shipped addon of that name. Types;
 * lib/loader/commands.ts judges a declaration, and lib/cli runs it.
 */
import type { Clock } from "../base/clock.ts"
import type { Logger } from "../base/log.ts"
import type { Redactor } from "../base/secrets/redactor.ts"
import type { OptionSpecs, OptionValues } from "../options/spec.ts"
import type { FlowHistory, OpenTables, Records } from "./store.ts"

export interface CommandSpec<O extends OptionSpecs = OptionSpecs> {
  /** Lower-case words joined by hyphens. */
  readonly name: string
  /** What it does, for the help: "count the votes". */
  readonly help: string
  /** Its flags, declared as an addon's options are: `maxAge` is --max-age. They have no environment variables. */
  readonly options?: O
  /** What may stand behind its name, for the help: "[list | add NAME]". Default: nothing may. */
  readonly operands?: string
  /**
   * Does it, without a proxy: no hook of the addon runs, not `load` either. Returns the exit status, 0 to 255; nothing is 0.
   * By what llmproxy's own commands do: 1 when the world was not as it should be, 2 when the line was not, for which it may
   * throw a `UsageError`. Whatever else it throws is one line, with the place in its source, and 1.
   */
  run(context: CommandContext<O>): void | number | Promise<void> | Promise<number | undefined>
}

/** What the command is given: the line, where it writes, and what its addon has. */
export interface CommandContext<O extends OptionSpecs = OptionSpecs> {
  readonly flags: OptionValues<O>
  /** What stood behind the name and is no flag. */
  readonly operands: readonly string[]
  /** Aborted by Ctrl-C and SIGTERM. The command has 2 s to end then, which is status 1 whatever it returns. */
  readonly signal: AbortSignal
  /** Its result, to standard output. On a terminal control characters are shown and do nothing. What is lost is status 1. */
  print(text: string): void
  /** What a person should know beside the result, to standard error. */
  note(text: string): void
  /** The addon's own, as in its context. */
  readonly options: OptionValues<OptionSpecs>
  readonly log: Logger
  readonly clock: Clock
  readonly redactor: Redactor
  readonly history: FlowHistory
  records(name: string): Records
  readonly tables: OpenTables
}

/** To be called in `setup`. Throws an Error that names the command when its declaration is wrong. */
export type DeclareCommand = <const O extends OptionSpecs = Record<never, never>>(command: CommandSpec<O>) => void
