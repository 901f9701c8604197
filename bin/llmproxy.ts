#!/usr/bin/env node
/**
 * The command's entry. What a command needs is loaded when it runs (lib/cli/main.ts), because a proxy that is started
 * by every shell has to be there at once.
 */
import { main } from "../lib/cli/main.ts"
import { processWorld } from "../lib/cli/world.ts"

/** Milliseconds that the end waits for whoever reads what was printed. */
const PRINTED_MS_MAX = 1_000

const status = await main(process.argv.slice(2), processWorld())
// Nothing that is left open (an idle connection, esbuild's service) may keep the process; what was printed goes first,
// unless nobody reads it.
setTimeout(() => process.exit(status), PRINTED_MS_MAX)
process.stdout.write("", () => process.stderr.write("", () => process.exit(status)))
