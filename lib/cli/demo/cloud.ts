/**
 * A process of the demo: the scripted cloud, which speaks TLS as api.openai.com. Its certificate is from a CA of the
 * demo's own (argument: its confdir), which only the proxy is told to trust: who reaches this host came through it.
 */
import { createServer } from "node:https"
import { loadOrCreateCa } from "../../../certs/ca.ts"
import { LeafFactory } from "../../../certs/leaf.ts"
import { CLOUD_SCRIPT, hostListener } from "./host.ts"
import { listen } from "./listen.ts"

const CLOUD_HOST = "api.openai.com"

async function serve(confdir: string): Promise<void> {
  const ca = await loadOrCreateCa(confdir, { clock: Date.now })
  const context = new LeafFactory(ca, { clock: Date.now }).contextFor(CLOUD_HOST)
  listen(createServer({ SNICallback: (_name, done) => done(null, context) }, hostListener(CLOUD_SCRIPT)))
}

const [, , confdir] = process.argv
if (confdir !== undefined) void serve(confdir) // Without one the CA would be made in the current folder.
