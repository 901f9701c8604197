/**
 * A process of the demo: the simulated local host, on a free port of this machine.
 */
import { createServer } from "node:http"
import { hostListener, LOCAL_SCRIPT } from "./host.ts"
import { listen } from "./listen.ts"

listen(createServer(hostListener(LOCAL_SCRIPT)))
