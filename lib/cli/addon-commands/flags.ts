/** Flags of an addon's command, from its declaration: `maxAge` is --max-age. Values are read as an addon's options are. */

import { resolveOptions } from "../../options/resolve.ts"
import { NO_SOURCES } from "../../options/sources.ts"
import type { OptionSpec, OptionSpecs, OptionValues } from "../../options/spec.ts"
import type { CommandLine, Flag, Flags } from "../command.ts"

export function flagsFor(specs: OptionSpecs): Flags {
  return Object.fromEntries(Object.entries(specs).map(([name, spec]) => [flagName(name), flagOf(spec)]))
}

/** Throws a UsageError for a value that does not fit. */
export function valuesOf<O extends OptionSpecs>(specs: O, line: CommandLine): OptionValues<O> {
  const flags = Object.fromEntries(Object.keys(specs).map((name) => [name, line.values[flagName(name)]]))
  return resolveOptions(undefined, specs, { ...NO_SOURCES, flags })
}

function flagName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function flagOf(spec: OptionSpec): Flag {
  const { help, type, default: usual } = spec
  if (type === "boolean") return { type: "switch", help }
  if (type === "list") return { type: "list", help, value: "VALUE" }
  const isShown = usual !== undefined && usual !== "" && spec.secret !== true
  const shown = type === "json" || type === "items" ? JSON.stringify(usual) : String(usual)
  return { type: "text", help, value: "VALUE", ...(isShown ? { default: shown } : {}) }
}
