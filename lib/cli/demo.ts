/** Not written yet. */
import { UsageError } from "../errors.ts"
import type { Command } from "./command.ts"
export const demoCommand: Command = {
  name: "demo",
  usage: "llmproxy demo",
  help: "demo",
  flags: {},
  run: async () => {
    throw new UsageError("demo: not there yet")
  },
}
