/**
 * A process of the demo: llmproxy itself, started as anybody starts it, except that it ends when the demo does,
 * however that came to its end.
 */
import { main } from "../main.ts"
import { processWorld } from "../world.ts"

// It may have ended while this was being loaded: nobody says so again.
if (process.connected === false) process.exit(1)
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"))
void main(process.argv.slice(2), processWorld()).then((status) => process.exit(status))
