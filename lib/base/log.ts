/**
 * What the program says of itself: one line a message, to stderr. Whatever comes from outside is made harmless for a
 * terminal here, in one place, and secrets are blanked out.
 */
import { Redactor } from "./secrets/redactor.ts"

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

/**
 * What steers a terminal, turns text around, breaks a line, or is not seen at all: controls, format characters (marks of
 * direction, zero widths, tags), separators of lines and paragraphs, halves of surrogates, fillers, selectors.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

/** Text that cannot steer a terminal: what is not seen is shown as \xNN, tabs and line breaks as spaces. */
export function printable(text: string): string {
  return text
    .replace(/[\t\n]+/g, " ")
    .replace(UNSEEN, (char) => `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`)
}

/** The same for a text of several lines. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n")
}
