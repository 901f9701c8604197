/**
 * What a listener that other machines reach must have before it opens: somebody who asks its clients who they are, where an
 * addon puts keys of the program's own into what they send. Whoever reaches the port would else spend them.
 */
import { UsageError } from "./base/errors.ts"
import type { HookChain } from "./loader/chain.ts"
import { hostAndPort } from "./proxy/io/authority.ts"
import type { ModeAddress } from "./proxy/session/mode.ts"
import type { ProxySettings } from "./proxy/settings.ts"
import { isLoopbackHost } from "./proxy/upstream/self.ts"

/** Throws a UsageError, which stops the start. */
export function checkOpenListeners(
  addresses: readonly ModeAddress[],
  { proxyUsers, trustedProxies }: Pick<ProxySettings, "proxyUsers" | "trustedProxies">,
  chain: Pick<HookChain, "addons" | "asksEverywhere">,
): void {
  const giver = chain.addons.find(({ givesKeys }) => givesKeys === true)
  if (giver === undefined || proxyUsers.length > 0 || chain.asksEverywhere) return
  const open = addresses.find(({ host }) => !isLoopbackHost(host))
  if (open === undefined && trustedProxies.length === 0) return
  const why =
    open === undefined ? "clients behind --trusted-proxy" : `others, who reach ${hostAndPort(open.host, open.port)},`
  throw new UsageError(
    `addon "${giver.name}" puts keys of yours into requests, and ${why} could spend them: ` +
      "load keys (-s keys), set --proxy-auth, or listen on 127.0.0.1",
  )
}
