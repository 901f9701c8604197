/** Not written yet. */
import { UsageError } from "../errors.ts"
import type { Command } from "./command.ts"
export const envCommand: Command = {
  name: "env",
  usage: "llmproxy env",
  help: "env",
  flags: {},
  run: async () => {
    throw new UsageError("env: not there yet")
  },
}
