/**
 * Colours, where a person sees them: on a terminal, unless NO_COLOR is set; FORCE_COLOR says otherwise. chalk is loaded
 * only then.
 */
import type { World } from "../world.ts"

export type Colour = "dim" | "bold" | "red" | "green" | "yellow" | "cyan" | "magenta"
export type Paint = (colour: Colour, text: string) => string

export const PLAIN: Paint = (_colour, text) => text

/** Whether to colour, by the conventions of no-color.org and Node (where FORCE_COLOR wins over NO_COLOR). */
export function wantsColour(env: World["env"], isTerminal: boolean): boolean {
  const { FORCE_COLOR: force, NO_COLOR: no, TERM: term } = env
  if (force !== undefined) return force !== "0" && force !== "false"
  if (no !== undefined && no !== "") return false
  return isTerminal && term !== "dumb"
}

export async function paintFor(env: World["env"], isTerminal: boolean): Promise<Paint> {
  if (!wantsColour(env, isTerminal)) return PLAIN
  const { Chalk } = await import("chalk")
  const chalk = new Chalk({ level: 1 })
  return (colour, text) => (text === "" ? "" : chalk[colour](text))
}
