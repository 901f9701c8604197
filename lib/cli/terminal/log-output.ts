/**
 * The log on stderr: what went wrong is said with its level and its colour, what is merely told stands as it is.
 */
import { type Logger, type LogLevel, makeLogger } from "../../base/log.ts"
import type { Redactor } from "../../base/secrets/redactor.ts"
import type { Output } from "./output.ts"
import type { Paint } from "./paint.ts"

const PREFIX: Readonly<Record<LogLevel, string>> = { debug: "debug: ", info: "", warn: "warning: ", error: "error: " }

export function outputLogger(err: Output, paint: Paint, least: LogLevel, redactor?: Redactor): Logger {
  return makeLogger(
    (line, level) => {
      const text = PREFIX[level] + line
      err.write(`${level === "error" ? paint("red", text) : level === "warn" ? paint("yellow", text) : text}\n`)
    },
    least,
    redactor,
  )
}
