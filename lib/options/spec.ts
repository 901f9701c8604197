/**
 * What an option is declared with, and which type its value then has. Types alone: options.ts checks and resolves them.
 */

interface Common {
  /** One sentence for `--help`. */
  help: string
  /** Not shown, not logged, not listed. */
  secret?: boolean
  /** Further environment variables that set it, as they are (for names that other programs use). */
  env?: string | readonly string[]
}

export type OptionSpec =
  | (Common & { type: "string"; default?: string; choices?: readonly string[] })
  | (Common & { type: "integer" | "number"; default?: number; min?: number; max?: number })
  | (Common & { type: "boolean"; default?: boolean })
  | (Common & { type: "list"; default?: readonly string[] })
  | (Common & { type: "json"; default?: Readonly<Record<string, unknown>>; check?: OptionCheck })
  | (Common & { type: "items"; default?: readonly unknown[]; check?: OptionCheck })

/** What is wrong within a value of "json" or "items": where, and what is right. */
export interface OptionProblem {
  /** Keys and indexes from the value down, as in ["routes", 0, "to"]. */
  readonly path: readonly (string | number)[]
  /** Goes on behind the name of the place, as in "must be a URL, as in http://127.0.0.1:1234/v1". Holds no secret. */
  readonly message: string
}

/**
 * Looks at a value whenever it is read; the first problem is told with the line of the file that it stands on, stops a start,
 * and at a reload leaves the old values in place. `before`: the addon's options that are declared before this one, by name, so that
 * one may name what is in another. Pure, and throws nothing.
 */
export type OptionCheck = (value: unknown, before: Readonly<Record<string, unknown>>) => readonly OptionProblem[]

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

type ValueOf<S extends OptionSpec> = S extends { type: "string"; choices: readonly (infer C)[] }
  ? C
  : S extends { type: "string" }
    ? string
    : S extends { type: "integer" | "number" }
      ? number
      : S extends { type: "boolean" }
        ? boolean
        : S extends { type: "list" }
          ? readonly string[]
          : S extends { type: "items" }
            ? readonly unknown[]
            : Readonly<Record<string, unknown>>

/** An option with a default always has a value; one without may be undefined. */
export type OptionValues<O extends OptionSpecs> = {
  readonly [K in keyof O]: O[K] extends { default: unknown } ? ValueOf<O[K]> : ValueOf<O[K]> | undefined
}
