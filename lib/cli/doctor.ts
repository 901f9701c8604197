/** Not written yet. */
import { UsageError } from "../errors.ts"
import type { Command } from "./command.ts"
export const doctorCommand: Command = {
  name: "doctor",
  usage: "llmproxy doctor",
  help: "doctor",
  flags: {},
  run: async () => {
    throw new UsageError("doctor: not there yet")
  },
}
