/**
 * A fetch that goes where llmproxy would go and trusts whom it would trust: --connect-to, --upstream-ca and --insecure
 * hold for what doctor asks as for what is proxied. Node's own fetch has no place for them, undici's has.
 */
import { Agent, buildConnector, fetch as undiciFetch } from "undici"
import type { ProxySettings } from "../../proxy/settings.ts"
import { TrustStore } from "../../proxy/tls/trust-store.ts"
import { connectToRule } from "../../proxy/upstream/target.ts"
import type { Fetch } from "./ask.ts"

export function fetchAs(settings: ProxySettings): Fetch {
  let dispatcher: Agent | undefined // Made when first asked for: reading all roots takes its time.
  return async (url, init) => {
    dispatcher ??= new Agent({ connect: connectorFor(settings) })
    return await undiciFetch(url, { ...init, dispatcher })
  }
}

function connectorFor(settings: ProxySettings): buildConnector.connector {
  const secureContext = new TrustStore(settings.upstreamCa).context(undefined)
  const connect = buildConnector({ secureContext, rejectUnauthorized: settings.verify })
  return (options, done) => {
    const port = Number(options.port) || (options.protocol === "https:" ? 443 : 80)
    const bare = options.hostname.replace(/^\[|\]$/g, "")
    const led = connectToRule(settings, bare, port)
    // The name that the certificate has to bear is taken from `host`, which stays.
    connect(led === undefined ? options : { ...options, hostname: led.host, port: String(led.port) }, done)
  }
}
