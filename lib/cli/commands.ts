/**
 * The commands by name, in the order of the help. Each one's file is loaded when it is the one, or when help names all.
 */
import type { OWN_COMMANDS } from "../loader/commands.ts"
import type { Command } from "./command.ts"

type Loader = () => Promise<Command>

export const COMMANDS: Readonly<Record<string, Loader>> = {
  start: async () => (await import("./start.ts")).startCommand,
  run: async () => (await import("./run.ts")).runCommand,
  env: async () => (await import("./env.ts")).envCommand,
  demo: async () => (await import("./demo.ts")).demoCommand,
  ca: async () => (await import("./ca.ts")).caCommand,
  doctor: async () => (await import("./doctor.ts")).doctorCommand,
  database: async () => (await import("./database.ts")).databaseCommand,
  history: async () => (await import("./history.ts")).historyCommand,
} satisfies Record<(typeof OWN_COMMANDS)[number], Loader>
