/**
 * The commands by name, in the order of the help. Each one's file is loaded when it is the one, or when help names all.
 */
import type { Command } from "./command.ts"

export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import("./start.ts")).startCommand,
  run: async () => (await import("./run.ts")).runCommand,
  env: async () => (await import("./env.ts")).envCommand,
  demo: async () => (await import("./demo.ts")).demoCommand,
  ca: async () => (await import("./ca.ts")).caCommand,
  doctor: async () => (await import("./doctor.ts")).doctorCommand,
  history: async () => (await import("./history.ts")).historyCommand,
}
