/**
 * The program's log in a test: every line that it would print, from "debug" on, to be looked at and waited for.
 */
import { type Logger, type LogLevel, makeLogger } from "../base/log.ts"
import type { Redactor } from "../base/secrets/redactor.ts"

export interface TestLog {
  /** `level message`, in order, as in "info votes: 3 counted"; what an addon logs begins with its name. */
  readonly lines: readonly string[]
  /** Those of the level "error" without it: a hook that has failed, an answer that broke off. */
  readonly errors: readonly string[]
  /** Resolves to the first line that has `text`, or that it matches, once there is one: for what no request waits for. */
  line(text: string | RegExp): Promise<string>
}

export class KeptLog implements TestLog {
  readonly lines: string[] = []
  readonly errors: string[] = []
  readonly logger: Logger
  #waiting: (() => void)[] = []

  constructor(redactor: Redactor) {
    this.logger = makeLogger((line, level) => this.#keep(line, level), "debug", redactor)
  }

  async line(text: string | RegExp): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => (typeof text === "string" ? line.includes(text) : text.test(line)))
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  #keep(line: string, level: LogLevel): void {
    this.lines.push(`${level} ${line}`)
    if (level === "error") this.errors.push(line)
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
