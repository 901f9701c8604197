/**
 * What decides about a tunnel before anything in it is read: the hooks `httpConnect` and `tlsClientHello`, and the lists
 * of hosts that are to be left alone. True, each time, means that it is relayed unseen.
 */

import type { ConnectHookInfo, TlsHookInfo } from "../../api/hooks.ts"
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { Logger } from "../../base/log.ts"
import { type HookChain, plainScope } from "../../loader/chain.ts"
import type { ProxySettings } from "../settings.ts"
import type { ClientConnection } from "./client-connection.ts"
import type { ClientHello } from "./client-hello.ts"
import { OWN_HOST } from "./own-names.ts"

/** Where a tunnel leads. */
interface Destination {
  readonly host: string
  readonly port: number
}

/** Runs `httpConnect`. Throws the FlowError of an addon that refuses. */
export async function askHttpConnect(
  chain: HookChain,
  log: Logger,
  client: ClientConnection,
  { host, port, headers }: Destination & { readonly headers: Headers },
): Promise<boolean> {
  if (!chain.has("httpConnect")) return false
  let unseen = false
  let refusal: FlowError | undefined
  const info: ConnectHookInfo = {
    client,
    host,
    port,
    headers,
    refuse: (status, message) => {
      refusal ??= new FlowError("addon", "refused", message, { status })
    },
    passthrough: () => {
      unseen = true
    },
  }
  await chain.run("httpConnect", plainScope(log), info)
  if (refusal !== undefined) throw refusal
  return unseen
}

/** Runs `tlsClientHello`. */
export async function askTlsClientHello(
  chain: HookChain,
  log: Logger,
  client: ClientConnection,
  { host, port, hello }: Destination & { readonly hello: ClientHello },
): Promise<boolean> {
  if (!chain.has("tlsClientHello")) return false
  let unseen = false
  const info: TlsHookInfo = {
    client,
    ...hello,
    host,
    port,
    passthrough: () => {
      unseen = true
    },
  }
  await chain.run("tlsClientHello", plainScope(log), info)
  return unseen
}

/** Whether `host:port` is on --ignore-hosts, or not on --allow-hosts. */
export function isIgnored(settings: ProxySettings, client: ClientConnection, { host, port }: Destination): boolean {
  const { ignoreHosts, allowHosts } = settings
  if (host === OWN_HOST) return false
  const { connectTo } = client
  // A redirected client's host is known by its name and by its address.
  const texts = [`${host}:${port}`, ...(connectTo === undefined ? [] : [`${connectTo.host}:${connectTo.port}`])]
  const fits = (pattern: RegExp) => texts.some((text) => pattern.test(text))
  return ignoreHosts.some(fits) || (allowHosts.length > 0 && !allowHosts.some(fits))
}
