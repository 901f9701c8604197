/**
 * What the program says of itself: one line a message, to stderr. Whatever comes from outside is made harmless for a
 * terminal here, in one place, and secrets are blanked out.
 */
import { Redactor } from "./secrets.ts"

export type LogLevel = "debug" | "info" | "warn" | "error"

export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"]

/**
 * A logger that hands whole lines, without a line break, to `write`. Messages below `least` are dropped. `redactor`: one
 * that knows the program's own secrets.
 */
export function makeLogger(
  write: (line: string, level: LogLevel) => void,
  least: LogLevel = "info",
  redactor = new Redactor(),
): Logger {
  const from = LEVELS.indexOf(least)
  const at = (level: LogLevel) =>
    LEVELS.indexOf(level) < from ? () => {} : (message: string) => write(printable(redactor.text(message)), level)
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what this removes
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Text that cannot steer a terminal: controls and direction marks are shown as \xNN, tabs and line breaks as spaces. */
export function printable(text: string): string {
  return text
    .replace(/[\t\n]+/g, " ")
    .replace(CONTROLS, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)
}
