/** Not written yet. */
import { UsageError } from "../errors.ts"
import type { Command } from "./command.ts"
export const runCommand: Command = {
  name: "run",
  usage: "llmproxy run",
  help: "run",
  flags: {},
  run: async () => {
    throw new UsageError("run: not there yet")
  },
}
