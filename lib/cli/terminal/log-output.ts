/**
 * The log on stderr: what went wrong is said with its level and its colour, what is merely told stands as it is. On a terminal
 * what is longer than a line goes on under its own beginning.
 */
import { type Logger, type LogLevel, makeLogger } from "../../base/log.ts"
import type { Redactor } from "../../base/secrets/redactor.ts"
import type { Output } from "./output.ts"
import type { Paint } from "./paint.ts"
import { Wrapper } from "./wrap.ts"

const PREFIX: Readonly<Record<LogLevel, string>> = { debug: "debug: ", info: "", warn: "warning: ", error: "error: " }
/** What stands before the second line of a text without a prefix. */
const INDENT = "  "

export function outputLogger(err: Output, paint: Paint, least: LogLevel, redactor?: Redactor): Logger {
  return makeLogger(
    (line, level) => {
      const prefix = PREFIX[level]
      const text = prefix + new Wrapper(err.columns, prefix === "" ? INDENT : " ".repeat(prefix.length)).feed(line)
      err.write(`${level === "error" ? paint("red", text) : level === "warn" ? paint("yellow", text) : text}\n`)
    },
    least,
    redactor,
  )
}
