/**
 * What a command is: a name, flags, and a function. The flags are one table from which the line is read (arguments.ts)
 * and the help is made (help.ts); their values are texts here, and get their types where options get theirs.
 */
import type { World } from "./world.ts"

export interface Flag {
  readonly type: "text" | "list" | "switch"
  /** One letter. */
  readonly alias?: string
  /** One sentence for the help. */
  readonly help: string
  /** What stands for the value in the help: FILE. */
  readonly value?: string
  /** Shown in the help as the default; what counts is decided where the flag is used. */
  readonly default?: string
}

/** By name, as typed without the "--". */
export type Flags = Readonly<Record<string, Flag>>

export type FlagValues = Readonly<Record<string, string | boolean | readonly string[]>>

/** What was typed. */
export class CommandLine {
  readonly values: FlagValues
  /** What is neither a flag nor a flag's value. */
  readonly words: readonly string[]
  /** What stands behind `--`; undefined without one. */
  readonly rest: readonly string[] | undefined

  constructor(values: FlagValues, words: readonly string[] = [], rest?: readonly string[]) {
    this.values = values
    this.words = words
    this.rest = rest
  }

  has(name: string): boolean {
    return this.values[name] === true
  }

  text(name: string): string | undefined {
    const value = this.values[name]
    return typeof value === "string" ? value : undefined
  }

  list(name: string): readonly string[] {
    const value = this.values[name]
    return Array.isArray(value) ? value : []
  }
}

export interface Command {
  readonly name: string
  /** As in "llmproxy run [options] -- CMD ARGS". */
  readonly usage: string
  readonly help: string
  readonly flags: Flags
  /** The words that may follow the name; none by default. */
  readonly words?: readonly string[]
  /** How many more words may follow one of those, for `run` to judge; none by default. */
  readonly operands?: number
  /** Whether any words may follow the name, for `run` to judge. */
  readonly takesWords?: boolean
  /** Whether something may stand behind `--`. */
  readonly takesRest?: boolean
  /** Whether it has done its work when a line of its output could not be written. Default: no, it then fails. */
  readonly toleratesLoss?: boolean
  /** More help, below the flags. */
  more?(line: CommandLine, world: World): Promise<string>
  /** Resolves to the exit status. */
  run(line: CommandLine, world: World): Promise<number>
}
