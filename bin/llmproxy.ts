#!/usr/bin/env node
/**
 * The command's entry. What a command needs is loaded when it runs (lib/cli/main.ts), because a proxy that is started
 * by every shell has to be there at once.
 */
import { main } from "../lib/cli/main.ts"
import { processWorld } from "../lib/cli/world.ts"

const status = await main(process.argv.slice(2), processWorld())
// Nothing that is left open (an idle connection, esbuild's service) may keep the process; what was printed goes first.
process.stdout.write("", () => process.stderr.write("", () => process.exit(status)))
